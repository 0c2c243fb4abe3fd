"""Simulated time of a Gazebo: from every step, and from statistics that come five times a second.

The statistics alone come while time is at rest.
"""

from __future__ import annotations

import time
from typing import Any

from sim2real_sim.gazebo_classic.introspection import Introspection
from sim2real_sim.gazebo_classic.transport import Transport
from sim2real_sim.world import WorldError


class Clock:
    """Follows simulated time.

    Args:
        transport: Gazebo's own.
        introspection: where every step is seen.
        timeout: deadline of every wait [s].
    """

    def __init__(self, transport: Transport, introspection: Introspection, timeout: float) -> None:
        self._transport = transport
        self._introspection = introspection
        self._timeout = timeout
        self._statistics: Any = None
        self._count = 0  # of statistics
        self._heard = 0.0  # when the last ones came
        transport.subscribe('~/world_stats', 'gazebo.msgs.WorldStatistics', self._receive)
        self._wait_statistics(1)

    def time(self) -> int:
        """Simulated time [ns]."""
        stepped = self._introspection.time()
        return self._stated() if stepped < 0 else stepped

    def paused(self) -> bool:
        """Whether time is at rest, as Gazebo said last."""
        return bool(self._statistics.paused)

    def silence(self) -> float:
        """Seconds since Gazebo said anything; a fifth of one is usual, also at rest."""
        return time.monotonic() - self._heard

    def stepped(self) -> bool:
        """Whether any step was taken since the world was loaded or reset."""
        return bool(self._statistics.iterations > 0)

    def wait_paused(self, paused: bool) -> None:
        """Wait until time rests, or runs."""
        seen = self._count
        self._transport.wait(
            lambda: self._count > seen and self.paused() is paused,
            'rest of simulated time' if paused else 'running of simulated time',
        )
        last = self._stated() - 1
        if paused and 0 <= self._introspection.time() <= last:
            self._introspection.wait_time(last)

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

    def wait_reset(self) -> None:
        """Wait until time, at rest, is zero."""
        seen = self._count
        # What comes next may have been said before the reset, what follows it was not.
        self._transport.wait(
            lambda: self._count >= seen + 2 and not self._stated(), 'reset of simulated time'
        )
        self._introspection.clear()

    def _stated(self) -> int:
        time = self._statistics.sim_time
        return int(time.sec) * 10**9 + int(time.nsec)

    def _wait_statistics(self, more: int) -> None:
        seen = self._count
        self._transport.wait(lambda: self._count >= seen + more, 'statistics of the world')

    def _receive(self, statistics: Any) -> None:
        self._statistics = statistics
        self._count += 1
        self._heard = time.monotonic()
