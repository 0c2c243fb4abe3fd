"""What the bridge makes of a robot's commands and of its model's state; no Gazebo needed."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_sim import sdf
from sim2real_sim.gazebo_classic.drives import Drives
from sim2real_sim.gazebo_classic.reader import RobotReader
from sim2real_sim.gazebo_classic.sampling import Sampler
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.world import Pose

ARM6 = load_profile('arm6')
DEFAULT = ARM6.array('default_position')
SHIFTED = Pose((1.0, 2.0, 0.5), (0.0, 0.0, 0.6, 0.8))


def commanded_by(interface):
    return replace(ARM6, command=replace(ARM6.command, interface=interface))


def in_model(state):
    """The state as Gazebo tells it: of the links that the model has."""
    text = sdf.from_profile(ARM6)
    links = {name: link for name, link in state.links.items() if f'<link name="{name}"' in text}
    assert 'tool0' not in links
    return state._replace(links=links)


def test_a_position_command_is_the_profiles_loop():
    drives = Drives(ARM6)
    drives.command(DEFAULT + 0.1)
    loop = drives.loops()['elbow']
    assert loop == (160.0, 22.0, pytest.approx(1.6), 0.0)
    effort = drives.applied(DEFAULT, np.zeros(6))
    assert effort[2] == pytest.approx(16.0)
    assert drives.applied(DEFAULT, np.full(6, 0.1))[2] == pytest.approx(16.0 - 2.2)
    drives.limit({'actuator.elbow.saturation': 5.0})
    assert drives.applied(DEFAULT, np.zeros(6))[2] == pytest.approx(5.0)
    drives.limit({})
    assert drives.applied(DEFAULT, np.zeros(6))[2] == pytest.approx(16.0)


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort'])
def test_holding_carries_the_weight(interface):
    drives = Drives(commanded_by(interface))
    drives.command(np.ones(6))
    drives.hold(DEFAULT)
    carried = drives.applied(DEFAULT, np.zeros(6))
    simulator = MujocoSimulator(ARM6)
    model, data = simulator.model(0), simulator.data(0)
    mujoco.mj_forward(model, data)
    assert carried == pytest.approx(data.qfrc_bias[:6], abs=1e-3)
    assert not any(drives.efforts().values())


def test_velocities_and_efforts_go_to_the_engine_as_they_are():
    drives = Drives(commanded_by('velocity'))
    drives.command(np.full(6, 0.3))
    assert drives.loops()['base'] == (0.0, 50.0, 0.0, 0.3)
    assert drives.efforts() == {}
    drives = Drives(commanded_by('effort'))
    drives.command(np.full(6, 2.0))
    assert drives.efforts() == dict.fromkeys(ARM6.joint_names, 2.0)
    assert drives.loops()['base'] == (0.0, 0.0, 0.0, 0.0)
    assert drives.applied(DEFAULT, np.ones(6)) == pytest.approx(np.full(6, 2.0))


def test_links_are_where_mujoco_has_them():
    """Those that are frames in the model, too."""
    reader, simulator = RobotReader(ARM6, Drives(ARM6)), MujocoSimulator(ARM6)
    q = DEFAULT + np.linspace(-0.5, 0.5, 6)
    simulator.reset(position=q)
    reader.take(None, in_model(reader.at(q, SHIFTED)))
    turn = Rotation.from_quat(SHIFTED.orientation)
    for link in ARM6.urdf.links:
        position, orientation = reader.link_pose(link)
        expected, quaternion = simulator.link_pose(link)
        assert position[0] == pytest.approx(turn.apply(expected[0]) + SHIFTED.position, abs=1e-9)
        w, x, y, z = quaternion[0]
        other = Rotation.from_quat(np.roll(orientation[0], -1))
        apart = (turn * Rotation.from_quat([x, y, z, w])).inv() * other
        assert apart.magnitude() == pytest.approx(0.0, abs=1e-6)
    assert reader.true().position[0] == pytest.approx(q)


def test_joint_sensors_are_as_drawn_and_else_the_profiles():
    reader = RobotReader(ARM6, Drives(ARM6))
    rest = in_model(reader.at(DEFAULT, Pose()))
    reader.take(None, rest)
    said = np.array([reader.read().position[0] for _ in range(2000)]) - DEFAULT
    assert said.std(axis=0) == pytest.approx(ARM6.array('position_noise'), rel=0.1)
    sensors = reader.sensors
    noise, bias = 'sensor.elbow_effort.noise', 'sensor.base_position.bias'
    assert sensors.has(noise) and not sensors.has('sensor.imu.noise')
    sensors.apply({noise: 3.0, bias: 0.01})
    assert (sensors.value(noise), sensors.value(bias)) == (3.0, 0.01)
    readings = [reader.read() for _ in range(500)]
    assert np.std([r.effort[0, 2] for r in readings]) == pytest.approx(3.0, rel=0.15)
    assert np.mean([r.position[0, 0] for r in readings]) == pytest.approx(0.01, abs=1e-4)
    sensors.apply({})
    assert sensors.value(noise) == ARM6.joint('elbow').effort_noise
    with pytest.raises(InputError, match='elbow_effort'):
        sensors.check({noise: -1.0})


def test_the_imu_feels_what_it_is_accelerated_by():
    reader = RobotReader(ARM6, Drives(ARM6))
    rest = in_model(reader.at(DEFAULT, SHIFTED))
    reader.take(None, rest)
    still = reader.read_imu()
    turn = Rotation.from_quat(still.orientation[0])
    assert turn.apply(still.linear_acceleration[0]) == pytest.approx((0.0, 0.0, 9.81))
    moving = {
        name: link._replace(linear=(0.002, 0.0, 0.0), angular=(0.0, 0.0, 0.5))
        for name, link in rest.links.items()
    }
    reader.gravity = (0.0, 0.0, -3.0)
    reader.take(rest, rest._replace(time=0.001, links=moving))
    said = reader.read_imu()
    assert turn.apply(said.linear_acceleration[0]) == pytest.approx((2.0, 0.0, 3.0))
    assert turn.apply(said.angular_velocity[0]) == pytest.approx((0.0, 0.0, 0.5))


def test_the_body_of_a_rover_is_seen_from_itself():
    rover = load_profile('rover')
    reader = RobotReader(rover, Drives(rover))
    turn = Rotation.from_euler('z', 0.5)
    place = Pose((1.0, 2.0, 0.3), tuple(turn.as_quat()))
    there = reader.at(rover.array('default_position'), place)
    arm = {n: np.subtract(link.pose.position, place.position) for n, link in there.links.items()}
    spin, speed = np.array([0.0, 0.0, 0.7]), turn.apply([0.4, 0.1, 0.0])
    moving = {
        name: link._replace(linear=tuple(speed + np.cross(spin, arm[name])), angular=tuple(spin))
        for name, link in there.links.items()
    }
    reader.take(None, there._replace(links=moving))
    body = reader.read_body()
    assert body.angular_velocity[0] == pytest.approx(spin)
    position, quaternion = reader.link_pose(rover.body_link)
    assert body.position == pytest.approx(position)
    assert np.roll(body.orientation, 1) == pytest.approx(quaternion)
    in_body = turn.inv().apply(speed + np.cross(spin, position[0] - place.position))
    assert body.linear_velocity[0] == pytest.approx(in_body)
    with pytest.raises(InputError, match='base'):
        RobotReader(ARM6, Drives(ARM6)).read_body()


def test_steps_are_published_when_they_are_due_also_after_a_reset():
    sampler = Sampler({'joint_states': 4_000_000, 'clock': 8_000_000}, {'tf': 20_000_000})
    chosen = [t for t in range(1_000_000, 13_000_000, 1_000_000) if sampler.wants(t)]
    assert chosen == [1_000_000, 4_000_000, 8_000_000, 12_000_000]
    due = []
    for time in chosen:
        sampler.begin(time)
        due.append([n for n in ('joint_states', 'clock', 'tf') if sampler.due(n)])
    assert due[1:] == [['joint_states'], ['joint_states', 'clock'], ['joint_states']]
    assert sampler.wants(1_000_000)
    sampler.begin(1_000_000)
    assert sampler.due('joint_states') and sampler.due('clock') and sampler.due('tf')
