"""What ties addresses together: expressions, coupled inertia, joint distributions, constraints."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_randomizer.distributions import Constant, Normal, Uniform
from sim2real_randomizer.expressions import parse
from sim2real_randomizer.joint import JointEmpirical, JointNormal, Member
from sim2real_randomizer.space import Space, Variation, load_space
from sim2real_randomizer.variation import When

ARM6 = load_profile('arm6')
MASS, INERTIA, COM = 'link.gripper.mass', 'link.gripper.inertia.xx', 'link.gripper.com.x'
GRIPPER = ARM6.urdf.links['gripper']
COULOMB, STATIC = 'joint.elbow.coulomb_friction', 'joint.elbow.static_friction'
MANY = np.arange(3000)


@pytest.fixture
def read(tmp_path):
    """Reads a space from its text."""

    def loaded(text):
        path = tmp_path / 'space.yaml'
        path.write_text(text)
        return load_space(path, ARM6)

    return loaded


@pytest.fixture
def faults(read):
    """The faults of a text: {field: (line, mend)}."""

    def found(text):
        with pytest.raises(InputError) as error:
            read(text)
        return {fault.field: (fault.line, fault.mend) for fault in error.value.faults}

    return found


# Expressions


def test_an_expression_alone_is_the_value(read):
    space = read(f"""parameters:
  {MASS}: {{distribution: uniform, low: 1, high: 3, combine: absolute}}
  {COM}: {{of: "0.01 * ({MASS} / nominal({MASS}) + 2) * si(1, 'm')", unit: m}}
  joint.*.static_friction: {{of: "max(1.2 * coulomb_friction, 3)"}}
""")
    drawn = space.draw_many(0, MANY)
    np.testing.assert_array_equal(drawn[COM], 0.01 * (drawn[MASS] / GRIPPER.mass + 2))
    assert space.range(COM) == pytest.approx(
        (0.01 / GRIPPER.mass + 0.02, 0.03 / GRIPPER.mass + 0.02)
    )
    for joint in ARM6.joints:
        expected = max(1.2 * joint.coulomb_friction, 3)
        assert (drawn[f'joint.{joint.name}.static_friction'] == expected).all()


@pytest.mark.parametrize(
    ('entry', 'field', 'mend'),
    [
        (f'{COM}: {{of: {MASS}}}', 'of', "is in kg, must be in m; si(1, 'unit')"),
        (f'{COM}: {{of: 0.1, unit: kg}}', 'unit', 'must be m'),
        (f'{COM}: {{of: link.griper.mass * 1}}', 'of', 'gripper'),
        (f'{COM}: {{of: import os}}', 'of', 'cannot be read'),
        (f'{COM}: {{of: 1 / joint.elbow.effort_offset}}', 'of', 'm'),
        (f'''{COM}: {{of: "si(1, 'N*m^2') / joint.elbow.effort_offset"}}''', 'of', 'bounds'),
        (f'{COM}: {{of: 200}}', 'value', 'within'),
        (f'{COM}: {{of: [1]}}', 'of', 'expression'),
        (f'{COM}: {{of: 1, combine: additive}}', 'combine', 'needs a distribution'),
        (f'{COM}: {{of: light.sun.color.r}}', 'of', 'm'),
        (f'{COM}: {{of: {COM} + 1}}', 'of', 'circle'),
        (f'{COM}: {{distribution: constant, value: 1, coupled: false}}', 'coupled', 'mass'),
    ],
)  # fmt: skip
def test_faults_of_expressions(faults, entry, field, mend):
    found = faults(f'parameters:\n  {entry}\n')
    ((name, (line, words)),) = found.items()
    assert (name, line) == (f'{COM}.{field}', 2)
    assert mend in words


def test_no_draw_holds_what_is_no_number(read):
    big = '(1e200 * nominal(actuator.elbow.gain)) ** 2'
    space = read(f"""parameters:
  actuator.elbow.gain: {{of: "min(max({big} - {big}, 0), 1)"}}
