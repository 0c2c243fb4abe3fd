"""The policy node hears bytes that are no joint states, and joint states of no robot."""

import time

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from sim2real_core.messages import to_time
from test.hostile import CONTENTS
from test.node.test_policy import ARM6, START, World, values, write


@pytest.fixture
def world(tmp_path):
    made = World(
        bundle=write(tmp_path / 'policy.onnx', bias=0.5),
        autostart=True,
        start_speed=0.0,
        stale_after=5.0,
    )
    made.connect()
    yield made
    made.close()
    assert made.failure is None


def garbled(rng, message):
    """The bytes of a message, cut short, turned over, or altogether others."""
    data = bytearray(serialize_message(message))
    way = rng.integers(4)
    if way == 0:
        del data[rng.integers(len(data)) :]
    elif way == 1:
        for _ in range(3):
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    elif way == 2:
        data[4:] = rng.bytes(rng.integers(200))
    else:
        data[12:16] = (2**31 - 1).to_bytes(4, 'little')  # a frame of two gigabytes
    return bytes(data)


def test_it_lives_through_garbled_and_malformed_messages(world):
    rng = np.random.default_rng(0)
    world.ask()
    kinds = list(CONTENTS)
    for index in range(400):
        message = JointState(name=list(ARM6.joint_names), position=START, velocity=np.zeros(6))
        message.effort = np.zeros(6)
        world.stamp += 0.004
        message.header.stamp = to_time(world.stamp)
        if index % 2:
            world.sensor.publish(garbled(rng, message))
        else:
            kinds[rng.integers(len(kinds))](rng, message)
            world.sensor.publish(message)
        time.sleep(0.002)
    # What was turned over may have been a stamp of the far future; then time goes backward.
    assert np.isfinite(world.ask()).all()
    world.status(lambda s: int(values(s)['unreadable_messages']) > 10, feed={})
    for applied in world.applied:
        position = np.array(applied.position)
        assert (position >= ARM6.array('lower')).all() and (position <= ARM6.array('upper')).all()


class Watched:
    """What a controller decided: steady time, what the guard did, and when it last heard."""

    def __init__(self, controller):
        self.rows, self.late = [], 0.0
        watch, sample = controller.watch, controller.sample

        def note(now, answer):
            self.rows.append((now, controller.guard.reasons, controller._heard))
            return answer

        def watched(now):
            self.late = max(self.late, now - controller.deadline())  # the machine's, not ours
            return note(now, watch(now))

        controller.watch = watched
        controller.sample = lambda stamp, now, fault: note(now, sample(stamp, now, fault))

    def first(self, reason, heard):
        """When it first came after the last message; infinite when it did not."""
        found = (now for now, reasons, last in self.rows if last == heard and reason in reasons)
        return next(found, float('inf'))


def test_times_of_the_guard_on_real_topics(tmp_path):
    """Samples at 1 kHz, in bursts, a third lost, up to 50 ms late; then the robot dies.

    Times count from when the node heard the last of them, and a period is added by no more than
    the operating system woke it late.
    """
    rng, period = np.random.default_rng(1), ARM6.rates.control_period
    times = {'stale_after': 0.12, 'hold_time': 0.1, 'stop_time': 0.3}
    made = World(
        bundle=write(tmp_path / 'policy.onnx', bias=0.1),
        autostart=True,
        start_speed=0.0,
        **times,
    )
    made.connect()
    controller = made.policy._controller
    watched = Watched(controller)
    stamps = 100.0 + 0.001 * np.arange(1, 801)
    arrivals = stamps - 100.0 + rng.uniform(0.0, 0.05, len(stamps))
    arrivals = np.ceil(arrivals / 0.02) * 0.02  # in bursts
    kept = rng.random(len(stamps)) >= 0.3
    begin = time.monotonic()
    for due, stamp in sorted(zip(arrivals[kept].tolist(), stamps[kept].tolist())):
        time.sleep(max(0.0, begin + due - time.monotonic()))
        message = JointState(name=list(ARM6.joint_names), position=START)
        message.velocity, message.header.stamp = np.zeros(6), to_time(stamp)
        made.sensor.publish(message)
    World.until(lambda: controller.guard.stopped)
    made.close()
    assert made.failure is None
    heard = controller._heard
    assert controller._stamp > 100.7, 'the last burst was heard'
    for reason, when in (('hold', 0.0), ('damp', 0.1), ('stop', 0.3)):
        asked = heard + times['stale_after'] + when
        came = watched.first(reason, heard)
        assert asked <= came <= asked + period + watched.late + 1e-4, reason
    for now, reasons, last in watched.rows:  # neither did any of it come too early before
        assert now - last > times['stale_after'] or not {'hold', 'damp'} & set(reasons)
