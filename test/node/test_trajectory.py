"""The policy node on a trajectory, against the simulator node: it follows, waits and holds."""

import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool
from visualization_msgs.msg import MarkerArray

from sim2real_bringup.visualizer import VisualizerNode
from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.messages import to_seconds
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, RELIABLE, SENSOR
from sim2real_core.trajectory import Series, Trajectory
from sim2real_policy.node import PolicyNode
from sim2real_sim.node import SimulatorNode
from test.watched import LONG, Watched, parameters

ARM6 = load_profile('arm6')
START = ARM6.array('default_position')
FASTER = 4.0  # than real time
PERIOD = 3.0
LATE = 1.5  # s; a busy machine may be late by less


def write(path, robot=ARM6.name):
    """Two periods; every other joint goes 0.27 rad out and back, the rest both ways."""
    out, both = 0.1 * (np.arange(6)[:, None] % 2 == np.array([[[0]], [[1]]]))
    motion = Trajectory(
        robot=robot,
        profile=ARM6.content_hash,
        joints=ARM6.joint_names,
        duration=2 * PERIOD,
        base_frequency=1 / PERIOD,
        position=Series(START + out[:, 0], out * [-4 / 3, 1 / 3], both * [2.0, -1.0]),
    )
    path.write_text(motion.to_yaml(ARM6))
    return motion


def simulated():
    given = parameters(realtime_factor=FASTER, contacts=False)
    return SimulatorNode(parameter_overrides=given)


class World(Watched):
    """Simulator, policy and a listener, each in a thread of its own."""

    def __init__(self, file):
        self.joints, self.commands, self.applied, self.health = [], [], [], []
        heard = (
            (JointState, 'joint_states', SENSOR, self.joints),
            (Float64MultiArray, ARM6.command.topic, COMMAND, self.commands),
            (JointState, 'policy/action_applied', RELIABLE, self.applied),
            (DiagnosticArray, '/diagnostics', RELIABLE, self.health),
        )
        given = dict(autostart=True, use_sim_time=True, stale_after=LATE, hold_time=LATE)
        super().__init__(heard, simulated, {'trajectory': str(file), **given})

    def says(self):
        return self.values()

    def values(self):
        """What the policy last said of itself."""
        for message in reversed(self.health):
            for status in message.status:
                if status.name == '/policy: health':
                    told = {pair.key: pair.value for pair in status.values}
                    return {**told, 'message': status.message}
        return {}

    def motion(self):
        return self.values().get('motion', '')

    def pause(self, on):
        client = self.listener.create_client(SetBool, 'simulator/pause')
        assert client.wait_for_service(LONG)
        done = client.call_async(SetBool.Request(data=on))
        self.until(done.done)
        assert done.result().success

    def positions(self, messages):
        """Stamps (n,) and positions (n, nj), in the robot's order."""
        rows = [
            np.array(m.position)[[m.name.index(j) for j in ARM6.joint_names]] for m in messages
        ]
        return np.array([to_seconds(m.header.stamp) for m in messages]), np.array(rows)


@pytest.fixture(scope='module')
def followed(tmp_path_factory):
    """A run that is interrupted in its second period: the sensor falls silent for a while."""
    file = tmp_path_factory.mktemp('motion') / 'motion.yaml'
    motion = write(file)
    world = World(file)
    try:
        world.until(lambda: world.motion() == 'period 2 of 2')
        world.pause(True)
        world.until(lambda: 'no new joint state' in world.values().get('message', ''))
        world.until(lambda: int(world.values()['damp']) > 0)
        said = world.values()
        world.pause(False)
        world.until(lambda: world.motion() == 'done')
        rest = len(world.applied)
        world.until(lambda: len(world.applied) > rest + 25)
        world.until(lambda: list(world.commands[-1].data) == list(world.applied[-1].position))
    finally:
        world.close()
    return world, motion, said


def silence(stamps):
    """Stamp of the last sample before the sensor fell silent: the most is sent in answer to it."""
    values, counts = np.unique(stamps, return_counts=True)
    return values[counts.argmax()]


