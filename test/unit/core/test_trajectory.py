"""Fourier series and their files."""

import dataclasses

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.trajectory import Series, Trajectory, read_trajectory


def made(profile, **changed):
    """A motion of two joints and two harmonics."""
    position = Series(
        np.array([0.5, -0.25]), np.array([[0.1, 0.2], [0.0, -0.5]]), np.array([[0.3, 0], [1, 0]])
    )
    given = dict(
        robot=profile.name,
        profile=profile.content_hash,
        joints=profile.joint_names,
        duration=10.0,
        base_frequency=0.4,
        position=position,
    )
    return Trajectory(**(given | changed))


def test_values_are_those_of_the_formula(planar):
    motion, w, t = made(planar).at(0.7), 2 * np.pi * 0.4, 0.7
    assert motion.position[0] == pytest.approx(
        0.5 + 0.1 * np.cos(w * t) + 0.3 * np.sin(w * t) + 0.2 * np.cos(2 * w * t)
    )
    assert motion.velocity[1] == pytest.approx(w * np.cos(w * t) + w * np.sin(2 * w * t))
    assert motion.acceleration[1] == pytest.approx(
        -(w**2) * np.sin(w * t) + 2 * w**2 * np.cos(2 * w * t)
    )


def test_many_times_at_once_are_as_one_by_one(planar):
    times = np.linspace(0, 3, 7)
    together = made(planar).at(times)
    for index, time in enumerate(times):
        for many, one in zip(together, made(planar).at(time)):
            np.testing.assert_allclose(many[index], one, atol=1e-12)


def test_a_period_later_it_is_where_it_was(planar):
    motion = made(planar)
    assert motion.periods == 4
    np.testing.assert_allclose(motion.at(0.3).position, motion.at(2.8).position)


def test_a_file_gives_the_motion_back(planar, tmp_path):
    path = tmp_path / 'motion.yaml'
    motion = made(planar)
    path.write_text(motion.to_yaml(planar, {'seed': 3, 'criterion': 'condition'}))
    read = read_trajectory(path, planar)
    assert (read.joints, read.duration, read.base_frequency) == (planar.joint_names, 10.0, 0.4)
    for mine, its in zip(read.position, motion.position):
        np.testing.assert_array_equal(mine, its)
    assert '# rad' in path.read_text()


def test_joints_may_have_fewer_harmonics(planar, tmp_path):
    path = tmp_path / 'motion.yaml'
    text = made(planar).to_yaml(planar)
    path.write_text(
        text.replace('cos: [0.100000, 0.200000]', 'cos: [0.1]').replace(
            'sin: [0.300000, 0.000000]', 'sin: [0.3]'
        )
    )
    np.testing.assert_array_equal(read_trajectory(path, planar).position.cos[0], [0.1, 0.0])


def test_another_robot_is_refused_by_name(planar, tmp_path):
    path = tmp_path / 'motion.yaml'
    path.write_text(dataclasses.replace(made(planar), robot='slider').to_yaml(planar))
    with pytest.raises(InputError, match='robot = .slider.: this robot is planar') as raised:
        read_trajectory(path, planar)
    assert raised.value.faults[0].line == 3


def test_a_robot_that_changed_since_is_refused(planar, write_robot, tmp_path):
    path = tmp_path / 'motion.yaml'
    path.write_text(made(planar).to_yaml(planar))
    changed = load_profile(write_robot('planar', planar_yaml_changed=True))
    with pytest.raises(InputError) as raised:
        read_trajectory(path, changed)
    (fault,) = raised.value.faults
    assert (fault.field, fault.value) == ('profile', planar.content_hash)


def test_all_faults_are_named_at_once(planar, tmp_path):
    path = tmp_path / 'motion.yaml'
    text = made(planar).to_yaml(planar)
    for old, new in (
        ('duration: 10.0', 'duration: 9.0'),
        ('mean: 0.500000', 'mean: .nan'),
        ('sin: [1.000000, 0.000000]', 'sin: [1.0]'),
        ('joints:', 'speed: 2\njoints:\n  knee: {}'),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_trajectory(path, planar)
    assert [fault.field for fault in raised.value.faults] == [
        'speed', 'duration', 'joints.knee', 'joints.shoulder.mean', 'joints.elbow.sin'
    ]  # fmt: skip
    assert all(fault.line for fault in raised.value.faults)


@pytest.mark.parametrize(
    'text', ['joints: [1]', 'duration: fast', 'base_frequency: -1', 'joints: {shoulder: 3}']
)
def test_a_file_of_something_else_is_bad_input(planar, tmp_path, text):
    path = tmp_path / 'motion.yaml'
    path.write_text(text)
    with pytest.raises(InputError, match=text.partition(':')[0]):
        read_trajectory(path, planar)
