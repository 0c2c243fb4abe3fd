"""Where to look for a drive's delay and lag: a bank of candidates, all followed at once.

About a delay and a lag that are far off, no line helps (see :mod:`sim2real_sysid.commands`). Each
candidate is therefore scored by what it leaves of the effort, with gain and bias fitted to it; the
scores fade, so that a drive that changed is found again.

Example: 13 delays and 8 lags of 6 joints keep sums of (6, 104, 6).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_sysid.commands import CommandHistory
from sim2real_sysid.servo import Servo

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

DELAYS = 1e-3 * np.array([0, 4, 8, 12, 18, 26, 38, 54, 76, 108, 150, 220, 320])
LAGS = 1e-3 * np.array([0, 4, 8, 14, 22, 36, 60, 110])
FADING = 0.9  # from one look to the next
LEAST_ROWS = 40.0  # before anything is found
CLEARLY = 40.0  # logarithm of how much likelier one candidate is than another, doubled
NEAR = 1.5  # steps of the grids
LEAST_SHARE = 0.25  # of the rows of the best known candidate


class Best(NamedTuple):
    """The best candidates.

    Attributes:
        timing: (2, nj) their delays and lags [s].
        apart: (2, nj) how far it is to the next ones [s].
        left: (nj,) mean square of what they leave, infinite where too little is known.
        better: (nj,) whether they are clearly better than those about what is believed.
        gain: (nj,) fitted to them.
    """

    timing: Array
    apart: Array
    left: Array
    better: Flags
    gain: Array


class Bank:
    """Scores of candidates.

    Args:
        servo: the drives.
        history: of the commands; its levels from ``first`` on are ``LAGS``.
        first: see there.
    """

    def __init__(self, servo: Servo, history: CommandHistory, first: int) -> None:
        self._servo, self._history = servo, history
        delay, lag = np.meshgrid(np.arange(len(DELAYS)), np.arange(len(LAGS)), indexing='ij')
        self._delay, self._lag = DELAYS[delay.ravel()], LAGS[lag.ravel()]
        self._levels = first + lag.ravel()
        self._sums = np.zeros((6, len(self._delay), len(servo.forward)))

    def learn(
        self, stamp: float, taken_off: Array, effort: Array, valid: Flags, least: Array
    ) -> None:
        """Take a row, unless all candidates agree on it.

        Args:
            stamp: [s].
            taken_off: (nj,) by the drives' loops, see :meth:`Servo.feedback`.
            effort: (nj,).
            valid: (nj,) which ones to believe.
            least: (nj,) effort by which candidates must differ.
        """
        times = np.broadcast_to((stamp - self._delay)[:, None], self._sums.shape[1:])
        value, known = self._history.at(times, self._levels)
        asked = self._servo.forward * value
        weight = (
            known & valid & (np.ptp(np.where(known, asked, asked[0]), axis=0) > least)
        ).astype(float)
        asked -= taken_off
        asked *= weight
        y = weight * np.where(valid, effort, 0.0)
        for sums, term in zip(self._sums, (weight, asked, y, asked * asked, asked * y, y * y)):
            sums += term

    def fade(self, joints: Flags) -> None:
        """Let older rows of some joints (nj,) count less."""
        self._sums[:, :, joints] *= FADING

    def forget(self, joints: Flags) -> None:
        """Forget all about some joints (nj,)."""
        self._sums[:, :, joints] = 0.0

    def best(self, timing: Array, others: Flags) -> Best:
        """The best candidates.

        Args:
            timing: (2, nj) delays and lags that are believed [s].
            others: (nj,) joints of which it cannot be those, whatever they leave.
        """
        rows, z, y, zz, zy, yy = self._sums
        n = np.maximum(rows, 1.0)
        spread, common, power = zz - z * z / n, zy - z * y / n, yy - y * y / n
        share = np.zeros_like(spread)
        np.divide(common * np.maximum(common, 0.0), spread, out=share, where=spread > 0)
        left = np.maximum(power - share, 0.0) / n
        few = rows < np.maximum(LEAST_ROWS, LEAST_SHARE * rows.max(axis=0))
        left[few] = np.inf
        near = np.abs(self._delay[:, None] - timing[0]) <= NEAR * _apart(DELAYS, timing[0])
        near &= np.abs(self._lag[:, None] - timing[1]) <= NEAR * _apart(LAGS, timing[1])
        left[near & others] = np.inf
        place = left.argmin(axis=0)
        found = np.stack([self._delay[place], self._lag[place]])
        best, columns = left.min(axis=0), np.arange(left.shape[1])
        worse = best * (1.0 + CLEARLY / n[place, columns])
        better = np.isfinite(best) & (np.where(near, left, np.inf).min(axis=0) > worse)
        apart = np.stack([_apart(DELAYS, found[0]), _apart(LAGS, found[1])])
        scale = np.where(spread > 0, spread, np.inf)[place, columns]
        return Best(found, apart, best, better, common[place, columns] / scale)


def _apart(grid: Array, value: Array) -> Array:
    """Distance between the points of a grid on both sides of a value."""
    place = np.clip(np.searchsorted(grid, value), 1, len(grid) - 1)
    return np.asarray(grid[place] - grid[place - 1])
