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
from sim2real_core.qos import recorder_qos

WAIT = 2.0  # [s]
LOOK = 0.0005  # [s]


class CommandsFirst:
    """Takes commands ahead of the executor.

    Args:
        node: the node.
        subscriptions: raw ones, to all that tells of commands.
        commander: name of the node whose commands are waited for; ``''`` for none.
    """

    def __init__(self, node: Node, subscriptions: Sequence[Any], commander: str) -> None:
        self._node = node
        self._subscriptions = list(subscriptions)
        self._commander = commander
        self._sent: dict[float, int] = {}  # stamp of a joint state -> commands that answer it
        self._heard: dict[float, int] = {}
        if commander:
            every = recorder_qos(reliable=True, latched=True)
            pace = node.create_subscription(Header, 'pace', self._on_pace, every)
            self._subscriptions.append(pace)

    def _on_pace(self, message: Header) -> None:
        name, _, count = message.frame_id.partition('#')
        if name == self._commander:
            self._sent[to_seconds(message.stamp)] = int(count)

    def heard(self, stamp: float) -> None:
        """Note a command that answers the joint state of this stamp [s]."""
        self._heard[stamp] = self._heard.get(stamp, 0) + 1

    def take(self, stamp: float | None) -> None:
        """Take what has come, and all that answers the joint state of this stamp [s], if any."""
        deadline = time.monotonic() + WAIT
        self._look()
        while self._commander and stamp is not None and not self._complete(stamp):
            if time.monotonic() > deadline:
                text = f'commands of {self._commander} for the joint state at {stamp:g} s are late'
                self._node.get_logger().error(text)
                break
            time.sleep(LOOK)
            self._look()
        if stamp is not None:
            self._sent.pop(stamp, None)
            self._heard.pop(stamp, None)

    def _complete(self, stamp: float) -> bool:
        return self._heard.get(stamp, 0) >= self._sent.get(stamp, 1 << 30)

    def _look(self) -> None:
        for subscription in self._subscriptions:
            while (
                taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)
            ) is not None:
                subscription.callback(taken[0])
