"""Spaces: read as a whole, drawn by key."""

import dataclasses
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.files import names
from sim2real_core.profile import load_profile
from sim2real_randomizer.distributions import Constant, LogUniform, Normal, Uniform
from sim2real_randomizer.space import Space, Variation, load_space

ARM6 = load_profile('arm6')
SLIDER = load_profile('slider')
ELBOW = ARM6.joint('elbow')
GRIPPER = ARM6.urdf.links['gripper'].mass


@pytest.fixture
def write(tmp_path):
    """Writes a space from its entries, one a line, beginning in line 2."""

    def written(*entries, profile=ARM6):
        path = tmp_path / 'space.yaml'
        path.write_text('\n'.join(['parameters:', *(f'  {entry}' for entry in entries), '']))
        return load_space(path, profile)

    return written


@pytest.fixture
def faults(write):
    """The faults of a space: (line, field, mend)."""

    def found(*entries, profile=ARM6):
        with pytest.raises(InputError) as error:
            write(*entries, profile=profile)
        assert all(fault.file.endswith('space.yaml') for fault in error.value.faults)
        return [(fault.line, fault.field, fault.mend) for fault in error.value.faults]

    return found


def test_combinations(write):
    space = write(
        'link.gripper.mass: {distribution: constant, value: 2, combine: additive}',
        'joint.elbow.viscous_friction: {distribution: constant, value: 2}',
        'joint.elbow.coulomb_friction: {distribution: constant, value: 2, combine: absolute}',
        'world.gravity.z: {distribution: constant, value: 1e-1}',
        'actuator.elbow.delay: {distribution: constant, value: 0.003}',
    )
    assert space.draw(0, 0).values == {
        'link.gripper.mass': GRIPPER + 2,
        'joint.elbow.viscous_friction': 2 * ELBOW.viscous_friction,
        'joint.elbow.coulomb_friction': 2.0,
        'world.gravity.z': -9.81 + 0.1,
        'actuator.elbow.delay': 0.003,
    }


def test_draw_names_where_it_comes_from(write):
    space = write('link.gripper.mass: {distribution: uniform, low: 0.5, high: 2}')
    draw = space.draw(3, 5, 7)
    assert (draw.seed, draw.episode, draw.environment) == (3, 5, 7)
    assert (draw.space, draw.profile) == (space.content_hash, ARM6.content_hash)
    assert 0.5 * GRIPPER <= draw.values['link.gripper.mass'] <= 2 * GRIPPER
    assert draw.outcomes == {}


def test_starts_from_the_nominal_that_is_given(write):
    space = write(
        'link.gripper.mass: {distribution: constant, value: 3, combine: scale}',
        'actuator.elbow.gain: {distribution: constant, value: 0.5, combine: absolute}',
    )
    drawn = space.draw(0, 0, nominal={'link.gripper.mass': 2.0}.__getitem__)
    assert drawn.values == {'link.gripper.mass': 6.0, 'actuator.elbow.gain': 0.5}


def test_many_equal_one_by_one():
    space = load_space('arm6', ARM6)
    episodes, environments = np.array([0, 9, 2]), np.array([4, 0])
    many = space.draw_many(1, episodes[:, None], environments)
    for i, episode in enumerate(episodes):
        for j, environment in enumerate(environments):
            one = space.draw(1, int(episode), int(environment))
            assert one.values == {a: v[i, j] for a, v in many.items()}


def test_order_and_other_addresses_do_not_matter():
    space = load_space('arm6', ARM6)
    whole = space.draw(1, 2, 3)
    for address, variation in reversed(space.variations.items()):
        if not variation.of:
            alone = Space(ARM6, {address: variation}).draw(1, 2, 3)
            assert alone.values[address] == whole.values[address]
    space.draw(1, 3, 3)
    assert space.draw(1, 2, 3) == whole
    backwards = Space(ARM6, dict(reversed(space.variations.items())))
    assert backwards.draw(1, 2, 3).values == whole.values


def test_another_process_draws_the_same():
    code = (
        'import json; from sim2real_core.profile import load_profile;'
        'from sim2real_randomizer.space import load_space;'
        "space = load_space('arm6_surrogate', load_profile('arm6')); space.draw(0, 0);"
        'draw = space.draw(5, 6, 7);'
        'print(json.dumps([draw.values, draw.space]))'
    )
    said = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True
    )
    draw = load_space('arm6_surrogate', ARM6).draw(5, 6, 7)
    assert json.loads(said.stdout) == [draw.values, draw.space]


