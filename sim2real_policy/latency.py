"""How long things took: a histogram that costs a microsecond a value and never grows."""

from __future__ import annotations

import math

import numpy as np

_LOWEST = 1e-6
_PER_DECADE = 40
_BINS = 7 * _PER_DECADE


class LatencyHistogram:
    """Durations between 1 us and 10 s in bins of 6 %.

    Attributes:
        count: values so far.
        longest: the largest of them [s].
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._bins = [0] * _BINS
        self.count = 0
        self.longest = 0.0

    def add(self, duration: float) -> None:
        """Note a duration [s]."""
        index = int(_PER_DECADE * math.log10(max(duration, _LOWEST) / _LOWEST))
        self._bins[min(index, _BINS - 1)] += 1
        self.count += 1
        if duration > self.longest:
            self.longest = duration

    def quantile(self, q: float) -> float:
        """The duration [s] that a share ``q`` of the values does not exceed; 0 without values.

        The upper edge of the bin, hence up to 6 % too large, never too small.
        """
        if not self.count:
            return 0.0
        wanted = max(1, math.ceil(q * self.count))
        index = int(np.searchsorted(np.cumsum(self._bins), wanted))
        return min(_LOWEST * 10 ** ((index + 1) / _PER_DECADE), self.longest)

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        return {
            'latency_p50 [s]': self.quantile(0.5),
            'latency_p99 [s]': self.quantile(0.99),
            'latency_max [s]': self.longest,
        }
