"""Score of friction: efforts along the motion that it does not explain.

Dry friction is small beside what accelerates a stiff, quick drive, whose effort may turn over
several times between two joint states; a sum over time still tells it apart, since it always
points against the motion. Between two joint states the momentum tells exactly what the mean
effort was. The measured efforts tell it well where they hardly changed, and poorly where they
jumped, so each interval counts by how certain it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors_learned import (
    PERIOD,
    Learned,
    Recording,
    check_shapes,
    ridge,
    through,
)
from sim2real_capture.signals import Sample
from sim2real_core.errors import Fault, InputError

Array = npt.NDArray[np.float64]

MOST = 40000
"""Intervals that are learned from, drawn evenly from all."""
RUN = 7
"""Intervals over whose means is regressed: in a single one the noise of the velocities is as large
as what the acceleration changes, and a regression makes too little of features with noise. No
multiple of the samples between two commands, as a rule: means over these hide what each does."""
ROUNDS = 4
"""Rounds of weighted least squares: weights and variances in turn."""
FEATURES = 6
LEAST = 1e-12
"""Smallest variance, where a driver reports efforts of zero."""


class Interval(NamedTuple):
    """A short time in which a joint's motion and efforts are known.

    Attributes:
        step: its length [s].
        effort: (*batch, nj) mean by the trapezoidal rule [N*m or N].
        direction: (*batch, nj) of the motion, from -1 to 1, smooth about rest.
        doubts: (3, *batch, nj) what its variance is made of: one, the squared error that jumps of
            the effort may have made [effort^2], and how much the joint rests, 0 to 1.
        features: gives (*batch, nj, FEATURES), when it is asked.
    """

    step: float
    effort: Array
    direction: Array
    doubts: Array
    features: Callable[[], Array]


class FrictionResidual:
    """Unexplained effort along the motion, in standard deviations of its weighted sum.

    A linear model of each joint's mean effort is learned, from its effort by inverse dynamics,
    its acceleration (change of velocity over the interval), velocity, direction, a constant, and
    the change of its effort (drives may report early or late). With residuals ``r``, variances
    ``s^2`` and directions ``d`` the score is ``|sum(d r / s^2)| / sqrt(sum(1 / s^2))``, both sums
    fading over time.

    Args:
        names: (nj,) joint names.
        velocities: (nj,) largest velocities [rad/s or m/s].
        inverse: efforts (nj,) of a position, velocity and acceleration (nj,) each.
        time: time constant of fading [s].
    """

    takes = Sample
    suggested = None

    def __init__(
        self,
        names: Sequence[str],
        velocities: Array,
        inverse: Callable[[Array, Array, Array], Array],
        time: float,
    ) -> None:
        self.elements = tuple(names)
        self.learned: Learned = {}
        self._slow = 0.01 * np.where(np.isfinite(velocities), velocities, 1.0)
        self._inverse = inverse
        self._time = time
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._begin: Sample | None = None
        self._sums: Array | None = None
        self._seen = 0.0

    def _start(self, sample: Sample) -> None:
        self._begin = self._last = sample
        self._area, self._change, self._jumps = np.zeros((3, *sample.measured.shape))

    def _interval(self, sample: Sample) -> Interval | None:
        """The interval that a sample ends; None when it ends none, or lacks something."""
        if sample.position is None or sample.velocity is None or sample.effort is None:
            self.reset()
            return None
        if self._begin is None:
            self._start(sample)
            return None
        before, after = np.asarray(self._last.effort), sample.effort
        step = sample.stamp - self._last.stamp
        self._area = self._area + 0.5 * step * (before + after)
        self._change = self._change + step * (after - before)
        self._jumps = self._jumps + (step * (after - before)) ** 2
        begin, self._last = self._begin, sample
        whole = sample.stamp - begin.stamp
        if whole < PERIOD:
            return None
        effort, change, jumps = self._area / whole, self._change / whole, self._jumps / whole**2
        self._start(sample)
        velocity = 0.5 * (np.asarray(begin.velocity) + sample.velocity)
        acceleration = (sample.velocity - np.asarray(begin.velocity)) / whole
        direction = np.tanh(velocity / self._slow)
        position = sample.position

        def features() -> Array:
            flat = [a.reshape(-1, a.shape[-1]) for a in (position, velocity, acceleration)]
            rigid = np.array([self._inverse(*row) for row in zip(*flat)]).reshape(position.shape)
            one = np.ones_like(velocity)
            return np.stack([rigid, acceleration, velocity, direction, one, change], axis=-1)

        doubts = np.stack([np.ones_like(jumps), jumps, 1.0 - direction**2])
        return Interval(whole, effort, direction, doubts, features)

    def score(self, sample: Sample) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing without efforts."""
        interval = self._interval(sample) if self.learned else None
        if interval is None:
            return None
        explained = np.einsum('...jf,jf->...j', interval.features(), self.learned['weights'])
        certainty = 1.0 / np.einsum('d...j,dj->...j', interval.doubts, self.learned['variance'])
        along = certainty * interval.direction * (interval.effort - explained)
        new, kept = np.stack([along, certainty]), math.exp(-interval.step / self._time)
        if self._sums is None:
            self._sums = np.zeros_like(new)
        # Squares fade twice as fast, so that the sum's variance stays what it says.
        self._sums = np.stack([kept * self._sums[0], kept**2 * self._sums[1]]) + new
        self._seen += interval.step
        if self._seen < self._time:
            return None
        return np.asarray(np.abs(self._sums[0]) / np.sqrt(self._sums[1]))

    def fit(self, recordings: Sequence[Recording], rng: np.random.Generator) -> None:
        """See :class:`~sim2real_capture.detectors_learned.LearningScorer`."""
        self.learned = {}
        known, doubts = self._drawn(recordings, rng)
        means, each = known.mean(axis=1), doubts.reshape(-1, *doubts.shape[2:])
        spread = np.ones(known.shape[:3])
        for _ in range(ROUNDS):
            certainty = 1.0 / spread.mean(axis=1)
            weights = ridge(np.einsum('nj,njf,njg->jfg', certainty, means, means))
            residual = known[..., -1] - np.einsum('nkjf,jf->nkj', known[..., :-1], weights)
            square, weight = (a.reshape(-1, a.shape[-1]) for a in (residual**2, 1.0 / spread))
            variance = _variance(square, each, weight)
            spread = np.einsum('nkjd,dj->nkj', doubts, variance)
        self.learned = {'weights': weights, 'variance': variance}

    def load(self, learned: Learned) -> None:
        """See :class:`~sim2real_capture.detectors_learned.LearningScorer`."""
        count = len(self.elements)
        check_shapes(learned, {'weights': (count, FEATURES), 'variance': (3, count)})
        self.learned = learned

    def _drawn(
        self, recordings: Sequence[Recording], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Features and effort (n, RUN, nj, FEATURES + 1), doubts (n, RUN, nj, 3), of n runs.

        Drawn evenly by reservoir sampling (Vitter 1985, R), so that features are made of few that
        are not kept.
        """
        drawn: list[tuple[Array, Array]] = []
        joints = len(self.elements)
        for index, run in enumerate(self._runs(recordings)):
            most = max(1, MOST * joints // (RUN * run[0].effort.size))
            place = index if index < most else int(rng.integers(index + 1))
            if place >= most:
                continue
            known = np.stack(
                [np.concatenate([i.features(), i.effort[..., None]], axis=-1) for i in run],
                axis=-3,
            )
            doubts = np.stack([np.moveaxis(i.doubts, 0, -1) for i in run], axis=-3)
            row = (
                known.reshape(-1, RUN, joints, FEATURES + 1),
                doubts.reshape(-1, RUN, joints, 3),
            )
            if place < len(drawn):
                drawn[place] = row
            else:
                drawn.append(row)
        if not drawn:
            long = f'{RUN + 1} or more in a row, over {RUN * PERIOD:.3f} s or more'
            mend = f'give joint states with position, velocity and effort, {long}'
            raise InputError(Fault('recordings', 'nothing', mend))
        return tuple(np.concatenate(rows) for rows in zip(*drawn))  # type: ignore[return-value]

    def _runs(self, recordings: Sequence[Recording]) -> Iterator[list[Interval]]:
        """Intervals that follow each other, ``RUN`` at a time."""
        for recording in recordings:
            run: list[Interval] = []
            for interval in through(self, [recording], self._interval):
                run.append(interval)
                if len(run) == RUN:
                    yield run
                    run = []


def _variance(square: Array, doubts: Array, certainty: Array) -> Array:
    """What each doubt adds to the variance, (3, nj), by weighted non-negative least squares.

    Args:
        square: (n, nj) squared residuals.
        doubts: (n, nj, 3).
        certainty: (n, nj) weight of each.
    """
    from scipy.optimize import nnls  # takes a second

    found = np.zeros((doubts.shape[2], doubts.shape[1]))
    for joint in range(doubts.shape[1]):
        weight = certainty[:, joint]
        rows, target = doubts[:, joint] * weight[:, None], square[:, joint] * weight
        size = np.maximum(np.linalg.norm(rows, axis=0), np.finfo(float).tiny)
        found[:, joint] = nnls(rows / size, target)[0] / size
        # Some uncertainty is always there: no interval may count for ever.
        usual = float(np.mean(target) / np.mean(weight))
        found[0, joint] = max(found[0, joint], 1e-3 * usual, LEAST)
    return found
