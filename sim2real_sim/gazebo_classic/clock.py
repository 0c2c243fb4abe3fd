"""Simulated time of a Gazebo: from every step, and from statistics that come five times a second.

While time is at rest the statistics alone come, so what we did ourselves is known before them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sim2real_sim.gazebo_classic.introspection import Introspection
from sim2real_sim.gazebo_classic.pose_stream import PoseStream
from sim2real_sim.gazebo_classic.transport import Transport
from sim2real_sim.world import WorldError

MOVES_WITHIN = 0.05  # [s] what a reset moves


class Clock:
    """Follows simulated time.

    Args:
        transport: Gazebo's own.
        introspection: where every step is seen.
        poses: where a reset is seen.
        settle: returns when Gazebo has taken what was sent to it before.
        look: returns when Gazebo has looked at its requests, as it does between two steps.
        timeout: deadline of every wait [s].
    """

    def __init__(
        self,
        transport: Transport,
        introspection: Introspection,
        poses: PoseStream,
        settle: Callable[[], None],
        look: Callable[[], None],
        timeout: float,
    ) -> None:
        self._transport = transport
        self._introspection = introspection
        self._poses = poses
        self._settle, self._look = settle, look
        self._timeout = timeout
        self._statistics: Any = None
        self._count = 0  # of statistics
        self._since = 0  # from which on they tell of what we did last
        self._heard = 0.0  # when the last ones came
        transport.subscribe('~/world_stats', 'gazebo.msgs.WorldStatistics', self._receive)
        transport.wait(lambda: self._count, 'statistics of the world')

    def time(self) -> int:
        """Simulated time [ns]."""
        stepped = self._introspection.time()
        return self._stated() if stepped < 0 else stepped

    def paused(self) -> bool:
        """Whether time is at rest, as we had it or as Gazebo said since."""
        return bool(self._statistics.paused)

    def silence(self) -> float:
        """Seconds since Gazebo said anything; a fifth of one is usual, also at rest."""
        return time.monotonic() - self._heard

    def stepped(self) -> bool:
        """Whether any step was taken since the world was loaded or reset."""
        return bool(self._statistics.iterations > 0)

    def wait_paused(self, paused: bool) -> None:
        """Wait until time rests, or runs.

        Raises:
            WorldError: it does not by the deadline.
        """
        deadline = time.monotonic() + self._timeout
        if paused:
            self._settle()
            seen = -1
            # It rests when no step was taken meanwhile; on a busy machine many may wait unseen.
            while not (self._introspection.drained() and seen == self._introspection.count):
                if time.monotonic() > deadline:
                    what = f'no rest of simulated time within {self._timeout:g} s'
                    raise WorldError(f'Gazebo: {what}')
                came = self._introspection.count != seen
                if came and self._statistics.paused:  # what it did before is still on its way
                    deadline = time.monotonic() + self._timeout
                seen = self._introspection.count
                self._settle()
        else:
            self._introspection.wait_time(self._introspection.time())
        self._know(paused=paused)

    def wait_steps(self, start: int, length: int) -> None:
        """Wait until steps from a time [ns] have taken a time [ns]; waits while it goes on."""
        target = start + length
        now = start
        while now < target:
            try:
                now = self._introspection.wait_time(now)
            except WorldError:
                if self._stated() <= now:
                    raise
                now = self._stated()  # they were taken before we were connected

    def reset(self, control: Callable[[], None]) -> None:
        """Set time, at rest, back to zero.

        Args:
            control: asks for it.
        """
        self._poses.clear()
        moved = self._poses.count
        control()
        self._settle()  # from here on it is known there, and done before the next step
        try:
            self._transport.wait(
                lambda: self._poses.count > moved and self._poses.time == 0, 'reset', MOVES_WITHIN
            )
        except WorldError:  # nothing had to be moved
            self._look()
        self._introspection.clear()
        self._know(reset=True)

    def _know(self, paused: bool | None = None, reset: bool = False) -> None:
        """Note what we did; statistics of before may still be on their way."""
        self._since = self._count + 2
        if paused is not None:
            self._statistics.paused = paused
        if reset:
            self._statistics.iterations = 0
            self._statistics.sim_time.sec = self._statistics.sim_time.nsec = 0

    def _stated(self) -> int:
        time = self._statistics.sim_time
        return int(time.sec) * 10**9 + int(time.nsec)

    def _receive(self, statistics: Any) -> None:
        self._count += 1
        self._heard = time.monotonic()
        if self._count >= self._since:
            self._statistics = statistics
