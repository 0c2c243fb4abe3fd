"""How much of a sampled signal comes in jumps.

Filters take a signal as straight between two samples, so that a jump, which may have happened
anywhere between them, seems to come in their middle. On a stiff drive whose commands come in
steps, half of the effort does; behind a lag of a few samples nearly nothing does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Jumps:
    """Learns the jumps of signals, sample by sample.

    Of the increments from one sample to the next, the mean products ``c(l)`` of those ``l`` apart
    are equal for a smooth signal, and zero for ``l > 0`` where it jumps. White noise spoils
    ``c(0)`` and ``c(1)``, but not ``c(0) + 2 c(1)``, which is ``3 c(2)`` for a smooth signal;
    what exceeds that is the mean square of the jumps.

    Args:
        signals: their number, n.
    """

    def __init__(self, signals: int) -> None:
        self._recent = np.full((3, signals), np.nan)
        self._sums = np.zeros((3, signals))  # of jumps^2, values and values^2
        self._count = np.zeros(signals)

    def restart(self) -> None:
        """The next sample does not follow the last."""
        self._recent = np.full_like(self._recent, np.nan)

    def push(self, values: Array) -> None:
        """Take samples (m, n) in the order of time; NaN where there is none."""
        values = np.concatenate([self._recent, values])
        steps = values[1:] - values[:-1]
        first, second, third = steps[:-2], steps[1:-1], steps[2:]
        last = values[3:]
        terms = np.stack(
            [second * (first + second + third) - 3.0 * first * third, last, last * last]
        )
        usable = np.isfinite(terms[0])
        self._sums += np.where(usable, terms, 0.0).sum(axis=1)
        self._count += usable.sum(axis=0)
        self._recent = values[-3:]

    @property
    def power(self) -> Array:
        """Mean square of the jumps as a share of the signal's variance, (n,).

        Of a smooth signal it is zero but for chance, which may make it negative.
        """
        jumps, mean, square = self._sums / np.maximum(self._count, 1.0)
        variance = square - mean * mean
        power = np.zeros_like(variance)
        np.divide(jumps, variance, out=power, where=variance > 0)
        return power

    @property
    def share(self) -> Array:
        """Root mean square of the jumps as a share of the signal's standard deviation, (n,)."""
        return np.sqrt(np.maximum(self.power, 0.0))
