"""Samples and commands that keep step, so that a delay and a lag pass for each other.

What a drive makes of a step is told by samples that meet it at several times after the command.
Where samples come once, twice or thrice for each command and keep step with them, they meet one,
two or three. If the steps are much alike, too, as those of a smooth motion are, several pairs of a
delay and a lag leave the same of the efforts, and no line about one pair knows of the others.
Steps that differ make up for it: each is seen for as long as its lag lasts.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TURNS = np.arange(4)  # samples for each command that are too few; none stands for all
IN_STEP = 0.8  # length of the mean of their phases, beyond which samples keep step with commands
ALIKE = (
    0.01  # squares of what steps differ by, as a share of their own, up to which they are alike
)


class Rhythm:
    """Learns how samples come after commands, and how unlike steps of these are.

    Args:
        joints: their number, nj.
    """

    def __init__(self, joints: int) -> None:
        self._phases = np.zeros(len(TURNS), dtype=complex)
        self._last = np.full((2, joints), np.nan)
        self._steps, self._changes = np.zeros((2, joints))

    def command(self, values: Array) -> None:
        """Take the next command (nj,)."""
        step = values - self._last[1]
        change = step - (self._last[1] - self._last[0])
        if np.isfinite(change).all():
            self._steps += np.square(step)
            self._changes += np.square(change)
        self._last = np.stack([self._last[1], values])

    def sample(self, phases: Array) -> None:
        """Take times of samples (m,), after the command before and in periods of the commands."""
        self._phases += np.exp(2j * math.pi * TURNS[:, None] * phases).sum(axis=1)

    def apart(self, together: Array) -> Array:
        """How far delays and lags may be off, their sums being right.

        Args:
            together: (nj,) those sums [s].

        Returns:
            (nj,) standard deviations [s]; 0 where samples meet enough of each step.
        """
        rows = max(abs(self._phases[0]), 1.0)
        if (np.abs(self._phases[1:]) < IN_STEP * rows).all():
            return np.zeros_like(together)
        rough = self._changes / np.where(self._steps > 0.0, self._steps, 1.0)
        return np.asarray(together / math.sqrt(12.0) / (1.0 + rough / ALIKE))
