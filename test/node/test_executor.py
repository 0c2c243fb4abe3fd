"""The executor that keeps what it waits for: nothing is missed, whatever comes and goes."""

import math
import threading
import time
from collections import deque

import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from sim2real_core.executor_ros import KeptExecutor
from sim2real_core.messages import to_time
from sim2real_core.qos import ANSWERS, RELIABLE

LONG = 20.0  # s


@pytest.fixture
def node():
    rclpy.init()
    made = rclpy.create_node('served')
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture
def until(node):
    """Serves the node until something holds."""
    executor = KeptExecutor(node)

    def spin(condition):
        end = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < end, 'waited too long'
            executor.spin_once(timeout_sec=0.05)

    yield spin
    executor.remove_node(node)
    executor.shutdown()


def test_messages_come_in_order_and_ready_ones_in_order_of_subscription(node, until):
    heard = []
    publishers = {name: node.create_publisher(Header, name, RELIABLE) for name in 'ab'}
    for name in 'ba':
        node.create_subscription(
            Header, name, lambda m, name=name: heard.append((name, m.stamp.sec)), RELIABLE
        )
    until(lambda: all(p.get_subscription_count() for p in publishers.values()))
    for second in range(3):
        for publisher in publishers.values():
            publisher.publish(Header(stamp=to_time(float(second))))
    time.sleep(0.05)
    until(lambda: len(heard) == 6)
    assert heard == [(name, second) for second in range(3) for name in 'ba']


def test_what_comes_and_goes_meanwhile_is_noticed(node, until):
    """Callbacks make and drop subscriptions, timers and clients."""
    heard, ticks = [], []
    publisher = node.create_publisher(Header, 'late', ANSWERS)
    publisher.publish(Header(frame_id='before'))

    def once():
        timer.cancel()
        node.destroy_timer(timer)
        made.append(node.create_subscription(Header, 'late', hear, ANSWERS))

    def hear(message):
        heard.append(message.frame_id)
        node.destroy_subscription(made.pop())

    made = []
    timer = node.create_timer(0.001, once)
    until(lambda: heard)
    publisher.publish(Header(frame_id='after'))
    node.create_timer(0.001, lambda: ticks.append(time.monotonic()))
    until(lambda: len(ticks) > 20)
    assert heard == ['before'] and not made


def test_services_clients_and_guards(node, until):
    node.create_service(Trigger, 'serve', lambda _, response: response)
    client = node.create_client(Trigger, 'serve')
    until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    until(future.done)
    assert future.result() == Trigger.Response()
    rung = []
    guard = node.create_guard_condition(lambda: rung.append(threading.get_ident()))
    for count in range(1, 50):
        other = threading.Thread(target=guard.trigger)
        other.start()
        until(lambda count=count: len(rung) >= count)
        other.join()
    assert set(rung) == {threading.get_ident()}


def test_a_service_may_wait_for_something_else(node, until):
    """A coroutine is gone on with when what it awaits is there."""
    asked = Future()

    async def serve(_, response):
        response.message = await asked
        return response

    node.create_service(Trigger, 'serve', serve, callback_group=ReentrantCallbackGroup())
    client = node.create_client(Trigger, 'serve')
    until(client.service_is_ready)
    answer = client.call_async(Trigger.Request())
    node.create_timer(0.2, lambda: asked.done() or asked.set_result('at last'))
    until(answer.done)
    assert answer.result().message == 'at last'


@pytest.mark.parametrize('kept', ['_tasks', '_ready_tasks'])
def test_tasks_are_seen_wherever_this_rclpy_keeps_them(node, kept):
    """The list is private, and every ROS release renamed it with an update in 2026."""
    executor = KeptExecutor(node)
    for name in ('_tasks', '_ready_tasks'):
        vars(executor).pop(name, None)
    vars(executor)[kept] = tasks = deque()
    looked = []
    executor._look_at_the_rest = lambda: looked.append(True)
    executor._events_due = math.inf
    executor.spin_once(0.0)
    assert not looked
    tasks.append('a task')
    executor.spin_once(0.0)
    assert looked
    executor.remove_node(node)
    executor.shutdown()


def test_what_others_take_is_left_to_them(node, until):
    class Others(ReentrantCallbackGroup):
        def can_execute(self, entity):
            return False

    heard, ticks = [], []
    publisher = node.create_publisher(Header, 'theirs', ANSWERS)
    node.create_subscription(Header, 'theirs', heard.append, ANSWERS, callback_group=Others())
    publisher.publish(Header())
    node.create_timer(0.005, lambda: ticks.append(True))
    until(lambda: len(ticks) > 20)
    assert heard == []


def test_an_exception_of_a_callback_is_raised(node, until):
    node.create_timer(0.001, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        until(lambda: False)


def test_it_ends_with_its_context(node, until):
    node.create_timer(0.01, rclpy.shutdown)
    with pytest.raises(ExternalShutdownException):
        until(lambda: False)
