"""Drives whose effort nobody measures: an effort from what was commanded.

The drive's loops make an effort from the command as followed, ``forward * c - stiffness * q -
damping * v``, and what the robot's motion makes of it tells delay and lag: where they are right,
inverse dynamics and friction explain the effort best. Both sides pass the filters that rows are
made with, through which delay and lag act smoothly. The gain is taken as 1: it cannot be told
from inertia and friction.

Example: 6 joints and a payload of one column give rows of 7 regressors and the observation.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim2real_sysid.blocks import Blocks, Fit
from sim2real_sysid.commands import Following
from sim2real_sysid.filters import ORDER, LagCascade
from sim2real_sysid.regression import ARMATURE, COULOMB, DELAY, LOCAL, VISCOUS, Rows
from sim2real_sysid.servo import Servo

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

POINTS = 16  # of the filters' weights over the past
GUESS, GUESSED = (
    0.01,
    0.02,
)  # s, delay and lag before anything is known, and how far they may be off
NARROWER = 0.7  # times the spread before, at most
FINEST = 0.1  # least spread, in sample periods
SOME_BLOCKS = 4  # before a fit is believed
LAG_SHARE = 0.5  # of the deviation that lateness may have, for the lag
ENOUGH_BLOCKS = 8  # before efforts are formed


class Unmeasured:
    """Delay and lag of drives without measured effort, and the effort of such drives.

    Args:
        servo: the drives.
        following: of their commands; this class aims it for its joints.
        length: of a block [s].
        memory: of the blocks [s].
        good: standard deviation of delay and lag together that efforts are formed with [s].
    """

    def __init__(
        self, servo: Servo, following: Following, length: float, memory: float, good: float
    ) -> None:
        self._servo, self._following = servo, following
        self._nj = len(servo.forward)
        self._length, self._memory, self._good = length, memory, good
        self._blocks: Blocks | None = None
        self._ages = np.zeros(POINTS)
        self._formed = np.zeros(self._nj, dtype=bool)
        self.lateness = np.full(self._nj, good)
        """(nj,) standard deviation of delay and lag together [s]."""
        self._finest = 0.0
        self.moved = np.full(self._nj, -math.inf)

    def open(self, bandwidth: float, period: float) -> None:
        """Learn the bandwidth of the rows' filters [Hz] and the sample period [s]."""
        pole = LagCascade(bandwidth, 1).pole
        age = np.linspace(0.0, 6.0 * ORDER / pole, 4000)
        terms = [(pole * age) ** k / math.factorial(k) for k in range(ORDER)]
        share = 1.0 - np.exp(-pole * age) * np.sum(terms, axis=0)  # Erlang's distribution
        self._ages = np.interp((np.arange(POINTS) + 0.5) / POINTS, share, age)
        self._finest = FINEST * period

    def restart(self) -> None:
        """Time starts anew."""
        if self._blocks is not None:
            self._blocks.restart()

    def form(self, rows: Rows, joints: Flags) -> Rows:
        """Learn from rows, and give some joints (nj,) the efforts that they lack.

        Args:
            rows: of filtered signals, with zero for efforts that are not measured.
            joints: (nj,) which ones these are.
        """
        values, valid = rows.values.copy(), rows.valid.copy()
        for k, stamp in enumerate(rows.stamp):
            times = float(stamp) - self._ages
            parts, known = self._following.at(times)
            value, by_delay, by_lag, _ = parts.mean(axis=1)
            telling = joints & rows.valid[k] & known.all(axis=0) & (self._servo.forward > 0)
            row = rows.values[k]
            taken_off = self._servo.feedback(rows.position[k], row[..., VISCOUS], value)
            if telling.any():
                self._learn(float(stamp), row, taken_off, (value, by_delay, by_lag), telling)
            delay, lag = self._following.timing
            asked = self._servo.forward * (value + by_delay * delay + by_lag * lag) - taken_off
            values[k, :, joints, -1] += asked.T[joints]
            values[k, :, joints, DELAY] = (self._servo.forward * by_delay)[joints, None]
            valid[k, joints] &= (telling & self._formed)[joints]
        return rows._replace(values=values, valid=valid)

    def _learn(
        self,
        stamp: float,
        row: Array,
        taken_off: Array,
        command: tuple[Array, Array, Array],
        telling: Flags,
    ) -> None:
        """Take a row (2, nj, p) of twins."""
        value, by_delay, by_lag = (self._servo.forward * part for part in command)
        both = np.stack([by_delay, by_lag], axis=1)[None].repeat(2, axis=0)
        own = -row[..., [ARMATURE, VISCOUS, COULOMB]]
        ones = -np.ones_like(own[..., :1])
        left = (row[..., -2] + taken_off - value)[..., None]
        twins = np.concatenate([both, own, ones, -row[..., LOCAL:-2], left], axis=2)
        if self._blocks is None:
            self._blocks = Blocks(self._nj, twins.shape[2], self._length, self._memory, tags=4)
        if self._blocks.due(stamp):
            self._look_again(telling)
            tags = np.concatenate([self._following.timing, self._following.spread])
            self._blocks.open(stamp, tags.T)
        for one, other in (twins, twins[::-1]):  # each is the other's instrument
            self._blocks.add(one, other, 0.5 * telling.astype(float))
        self.moved[telling] = stamp

    def fit(self, searching: bool = False) -> Fit | None:
        """Delay, lag and nuisances (nj, k); None before anything was learned."""
        if self._blocks is None or not len(self._blocks.count):
            return None
        k = self._blocks.products.shape[-1] - 1
        start, deviation = np.zeros((self._nj, k)), np.full((self._nj, k), np.inf)
        start[:, :2], deviation[:, :2] = GUESS, GUESSED if searching else 10.0 * GUESSED
        return self._blocks.solve(start, deviation, self._following.usable(self._blocks.tags))

    def _look_again(self, joints: Flags) -> None:
        fit = self.fit(searching=True)
        if fit is None:
            return
        following = self._following
        some = joints & (fit.blocks >= SOME_BLOCKS)
        deviation = np.sqrt(np.diagonal(fit.covariance, axis1=1, axis2=2))[:, :2].T
        spread = following.spread
        step = np.clip(fit.mean[:, :2].T - following.timing, -spread, spread)
        tight = np.maximum(np.clip(deviation, NARROWER * spread, spread), self._finest)
        timing = np.where(some, following.timing + step, following.timing)
        following.aim(timing, np.where(some, tight, spread))
        together = np.sqrt(np.maximum(fit.covariance[:, :2, :2].sum(axis=(1, 2)), 0.0))
        self.lateness = np.where(some, together, self.lateness)
        # Rows have a column for efforts that are late, none for a wrong lag.
        sure = (together < self._good) & (deviation[1] < LAG_SHARE * self._good)
        self._formed = np.where(joints, sure & (fit.blocks >= ENOUGH_BLOCKS), self._formed)
