"""A joint and a link of the same name, as in Unitree's Z1 (gripperStator): the link is meant."""

import numpy as np
import pytest

from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import load_profile
from sim2real_policy.workspace import workspace_of
from sim2real_sysid.batch.bodies import Bodies
from sim2real_sysid.excitation import excite
from sim2real_sysid.excitation_config import ExcitationConfig
from sim2real_sysid.sensor_report import assess_all
from sim2real_sysid.sensors import Channel

URDF = """<robot name="arm">
  <link name="base"/>
  <link name="upper"><inertial><origin xyz="0 0 0.2"/><mass value="2"/>
    <inertia ixx="0.03" iyy="0.03" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="hand"><inertial><origin xyz="0 0 0.1"/><mass value="1"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="hip" type="revolute"><parent link="base"/><child link="upper"/>
    <axis xyz="0 1 0"/><limit lower="-2" upper="2" velocity="3" effort="60"/></joint>
  <joint name="NAME" type="fixed"><parent link="upper"/><child link="hand"/>
    <origin xyz="0 0 0.4" rpy="0.3 0 0"/></joint>
</robot>"""
POSITION = np.array([0.7])


@pytest.fixture(name='robots')
def fixture_robots(tmp_path):
    """The arm whose fixed joint is called as its link is, and with a name of its own."""
    profiles = []
    for name in ('hand', 'wrist'):
        (tmp_path / f'{name}.urdf').write_text(URDF.replace('NAME', name))
        path = tmp_path / f'{name}.yaml'
        keys = ''.join(f'{key}_link: hand\n' for key in ('tool', 'payload', 'imu'))
        path.write_text(f'urdf: {name}.urdf\nname: arm\n{keys}')
        profiles.append(load_profile(path))
    return profiles


def test_kinematics(robots):
    places = [np.hstack(Kinematics(p).pose(POSITION, 'hand')[1]) for p in robots]
    np.testing.assert_array_equal(*places)


def test_workspace(robots):
    box = [workspace_of(p, ('hip',), [-1.0] * 3, [0.3, 1.0, 1.0]) for p in robots]
    assert box[0].depth(POSITION) == box[1].depth(POSITION) < 0.0


def test_excitation(robots):
    config = ExcitationConfig(duration=4.0, period=2.0, harmonics=2, iterations=2)
    found = [excite(p, config).trajectory.at(np.linspace(0, 4, 50)) for p in robots]
    np.testing.assert_array_equal(*map(np.array, found))


def test_payload(robots):
    payloads = [Bodies(p).payload for p in robots]
    np.testing.assert_array_equal(*payloads)
    assert payloads[0].any()


def test_delay_of_a_gyro(robots):
    time = 0.005 * np.arange(2000)
    late = 0.004
    gyro = np.cos(3.0 * (time - late)) * 0.9
    channel = Channel('imu_gyro', time, np.outer(gyro, [0.0, 1.0, 0.0]), 'rad/s', True)
    for profile in robots:
        found, _ = assess_all(profile, [channel], time, 0.3 * np.sin(3.0 * time)[:, None])
        assert found['imu_gyro'].parameters['delay'].mean == pytest.approx(late, abs=1e-3)