""")
    with pytest.raises(InputError, match='gives no number'):
        space.draw(0, 0)


def test_every_fault_of_everything_at_once(faults):
    found = faults(f"""parameters:
  {MASS}: {{of: {MASS} * 2}}
  {COM}: {{distribution: uniform, low: 0, high: 1e9}}
  {STATIC}: {{of: coulomb}}
  {COULOMB}: {{distribution: beta, a: -1, b: 1, when: never}}
joint:
  mine: {{distribution: normal}}
constraints:
  one: {STATIC} > {MASS}
  two: {COM} > 5
  three: link.tool0.mass > 5
period: 0
""")
    assert {field: line for field, (line, _) in found.items()} == {
        f'{MASS}.of': 2,
        f'{COM}.high': 3,
        f'{STATIC}.of': 4,
        f'{COULOMB}.a': 5,
        f'{COULOMB}.when': 5,
        'joint.mine.addresses': 7,
        'constraints.one': 9,
        'constraints.three': 11,
        'period': 12,
    }


def test_inertia_follows_the_mass(read):
    text = f"""parameters:
  {MASS}: {{distribution: uniform, low: 0.5, high: 2{{}}}}
  {INERTIA}: {{distribution: uniform, low: 0.9, high: 1.1}}
  link.gripper.inertia.xy: {{distribution: constant, value: 1e-4}}