def test_no_width_is_the_nominal_to_the_bit(write):
    space = write(
        'link.*.mass: {distribution: uniform, low: 1, high: 1}',
        'joint.*.viscous_friction: {distribution: log_uniform, low: 1, high: 1}',
        'joint.*.coulomb_friction: {distribution: normal, mean: 1, std: 0}',
        'joint.*.static_friction:'
        ' {distribution: constant, value: 1, combine: scale, of: coulomb_friction}',
        'link.*.com.x: {distribution: uniform, low: 0, high: 0, combine: additive}',
        'joint.*.effort_offset: {distribution: categorical, values: [0.0]}',
        'actuator.*.gain: {distribution: constant, value: 1}',
    )
    for address, value in space.draw(1, 2).values.items():
        assert value == space.nominal(address), address


def test_of_starts_from_the_drawn_value(write):
    entry = 'joint.*.static_friction: ' + (
        '{distribution: uniform, low: 1.1, high: 1.5, combine: scale, of: coulomb_friction}'
    )
    varied = write(entry, 'joint.*.coulomb_friction: {distribution: uniform, low: 0.5, high: 2}')
    drawn = varied.draw_many(0, np.arange(500))
    for joint in ARM6.joint_names:
        static, coulomb = (
            drawn[f'joint.{joint}.{what}_friction'] for what in ('static', 'coulomb')
        )
        assert (static / coulomb >= 1.1 - 1e-12).all()
        assert (static / coulomb <= 1.5 + 1e-12).all()
        nominal = ARM6.joint(joint).coulomb_friction
        low, high = varied.range(f'joint.{joint}.static_friction')
        assert (low, high) == pytest.approx((0.55 * nominal, 3.0 * nominal))
    alone = write(entry).draw(0, 0)
    ratio = alone.values['joint.elbow.static_friction'] / ELBOW.coulomb_friction
    assert 1.1 <= ratio <= 1.5


def test_patterns(write):
    space = write(
        'joint.*.viscous_friction: {distribution: uniform, low: 0.5, high: 2}',
        'joint.elbow.viscous_friction: {distribution: constant, value: 3}',
        'sensor.wrist_*.noise: {distribution: constant, value: 1e-3}',
        'link.*.mass: {distribution: uniform, low: 0.9, high: 1.1}',
    )
    joints = [a for a in space.addresses if a.endswith('viscous_friction')]
    assert sorted(joints) == sorted(f'joint.{n}.viscous_friction' for n in ARM6.joint_names)
    drawn = space.draw(0, 0).values['joint.elbow.viscous_friction']
    assert drawn == 3 * ELBOW.viscous_friction
    assert {a for a in space.addresses if a.startswith('sensor')} == {
        f'sensor.wrist_{what}.noise' for what in ('position', 'velocity', 'effort')
    }
    assert 'link.gripper.mass' in space.addresses
    assert 'link.tool0.mass' not in space.addresses, 'a frame has no mass to vary'


def test_tails_are_cut_to_what_is_admissible(write):
    space = write(
        'joint.elbow.viscous_friction: {distribution: normal, mean: 1, std: 5}',
        'surface.floor.restitution: {distribution: normal, mean: 0.5, std: 9}',
    )
    drawn = space.draw_many(0, np.arange(2000))
    assert drawn['joint.elbow.viscous_friction'].min() >= 0
    assert drawn['surface.floor.restitution'].max() <= 1
    assert drawn['surface.floor.restitution'].max() > 0.99


def test_whole_numbers_stay_whole(write):
    space = write('world.solver_iterations: {distribution: uniform, low: 10, high: 50}')
    drawn = space.draw_many(0, np.arange(100))['world.solver_iterations']
    assert (drawn == np.round(drawn)).all()
    assert len(set(drawn)) > 20


@pytest.mark.parametrize('unit', ['N*m*s/rad', 'N m s/rad', 'N·m·s/rad'])
def test_units_in_any_hand(write, unit):
    space = write(
        'joint.elbow.viscous_friction:'
        f' {{distribution: constant, value: 2, combine: absolute, unit: {unit}}}'
    )
    assert space.draw(0, 0).values['joint.elbow.viscous_friction'] == 2.0


