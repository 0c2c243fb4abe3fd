"""When to rehearse a control cycle: shortly before the next one is expected.

Between two cycles other processes use the processor, and its caches hold their data: the weights
of a small network, which run in 20 us when they are in the cache, then take 80 us. A rehearsal
brings them back while nobody waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

LEAD = 1e-3
"""How long before the next cycle [s]: later than a busy machine starts a thread, and soon enough
that little comes in between."""
LEAST = 3 * LEAD
"""Cycles closer together than this [s] are rehearsal enough."""
PATIENCE = 3
"""Slow rehearsals in a row that are no chance any more."""
SETTLING = 0.1
"""Share of a new interval in their mean."""


class Rehearsal:
    """Expects the next cycle from the ones before.

    What takes so long that it would still go on when the cycle begins is not rehearsed any more.

    Args:
        what: does it, without effect.
        clock: steady time [s].

    Attributes:
        due: steady time [s] of the next one; infinite when there shall be none.
    """

    def __init__(self, what: Callable[[], None], clock: Callable[[], float]) -> None:
        self._what, self._clock = what, clock
        self._slow = 0  # rehearsals in a row that took too long
        self._last = self._interval = math.nan
        self.due = math.inf

    def cycle(self, now: float) -> None:
        """A cycle began at this steady time [s]."""
        interval, self._last = now - self._last, now
        if 0.5 * self._interval < interval < 2.0 * self._interval:
            self._interval += SETTLING * (interval - self._interval)
        else:  # the first, or another rhythm
            self._interval = interval
        worth = self._interval >= LEAST and self._slow < PATIENCE
        self.due = now + self._interval - LEAD if worth else math.inf

    def watch(self, now: float) -> None:
        """Rehearse, if it is time; once for each cycle."""
        if now >= self.due:
            self.due = math.inf
            begin = self._clock()
            self._what()
            self._slow = self._slow + 1 if self._clock() - begin > 0.5 * LEAD else 0
