"""Commands that answer earlier joint states come before the next one."""

import pytest
import rclpy
from std_msgs.msg import Header

from sim2real_core import commands_ros
from sim2real_core.commands_ros import CommandsFirst
from sim2real_core.messages import to_seconds, to_time
from sim2real_core.qos import ANSWERS


@pytest.fixture
def nodes():
    rclpy.init()
    made = [rclpy.create_node(name) for name in ('policy', 'listener')]
    yield made
    for node in made:
        node.destroy_node()
    rclpy.shutdown()


def listen(listener, commander='policy'):
    """What was heard, and what hears it."""
    heard = []

    def take(message):
        heard.append(round(to_seconds(message.stamp), 3))
        first.heard(to_seconds(message.stamp))

    subscription = listener.create_subscription(Header, 'commands', take, ANSWERS)
    first = CommandsFirst(listener, [subscription], commander)
    return heard, first


def test_answers_from_before_it_listened_are_waited_for(nodes):
    policy, listener = nodes
    pace = policy.create_publisher(Header, 'pace', ANSWERS)
    commands = policy.create_publisher(Header, 'commands', ANSWERS)
    commands.publish(Header(stamp=to_time(0.004)))
    for stamp, sent in ((0.004, 1), (0.008, 0)):
        pace.publish(Header(stamp=to_time(stamp), frame_id=f'policy#{sent}'))
    heard, first = listen(listener)
    for stamp in (0.004, 0.008):
        first.asked(stamp)
        assert first.take()
    assert heard == [0.004]
    assert first.take()  # nothing was asked since


def test_who_is_free_is_not_waited_for(nodes, monkeypatch):
    policy, listener = nodes
    pace = policy.create_publisher(Header, 'pace', ANSWERS)
    for stamp, free in ((4, 12), (12, 20)):  # it is some samples ahead
        pace.publish(Header(stamp=to_time(stamp * 1e-3), frame_id=f'policy#0#{free}000000'))
    _, first = listen(listener)
    for stamp in (0.004, 0.008, 0.012, 0.016):
        first.asked(stamp)
        assert first.take()
    monkeypatch.setattr(commands_ros, 'WAIT', 0.02)
    for stamp in (0.02, 0.0):
        first.asked(stamp)
        assert not first.take()


def test_who_never_answers_is_not_waited_for_for_ever(nodes, monkeypatch):
    policy, listener = nodes
    monkeypatch.setattr(commands_ros, 'WAIT', 0.02)
    pace = policy.create_publisher(Header, 'pace', ANSWERS)
    pace.publish(Header(stamp=to_time(0.004), frame_id='another#0'))
    heard, first = listen(listener)
    first.asked(0.004)
    assert not first.take()
    assert heard == []
    _, nobody = listen(listener, commander='')
    nobody.asked(0.004)
    assert nobody.take()