@pytest.mark.parametrize(
    ('entry', 'field', 'mend'),
    [
        ('link.griper.mass: {distribution: constant, value: 1}', 'parameters', 'gripper'),
        ('joint.elbw.armature: {distribution: constant, value: 1}', 'parameters', 'elbow'),
        ('joint.elbow.armatur: {distribution: constant, value: 1}', 'parameters', 'armature'),
        ('elbow.armature: {distribution: constant, value: 1}', 'parameters', 'joint'),
        ('joint.x*.armature: {distribution: constant, value: 1}', 'parameters', 'matches nothing'),
        ('surface.*.friction: {distribution: constant, value: 1}', 'parameters', 'nothing'),
        (
            'joint.elbow.armature: {distribution: uniform, low: 2, high: 1}',
            'joint.elbow.armature.low', 'reversed',
        ),
        (
            'joint.elbow.armature: {distribution: uniform, low: .nan, high: 1}',
            'joint.elbow.armature.low', 'number',
        ),
        (
            'joint.elbow.armature: {distribution: uniform, low: -0.5, high: 1}',
            'joint.elbow.armature.low', f'(scale, starting from {ELBOW.armature:g} kg*m^2)',
        ),
        (
            'link.gripper.mass: {distribution: uniform, low: -1, high: 1, combine: additive}',
            'link.gripper.mass.low', f'[{-GRIPPER:g}, ',
        ),
        (
            'link.gripper.mass: {distribution: normal, mean: -2, std: 1, combine: absolute}',
            'link.gripper.mass.mean', 'within [0',
        ),
        (
            'sensor.elbow_effort.dropout: {distribution: categorical, values: [0, 2]}',
            'sensor.elbow_effort.dropout.values', 'within [0, 1]',
        ),
        (
            'actuator.elbow.delay: {distribution: uniform, low: 0, high: 5, unit: ms}',
            'actuator.elbow.delay.unit', 'must be s',
        ),
        (
            'link.gripper.mass: {distribution: uniform, low: 1, high: 2, unit: kg}',
            'link.gripper.mass.unit', 'a scale has no unit',
        ),
        (
            'link.gripper.mass: {distribution: uniform, low: 1, high: 2, combine: add}',
            'link.gripper.mass.combine', 'additive',
        ),
        ('link.gripper.mass: 2.0', 'link.gripper.mass', 'distribution: uniform'),
        (
            'joint.elbow.effort_offset: {distribution: uniform, low: 1, high: 2, combine: scale}',
            'joint.elbow.effort_offset.combine', 'absolute',
        ),
        (
            'light.sun.intensity: {distribution: uniform, low: 1, high: 2}',
            'light.sun.intensity.address', 'combine: absolute',
        ),
        (
            'joint.elbow.armature:'
            ' {distribution: constant, value: 1, combine: scale, of: coulomb_friction}',
            'joint.elbow.armature.of', 'kg*m^2',
        ),
        (
            'joint.elbow.static_friction:'
            ' {distribution: constant, value: 1, combine: absolute, of: coulomb_friction}',
            'joint.elbow.static_friction.of', 'scale',
        ),
        (
            'joint.elbow.static_friction:'
            ' {distribution: constant, value: 1, combine: scale, of: coulomb}',
            'joint.elbow.static_friction.of', 'coulomb_friction',
        ),
    ],
)  # fmt: skip
def test_faults(faults, entry, field, mend):
    ((line, where, what),) = faults(entry)
    assert (line, where) == (2, field)
    assert mend in what


def test_no_factor_of_what_is_unlimited(faults, tmp_path):
    (tmp_path / 'free.urdf').write_text(re.sub(r'effort="[\d.]+"', '', ARM6.urdf.text))
    (tmp_path / 'free.yaml').write_text('urdf: free.urdf')
    profile = load_profile(tmp_path / 'free.yaml')
    entry = 'actuator.elbow.saturation: {distribution: uniform, low: 0.5, high: 1}'
    ((_, where, what),) = faults(entry, profile=profile)
    assert where == 'actuator.elbow.saturation.combine'
    assert 'unlimited' in what


def test_linear_axes_have_linear_units(faults, write):
    entry = 'joint.slider.coulomb_friction: {{distribution: constant, value: 20, {}}}'
    ((_, _, mend),) = faults(entry.format('combine: absolute, unit: N*m'), profile=SLIDER)
    assert mend.startswith('must be N:')
    assert write(entry.format('combine: absolute, unit: N'), profile=SLIDER).draw(0, 0).values


def test_every_fault_of_the_file_at_once(faults):
    found = faults(
        'link.griper.mass: {distribution: constant, value: 1}',
        'joint.elbow.armature: {distribution: uniform, low: 2, high: 1, unit: kg}',
        'joint.base.armature:',
        '  distribution: constant',
        '  value: -1',
        'actuator.*.delay: {distribution: uniform, low: 0, high: 2}',
        'joint.base.effort_offset: {distribution: unifrm, low: 0, high: 2}',
    )
    assert sorted((line, field) for line, field, _ in found) == [
        (2, 'parameters'),
        (3, 'joint.elbow.armature.low'),
        (3, 'joint.elbow.armature.unit'),
        (6, 'joint.base.armature.value'),
        (7, 'actuator.*.delay.high'),
        (8, 'joint.base.effort_offset.distribution'),
    ]