"""
    coupled = read(text.replace('{}', '').replace('{{', '{').replace('}}', '}'))
    drawn = coupled.draw_many(0, MANY)
    ratio = drawn[MASS] / GRIPPER.mass
    spread = drawn[INERTIA] / (GRIPPER.inertia[0] * ratio)
    assert (spread.min(), spread.max()) == pytest.approx((0.9, 1.1), rel=1e-2)
    np.testing.assert_allclose(
        drawn['link.gripper.inertia.xy'], GRIPPER.inertia[3] * ratio + 1e-4, rtol=1e-12
    )
    assert coupled.warnings == ()
    alone = read(text.replace('{}', ', coupled: false').replace('{{', '{').replace('}}', '}'))
    drawn = alone.draw_many(0, MANY)
    np.testing.assert_allclose(drawn[INERTIA] / GRIPPER.inertia[0], spread, rtol=1e-12)
    assert (drawn['link.gripper.inertia.zz'] == GRIPPER.inertia[2]).all()
    assert len(alone.addresses) == 7
    assert [MASS in warning for warning in alone.warnings] == [True]
    assert Space(ARM6, alone.variations).content_hash == alone.content_hash


def test_a_mass_that_stays_nominal_leaves_the_inertia_to_the_bit():
    for link, has in ARM6.urdf.links.items():
        if has.mass:
            still = {
                f'link.{link}.mass': Variation(Uniform(1.0, 1.0), 'scale'),
                f'link.{link}.inertia.yy': Variation(Constant(1.0), 'scale'),
            }
            assert (
                Space(ARM6, still).draw(1, 2).values[f'link.{link}.inertia.yy'] == has.inertia[1]
            )


# Joint distributions

COVARIANCE = ((0.04, 0.003, 0.0), (0.003, 0.0009, 0.0), (0.0, 0.0, 4.0))
TOGETHER = JointNormal('gripper', (MASS, COM, STATIC), (2.0, 0.1, 9.0), COVARIANCE)


def members(joint, **settings):
    return {a: Variation(Member(joint, a), **settings) for a in joint.addresses}


def test_joint_normal():
    drawn = Space(ARM6, members(TOGETHER)).draw_many(0, np.arange(40000))
    table = np.array([drawn[a] for a in TOGETHER.addresses])
    np.testing.assert_allclose(table.mean(1), TOGETHER.mean, rtol=0.01)
    np.testing.assert_allclose(np.cov(table), COVARIANCE, rtol=0.05, atol=0.002)
    for row, mean, variance in zip(table, TOGETHER.mean, np.diag(COVARIANCE)):
        assert stats.kstest(row, stats.norm(mean, variance**0.5).cdf).pvalue > 1e-3


def test_joint_normal_does_not_know_order_nor_number_of_worlds():
    turned = JointNormal(
        'gripper',
        TOGETHER.addresses[::-1],
        TOGETHER.mean[::-1],
        tuple(row[::-1] for row in COVARIANCE[::-1]),
    )
    space, other = Space(ARM6, members(TOGETHER)), Space(ARM6, members(turned))
    many = space.draw_many(3, 0, MANY)
    for environment in (0, 7, 2999):
        one = space.draw(3, 0, environment).values
        assert one == other.draw(3, 0, environment).values
        assert one == {a: v[environment] for a, v in many.items()}


def test_joint_normal_of_no_width_and_of_one_dimension():
    line = JointNormal('line', (MASS, COM), (2.0, 0.1), ((0.04, 0.02), (0.02, 0.01)))
    drawn = Space(ARM6, members(line)).draw_many(0, MANY)
    np.testing.assert_allclose(drawn[COM] - 0.1, (drawn[MASS] - 2.0) / 2, atol=1e-12)
    point = JointNormal('point', (MASS, COM), (2.0, 0.1), ((0.0, 0.0), (0.0, 0.0)))
    assert Space(ARM6, members(point)).draw(0, 0).values == {MASS: 2.0, COM: 0.1}


def test_joint_normal_is_cut_to_what_is_admissible_by_drawing_again():
    wide = JointNormal('wide', (STATIC, COULOMB), (1.0, 1.0), ((4.0, 3.0), (3.0, 4.0)))
    drawn = Space(ARM6, members(wide)).draw_many(0, np.arange(20000))
    assert drawn[STATIC].min() >= 0
    assert drawn[COULOMB].min() >= 0
    assert (drawn[STATIC] == 0).sum() == 0, 'not clipped'
    free = stats.multivariate_normal((1, 1), ((4, 3), (3, 4))).rvs(200000, random_state=0)
    free = free[(free >= 0).all(1)]
    assert stats.ks_2samp(drawn[STATIC], free[:, 0]).pvalue > 1e-3


def test_samples_stay_together():
    rows = tuple((1.0 + 0.1 * k, 0.01 * k**2) for k in range(5))
    joint = JointEmpirical('posterior', (MASS, COM), rows)
    space = Space(ARM6, members(joint))
    drawn = space.draw_many(0, MANY)
    pairs = set(zip(drawn[MASS].tolist(), drawn[COM].tolist()))
    assert pairs == set(rows)
    counts = np.unique(drawn[MASS], return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert space.range(COM) == (0.0, 0.16)


def test_joint_distributions_in_a_file(read, tmp_path):
    (tmp_path / 'samples.csv').write_text(f'{MASS}, {COM}\n1.0, 0.1\n2.0, 0.2\n')
    space = read(f"""joint:
  frictions:
    distribution: normal
    addresses: [{STATIC}, {COULOMB}]
    mean: [1.2, 1.0]
    covariance: [[0.01, 0.009], [0.009, 0.01]]
    combine: scale
    unit: 1
    when: {{ornstein_uhlenbeck: 2.0}}
  posterior: {{distribution: empirical, file: samples.csv, unit: [kg, m]}}
parameters:
  {COULOMB}: {{distribution: constant, value: 1}}
