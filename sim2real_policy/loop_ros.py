"""Takes the messages of a few subscriptions in a thread of their own, fast.

An rclpy executor builds a new wait set from every entity of a node, and a task, for each message
it hands out: about a quarter of the time that a small message needs between two processes. The
subscriptions a control cycle depends on are therefore left out of it (their callback group offers
nothing to executors) and waited for here, in one wait set that is kept; everything else of the
node (services, parameters, diagnostics) stays with its executor, in another thread that mostly
sleeps.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription


class OwnThread(ReentrantCallbackGroup):
    """Callback group of subscriptions that no executor shall take.

    Args:
        events: leave their quality-of-service events to the executor, which warns of publishers
            that do not fit. Not for sensors: Fast DDS wakes one who waits for a subscription's
            events with each of its messages, and the two threads would then fight for the
            interpreter.
    """

    def __init__(self, events: bool = False) -> None:
        super().__init__()
        self._events = events

    def can_execute(self, entity: Any) -> bool:
        """Events at most."""
        mine = isinstance(entity, (Subscription, GuardCondition))
        return self._events and not mine and bool(super().can_execute(entity))


class FastLoop:
    """Waits for subscriptions of its own and calls them back; nothing runs before :meth:`start`.

    Args:
        node: whose subscriptions they are.
        deadline: steady time [s] until which to wait for messages; ``inf`` is for ever.
        overdue: called when that time has come.
        lock: held during each callback.
        failed: called, in the loop's thread, with an exception that a callback raised; the loop
            is over then.

    Attributes:
        unreadable: messages so far whose bytes were no message of their type.
    """

    def __init__(
        self,
        node: Node,
        *,
        deadline: Callable[[], float],
        overdue: Callable[[], None],
        lock: threading.Lock,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._node = node
        self._deadline = deadline
        self._overdue = overdue
        self._lock = lock
        self._failed = failed
        self._subscriptions: list[
            tuple[Subscription, int, Callable[[bytes], Any], Callable[[Any, float], None]]
        ] = []
        self.unreadable = 0
        self._guard = node.create_guard_condition(lambda: None, callback_group=OwnThread())
        self._stop = False
        self._thread = threading.Thread(target=self._run, name='fast loop', daemon=True)

    def subscribe(
        self,
        kind: Any,
        topic: str,
        qos: QoSProfile,
        callback: Callable[[Any, float], None],
        *,
        events: bool = False,
        newest: bool = False,
        decode: Callable[[bytes], Any] | None = None,
    ) -> None:
        """Subscribe.

        Args:
            kind: message type.
            topic: its topic.
            qos: its quality of service.
            callback: called with the message and the steady time [s] when it was noticed. When
                several subscriptions have messages, they are called in order of subscription.
            events: see :class:`OwnThread`.
            newest: all messages that wait are taken before those of the next subscription, so
                that the newest counts there; else one at a time.
            decode: makes a message of the bytes that came; rclpy's own way when None.
        """
        made = self._node.create_subscription(
            kind, topic, lambda message: None, qos, callback_group=OwnThread(events)
        )
        decode = decode or partial(deserialize_message, message_type=kind)
        self._subscriptions.append((made, qos.depth if newest else 1, decode, callback))

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    @property
    def thread(self) -> int:
        """Native id of the thread, once it was started."""
        return self._thread.native_id or 0

    def close(self) -> None:
        """End the thread, wait until it has, and drop the subscriptions."""
        self._stop = True
        self._guard.trigger()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        for subscription, *_ in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_guard_condition(self._guard)

    def _run(self) -> None:
        try:
            self._spin()
        except BaseException as error:
            self._failed(error)

    def _spin(self) -> None:
        context = self._node.context.handle
        wait_set = rclpy_implementation.WaitSet(len(self._subscriptions), 1, 0, 0, 0, 0, context)
        while not self._stop:
            wait_set.clear_entities()
            for subscription, *_ in self._subscriptions:
                wait_set.add_subscription(subscription.handle)
            wait_set.add_guard_condition(self._guard.handle)
            left = self._deadline() - time.monotonic()
            wait_set.wait(-1 if math.isinf(left) else max(0, int(left * 1e9)))
            now = time.monotonic()
            for index, (subscription, most, decode, callback) in enumerate(self._subscriptions):
                if not wait_set.is_ready('subscription', index):
                    continue
                for _ in range(most):
                    if self._stop:
                        break
                    taken = subscription.handle.take_message(subscription.msg_type, True)
                    if taken is None:
                        break
                    try:
                        message = decode(taken[0])
                    except Exception as error:  # rclpy's own have no base in common
                        self._refuse(subscription, error)
                        continue
                    with self._lock:
                        callback(message, now)
            if now >= self._deadline() and not self._stop:
                with self._lock:
                    self._overdue()

    def _refuse(self, subscription: Subscription, error: Exception) -> None:
        """Bytes that are no such message are no reason to stop commanding a robot."""
        self.unreadable += 1
        text = f'a message on {subscription.topic_name} cannot be read: {error}'
        self._node.get_logger().error(text, throttle_duration_sec=1.0)
