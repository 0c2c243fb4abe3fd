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
