"""Commands that answer earlier joint states come before the next one."""

from types import SimpleNamespace

import pytest
import rclpy
from std_msgs.msg import Header

from sim2real_core import commands_ros
from sim2real_core.commands_ros import CommandsFirst
from sim2real_core.graph_ros import NAMED_WITHIN, lacking
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


def test_who_never_gets_a_name_in_the_graph_is_not_waited_for_for_ever(nodes, monkeypatch):
    _, listener = nodes
    now = 100.0
    monkeypatch.setattr(commands_ros.time, 'monotonic', lambda: now)
    _, first = listen(listener)
    seen = []
    monkeypatch.setattr(listener, 'get_publishers_info_by_topic', lambda topic: seen)
    assert first.lacks() == 'commands of policy'
    now += 2 * NAMED_WITHIN
    assert first.lacks(), 'nobody publishes'
    seen = [SimpleNamespace(node_name='_NODE_NAME_UNKNOWN_')]
    assert first.lacks(), 'its name may still come'
    unnamed, seen = seen, [SimpleNamespace(node_name='sysid')]
    assert first.lacks(), 'its name came, and is of another'
    now += NAMED_WITHIN
    assert first.lacks(), 'the policy never published'
    seen = unnamed
    assert first.lacks(), 'one more whose name may still come'
    now += NAMED_WITHIN
    assert not first.lacks()
    _, other = listen(listener)
    seen = [SimpleNamespace(node_name='policy')]
    assert not other.lacks()


def test_endpoints_without_a_name_may_be_of_those_who_lack():
    ends = [SimpleNamespace(node_name=name) for name in ('a', '_NODE_NAME_UNKNOWN_')]
    assert lacking({'a', 'b'}, ends) == {'b'}
    assert lacking({'a', 'b'}, ends, guess=True) == set()
    assert lacking({'a', 'b', 'c'}, ends, guess=True) == {'b', 'c'}
    assert lacking({'b'}, ends[:1], guess=True) == {'b'}