""")
    assert set(space.addresses) == {STATIC, COULOMB, MASS, COM}
    drawn = space.draw_many(0, MANY)
    assert (drawn[COULOMB] == ARM6.joint('elbow').coulomb_friction).all(), 'written out'
    assert drawn[STATIC].std() > 0
    np.testing.assert_allclose(drawn[COM], drawn[MASS] / 10)
    saved = tmp_path / 'saved.yaml'
    saved.write_text(space.to_yaml())
    back = load_space(saved, ARM6)
    assert back.content_hash == space.content_hash
    assert back.draw(1, 2, 3).values == space.draw(1, 2, 3).values


@pytest.mark.parametrize(
    ('entry', 'field', 'mend'),
    [
        ('{distribution: normal}', 'addresses', 'list'),
        ('{distribution: uniform, addresses: [a]}', 'distribution', 'normal, empirical'),
        ('{distribution: normal, addresses: [link.griper.mass], mean: [1], covariance: [[1]]}',
         'addresses.0', 'gripper'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [1, 2], covariance: [[1]]}}',
         'mean', 'give 1 numbers'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [.nan], covariance: [[1]]}}',
         'mean', 'finite'),
        (f'{{distribution: normal, addresses: [{MASS}, {COM}], mean: [1, 2],'
         ' covariance: [[1, 2], [2, 1]]}', 'covariance', 'semidefinite'),
        (f'{{distribution: normal, addresses: [{MASS}, {COM}], mean: [1, 2],'
         ' covariance: [[1, 0.2], [0.1, 1]]}', 'covariance', 'symmetric'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [1], covariance: [[1]], unit: g}}',
         'unit', 'must be kg'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [1], covariance: [[1]], low: a}}',
         'low', 'numbers'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [1], covariance: [[1]], std: 1}}',
         'std', 'unknown'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [1]}}', 'covariance', 'needs it'),
        (f'{{distribution: empirical, addresses: [{MASS}], samples: [[1, 2]]}}',
         'samples', '1 num'),
        (f'{{distribution: empirical, addresses: [{MASS}], samples: [[-1]]}}',
         'samples', 'within'),
        (f'{{distribution: normal, addresses: [{MASS}], mean: [-1], covariance: [[1]]}}',
         'mean', 'within'),
        ('{distribution: empirical, file: nowhere.csv}', 'file', 'CSV'),
        ('5', '', 'distribution: normal'),
    ],
)  # fmt: skip
def test_faults_of_joint_distributions(faults, entry, field, mend):
    found = faults(f'joint:\n  mine: {entry}\n')
    ((name, (line, words)),) = found.items()
    assert name == f'joint.mine.{field}'.rstrip('.')
    assert line == 2
    assert mend in words


# Constraints

NARROW = f"""parameters:
  {STATIC}: {{distribution: uniform, low: 1, high: 10, combine: absolute}}
  {COULOMB}: {{distribution: uniform, low: 1, high: 10, combine: absolute}}
  {MASS}: {{distribution: uniform, low: 1, high: 2}}
  joint.base.armature: {{of: "{STATIC} / si(1, '1/s^2')"}}
constraints:
  breaks: {STATIC} > 1.5 * {COULOMB}
"""


def test_constraints_hold_and_leave_the_rest_alone(read):
    space = read(NARROW)
    free = Space(ARM6, space.variations)
    drawn, before = space.draw_many(0, MANY), free.draw_many(0, MANY)
    held = before[STATIC] > 1.5 * before[COULOMB]
    assert 0.1 < held.mean() < 0.5
    assert (drawn[STATIC] > 1.5 * drawn[COULOMB]).all()
    for address in (STATIC, COULOMB):
        np.testing.assert_array_equal(drawn[address][held], before[address][held])
        assert (drawn[address] != before[address])[~held].all()
    np.testing.assert_array_equal(drawn[MASS], before[MASS])
    np.testing.assert_array_equal(drawn['joint.base.armature'], drawn[STATIC])
    # What remains is the same distribution, given the condition.
    assert stats.ks_2samp(drawn[STATIC][held], drawn[STATIC][~held]).pvalue > 1e-3


@given(st.integers(0, 2**62), st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1))
def test_a_rejected_world_depends_on_its_key_alone(seed, episode, environments):
    constraints = {'breaks': parse(f'{STATIC} > 1.5 * {COULOMB}')}
    two = {STATIC: Variation(Uniform(1.0, 10.0)), COULOMB: Variation(Uniform(1.0, 10.0))}
    others = {MASS: Variation(Uniform(1.0, 2.0)), COM: Variation(Normal(0.0, 1.0))}
    small = Space(ARM6, two, None, constraints)
    large = Space(
        ARM6,
        {**others, **dict(reversed(two.items()))},
        None,
        {'light': parse(f'{MASS} < 1.5'), **constraints},
    )
    many = large.draw_many(seed, np.array([[episode]]), np.array(environments))
    for index, environment in enumerate(environments):
        one = small.draw(seed, episode, environment).values
        assert one == {a: many[a][0, index] for a in two}


def test_constraints_for_every_joint(read):
    space = read("""parameters:
  joint.*.static_friction: {distribution: uniform, low: 1, high: 3, combine: scale}
  joint.*.coulomb_friction: {distribution: uniform, low: 0.5, high: 2}
