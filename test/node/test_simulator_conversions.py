"""Commands of either type, and messages of arrays."""

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_sim.conversions import CommandReader, image, to_stamp, transforms

URDF = """<robot name="r"><link name="a"/><link name="b"><inertial><mass value="1"/>
<inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>
<link name="c"><inertial><mass value="1"/>
<inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>
<joint name="j1" type="continuous"><parent link="a"/><child link="b"/></joint>
<joint name="j2" type="continuous"><parent link="b"/><child link="c"/></joint></robot>"""
PRESENT = np.array([7.0, 8.0])


def reader(tmp_path, kind, interface):
    (tmp_path / 'r.urdf').write_text(URDF)
    path = tmp_path / 'r.yaml'
    path.write_text(f'urdf: r.urdf\ncommand: {{type: {kind}, interface: {interface}}}')
    return CommandReader(load_profile(path))


def trajectory(names, *points, field='positions'):
    return JointTrajectory(
        joint_names=names, points=[JointTrajectoryPoint(**{field: p}) for p in points]
    )


@pytest.mark.parametrize(
    ('data', 'expected', 'fault'),
    [
        ([1.0, 2.0], [1.0, 2.0], ''),
        ([1.0], None, '1 values for 2 joints'),
        ([], None, '0 values'),
        ([1.0, float('nan')], None, 'finite'),
        ([float('inf'), 0.0], None, 'finite'),
    ],
)
def test_arrays(tmp_path, data, expected, fault):
    read = reader(tmp_path, 'std_msgs/msg/Float64MultiArray', 'position')
    assert read.type is Float64MultiArray
    command, said = read.read(Float64MultiArray(data=data), PRESENT)
    assert fault in said
    np.testing.assert_array_equal(command, PRESENT if expected is None else expected)
    assert bool(fault) == bool(said)


@pytest.mark.parametrize(
    ('names', 'points', 'expected', 'fault'),
    [
        (['j1', 'j2'], [[1.0, 2.0]], [1.0, 2.0], ''),
        (['j2', 'j1'], [[1.0, 2.0]], [2.0, 1.0], ''),
        (['j2'], [[1.0]], [7.0, 1.0], ''),
        (['j3'], [[1.0]], None, 'unknown joints j3'),
        (['j1', 'j2'], [[1.0, 2.0], [3.0, 4.0]], None, '2 trajectory points'),
        (['j1', 'j2'], [], None, '0 trajectory points'),
        (['j1', 'j2'], [[1.0]], None, '1 values for 2 joints'),
        (['j1', 'j2'], [[1.0, float('nan')]], None, 'finite'),
    ],
)
def test_trajectories(tmp_path, names, points, expected, fault):
    read = reader(tmp_path, 'trajectory_msgs/msg/JointTrajectory', 'position')
    command, said = read.read(trajectory(names, *points), PRESENT)
    assert fault in said
    np.testing.assert_array_equal(command, PRESENT if expected is None else expected)
    assert bool(fault) == bool(said)


def test_a_trajectory_of_velocities(tmp_path):
    read = reader(tmp_path, 'trajectory_msgs/msg/JointTrajectory', 'velocity')
    message = trajectory(['j1', 'j2'], [1.0, 2.0], field='velocities')
    np.testing.assert_array_equal(read.read(message, PRESENT)[0], [1.0, 2.0])
    assert read.read(trajectory(['j1', 'j2'], [1.0, 2.0]), PRESENT)[1]


def test_messages_of_arrays():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    message = image('camera', pixels, to_stamp(1_500_000_000))
    assert (message.height, message.width, message.step) == (2, 4, 12)
    assert bytes(message.data) == pixels.tobytes()
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    (frame,) = transforms(
        [('a', 'b')], np.array([[1.0, 2, 3]]), np.array([[0.5, 0.1, 0.2, 0.3]]), to_stamp(0)
    )
    assert (frame.header.frame_id, frame.child_frame_id) == ('a', 'b')
    assert frame.transform.rotation.w == 0.5
    assert frame.transform.rotation.z == 0.3


@pytest.mark.parametrize(
    ('element', 'right'), [('linear.x', 'name joints'), ('linear.y', 'sideways')]
)
def test_a_twist_that_no_wheels_obey_is_refused(tmp_path, element, right):
    (tmp_path / 'r.urdf').write_text(URDF)
    command = 'command: {type: geometry_msgs/msg/Twist, interface: twist}'
    text = f'urdf: r.urdf\n{command}\ntwist: {{{element}: {{velocity: 1.0}}}}\n'
    (tmp_path / 'r.yaml').write_text(text)
    with pytest.raises(InputError, match=right):
        CommandReader(load_profile(tmp_path / 'r.yaml'))
