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


@pytest.mark.soak
def test_times_of_the_guard_on_real_topics(tmp_path):
    """Samples at 1 kHz, in bursts, a third lost, up to 50 ms late; then the robot dies."""
    rng, period = np.random.default_rng(1), ARM6.rates.control_period
    times = {'stale_after': 0.15, 'hold_time': 0.3, 'stop_time': 0.9}
    made = World(
        bundle=write(tmp_path / 'policy.onnx', bias=0.1),
        autostart=True,
        start_speed=0.0,
        **times,
    )
    made.connect()
    seen = {}
    guard = made.policy._controller.guard
    begin = time.monotonic()
    waiting, stamp, last = [], 100.0, 0.0
    while time.monotonic() - begin < 5.0:
        now = time.monotonic() - begin
        while stamp < 100.0 + min(now, 3.0):
            stamp += 0.001
            if rng.random() >= 0.3:
                waiting.append((now + rng.uniform(0.0, 0.05), stamp))
        for due, one in [entry for entry in waiting if entry[0] <= now]:
            waiting.remove((due, one))
            message = JointState(name=list(ARM6.joint_names), position=START)
            message.velocity, message.header.stamp = np.zeros(6), to_time(one)
            made.sensor.publish(message)
            last = time.monotonic() - begin
        for reason in guard.reasons:
            seen.setdefault(reason, time.monotonic() - begin)
        time.sleep(0.001)
    made.close()
    assert made.failure is None
    for reason, when in (('hold', 0.0), ('damp', 0.3), ('stop', 0.9)):
        asked = last + times['stale_after'] + when
        # A late message of an older stamp is no news, so silence may have begun 50 ms earlier.
        assert asked - 0.05 <= seen[reason] <= asked + period + 0.005, (reason, asked, seen)
