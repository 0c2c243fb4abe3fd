"""An executor for nodes that hear hundreds of small messages a second.

rclpy's own gathers all entities of a node and makes a new wait set for each callback: some 0.3 ms,
several times what receiving a small message takes. This one keeps both until an entity comes or
goes. What is rare (services, clients, events, tasks) it leaves to rclpy's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

EVENTS_PERIOD = 0.5  # [s] between two looks at quality-of-service events


class KeptExecutor(SingleThreadedExecutor):
    """Serves one node in the thread that calls :meth:`spin_once`.

    Subscriptions' callbacks take the message alone, and none is a coroutine. Of several that are
    ready, guard conditions come first, then timers, then subscriptions in the order they were
    made, one message each.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._changed = True
        self._resting = False
        self._events_due = 0.0
        self._node = node
        self.add_node(node)

    def wake(self) -> None:
        """Look again at what the node has; rclpy calls this when that changed."""
        self._changed = True
        super().wake()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for work and do what is ready.

        Args:
            timeout_sec: longest wait [s]; None is until there is something.

        Raises:
            ExternalShutdownException: the context was shut down.
        """
        now = time.monotonic()
        if self._has_tasks() or now >= self._events_due:
            self._events_due = now + EVENTS_PERIOD
            self._look_at_the_rest()
        self._check()
        if self._changed:
            self._collect()
        left = self._events_due - now
        if timeout_sec is not None and timeout_sec >= 0.0:
            left = min(left, timeout_sec)
        wait_set = self._wait_set
        wait_set.clear_entities()
        for add, entities in self._added:
            for entity in entities:
                add(entity.handle)
        wait_set.wait(max(0, int(left * 1e9)))
        self._check()
        self._work()

    def _has_tasks(self) -> bool:
        """Whether something waits that rclpy would go on with."""
        # rclpy before 2026 keeps all tasks in one list; since then, of every ROS release, those
        # that can go on have one of their own.
        return bool(getattr(self, '_tasks', None) or getattr(self, '_ready_tasks', None))

    def _check(self) -> None:
        if not self._context.ok():
            raise ExternalShutdownException

    def _collect(self) -> None:
        """Note what the node has now."""
        self._changed = False
        node, able = self._node, self.can_execute
        self._subscriptions = list(filter(able, node.subscriptions))
        self._timers = list(filter(able, node.timers))
        self._guards = list(filter(able, node.guards))
        clients, services = list(filter(able, node.clients)), list(filter(able, node.services))
        guards = [self._guard, self._sigint_gc, *self._guards]
        self._wait_set: Any = rclpy_implementation.WaitSet(
            len(self._subscriptions),
            len(guards),
            len(self._timers),
            len(clients),
            len(services),
            0,
            self._context.handle,
        )
        self._added = (
            (self._wait_set.add_subscription, self._subscriptions),
            (self._wait_set.add_client, clients),
            (self._wait_set.add_service, services),
            (self._wait_set.add_timer, self._timers),
            (self._wait_set.add_guard_condition, guards),
        )

    def _work(self) -> None:
        wait_set = self._wait_set
        ready = [wait_set.is_ready('subscription', k) for k in range(len(self._subscriptions))]
        others = wait_set.get_ready_entities('service') or wait_set.get_ready_entities('client')
        due = wait_set.get_ready_entities('timer')
        rung = [wait_set.is_ready('guard_condition', k + 2) for k in range(len(self._guards))]
        for guard, is_rung in zip(list(self._guards), rung):
            if is_rung:
                guard.callback()
        # Once anything came or went, what is left may be gone; what is there stays ready.
        for timer in self._timers if due else ():
            # Cancelled ones may seem ready, and are not.
            if self._changed or timer.handle.pointer not in due:
                continue
            if timer.handle.is_timer_ready():
                timer.handle.call_timer()
                timer.callback()
        for subscription, is_ready in zip(self._subscriptions, ready):
            if is_ready and not self._changed:
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if taken is not None:
                    subscription.callback(taken[0])
        if others:
            self._look_at_the_rest()

    def _look_at_the_rest(self) -> None:
        """Do one thing that is rare, as rclpy does it."""
        self._resting = True
        try:
            super().spin_once(0.0)
        finally:
            self._resting = False

    def can_execute(self, entity: Any) -> bool:
        """Whether its callback group allows it, and rclpy's part of the work is not ours."""
        ours = isinstance(entity, (Subscription, Timer, GuardCondition))
        return bool(super().can_execute(entity)) and not (self._resting and ours)


@contextmanager
def executing(node: Node) -> Iterator[KeptExecutor]:
    """An executor that serves one node, in the caller's thread, until the context ends."""
    executor = KeptExecutor(node)
    try:
        yield executor
    finally:
        executor.remove_node(node)
        executor.shutdown()  # one that is left to the collector may outlive what it destroys
