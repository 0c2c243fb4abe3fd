"""Samples as they are, now and then: position, velocity and acceleration where one was taken.

Filters take a signal as straight between samples; an effort that follows steps of a command is
not. So that what happens between samples does not matter, a row here is one sample and the moving
joints' state at its very instant, from a polynomial through its neighbours on both sides
(Savitzky and Golay 1964, for uneven times). Its degree is high, so that it follows what commands
in steps do; the acceleration is noisy then, and comes with a cubic's as its instrument.

Example: 6 joints at 250 Hz give rows of 9 samples, ``(rows, 6)`` of each quantity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

HALF_WINDOW = 0.008  # s
FEW, MOST = 4, 16  # samples on each side
SPARSE, COARSE = 0.0105, 0.021  # s on each side, beyond which few samples are far, and too far
SMOOTH_DEGREE = 3  # of the instrument
ROW_PERIOD = 0.008  # s, on average, of dense samples; sparse ones make a row each
STRETCH = 1.4  # times the regular length, for a window with lost samples: none reaches far
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
        left: (r, nj) variance of the encoders' noise, from what the polynomials leave.
        chord: (r, nj) what the velocity would be off by, were it the slope of a chord.
        smooth: (r, nj) acceleration of the cubic, instrument of the acceleration.
        covariance: (r, 5, 5) of position, velocity, acceleration, chord and smooth acceleration
            for encoders with noise of variance 1.
    """

    stamps: Array
    position: Array
    velocity: Array
    acceleration: Array
    effort: Array
    left: Array
    chord: Array
    smooth: Array
    covariance: Array


class Shape(NamedTuple):
    """Of windows.

    Attributes:
        half: samples on each side.
        degree: of the polynomials of the states.
        chord: half its length, as a share of the window's.
        interval: between rows, on average [s]; 0: every sample makes one.
    """

    half: int
    degree: int
    chord: float
    interval: float


def shape(period: float) -> Shape:
    """Of windows for samples that come every ``period`` [s]."""
    half = min(max(FEW, round(HALF_WINDOW / period)), MOST)
    if half * period > COARSE:
        return Shape(2, SMOOTH_DEGREE, 0.2, 0.0)
    if half * period > SPARSE:
        return Shape(half, 6, 0.1, 0.0)
    # Rows that share most of their samples would take lines for better than they are.
    return Shape(half, 4, 0.2, ROW_PERIOD)


class Windows:
    """Cuts windows out of the samples.

    Args:
        joints: their number, nj.
    """

    def __init__(self, joints: int) -> None:
        self._nj = joints
        self._shape, self._length = Shape(0, 0, 0.0, 0.0), 0.0
        self.restart()

    def open(self, period: float) -> None:
        """Learn that samples come every ``period`` [s]."""
        self._shape = shape(period)
        self._length = STRETCH * 2 * self._shape.half * period

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
        if self._shape.half == 0:
            return None
        middles = self._middles()
        keep = len(self._stamps) - 2 * self._shape.half
        rows = self._cut(np.array(middles)) if middles else None
        if keep > 0:
            self._stamps, self._samples = self._stamps[keep:], self._samples[keep:]
        return rows

    def _middles(self) -> list[int]:
        """Samples that are due and have their neighbours, at uneven intervals.

        Golden sections of the period meet every phase of commands that come in step.
        """
        found, half = [], self._shape.half
        last = len(self._stamps) - half
        place = half
        while place < last:
            stamp = float(self._stamps[place])
            if stamp >= self._due:
                found.append(place)
                self._turn += 1
                share = 0.25 + 1.5 * (self._turn * GOLDEN % 1.0)
                self._due = stamp + share * self._shape.interval
            place += 1
        return found

    def _cut(self, middles: npt.NDArray[np.intp]) -> States | None:
        half, degree, half_chord, _ = self._shape
        window = middles[:, None] + np.arange(-half, half + 1)
        times = self._stamps[window]
        length = times[:, -1] - times[:, 0]
        whole = length <= self._length
        if not whole.any():
            return None
        middles, window, times = middles[whole], window[whole], times[whole]
        unit = length[whole][:, None]
        at = (times - self._stamps[middles][:, None]) / unit
        powers = at[:, :, None] ** np.arange(degree + 1)
        positions = self._samples[window, : self._nj]
        to_powers = _fitted(powers)
        misfit = positions - powers @ (to_powers @ positions)
        left = np.square(misfit).sum(axis=1) / (2 * half - degree)
        smoothly = _fitted(powers[:, :, : SMOOTH_DEGREE + 1])
        forms = np.stack([*to_powers[:, :4].transpose(1, 0, 2), smoothly[:, 2]])
        # From coefficients to derivatives; a chord is off by its term of third order.
        to_acceleration = 2.0 / unit**2
        units = [np.ones_like(unit), 1.0 / unit, to_acceleration, half_chord**2 / unit]
        forms = (forms * np.stack([*units, to_acceleration])).transpose(1, 0, 2)
        position, velocity, acceleration, chord, smooth = (forms @ positions).transpose(1, 0, 2)
        return States(
            self._stamps[middles],
            position,
            velocity,
            acceleration,
            self._samples[middles, self._nj :],
            left,
            chord,
            smooth,
            forms @ forms.transpose(0, 2, 1),
        )


def _fitted(powers: Array) -> Array:
    """Maps (r, k, n) from samples to the coefficients that fit them best, of powers (r, n, k)."""
    turned = powers.transpose(0, 2, 1)
    return np.asarray(np.linalg.solve(turned @ powers, turned))
