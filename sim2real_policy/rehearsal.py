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
SETTLING = 0.1
"""Share of a new interval in their mean."""


class Rehearsal:
    """Expects the next cycle from the ones before.

    Args:
        what: does it, without effect.

    Attributes:
        due: steady time [s] of the next one; infinite when there shall be none.
    """

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what
        self._last = self._interval = math.nan
        self.due = math.inf

    def cycle(self, now: float) -> None:
        """A cycle began at this steady time [s]."""
        interval, self._last = now - self._last, now
        if 0.5 * self._interval < interval < 2.0 * self._interval:
            self._interval += SETTLING * (interval - self._interval)
        else:  # the first, or another rhythm
            self._interval = interval
        self.due = now + self._interval - LEAD if self._interval >= LEAST else math.inf

    def watch(self, now: float) -> None:
        """Rehearse, if it is time; once for each cycle."""
        if now >= self.due:
            self.due = math.inf
            self._what()
