"""The shipped controller YAML says the same as the profiles."""

from pathlib import Path

import pytest
import yaml

from sim2real_core.files import names
from sim2real_core.profile import load_profile
from test.unit.core.ros2_control_parameters import BOTH, NEEDED, ONLY_JAZZY

FOLDER = Path(__file__).resolve().parents[3] / 'config/ros2_control'
FORWARD = 'forward_command_controller/ForwardCommandController'
ARRAY = 'std_msgs/msg/Float64MultiArray'
DRIVE = 'diff_drive_controller/DiffDriveController'


@pytest.fixture(params=names('robots'), name='shipped')
def fixture_shipped(request):
    """A profile, types of its controllers, and the parameters of each by name."""
    profile = load_profile(request.param)
    text = (FOLDER / f'{request.param}.yaml').read_text()
    nodes = {name: node['ros__parameters'] for name, node in yaml.safe_load(text).items()}
    manager = nodes.pop('controller_manager')
    types = {name: value['type'] for name, value in manager.items() if isinstance(value, dict)}
    assert set(types) == set(nodes), 'every controller is configured'
    assert manager['update_rate'] >= profile.rates.joint_state_rate
    return profile, types, nodes, text


def test_joint_states_carry_what_policies_may_ask_for(shipped):
    profile, types, nodes, _ = shipped
    assert 'joint_state_broadcaster/JointStateBroadcaster' in types.values()
    interfaces = nodes['joint_state_broadcaster']['interfaces']
    assert interfaces == ['position', 'velocity', 'effort']
    # It heeds neither list without the other.
    assert tuple(nodes['joint_state_broadcaster']['joints']) == profile.joint_names


def flat(values, above=''):
    """Parameters by their full names."""
    found = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        found |= flat(value, f'{above}{name}.') if nested else {f'{above}{name}': value}
    return found


def test_controllers_of_humble_and_jazzy_know_every_parameter(shipped):
    """A parameter that a controller does not declare is silently without effect."""
    _, types, nodes, _ = shipped
    for name, kind in types.items():
        given, known = flat(nodes[name]), BOTH[kind]
        drive = dict.fromkeys(ONLY_JAZZY, float) if kind == DRIVE else {}
        assert set(given) <= set(known | drive), name
        for key, value in given.items():
            # Strict: a controller dies of an integer where it declares a double.
            assert type(value) is (known | drive)[key], f'{name}.{key}'
        assert all(given.get(key) for key in NEEDED[kind]), name


def test_the_type_of_its_commands_is_what_the_controller_listens_to(shipped):
    profile, types, _, _ = shipped
    right = 'geometry_msgs/msg/TwistStamped' if DRIVE in types.values() else ARRAY
    assert profile.command.type == right


def test_the_controller_takes_what_the_profile_commands(shipped):
    profile, types, nodes, text = shipped
    if profile.twist:
        (name,) = [name for name, kind in types.items() if kind == DRIVE]
        given, wheels = nodes[name], profile.wheels
        assert tuple(given['left_wheel_names']) == wheels.left
        assert tuple(given['right_wheel_names']) == wheels.right
        assert given['wheel_radius'] == wheels.radius
        assert given['wheel_separation'] == wheels.separation
        assert given['cmd_vel_timeout'] == profile.command.timeout
        assert given['base_frame_id'] == profile.body_link
        assert given['odom_frame_id'] == profile.base_link
        for element in profile.twist:
            part, axis = element.name.split('.')
            limits = given[part][axis]
            assert limits['max_velocity'] == -limits['min_velocity'] == element.velocity
            assert limits['max_acceleration'] == -limits['max_deceleration']
            assert limits['max_acceleration'] == element.acceleration
            # Humble knows deceleration by another name, and no limit unless told so.
            assert limits['min_acceleration'] == limits['max_deceleration']
            assert limits['has_velocity_limits'] and limits['has_acceleration_limits']
        assert f'{name}/cmd_vel to it' in text and profile.command.topic == 'cmd_vel'
        assert f'{name}/odom to it' in text and profile.topics.odometry == 'odom'
    else:
        (name,) = [name for name, kind in types.items() if kind == FORWARD]
        assert tuple(nodes[name]['joints']) == profile.joint_names
        assert nodes[name]['interface_name'] == profile.command.interface
        assert profile.command.topic == f'{name}/commands'


def test_the_imu_is_where_the_profile_has_it(shipped):
    profile, types, nodes, text = shipped
    kinds = [kind for kind in types.values() if kind.startswith('imu_sensor_broadcaster/')]
    assert len(kinds) == bool(profile.imu_link)
    if profile.imu_link:
        assert nodes['imu_broadcaster']['frame_id'] == profile.imu_link
        assert f'remap ~/imu to {profile.topics.imu}' in text
