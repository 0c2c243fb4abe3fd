"""The sysid node over real topics: joint states in, estimates and diagnostics out."""

import threading
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from sim2real_core.errors import InputError
from sim2real_core.messages import estimate_from_message, to_time
from sim2real_core.profile import load_profile
from sim2real_core.qos import LATCHED, RELIABLE, SENSOR_RELIABLE
from sim2real_sysid.conversions import JointStateReader
from sim2real_sysid.node import SysidNode
from test.spinning import spin

MASS, VISCOUS, COULOMB, OFFSET = 95.0, 200.0, 20.0, -3.0  # of the slider
RATE = 200


def slide(k):
    """Position and force of the slider in sample ``k``."""
    t, w = k / RATE, 2 * np.pi * 0.5
    q = 0.12 - 0.1 * np.cos(w * t) * np.cos(0.3 * w * t)
    h = 1e-4
    path = [0.12 - 0.1 * np.cos(w * s) * np.cos(0.3 * w * s) for s in (t - h, t, t + h)]
    v, a = (path[2] - path[0]) / (2 * h), (path[2] - 2 * path[1] + path[0]) / h**2
    return q, MASS * a + VISCOUS * v + COULOMB * np.sign(v) + OFFSET


def joint_state(stamp, **joints):
    """A message; ``joints``: name to (position, effort)."""
    message = JointState(name=list(joints))
    message.header.stamp = to_time(stamp)
    message.position = [float(q) for q, _ in joints.values()]
    message.effort = [float(f) for _, f in joints.values() if f is not None]
    return message


class World:
    """A sysid node, a robot that waits for its acknowledgement, and a late watcher."""

    def __init__(self, **parameters):
        rclpy.init()
        self.robot = rclpy.create_node('robot')
        self.publisher = self.robot.create_publisher(JointState, 'joint_states', SENSOR_RELIABLE)
        self.acknowledged, self.estimates, self.health = [], [], []
        self.robot.create_subscription(Header, 'pace', self.acknowledged.append, RELIABLE)
        self.robot.create_subscription(
            DiagnosticArray, 'sysid/estimate', self.estimates.append, LATCHED
        )
        self.robot.create_subscription(DiagnosticArray, '/diagnostics', self.on_health, RELIABLE)
        values = {'robot': 'slider', 'paced': True, **parameters}
        self.sysid = SysidNode(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=spin, args=(node, self.stop), daemon=True)
            for node in (self.robot, self.sysid)
        ]
        for thread in self.threads:
            thread.start()
        wait(lambda: self.publisher.get_subscription_count() == 1)

    def on_health(self, message):
        self.health += [s for s in message.status if s.name == '/sysid: health']

    def send(self, message):
        """Publish and wait until the node is done with it."""
        done = len(self.acknowledged) + 1
        self.publisher.publish(message)
        wait(lambda: len(self.acknowledged) >= done)

    def run(self, seconds):
        for k in range(int(seconds * RATE)):
            q, f = slide(k)
            self.send(joint_state(1.0 + k / RATE, other=(0.0, 0.0), slider=(q, f)))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(5.0)

    def close(self):
        self.end()
        self.sysid.destroy_node()
        self.robot.destroy_node()
        rclpy.try_shutdown()


def wait(condition, timeout=30.0):
    """Until the condition holds; fails after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, 'timed out'
        time.sleep(0.0005)


@pytest.fixture(name='world')
def fixture_world():
    """A world with the slider."""
    world = World()
    yield world
    world.close()


def test_identifies_and_publishes_on_message_time(world):
    world.run(12.0)
    wait(lambda: len(world.estimates) >= 12)
    stamps = [estimate_from_message(m).stamp for m in world.estimates]
    assert stamps == pytest.approx(np.arange(1.0, 13.0))
    last = estimate_from_message(world.estimates[-1])
    truth = dict(armature=MASS, viscous_friction=VISCOUS, coulomb_friction=COULOMB)
    for what, value in truth.items():
        found = last.parameters[f'joint.slider.{what}']
        assert found.status == 'identified'
        assert found.mean == pytest.approx(value, abs=4 * found.std)
    header = world.acknowledged[-1]
    assert header.frame_id == 'sysid#0'
    wait(lambda: world.health and '4 of 12' in world.health[-1].message)


def test_the_last_estimate_is_published_before_the_end(world):
    world.run(2.5)
    world.end()
    world.sysid.close()
    executor = SingleThreadedExecutor()
    executor.add_node(world.robot)
    end = time.monotonic() + 10.0
    while not world.estimates or estimate_from_message(world.estimates[-1]).stamp < 3.49:
        assert time.monotonic() < end, 'no last estimate'
        executor.spin_once(timeout_sec=0.1)
    assert estimate_from_message(world.estimates[-1]).stamp == pytest.approx(3.495)


def test_names_what_is_missing(world):
    world.send(joint_state(1.0, other=(0.0, 0.0)))  # somebody else's
    message = joint_state(1.0, other=(0.0, 0.0), slider=(0.0, 0.0))
    message.position = message.position[:1]
    world.send(message)
    wait(lambda: world.health and world.health[-1].message == 'no position of slider (1)')
    assert world.health[-1].level == b'\x01'


def test_a_backward_clock_does_not_silence_it(world):
    for stamp in (100.0, 101.0, 0.5, 1.0, 1.5):
        world.send(joint_state(stamp, slider=(0.1, 0.0)))
    wait(lambda: len(world.estimates) >= 4)
    assert [estimate_from_message(m).stamp for m in world.estimates] == [100.0, 101.0, 0.5, 1.5]


def test_bad_parameters_are_refused():
    rclpy.init()
    try:
        with pytest.raises(InputError, match=r'bandwidth.*at least 0\.5 Hz'):
            SysidNode(parameter_overrides=[Parameter('bandwidth', value=0.0)])
    finally:
        rclpy.try_shutdown()


def test_joints_are_matched_by_name():
    reader = JointStateReader(('a', 'b', 'c'))
    message = joint_state(2.5, c=(3, 30), x=(9, 90), a=(1, 10))
    stamp, position, effort = reader.read(message)
    assert stamp == 2.5
    assert reader.read(joint_state(2.5, x=(9, 90))) is None
    assert position == pytest.approx([1, np.nan, 3], nan_ok=True)
    assert effort == pytest.approx([10, np.nan, 30], nan_ok=True)


@pytest.mark.parametrize('given', [[], [1.0], [1.0, 2.0, 3.0, 4.0]])
def test_arrays_of_another_length_are_not_trusted_beyond_their_end(given):
    message = JointState(name=['a', 'b', 'c'], position=[1.0, 2.0, 3.0], effort=given)
    _, position, effort = JointStateReader(('c', 'a')).read(message)
    assert position == pytest.approx([3, 1])
    expected = [given[2] if len(given) > 2 else np.nan, given[0] if given else np.nan]
    assert effort == pytest.approx(expected, nan_ok=True)


def test_slider_is_what_these_tests_take_it_for():
    assert load_profile('slider').joint_names == ('slider',)
