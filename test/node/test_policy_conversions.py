"""Between messages and a policy's arrays; nothing grows, whatever comes."""

import array
import tracemalloc

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Twist, TwistStamped
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_core.command_messages_ros import COMMANDS, CommandReader
from sim2real_core.messages import to_time
from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.conversions import (
    AppliedAction,
    JointStateReader,
    ObservationMessage,
)
from sim2real_policy.images import pixels
from sim2real_policy.observation import Term
from sim2real_policy.vectors import attitude, downward

ARM6, ROVER = load_profile('arm6'), load_profile('rover')


def test_downward_is_seen_from_a_turned_frame():
    half = np.sqrt(0.5)
    for turned, down in (
        ((0.0, 0.0, 0.0, 1.0), (0, 0, -1)),
        ((half, 0.0, 0.0, half), (0, -1, 0)),  # a quarter about x: its y points up
        ((0.0, half, 0.0, half), (1, 0, 0)),  # a quarter about y: its x points down
        ((0.0, 0.0, half, half), (0, 0, -1)),
        ((1.0, 0.0, 0.0, 0.0), (0, 0, 1)),
    ):
        x, y, z, w = turned
        np.testing.assert_allclose(downward(Quaternion(x=x, y=y, z=z, w=w)), down, atol=1e-12)
    assert np.isnan(downward(Quaternion(w=0.0))).all(), 'the driver does not know'
    assert np.isnan(downward(Quaternion(w=float('nan')))).all()


def test_an_orientation_that_is_none_is_not_seen():
    """Networks divide by its length, and drivers that know none send zeros."""
    assert attitude(Quaternion(x=0.6, w=0.8)).tolist() == [0.6, 0.0, 0.0, 0.8]
    for none in (Quaternion(w=0.0), Quaternion(w=float('nan')), Quaternion(x=1e200, w=1.0)):
        assert np.isnan(attitude(none)).all()


@pytest.mark.parametrize('big', [False, True])
def test_pixels_of_padded_rows_in_either_order_of_bytes(big):
    values = (np.arange(6).reshape(2, 3) + 1000).astype('>u2' if big else '<u2')
    rows = b''.join(row.tobytes() + b'padding' for row in values)
    message = Image(height=2, width=3, step=13, is_bigendian=big)
    message.data = array.array('B', rows)
    np.testing.assert_array_equal(pixels(message, np.uint16, 1)[..., 0], values)
    message.data = array.array('B', rows[:20])
    assert pixels(message, np.uint16, 1) is None
    message.step = 5
    assert pixels(message, np.uint16, 1) is None


def test_a_twist_is_written_and_read():
    written = COMMANDS[ROVER.command.type](ROVER.command_names, 'velocity', 0.02)
    message = written.fill(np.array([0.3, -0.7]), to_time(2.5))
    assert isinstance(message, TwistStamped) and message.header.stamp.sec == 2
    assert (message.twist.linear.x, message.twist.angular.z) == (0.3, -0.7)
    reader = CommandReader(ROVER)
    command, fault = reader.read(message, np.zeros(2))
    assert fault == '' and command.tolist() == [0.3, -0.7]
    message.twist.linear.y = 0.1
    assert 'linear.y' in reader.read(message, np.ones(2))[1]
    message.twist.linear.y = 0.0
    message.twist.linear.x = float('nan')
    command, fault = reader.read(message, np.ones(2))
    assert 'not finite' in fault and command.tolist() == [1.0, 1.0]
    plain = COMMANDS['geometry_msgs/msg/Twist'](('linear.x', 'linear.y'), 'velocity', 0.02)
    twist = plain.fill(np.array([1.0, 2.0]), None)
    assert isinstance(twist, Twist) and (twist.linear.x, twist.linear.y) == (1.0, 2.0)


def test_joint_commands_are_read():
    reader = CommandReader(ARM6)
    values, present = np.arange(6.0), np.ones(6)
    assert reader.read(Float64MultiArray(data=values), present)[0].tolist() == values.tolist()
    assert '5 values for 6' in reader.read(Float64MultiArray(data=values[:5]), present)[1]
    reader.type = JointTrajectory
    point = JointTrajectoryPoint(positions=[7.0])
    message = JointTrajectory(joint_names=['elbow'], points=[point])
    command, fault = CommandReader._trajectory(reader, message, present)
    assert fault == '' and command.tolist() == [1, 1, 7, 1, 1, 1]
    message.joint_names = ['tail']
    assert 'unknown joints tail' in CommandReader._trajectory(reader, message, present)[1]


class Still:
    """A network that always says the same."""

    def __init__(self, size):
        self.action = np.zeros((1, size), np.float32)

    def infer(self, observation):
        return self.action

    def reset(self):
        self.action[:] = 0.01

    def report(self):
        return {}


def test_nothing_grows_over_ten_thousand_ticks():
    """From a joint state's message to the messages that go out, limits and faults included."""
    kinds = 'joint_position joint_velocity joint_command previous_action'.split()
    terms = [Term(kind=kind, history=3) for kind in kinds]
    meta = BundleMetadata.for_robot(ARM6, terms, Action(meaning='delta', scale=(0.05,) * 6))
    config = PolicyConfig(bundle='given')
    times = iter(np.arange(1e6) * 1e-5)
    made = Controller(meta, ARM6, Still(6), config, clock=lambda: float(next(times)))
    reader = JointStateReader(meta.joints, {name: made.inputs[name] for name in made.required})
    command = COMMANDS[ARM6.command.type](ARM6.command_names, 'position', meta.control_period)
    applied, told = (
        AppliedAction(ARM6.joint_names, 'position'),
        ObservationMessage(meta.observation.labels),
    )
    message = JointState(name=list(ARM6.joint_names))
    rest = array.array('d', ARM6.array('default_position'))
    message.velocity = array.array('d', bytes(8 * 6))
    broken = array.array('d', [float('nan')] * 6)

    def tick(count):
        stamp = 1.0 + 0.02 * count
        message.position = broken if count % 50 == 0 else rest
        made.newer(stamp)
        if made.sample(stamp, stamp, reader.read(message)):
            made.stages.begin(stamp)
            made.act()
            told.fill(made.observation)
            applied.fill(made.command, to_time(stamp))
            command.fill(made.command, None)
            made.stages.close()
            made.guard.prepare()

    for count in range(500):
        tick(count)
    tracemalloc.start()
    try:
        for count in range(500, 1000):
            tick(count)
        before = tracemalloc.get_traced_memory()[0]
        for count in range(1000, 11000):
            tick(count)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert made.guard.counts['hold'] > 100 and made.stages.total.count > 10000
    assert abs(grown) < 1024, 'a few numbers are larger now; nothing is kept'
