"""Poses as Gazebo Classic tells them: sixty times a second, at rest when something is moved."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sim2real_sim.gazebo_classic.transport import Transport

BETWEEN = 0.018  # [s] a little more than between two messages


class PoseStream:
    """Follows the poses of models and links that move.

    Attributes:
        count: messages so far.
        time: simulated time of the last one [ns].
        heard: steady time of it [s].
        listener: called with each message, in the thread of the transport; must be short.

    Args:
        transport: Gazebo's own.
    """

    def __init__(self, transport: Transport) -> None:
        self.count = 0
        self.time = -1
        self.heard = 0.0
        self.listener: Callable[[Any], None] | None = None
        transport.subscribe('~/pose/info', 'gazebo.msgs.PosesStamped', self._receive)

    def clear(self) -> None:
        """Have the next movement told at once: Gazebo leaves out what follows too soon."""
        time.sleep(max(0.0, self.heard + BETWEEN - time.monotonic()))

    def _receive(self, poses: Any) -> None:
        self.count += 1
        self.heard = time.monotonic()
        self.time = int(poses.time.sec) * 10**9 + int(poses.time.nsec)
        if self.listener is not None:
            self.listener(poses)