constraints:
  breaks: {condition: static_friction >= coulomb_friction, for: joint.*}
""")
    drawn = space.draw_many(0, MANY)
    for joint in ARM6.joint_names:
        assert (
            drawn[f'joint.{joint}.static_friction'] >= drawn[f'joint.{joint}.coulomb_friction']
        ).all()
    assert set(space.constraints) == {f'breaks of joint.{joint}' for joint in ARM6.joint_names}
    assert Space(ARM6, space.variations).content_hash != space.content_hash


def test_what_no_try_satisfies_is_named(read):
    space = read(NARROW.replace('> 1.5', '> 9.9999999'))
    with pytest.raises(InputError) as error:
        space.draw(0, 0)
    (fault,) = error.value.faults
    assert fault.field == 'constraints.breaks'
    assert STATIC in str(fault.value)
    assert '1000 tries' in fault.mend


@pytest.mark.parametrize(
    ('condition', 'mend'),
    [
        (f'{STATIC} > 10 * {COULOMB}', f'{STATIC} from 1 to 10'),
        (f'{STATIC} > {MASS}', 'go together'),
        (f'{STATIC} + 1', 'compare'),
        ('1 > 2', 'nothing in it varies'),
        ('static_friction > 1', 'whole address'),
        ('{condition: a > 1, for: joint.x*}', 'matches nothing'),
        ('[1]', 'write'),
    ],
)
def test_faults_of_constraints(faults, condition, mend):
    found = faults(NARROW.replace(f'{STATIC} > 1.5 * {COULOMB}', condition))
    ((name, (line, words)),) = found.items()
    assert (name, line) == ('constraints.breaks', 7)
    assert mend in words


# When


def test_once_a_start_is_the_same_in_all_episodes():
    space = Space(
        ARM6,
        {
            MASS: Variation(Uniform(1.0, 2.0), when=When('start')),
            STATIC: Variation(Uniform(1.0, 10.0), when=When('start')),
            COULOMB: Variation(Uniform(1.0, 10.0)),
        },
        None,
        {'light': parse(f'{MASS} < 1.5'), 'breaks': parse(f'{STATIC} > {COULOMB}')},
    )
    drawn = space.draw_many(0, np.arange(50)[:, None], np.arange(20))
    for address in (MASS, STATIC):
        assert (drawn[address] == drawn[address][0]).all()
        assert len(set(drawn[address][0])) == 20
    assert (drawn[MASS] < 1.5).all()
    assert (drawn[STATIC] > drawn[COULOMB]).all()
    assert len(set(drawn[COULOMB].ravel())) == 1000
    always = Space(ARM6, {MASS: Variation(Uniform(1.0, 2.0))})
    np.testing.assert_array_equal(
        Space(ARM6, {MASS: space.variations[MASS]}).draw_many(0, 7, np.arange(20))[MASS],
        always.draw_many(0, 0, np.arange(20))[MASS],
    )


@pytest.mark.parametrize(
    ('when', 'mend'),
    [
        ('sometimes', 'one of start, reset'),
        ('{interval: [5, 2]}', 'in order'),
        ('{interval: 5}', 'shortest'),
        ('{walk: -1}', 'positive'),
        ('{walk: .nan}', 'positive'),
        ('{ornstein_uhlenbeck: [1, 2]}', 'time constant'),
        ('[reset]', 'one of start'),
    ],
)
def test_faults_of_when(faults, when, mend):
    found = faults(f'parameters:\n  {MASS}: {{distribution: constant, value: 1, when: {when}}}\n')
    assert found[f'{MASS}.when'][0] == 2
    assert mend in found[f'{MASS}.when'][1]


# Growth by schedule


def test_a_range_grows_with_the_episodes(read):
    space = read(f"""parameters:
  {MASS}: {{distribution: uniform, low: 1, high: 3, combine: absolute,
            grow: {{from: [1.9, 2.0], episodes: 100}}}}
