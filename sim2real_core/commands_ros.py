"""In a paced run: every command that answers the joint states so far, before the next one.

Replays are to end alike, whichever process runs first. The producer sends a joint state only
when the policy has acknowledged the one before, yet the policy's commands come to us on a way of
their own and may be slower than that joint state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Header

from sim2real_core.messages import to_seconds
from sim2real_core.qos import ANSWERS

WAIT = 2.0  # [s]
LOOK = 0.0005  # [s]


class CommandsFirst:
    """Takes commands ahead of the executor.

    Args:
        node: the node.
        subscriptions: to all that tells of commands; where somebody is waited for, with the
            quality of service ``ANSWERS``.
        commander: name of the paced node whose commands are waited for; ``''`` for none.
    """

    def __init__(self, node: Node, subscriptions: Sequence[Any], commander: str) -> None:
        self._node = node
        self._commander = commander
        self._sent: dict[float, int] = {}  # stamp of a joint state -> commands that answer it
        self._heard: dict[float, int] = {}
        self._asked: float | None = None
        self._subscriptions = list(subscriptions)
        if commander:
            pace = node.create_subscription(Header, 'pace', self._on_pace, ANSWERS)
            self._subscriptions.append(pace)

    def _on_pace(self, message: Header) -> None:
        name, _, count = message.frame_id.partition('#')
        if name == self._commander:
            self._sent[to_seconds(message.stamp)] = int(count)

    def heard(self, stamp: float) -> None:
        """Note a command that answers the joint state of this stamp [s]."""
        self._heard[stamp] = self._heard.get(stamp, 0) + 1

    def asked(self, stamp: float) -> None:
        """Note a joint state of this stamp [s], whose answers :meth:`take` shall wait for."""
        self._asked = stamp

    def take(self) -> bool:
        """Take what has come, and all that answers the joint state before this one.

        Returns:
            Whether all of it came in time.
        """
        self._look()
        stamp, self._asked = self._asked, None
        if not self._commander or stamp is None:
            return True
        deadline = time.monotonic() + WAIT
        while not self._complete(stamp):
            if time.monotonic() > deadline:
                text = f'commands of {self._commander} for the joint state at {stamp:g} s are late'
                self._node.get_logger().error(text)
                return False
            time.sleep(LOOK)
            self._look()
        self._sent.pop(stamp, None)
        self._heard.pop(stamp, None)
        return True

    def _complete(self, stamp: float) -> bool:
        return self._heard.get(stamp, 0) >= self._sent.get(stamp, 1 << 30)

    def _look(self) -> None:
        for subscription in self._subscriptions:
            while (
                taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)
            ) is not None:
                subscription.callback(taken[0])
