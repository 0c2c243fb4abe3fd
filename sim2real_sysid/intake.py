"""Samples as they come, to runs of samples that follow one another.

Samples are collected for a tenth of a second and then worked off together: what is done to a
hundred of them costs little more than what is done to one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.joint_states import UNSTAMPED, is_late, shortest
from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

HOLD = 0.1  # s that samples are collected
MOST_WAITING = 256  # samples that are worked off together
BRIDGED = 15.0  # periods, about the longest gap that filters for even samples bridge
RATE_SAMPLES = 50  # intervals from which the sample period is learned
REMEMBERED = 500.0  # intervals from which it is known how even they are
JUMP = 3.0  # times the speed limit
GLITCH = 10.0  # times the effort limit
LARGEST = 1e9  # SI; whatever is beyond is no measurement


class Run(NamedTuple):
    """Samples without a break.

    Attributes:
        follows: whether they go on where the last run ended.
        stamp: (m,) ascending [s].
        position: (m, nj) finite; continuous joints count on from turn to turn.
        effort: (m, nj), NaN where there is none.
    """

    follows: bool
    stamp: Array
    position: Array
    effort: Array


class Intake:
    """Takes samples, leaves out what is of no use, and says so.

    Args:
        profile: the robot.

    Attributes:
        faults: how many samples were of no use, by reason.
        period: between samples [s]; 0 before it is known.
        longest_gap: that can be bridged [s].
        stamp: of the newest sample of use [s].
        passed: seconds since the last call of :meth:`runs`.
        ceiling: (2, nj) sizes from which on negative and positive efforts are no measurement.
    """

    def __init__(self, profile: RobotProfile) -> None:
        nj = len(profile.joints)
        self._names = profile.joint_names
        self._continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
        self._turns = bool(self._continuous.any())
        self._limit = profile.array('velocity')
        self._slack = 10.0 * profile.array('position_noise')
        self._largest = np.minimum(GLITCH * profile.array('effort'), LARGEST)
        self._intervals: list[float] = []
        self._lengths = self._cubes = 0.0
        self._newest = self.stamp = -math.inf
        self._position = np.zeros(nj)
        self._first_effort = np.full(nj, np.nan)
        self._alive = np.zeros(nj, dtype=bool)
        self._stamps = np.zeros(MOST_WAITING)
        self._samples = np.zeros((MOST_WAITING, 2, nj))
        self.waiting = 0
        self.period = self.passed = 0.0
        self.longest_gap = math.inf
        self.ceiling = np.stack([self._largest, self._largest])
        self.faults: Counter[str] = Counter()

    def take(self, stamp: float, position: Array, effort: Array) -> bool:
        """Take one sample, see :meth:`OnlineIdentifier.update`; whether runs are due."""
        if not math.isfinite(stamp) or is_late(stamp, self._newest):
            unstamped = stamp == self._newest == 0.0
            self.faults[UNSTAMPED if unstamped else 'stamp does not advance'] += 1
            return False
        sample = self._samples[self.waiting]
        self._stamps[self.waiting] = self._newest = stamp
        sample[0], sample[1] = position, effort
        self.waiting += 1
        return abs(stamp - self.stamp) >= HOLD or self.waiting == MOST_WAITING

    @property
    def raw(self) -> tuple[Array, Array, Array]:
        """Stamps (m,), positions and efforts (m, nj) that wait, as they came."""
        n = self.waiting
        return self._stamps[:n], self._samples[:n, 0], self._samples[:n, 1]

    def runs(self) -> Iterator[Run]:
        """What the samples that wait are good for."""
        n, self.waiting, self.passed = self.waiting, 0, 0.0
        stamps, samples = self._stamps[:n].copy(), self._samples[:n].copy()
        positions = samples[:, 0]
        missing = ~(np.abs(positions) < LARGEST)
        efforts = self._measured(samples[:, 1])
        if missing.any():
            self._blame(missing, 'no position of')
            whole = ~missing.any(axis=1)
            stamps, positions, efforts = stamps[whole], positions[whole], efforts[whole]
        if not len(stamps):
            return
        known = self.period > 0.0
        starts, positions = self._joined(stamps, positions)
        self.stamp, self._position = float(stamps[-1]), positions[-1].copy()
        if not known:
            return
        dead = np.isnan(efforts)
        if dead.any():
            self._blame(dead, 'no effort of')
        for begin, end in zip([0, *starts], [*starts, n]):
            run = slice(begin, end)
            if len(stamps[run]):
                follows = begin not in starts
                yield Run(follows, stamps[run], positions[run], efforts[run])

    def _blame(self, flags: npt.NDArray[np.bool_], what: str) -> None:
        """Count samples with a fault of some joints; ``flags``: (n, nj)."""
        for row in flags[flags.any(axis=1)]:
            names = ', '.join(name for name, flag in zip(self._names, row) if flag)
            self.faults[f'{what} {names}'] += 1

    def _measured(self, efforts: Array) -> Array:
        """The efforts (n, nj), NaN where there is none, or one that cannot be.

        A driver without an effort sensor may report zero, always; it is believed once it has
        reported two values.
        """
        low, high = self.ceiling
        efforts = np.where((efforts > -low) & (efforts < high), efforts, np.nan)
        if self._alive.all():
            return efforts
        for effort in efforts:
            self._first_effort = np.where(np.isnan(self._first_effort), effort, self._first_effort)
            self._alive |= np.abs(effort - self._first_effort) > 0.0
        return np.where(self._alive, efforts, np.nan)

    def _joined(self, stamps: Array, positions: Array) -> tuple[list[int], Array]:
        """Join samples to the last ones.

        Returns:
            Where the signals start over, and positions (n, nj) that count on from turn to turn.
        """
        dt = np.diff(stamps, prepend=self.stamp)
        steps = np.diff(positions, axis=0, prepend=self._position[None])
        if self._turns:
            steps = shortest(steps, self._continuous)
            positions = self._position + steps.cumsum(axis=0)
        timed = np.isfinite(dt)
        most = JUMP * self._limit * dt[:, None] + self._slack
        jumped = np.asarray((np.abs(steps) > most).any(axis=1))
        gap = timed & (dt > self.longest_gap)
        broken = (dt < 0.0) | jumped | gap
        for k in np.flatnonzero(broken):
            reason = 'backward stamp' if dt[k] < 0 else 'position jumped' if jumped[k] else 'gap'
            self.faults[f'started over: {reason}'] += 1
        self.passed = float(dt[(dt > 0.0) & timed].sum())
        self._learn_period(dt[timed & ~broken])
        return [int(k) for k in np.flatnonzero(broken | ~timed)], positions

    def _learn_period(self, intervals: Array) -> None:
        if self.period == 0.0:
            self._intervals += intervals.tolist()
            if len(self._intervals) < RATE_SAMPLES:
                return
            intervals = np.array(self._intervals)
            self.period = float(np.median(intervals))
            intervals = intervals[intervals <= BRIDGED * self.period]
        keep = max(1.0 - len(intervals) / REMEMBERED, 0.0)
        self._lengths = keep * self._lengths + intervals.sum()
        self._cubes = keep * self._cubes + (intervals**3).sum()

    @property
    def coarseness(self) -> float:
        """Period [s] of even samples between which straight lines are as wrong as between these.

        A line misses a curve by the square of its length, and for as long as it is.
        """
        return math.sqrt(self._cubes / self._lengths) if self._lengths > 0.0 else 0.0