""")
    drawn = space.draw_many(0, np.array([0, 50, 100, 10**6])[:, None], MANY)[MASS]
    for values, low, high in zip(drawn, (1.9, 1.45, 1, 1), (2.0, 2.5, 3, 3)):
        assert values.min() == pytest.approx(low, abs=2e-3)
        assert values.max() == pytest.approx(high, abs=2e-3)
    assert space.draw(0, 50, 7).values[MASS] == drawn[1, 7]
    assert space.range(MASS) == (1.0, 3.0)


@pytest.mark.parametrize(
    ('entry', 'field', 'mend'),
    [
        ('{distribution: uniform, low: 1, high: 3, grow: {from: [0.5, 2], episodes: 9}}',
         'grow.from', 'within [1, 3]'),
        ('{distribution: uniform, low: 1, high: 3, grow: {from: [2, 1.5], episodes: 9}}',
         'grow.from', 'in order'),
        ('{distribution: uniform, low: 1, high: 3, grow: {from: [2, 2]}}', 'grow', 'either'),
        ('{distribution: uniform, low: 1, high: 3, grow: {from: [2, 2], episodes: 9, delta: 1}}',
         'grow', 'either'),
        ('{distribution: uniform, low: 1, high: 3, grow: 5}', 'grow', 'write'),
        ('{distribution: constant, value: 1, grow: {from: [1, 1], episodes: 9}}',
         'grow', 'no low and high'),
        ('{distribution: uniform, low: 1, high: 3, grow: {from: [2, 2], delta: 1}, when: start}',
         'when', 'every reset'),
    ],
)  # fmt: skip
def test_faults_of_growth(faults, entry, field, mend):
    found = faults(f'parameters:\n  {MASS}: {entry}\n')
    ((name, (line, words)),) = found.items()
    assert (name, line) == (f'{MASS}.{field}', 2)
    assert mend in words


@pytest.mark.parametrize(
    ('text', 'field'),
    [
        ('parameters: {}\nperiod: 0\n', 'period'),
        ('parameters: {}\ncurriculum: {share: 2}\n', 'curriculum.share'),
        ('parameters: {}\ncurriculum: {fall: 0.8}\n', 'curriculum.fall'),
        ('parameters: {}\ncurriculum: 3\n', 'curriculum'),
        ('parameters: {}\nconstraints: 3\n', 'constraints'),
    ],
)
def test_faults_of_sections(faults, text, field):
    assert faults(text)[field][0] == 2


def test_the_example_of_the_documentation(read, tmp_path):
    docs = Path(__file__).parents[3] / 'docs' / 'randomization.md'
    if not docs.is_file():
        pytest.skip('no docs in this checkout')
    example = docs.read_text().partition('```yaml\n')[2].partition('```')[0]
    (tmp_path / 'samples.csv').write_text('link.gripper.com.y\n0.01\n0.02\n')
    space = read(example)
    assert space.draw(1, 2).values['link.gripper.com.y'] in (0.01, 0.02)
    assert len(space.constraints) == 6
