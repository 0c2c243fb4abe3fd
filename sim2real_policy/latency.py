"""How long things took: a histogram that costs a microsecond a value and never grows."""

from __future__ import annotations

import math
from collections.abc import Callable

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

    def report(self, name: str = 'latency') -> dict[str, object]:
        """For diagnostics."""
        return {
            f'{name}_p50 [s]': self.quantile(0.5),
            f'{name}_p99 [s]': self.quantile(0.99),
            f'{name}_max [s]': self.longest,
        }


STAGES = ('assemble', 'infer', 'guard', 'publish')
"""What happens between a joint state and its command, in order."""


class Stages:
    """Durations of the stages of a control cycle.

    While a robot waits, :meth:`lap` notes times only; :meth:`close` sorts them afterwards.

    Args:
        clock: steady time [s].
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._laps: list[float] = []
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._laps.clear()
        self.total = LatencyHistogram()
        self.of = {name: LatencyHistogram() for name in STAGES}

    def begin(self, noticed: float) -> None:
        """A sample was noticed at this steady time [s]."""
        self._laps.clear()
        self._laps.append(noticed)

    def lap(self) -> None:
        """A stage is over."""
        self._laps.append(self._clock())

    def close(self) -> None:
        """The command is out. A cycle that had not all stages counts as a whole only."""
        self.lap()
        laps = self._laps
        if len(laps) == len(STAGES) + 1:
            for stage, begin, end in zip(self.of.values(), laps, laps[1:]):
                stage.add(end - begin)
        self.total.add(laps[-1] - laps[0])

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        values = self.total.report()
        for name, stage in self.of.items():
            values.update(stage.report(name))
        return values
