"""The control cycle under joint states as no driver should send them."""

import pytest

from sim2real_core.messages import to_seconds
from test.hostile import KINDS, Robot, expected

INTERFACES = ('position', 'velocity', 'effort')


def fuzz(robot, count):
    """Send so many messages, most of them spoilt; how often each kind was."""
    rng, sent = robot.rng, dict.fromkeys(KINDS, 0)
    for _ in range(count):
        robot.pass_time(rng.choice([0.0, 0.004, 0.004, 0.004, 0.02, 0.3]))
        message, kind = robot.message(), None
        if rng.random() < 0.6:
            kind = KINDS[rng.integers(len(KINDS))]
            kind(rng, message)
            sent[kind] += 1
        if rng.random() < 0.01:
            robot.controller.release()
        stamp, newest = to_seconds(message.header.stamp), robot.newest
        told = robot.receive(message)
        if told is not None:
            wanted = expected(kind, stamp, newest)
            assert wanted is not None and wanted in told, (kind, stamp, newest, told)
        robot.watch()
    assert robot.commands > count / 10
    return sent


@pytest.mark.parametrize('interface', INTERFACES)
def test_malformed_joint_states_never_break_a_limit(interface):
    robot = Robot(interface, seed=1)
    assert all(fuzz(robot, 3000).values())


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_thousand_malformed_joint_states():
    for seed, interface in enumerate(INTERFACES * 2):
        robot = Robot(interface, seed=seed, stale_after=0.1, hold_time=(0.5, 0.1)[seed % 2])
        assert all(fuzz(robot, 17_000).values())
