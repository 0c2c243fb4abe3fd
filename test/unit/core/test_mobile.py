"""Profiles of robots that move about: twists, wheels, a floating base."""

import numpy as np
import pytest
import yaml

from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_core.mobile import Wheels
from sim2real_core.profile import load_profile

ROVER = find('robots', 'rover')


@pytest.fixture
def rover(tmp_path):
    """Loads the shipped rover with some keys changed; None leaves one out."""

    def make(**changed):
        data = yaml.safe_load(ROVER.read_text()) | changed
        data['urdf'] = str((ROVER.parent / data['urdf']).resolve())
        path = tmp_path / 'rover.yaml'
        path.write_text(
            yaml.safe_dump({k: v for k, v in data.items() if v is not None}, sort_keys=False)
        )
        return load_profile(path)

    return make


def faults(make, **changed):
    with pytest.raises(InputError) as caught:
        make(**changed)
    return {fault.field: fault for fault in caught.value.faults}


def test_what_a_rover_is_told(rover):
    made = rover()
    assert made.command_names == ('linear.x', 'angular.z')
    assert made.command.drives == 'velocity'
    assert made.limited('angular.z').velocity == 2.0
    assert made.limited('left_wheel').velocity == 25.0
    assert (made.base_link, made.body_link, made.urdf.root) == ('world', 'base_link', 'world')
    with pytest.raises(ValueError):
        made.limited('linear.y')


def test_a_robot_on_a_base_has_no_body_and_is_told_its_joints():
    made = load_profile('arm6')
    assert made.body_link == '' and made.twist == () and made.wheels is None
    assert made.command_names == made.joint_names


def test_wheels_roll_without_slip(rover):
    """Every wheel moves over the ground as its place on the turning body does."""
    wheels = Wheels(left=('a', 'c'), right=('b',), radius=0.2, separation=0.6)
    rates = wheels.speeds(('a', 'b', 'arm', 'c'), ('angular.z', 'linear.x'))
    turn, forward = 1.5, 0.7
    speeds = rates @ [turn, forward]
    left, right = forward - turn * 0.3, forward + turn * 0.3
    np.testing.assert_allclose(speeds * 0.2, [left, right, 0.0, left])
    with pytest.raises(InputError, match='sideways'):
        wheels.speeds(('a', 'b', 'c'), ('linear.y',))


@pytest.mark.parametrize(
    ('changed', 'field'),
    [
        ({'twist': None}, 'twist'),
        ({'twist': {'linear.z': {'velocity': 1.0}}}, 'twist.linear.z'),
        ({'twist': {'linear.x': {'acceleration': 1.0}}}, 'twist.linear.x'),
        ({'twist': {'linear.x': {'velocity': -1.0}}}, 'twist.linear.x.velocity'),
        ({'twist': {'linear.x': {'velocity': '1 rad/s'}}}, 'twist.linear.x.velocity'),
        ({'twist': {'linear.x': {'velocity': 1.0, 'jerk': 2.0}}}, 'twist.linear.x.jerk'),
        ({'twist': 3}, 'twist'),
        ({'wheels': {'left': ['left_wheel']}}, 'wheels.right'),
        ({'wheels': {'left': ['left_wheel'], 'right': ['left_wheel']}}, 'wheels.right'),
        ({'twist': {'linear.y': {'velocity': 1.0}}}, 'wheels'),
        ({'wheels': {'left': ['leg'], 'right': ['right_wheel']}}, 'wheels.left'),
        ({'floating': 'yes, please'}, 'floating'),
        ({'base_link': 'base_link'}, 'base_link'),
        ({'command': {'interface': 'twist', 'topic': 'cmd_vel'}}, 'command.type'),
    ],
)
def test_faults_are_named(rover, changed, field):
    assert field in faults(rover, **changed)


def test_joints_are_not_commanded_by_a_twist_message(rover):
    command = {'interface': 'velocity', 'topic': 'x', 'type': 'geometry_msgs/msg/Twist'}
    found = faults(rover, command=command, twist=None)
    assert 'Float64MultiArray' in found['command.type'].mend


def test_a_urdf_with_a_world_floats_by_itself_only(rover, tmp_path):
    urdf = tmp_path / 'own.urdf'
    urdf.write_text(load_profile('rover').urdf.text)
    made = rover(urdf=str(urdf), floating=None)
    assert made.body_link == 'base_link'
    assert 'leave floating out' in faults(rover, urdf=str(urdf))['floating'].mend
