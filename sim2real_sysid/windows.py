"""Samples as they are, now and then: position, velocity and acceleration where one was taken.

Filters take a signal as straight between samples; an effort that follows steps of a command is
not. So that what happens between samples does not matter, a row here is one sample and the moving
joints' state at its very instant, from a cubic through its neighbours on both sides
(Savitzky and Golay 1964, for uneven times).

Example: 6 joints at 250 Hz give rows of 5 samples, ``(rows, 6)`` of each quantity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ROW_PERIOD = 0.008  # s, on average, or that of samples where windows have the fewest
HALF_WINDOW = 0.008  # s
FEWEST, MOST = 2, 16  # samples on each side
STRETCH = 1.4  # times the regular length, for a window with lost samples: no cubic reaches far
HALF_WAY = 0.25  # of the window's length
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
ROOM = 1024


class States(NamedTuple):
    """Rows of samples.

    Attributes:
        stamps: (r,) [s].
        position: (r, nj), smoothed.
        velocity: (r, nj).
        acceleration: (r, nj).
        effort: (r, nj) of this one sample; NaN where there is none.
        left: (r, nj) variance of the encoders' noise, from what the cubics leave.
        chord: (r, nj) what the velocity would be off by, were it the slope of the chord between
            the points half way out on both sides.
        covariance: (r, 4, 4) of position, velocity, acceleration and chord for encoders with
            noise of variance 1.
    """

    stamps: Array
    position: Array
    velocity: Array
    acceleration: Array
    effort: Array
    left: Array
    chord: Array
    covariance: Array


class Windows:
    """Cuts windows out of the samples.

    Args:
        joints: their number, nj.
    """

    def __init__(self, joints: int) -> None:
        self._nj = joints
        self._half = 0
        self._length = self._interval = 0.0
        self.restart()

    def open(self, period: float) -> None:
        """Learn that samples come every ``period`` [s]."""
        self._half = min(max(FEWEST, round(HALF_WINDOW / period)), MOST)
        # Rows that share most of their samples would take lines for better than they are.
        self._interval = min(period, ROW_PERIOD) if self._half == FEWEST else ROW_PERIOD
        self._length = STRETCH * 2 * self._half * period

    def restart(self) -> None:
        """The next sample does not follow the last."""
        self._stamps = np.zeros(0)
        self._samples = np.zeros((0, 2 * self._nj))
        self._due = -math.inf
        self._turn = 0

    def push(self, stamps: Array, positions: Array, efforts: Array) -> States | None:
        """Take consecutive samples (m,), (m, nj), (m, nj); rows when it is time for some."""
        self._stamps = np.concatenate([self._stamps[-ROOM:], stamps])
        fresh = np.concatenate([positions, efforts], axis=1)
        self._samples = np.concatenate([self._samples[-ROOM:], fresh])
        if self._half == 0:
            return None
        middles = self._middles()
        keep = len(self._stamps) - 2 * self._half
        rows = self._cut(np.array(middles)) if middles else None
        if keep > 0:
            self._stamps, self._samples = self._stamps[keep:], self._samples[keep:]
        return rows

    def _middles(self) -> list[int]:
        """Samples that are due and have their neighbours, at uneven intervals.

        Golden sections of the period meet every phase of commands that come in step.
        """
        found, half = [], self._half
        last = len(self._stamps) - half
        place = half
        while place < last:
            stamp = float(self._stamps[place])
            if stamp >= self._due:
                found.append(place)
                self._turn += 1
                self._due = stamp + self._interval * (0.25 + 1.5 * (self._turn * GOLDEN % 1.0))
            place += 1
        return found

    def _cut(self, middles: npt.NDArray[np.intp]) -> States | None:
        window = middles[:, None] + np.arange(-self._half, self._half + 1)
        times = self._stamps[window]
        length = times[:, -1] - times[:, 0]
        whole = length <= self._length
        if not whole.any():
            return None
        middles, window, times = middles[whole], window[whole], times[whole]
        unit = length[whole][:, None]
        at = (times - self._stamps[middles][:, None]) / unit
        powers = at[:, :, None] ** np.arange(4)
        turned = powers.transpose(0, 2, 1)
        positions = self._samples[window, : self._nj]
        inverse = np.linalg.inv(turned @ powers)
        fit = inverse @ (turned @ positions)
        left = np.square(positions - powers @ fit).sum(axis=1) / max(2 * self._half - 3, 1)
        # From coefficients of the cubic to derivatives; a chord is off by its term of third order.
        units = np.concatenate(
            [np.ones_like(unit), 1.0 / unit, 2.0 / unit**2, HALF_WAY**2 / unit], axis=1
        )
        position, velocity, acceleration, chord = (fit * units[:, :, None]).transpose(1, 0, 2)
        return States(
            self._stamps[middles],
            position,
            velocity,
            acceleration,
            self._samples[middles, self._nj :],
            left,
            chord,
            inverse * units[:, :, None] * units[:, None, :],
        )