def test_the_joints_follow(followed):
    world = followed[0]
    _, measured = world.positions(world.joints)
    _, sent = world.positions(world.applied)
    # Out by 0.27 rad and back, twice at least, and none of it beyond.
    way = measured - START
    assert (way.max(axis=0) > 0.22).all() and (way.max(axis=0) < 0.35).all()
    assert np.ptp(sent, axis=0).min() > 0.24
    out = (way[:, 0] > 0.13).astype(int)
    assert (np.diff(out) == 1).sum() >= 2


def test_they_stay_on_the_way(followed):
    """From the start, where the arm recovers from its sag, until the sensor falls silent.

    A busy machine may make them late, but on the way they are all the same.
    """
    world, motion, _ = followed
    applied, _ = world.positions(world.applied)
    silent = silence(applied)
    stamps, measured = world.positions(world.joints)
    way = motion.at(np.linspace(0, PERIOD, 400)).position
    before = measured[(stamps > applied[75]) & (stamps <= silent)][::5]
    off = np.abs(before[:, None] - way).max(axis=2).min(axis=1)
    assert off.max() < 0.03


def test_what_was_sent_is_told(followed):
    world, *_ = followed
    _, applied = world.positions(world.applied)
    told = {tuple(row) for row in applied}
    assert all(tuple(command.data) in told for command in world.commands)
    assert len(applied) > 300


def test_a_sensor_that_falls_silent_makes_it_hold_and_then_let_go(followed):
    world, _, said = followed
    assert 'holds, no new joint state' in said['message'] and int(said['hold']) > 5
    stamps, sent = world.positions(world.applied)
    # What is sent without a new sample answers the last one.
    silent = np.flatnonzero(stamps == silence(stamps))
    held = sent[silent[5 : int(said['hold']) - 5]]
    assert np.ptp(held, axis=0).max() < 1e-9
    # Then it glides to where the robot was last measured, and not beyond.
    times, measured = world.positions(world.joints)
    ends = np.array([held[0], measured[times <= silence(stamps)][-1]])
    let_go = sent[silent[int(said['hold']) :]]
    assert (let_go > ends.min(axis=0) - 1e-3).all() and (let_go < ends.max(axis=0) + 1e-3).all()


def test_it_comes_to_rest_where_it_began(followed):
    world, motion, *_ = followed
    _, measured = world.positions(world.joints[-10:])
    np.testing.assert_allclose(measured[-1], motion.at(0.0).position, atol=0.02)
    _, sent = world.positions(world.applied[-10:])
    assert np.ptp(sent, axis=0).max() < 1e-9
    assert world.values()['message'] == 'active'


def test_a_trajectory_for_another_robot_stops_the_node(tmp_path):
    write(tmp_path / 'motion.yaml', robot='slider')
    rclpy.init()
    try:
        with pytest.raises(InputError, match='robot = .slider.'):
            PolicyNode(
                parameter_overrides=parameters(
                    trajectory=str(tmp_path / 'motion.yaml'), autostart=True
                )
            )
    finally:
        rclpy.shutdown()


def test_the_way_of_the_tool_is_a_marker(tmp_path):
    motion = write(tmp_path / 'motion.yaml')
    rclpy.init()
    try:
        node = VisualizerNode(
            parameter_overrides=parameters(trajectory=str(tmp_path / 'motion.yaml'), rate=50.0)
        )
        seen = []
        node.create_subscription(MarkerArray, 'sim2real/markers', seen.append, RELIABLE)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        deadline = time.monotonic() + LONG
        while not seen:
            assert time.monotonic() < deadline, 'no markers came'
            executor.spin_once(timeout_sec=0.1)
        way = next(m for m in seen[0].markers if m.ns == 'trajectory')
        assert way.header.frame_id == ARM6.base_link
        points = np.array([(p.x, p.y, p.z) for p in way.points])
        expected = Kinematics(ARM6).position(motion.at(PERIOD / 2).position)
        assert np.linalg.norm(points - expected, axis=1).min() < 0.01
        node.close()
        node.destroy_node()
    finally:
        rclpy.shutdown()