def test_a_fault_of_the_base_is_named_once(faults):
    found = faults(
        'joint.elbow.static_friction:'
        ' {distribution: constant, value: 1, combine: scale, of: coulomb_friction}',
        'joint.elbow.coulomb_friction: {distribution: constant, value: -1}',
    )
    assert [field for _, field, _ in found] == ['joint.elbow.coulomb_friction.value']


def test_of_goes_as_far_as_it_goes():
    chained = {
        'joint.elbow.static_friction': Variation(Constant(1.5), 'scale', 'coulomb_friction'),
        'joint.elbow.coulomb_friction': Variation(Constant(2.0), 'scale', 'joint.base.armature'
                                                  ' * si(1, "1/s^2") + 0.5'),
        'joint.base.armature': Variation(Uniform(1.0, 2.0), 'scale'),
    }  # fmt: skip
    values = Space(ARM6, chained).draw(0, 0).values
    coulomb = 2.0 * (values['joint.base.armature'] + 0.5)
    assert values['joint.elbow.coulomb_friction'] == coulomb
    assert values['joint.elbow.static_friction'] == 1.5 * coulomb


def test_of_in_a_circle(faults):
    found = faults(
        'joint.elbow.static_friction: {of: 1.2 * coulomb_friction}',
        'joint.elbow.coulomb_friction: {of: static_friction / 1.2}',
    )
    assert [field for _, field, _ in found] == ['joint.elbow.static_friction.of']
    assert 'circle' in found[0][2]


def test_patterns_that_overlap(faults):
    found = faults(
        'joint.*.armature: {distribution: constant, value: 1}',
        'joint.el*.armature: {distribution: constant, value: 1}',
    )
    assert [line for line, _, _ in found] == [3]
    assert 'keep one' in found[0][2]


@pytest.mark.parametrize(
    ('text', 'line'), [('', 1), ('parameters: [1]\n', 1), ('parameters: {}\nseed: 1\n', 2)]
)
def test_the_file_as_a_whole(tmp_path, text, line):
    path = tmp_path / 'space.yaml'
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_space(path, ARM6)
    assert error.value.faults[0].line == line


def test_a_missing_file_names_the_shipped_ones():
    with pytest.raises(InputError, match='arm6_surrogate'):
        load_space('arm7', ARM6)


def test_a_space_from_code_is_checked():
    with pytest.raises(InputError) as error:
        Space(ARM6, {'link.gripper.mass': Variation(Uniform(-1, 1), 'additive'),
                     'link.nothing.mass': Variation(Constant(1.0))})  # fmt: skip
    assert {fault.field for fault in error.value.faults} == {
        'link.gripper.mass.low', 'link.nothing.mass.address'
    }  # fmt: skip


def test_yaml_and_back(tmp_path):
    space = load_space('arm6', ARM6)
    space = dataclasses.replace(
        space,
        variations={
            **space.variations,
            'link.gripper.com.x': Variation(Normal(1e-5, 1e-7), 'absolute'),
            'link.gripper.com.y': Variation(LogUniform(1 / 3, 2 / 3), 'absolute'),
        },
    )
    path = tmp_path / 'saved.yaml'
    path.write_text(space.to_yaml())
    back = load_space(path, ARM6)
    assert back.variations == space.variations
    assert back.content_hash == space.content_hash
    assert back.draw(1, 2, 3).values == space.draw(1, 2, 3).values


def test_content_hash(write):
    entry = 'link.gripper.mass: {{distribution: uniform, low: {}, high: 2}}'
    one = write(entry.format('1'))
    assert one.content_hash == write(entry.format('1.0   ')).content_hash
    assert one.content_hash != write(entry.format('1.5')).content_hash


@pytest.mark.parametrize('name', names('randomization'))
def test_shipped_spaces(name):
    robot = SLIDER if name.startswith('slider') else ARM6
    space = load_space(name, robot)
    assert bool(space.addresses) is (name != 'none')
    drawn = space.draw_many(0, np.arange(300))
    for address, values in drawn.items():
        low, high = space.range(address)
        assert low <= values.min()
        assert values.max() <= high


def test_none_is_for_any_robot():
    for robot in (ARM6, SLIDER):
        assert load_space('none', robot).draw(0, 0).values == {}


def test_many_environments_are_fast():
    """4096 environments by 60 addresses: 12 ms on one core; the bar of the benchmark is 30 ms."""
    space = load_space('arm6', ARM6)
    environments = np.arange(4096)
    space.draw_many(0, 0, environments)
    taken = []
    for episode in range(5):
        start = time.perf_counter()
        drawn = space.draw_many(0, episode, environments)
        taken.append(time.perf_counter() - start)
    assert len(drawn) >= 60
    assert min(taken) < 0.5
