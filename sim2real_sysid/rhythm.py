"""Samples and commands that keep step, so that a delay and a lag pass for each other.

What a drive makes of a step is told by samples that meet it at several times after the command.
Where samples come once, twice or thrice for each command and keep step with them, they meet one,
two or three. If the steps are much alike, too, as those of a smooth motion are, several pairs of a
delay and a lag leave the same of the efforts, and no line about one pair knows of the others.
Steps that differ make up for it: each is seen for as long as its lag lasts.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TURNS = np.arange(4)  # samples for each command that are too few; none stands for all
IN_STEP = 0.8  # length of the mean of their phases, beyond which samples keep step with commands
ALIKE = 0.01  # squares of what steps differ by, as a share of theirs, up to which they are alike
BLOCK = 0.5  # s; what differs in a few of them says nothing of the others


class Rhythm:
    """Learns how samples come after commands, and how unlike steps of these are.

    Args:
        joints: their number, nj.
        memory: for so long [s].
    """

    def __init__(self, joints: int, memory: float) -> None:
        self._joints, self._opened = joints, -math.inf
        self._blocks: deque[tuple[Array, Array]] = deque(maxlen=max(round(memory / BLOCK), 1))
        self._last = np.full((2, joints), np.nan)

    def command(self, stamp: float, values: Array, *, follows: bool = True) -> None:
        """Take a command.

        Args:
            stamp: of it [s].
            values: (nj,).
            follows: the last one is the one before it: none was lost.
        """
        if not 0.0 <= stamp - self._opened < BLOCK:
            self._opened = stamp
            fresh = np.zeros((2, self._joints))
            self._blocks.append((fresh, np.zeros(len(TURNS), dtype=complex)))
        if not follows:
            self._last[:] = np.nan
        step = values - self._last[1]
        change = step - (self._last[1] - self._last[0])
        if np.isfinite(change).all():
            self._blocks[-1][0][:] += np.square([step, change])
        self._last = np.stack([self._last[1], values])

    def sample(self, phases: Array) -> None:
        """Take times of samples (m,), after the command before and in periods of the commands."""
        if self._blocks:
            turned = np.exp(2j * math.pi * TURNS[:, None] * phases)
            self._blocks[-1][1][:] += turned.sum(axis=1)

    def apart(self, together: Array) -> Array:
        """How far delays and lags may be off, their sums being right.

        Args:
            together: (nj,) those sums [s].

        Returns:
            (nj,) standard deviations [s]; 0 where samples meet enough of each step.
        """
        phases = np.sum([phases for _, phases in self._blocks], axis=0)
        if not self._blocks or (np.abs(phases[1:]) < IN_STEP * max(abs(phases[0]), 1.0)).all():
            return np.zeros_like(together)
        steps, changes = np.array([sums for sums, _ in self._blocks]).transpose(1, 0, 2)
        moved = steps > 0.0
        rough = np.where(moved, changes / np.where(moved, steps, 1.0), np.nan)
        middle = np.nanmedian(np.concatenate([rough, np.zeros((1, self._joints))]), axis=0)
        return np.asarray(together / math.sqrt(12.0) / (1.0 + middle / ALIKE))
