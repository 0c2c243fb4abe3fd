"""In a paced run: every command that answers the joint states so far, before the next one.

Replays are to end alike, whichever process runs first. The producer sends a joint state only
when the policy has acknowledged the one before, yet the policy's commands come to us on a way of
their own and may be slower than that joint state.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Header

from sim2real_core.graph_ros import NAMED_WITHIN, lacking
from sim2real_core.messages import to_seconds
from sim2real_core.pacing import parse
from sim2real_core.qos import ANSWERS

WAIT = 2.0  # [s]
LOOK = 0.0005  # [s]
SPANS = 100  # as many acknowledgements as are kept for us


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
        # From when to when it answers nothing [s]; it may be some samples ahead of us.
        self._free: deque[tuple[float, float]] = deque(maxlen=SPANS)
        self._asked: float | None = None
        self._connected = not commander
        self._perhaps = math.inf  # since when it may be connected [s]
        self._subscriptions = list(subscriptions)
        if commander:
            pace = node.create_subscription(Header, 'pace', self._on_pace, ANSWERS)
            self._subscriptions.append(pace)

    def _on_pace(self, message: Header) -> None:
        name, sent, free = parse(message.frame_id)
        if name == self._commander:
            stamp = to_seconds(message.stamp)
            self._sent[stamp] = sent
            if self._free and stamp < self._free[-1][0]:
                self._free.clear()  # time jumped back
            self._free.append((stamp, free * 1e-9))

    def lacks(self) -> str:
        """Whose commands would not be heard yet; ``''`` when connected."""
        if self._commander and not self._connected:
            now, wanted = time.monotonic(), {self._commander}
            publishers = [
                self._node.get_publishers_info_by_topic(subscription.topic_name)
                for subscription in self._subscriptions
            ]
            if any(lacking(wanted, those, guess=True) for those in publishers):
                self._perhaps = math.inf  # who had no name may turn out to be somebody else
            else:
                self._perhaps = min(self._perhaps, now)
            named = not any(lacking(wanted, those) for those in publishers)
            self._connected = named or now >= self._perhaps + NAMED_WITHIN
        return '' if self._connected else f'commands of {self._commander}'

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
        if stamp in self._sent:
            return self._heard.get(stamp, 0) >= self._sent[stamp]
        return any(since < stamp < until for since, until in self._free)

    def _look(self) -> None:
        for subscription in self._subscriptions:
            while (
                taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)
            ) is not None:
                subscription.callback(taken[0])
