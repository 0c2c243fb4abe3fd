import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_core.profile import load_profile
from sim2real_policy.description import KEYS, Description, metadata_of, read_description
from sim2real_policy.metadata import Gains, Goal

MINIMAL = """control_period: 0.02
observation: [{kind: joint_position}, {kind: joint_velocity, history: 2}]
action: {meaning: position}
"""


@pytest.fixture
def described(tmp_path, robot):
    def make(text, profile=None):
        path = tmp_path / 'about.yaml'
        path.write_text(text)
        return metadata_of(read_description(path), profile or robot())

    return make


def faults(caught):
    return {fault.field: fault for fault in caught.value.faults}


def test_the_robot_fills_what_can_only_be_one_thing(described, robot):
    profile = robot()
    meta = described(MINIMAL)
    assert (meta.robot, meta.joints) == ('pair', ('turn', 'reach'))
    assert meta.default_position == (0.25, 0.5)
    assert meta.limits.velocity == (2.0, 4.0) and meta.limits.acceleration[1] == 10.0
    assert meta.action.scale == (1.0, 1.0) and meta.action.offset == (0.0, 0.0)
    assert meta.goal == Goal() and meta.gains is None
    assert meta.profile == profile.content_hash
    assert meta.observation.size == 6


def test_what_is_said_goes_before_the_robot(described):
    meta = described(
        MINIMAL.replace('meaning: position', 'meaning: position, scale: {reach: 0.1, turn: 3}')
        + """joints: [reach, turn]
default_position: [0.1, 0.2]
limits: {velocity: 0.5, acceleration: {turn: 1, reach: 2}}
gains: {stiffness: 10, damping: [1, 2]}
normalizer: {mean: 0.5, std: [1, 2, 3, 4, 5, 6]}
training_range: {low: -1, high: 1e-3}
training: {seed: 3}
"""
    )
    assert meta.joints == ('reach', 'turn')
    assert meta.action.scale == (0.1, 3.0)
    assert meta.limits.acceleration == (2.0, 1.0) and meta.limits.effort == (20.0, 10.0)
    assert meta.gains == Gains(stiffness=(10.0, 10.0), damping=(1.0, 2.0))
    assert meta.normalizer.mean == (0.5,) * 6 and meta.normalizer.std[5] == 6.0
    assert meta.training_range.high == (1e-3,) * 6
    assert meta.training == {'seed': 3}


def test_arrays_come_from_files_with_all_their_digits(described, tmp_path):
    seen = np.random.default_rng(0).normal(size=(50, 6))
    np.save(tmp_path / 'seen.npy', seen)
    np.savez(tmp_path / 'norm.npz', mean=seen.mean(axis=0), std=seen.std(axis=0))
    meta = described(MINIMAL + 'normalizer: {file: norm.npz}\ntraining_range: {file: seen.npy}\n')
    np.testing.assert_array_equal(meta.normalizer.mean, seen.mean(axis=0))
    np.testing.assert_array_equal(meta.training_range.low, seen.min(axis=0))
    (tmp_path / 'norm.npz').write_bytes(b'nothing')
    with pytest.raises(InputError) as caught:
        described(MINIMAL + 'normalizer: {file: norm.npz}\n')
    assert set(faults(caught)) == {'normalizer.file'}


def test_everything_that_must_be_said_is_asked_for_by_name(robot):
    with pytest.raises(InputError) as caught:
        metadata_of(Description(), robot())
    assert set(faults(caught)) == {'control_period', 'observation', 'action'}
    assert '--template' in str(caught.value)


@pytest.mark.parametrize(
    'text, expected',
    [
        ('robott: arm6', {'robott'}),
        ('joints: [turn, twist]', {'joints'}),
        ('default_position: {turn: 1}', {'default_position.reach'}),
        ('default_position: {turn: 1, reach: 2, grip: 3}', {'default_position.grip'}),
        ('limits: {velocity: [1]}', {'limits.velocity'}),
        ('limits: {speed: 1}', {'limits.speed'}),
        ('gains: {stiffness: -1}', {'gains.stiffness[0]', 'gains.stiffness[1]'}),
        ('state: [{input: h}]', {'state[0]'}),
        ('state: {input: h}', {'state'}),
        (
            'images: [{name: a, topic: b, height: 1, width: 1, encoding: c}]',
            {'images[0].encoding'},
        ),
        ('normalizer: {mean: 0}', {'normalizer'}),
        ('training_range: {low: 2, high: 1}', {f'training_range.low[{i}]' for i in range(6)}),
        ('goal: {kind: moon, frame: base}', {'goal.kind'}),
        ('commands: [linear.x]', {'commands'}),
    ],
)
def test_every_fault_has_its_name_and_line(described, text, expected):
    with pytest.raises(InputError) as caught:
        described(f'{MINIMAL}# a comment\n{text}\n')
    found = faults(caught)
    assert set(found) == expected
    assert {fault.line for fault in found.values()} == {5}


def test_a_wrong_term_has_the_line_of_the_term(described):
    with pytest.raises(InputError) as caught:
        described(
            'control_period: 0.02\naction: {meaning: push}\nobservation:\n'
            '  - {kind: joint_position, scale: 0}\n  - {kind: smell}\n  - {sort: x}\n'
        )
    found = faults(caught)
    assert {name: fault.line for name, fault in found.items()} == {
        'observation[0].scale': 4,
        'observation[1].kind': 5,
        'observation[2].sort': 6,
        'action.meaning': 2,
    }


def test_the_template_is_a_whole_description_of_a_policy_for_the_shipped_arm():
    path = find('policies', 'template')
    meta = metadata_of(read_description(path), load_profile('arm6'))
    assert meta.robot == 'arm6' and meta.goal.kind == 'tool_position'
    text = path.read_text()
    for key in set(KEYS) - {'robot', 'profile', 'space'}:
        assert f'{key}:' in text, f'the template does not show {key}'
