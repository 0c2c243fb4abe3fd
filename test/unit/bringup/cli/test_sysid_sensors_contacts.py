"""The verbs that look at sensors and at contacts, on bags made for it."""

import json

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from sim2real_bringup.bag_import import import_log
from sim2real_bringup.bags import BagWriter
from sim2real_bringup.cli import main

STORE = get_typestore(Stores.LATEST)
RATE = 200.0


@pytest.fixture(name='arm_bag', scope='module')
def fixture_arm_bag(tmp_path_factory):
    """arm6 and its IMU, at rest for 12 s, then moving for 8 s; its velocities come 6 ms late."""
    folder = tmp_path_factory.mktemp('sensors')
    rng = np.random.default_rng(0)
    stamp = np.arange(0.0, 20.0, 1.0 / RATE)
    joints = ('base', 'shoulder', 'elbow', 'forearm_roll', 'wrist', 'flange_roll')
    columns = {'t': stamp}

    def angle(k, t):
        t = np.clip(t - 12.0, 0.0, None)
        return 0.2 * (1.0 - np.cos((1.0 + 0.3 * k) * t))

    for k, name in enumerate(joints):
        columns[f'q_{name}'] = angle(k, stamp) + 1e-4 * rng.normal(size=len(stamp))
        late = (angle(k, stamp - 0.006 + 1e-4) - angle(k, stamp - 0.006 - 1e-4)) / 2e-4
        columns[f'v_{name}'] = 0.01 + late + 2e-3 * rng.normal(size=len(stamp))
    for axis in 'xyz':
        columns[f'g{axis}'] = 0.03 + 0.01 * rng.normal(size=len(stamp))
        columns[f'a{axis}'] = np.round(5.0 + 0.1 * rng.normal(size=len(stamp)), 1)
    header = ','.join(columns)
    table = np.column_stack(list(columns.values()))
    np.savetxt(folder / 'log.csv', table, delimiter=',', header=header, comments='', fmt='%.9f')
    lines = ['robot: arm6', 'time: {column: t}', 'joints:']
    lines += [f'  {name}: {{position: q_{name}, velocity: v_{name}}}' for name in joints]
    lines += ['imu:', '  angular_velocity: {x: gx, y: gy, z: gz}']
    lines += ['  linear_acceleration: {x: ax, y: ay, z: az}']
    (folder / 'mapping.yaml').write_text('\n'.join(lines))
    import_log(folder / 'log.csv', folder / 'mapping.yaml', folder / 'bag')
    return folder / 'bag'


def test_sensors(arm_bag, tmp_path, capsys):
    plot = tmp_path / 'allan.png'
    arguments = ['sysid', 'sensors', str(arm_bag), '--robot', 'arm6']
    assert main([*arguments, '--json', str(tmp_path / 'f.json'), '--plot', str(plot)]) == 0
    result = json.loads((tmp_path / 'f.json').read_text())
    found = result['parameters']

    def near(address, value, rel):
        parameter = found[f'sensor.{address}']
        assert parameter['status'] == 'identified', address
        assert parameter['mean'] == pytest.approx(value, rel=rel), address

    near('elbow_position.noise', 1e-4, 0.1)
    near('elbow_velocity.noise', 2e-3, 0.1)
    near('elbow_velocity.bias', 0.01, 0.1)
    near('imu_gyro.noise', 0.01, 0.1)
    near('imu_gyro.bias', 0.03, 0.1)
    near('imu_accelerometer.quantization', 0.1, 0.01)
    near('elbow_velocity.delay', 0.006, 0.35)
    assert found['sensor.elbow_position.bias']['status'] == 'not_identified'
    assert found['sensor.elbow_position.bias']['std'] is None
    ((start, end),) = result['rest']
    assert start < 1.0 and 10.0 < end <= 12.5
    assert result['topics']['/joint_states']['rate'] == pytest.approx(RATE, rel=1e-3)
    assert plot.stat().st_size > 1000
    assert 'at rest for' in capsys.readouterr().out


def test_sensors_of_another_robot(arm_bag, capsys):
    assert main(['sysid', 'sensors', str(arm_bag), '--robot', 'slider']) == 2
    assert 'positions of all joints of slider' in capsys.readouterr().err


def write_poses(path, stamp, position, topics=('box/pose',)):
    kind = 'geometry_msgs/msg/PoseStamped'
    types = STORE.types
    header, time = types['std_msgs/msg/Header'], types['builtin_interfaces/msg/Time']
    pose, point = types['geometry_msgs/msg/Pose'], types['geometry_msgs/msg/Point']
    unturned = types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0)
    with BagWriter(path) as bag:
        for topic in topics:
            bag.topic(f'/{topic}', kind)
        for t, p in zip(np.round(stamp * 1e9).astype(int).tolist(), position.tolist()):
            head = header(time(*divmod(t, 10**9)), 'map')
            message = types[kind](head, pose(point(*p), unturned))
            for topic in topics:
                bag.write(f'/{topic}', t, bytes(STORE.serialize_cdr(message, kind)))


@pytest.fixture(name='slides')
def fixture_slides():
    """A body slides to rest three times, with a friction of 0.3."""
    rng = np.random.default_rng(0)
    stamp = np.arange(0.0, 4.5, 1.0 / RATE)
    since = stamp % 1.5
    slowing = 0.3 * 9.81
    lasts = np.minimum(since, 1.2 / slowing)
    position = np.zeros((len(stamp), 3))
    position[:, 0] = 1.2 * lasts - 0.5 * slowing * lasts**2
    return stamp, position + 5e-4 * rng.normal(size=position.shape)


def test_contacts(slides, tmp_path, capsys):
    write_poses(tmp_path / 'bag', *slides)
    arguments = ['sysid', 'contacts', str(tmp_path / 'bag'), '--json', str(tmp_path / 'f.json')]
    assert main(arguments) == 0
    result = json.loads((tmp_path / 'f.json').read_text())
    friction = result['parameters']['surface.floor.friction']
    assert friction['mean'] == pytest.approx(0.3, rel=0.05)
    assert friction['status'] == 'identified'
    assert result['parameters']['surface.floor.restitution']['status'] == 'not_identified'
    assert (len(result['slides']), result['impacts']) == (3, [])
    assert '3 slides, 0 impacts' in capsys.readouterr().out


def test_contacts_that_are_none(slides, tmp_path):
    stamp, position = slides
    write_poses(tmp_path / 'bag', stamp, 0.0 * position)
    assert main(['sysid', 'contacts', str(tmp_path / 'bag')]) == 1


def test_which_body_and_surface(slides, tmp_path, capsys):
    write_poses(tmp_path / 'bag', *slides, topics=('box/pose', 'ball/pose'))
    arguments = ['sysid', 'contacts', str(tmp_path / 'bag')]
    assert main(arguments) == 2
    assert 'give --topic' in capsys.readouterr().err
    named = [*arguments, '--topic', 'box/pose', '--robot', 'arm6', '--surface']
    assert main([*named, 'gripper']) == 0
    assert main([*named, 'moon']) == 2
    assert 'no such surface' in capsys.readouterr().err
