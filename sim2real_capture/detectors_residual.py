"""Scores of efforts: what commands and motion do not explain of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
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
    whitening,
)
from sim2real_capture.detectors_motion import Average
from sim2real_capture.signals import Sample
from sim2real_core.errors import Fault, InputError
from sim2real_core.joint_states import shortest

Array = npt.NDArray[np.float64]

MEAGRE = 0.01
"""What is known of less than this share of the time is not learned from."""
WARM_UP = 4.0
"""Time constants until an average counts."""
SATURATED = 0.97
"""Efforts beyond this part of the limit follow no linear law and are not learned from."""
HORIZON, TAPS = 0.1, 11
"""How far back commands may act on an effort [s], and in how many steps."""


class Row(NamedTuple):
    """What a residual is made of at one instant.

    Attributes:
        effort: (*batch, nj) as measured [N*m or N].
        doubt: (*batch, nj) from 0 to 1, how much of what is only known at times is not known.
        features: gives (*batch, nj, f), when it is asked.
    """

    effort: Array
    doubt: Array
    features: Callable[[], Array]


class Residual(ABC):
    """What a linear model of each joint's effort does not explain, in its usual deviations.

    Subclasses make the features. The variance that is usual is learned as ``a + b * doubt``.
    Scores are one per joint, and one of all joints together, which counts how unusual the
    deviations are as they belong together (Hotelling's T^2).

    Args:
        names: (nj,) joint names.
        time: time constant of the average that is scored [s].
    """

    takes = Sample
    suggested = None

    def __init__(self, names: Sequence[str], time: float) -> None:
        self.elements = (*names, 'together')
        self.learned: Learned = {}
        self._limits: Array = np.full(len(names), np.inf)
        self._average = Average(time)
        # The past that features need, and the average: it begins as a single, noisy residual.
        self._warm_up = HORIZON + WARM_UP * time
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._begin()
        self._restart()

    def _begin(self) -> None:
        self._begun: float | None = None
        self._looked = -math.inf
        self._average.reset()

    @abstractmethod
    def _restart(self) -> None:
        """Forget the history that features need."""

    @abstractmethod
    def _row(self, sample: Sample) -> Row | None:
        """What there is to say of a sample; None where it lacks something."""

    def _look(self, sample: Sample) -> tuple[Array, Array, Array] | None:
        """Effort, doubt and features, now and then, once enough of the past is known."""
        row = self._row(sample)
        if row is None:
            self._begin()
            return None
        if self._begun is None:
            self._begun = sample.stamp
        if sample.stamp - self._begun < HORIZON or sample.stamp - self._looked < PERIOD:
            return None
        self._looked = sample.stamp
        return row.effort, row.doubt, row.features()

    def _residual(self, sample: Sample) -> tuple[Array, Array] | None:
        """Averages of the unexplained effort and of the doubt, (*batch, nj) each."""
        seen = self._look(sample)
        if seen is None or self._begun is None:
            return None
        effort, doubt, features = seen
        linear = np.einsum('...jf,jf->...j', features, self.learned['weights'])
        unexplained = effort - np.clip(linear, -self._limits, self._limits)
        both = self._average.update(sample.stamp, np.stack([unexplained, doubt]))
        return None if sample.stamp - self._begun < self._warm_up else (both[0], both[1])

    def _standard(self, residual: Array, doubt: Array) -> Array:
        """In usual deviations."""
        sure, unsure = self.learned['variance']
        return (residual - self.learned['mean']) / np.sqrt(sure + unsure * doubt)

    def score(self, sample: Sample) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing without efforts."""
        found = self._residual(sample) if self.learned else None
        if found is None:
            return None
        standard = self._standard(*found)
        together = np.linalg.norm(standard @ self.learned['whitening'], axis=-1, keepdims=True)
        return np.concatenate([np.abs(standard), together], axis=-1)

    def fit(self, recordings: Sequence[Recording], rng: np.random.Generator) -> None:
        """See :class:`LearningScorer`."""
        self.learned = {'weights': self._regress(recordings)}
        found = [
            np.stack(both).reshape(2, -1, len(self.elements) - 1)
            for both in through(self, recordings, self._residual)
        ]
        if not found:
            mend = f'all are shorter than the {self._warm_up:g} s that an average takes'
            raise InputError(Fault('recordings', 'too short', mend))
        residuals, doubts = np.concatenate(found, axis=1)
        mean = residuals.mean(axis=0)
        variance = _variance(residuals - mean, doubts)
        self.learned = {**self.learned, 'mean': mean, 'variance': variance}
        spread = np.atleast_2d(np.cov(self._standard(residuals, doubts).T))
        self.learned = {**self.learned, 'whitening': whitening(spread)}
        self.reset()

    def load(self, learned: Learned) -> None:
        """See :class:`LearningScorer`."""
        count = len(self.elements) - 1
        shapes = {'mean': (count,), 'variance': (2, count), 'whitening': (count, count)}
        check_shapes(learned, shapes)
        self.learned = learned

    def _regress(self, recordings: Sequence[Recording]) -> Array:
        """Weights (nj, f) by ridge regression, one joint at a time."""
        products: Array | None = None
        for effort, _, features in through(self, recordings, self._look):
            x = features.reshape(-1, *features.shape[-2:])
            xy = np.concatenate([x, effort.reshape(len(x), -1, 1)], axis=2)
            xy = xy * (np.abs(xy[..., -1:]) < SATURATED * self._limits[:, None])
            found = np.einsum('njf,njg->jfg', xy, xy)
            products = found if products is None else products + found
        if products is None:
            mend = 'give joint states with position, velocity and effort, and commands'
            raise InputError(Fault('recordings', 'nothing', mend))
        return ridge(products)


class DynamicsResidual(Residual):
    """Efforts that the motion does not explain: payloads, friction, pushes, collisions.

    Features of a joint: its effort by inverse dynamics, its acceleration and velocity, the sign
    of its velocity (smooth), and a constant. Everything passes the same first-order filter, from
    which the acceleration comes without differentiating noise. At rest dry friction is anything
    up to break-away, so there is doubt where a joint hardly moves.

    Args:
        names: (nj,) joint names.
        velocities: (nj,) largest velocities [rad/s or m/s].
        inverse: efforts (nj,) of a position, velocity and acceleration (nj,) each.
        smoothing: time constant of the filter [s].
        time: time constant of the average that is scored [s].
    """

    def __init__(
        self,
        names: Sequence[str],
        velocities: Array,
        inverse: Callable[[Array, Array, Array], Array],
        smoothing: float,
        time: float,
    ) -> None:
        self._slow = 0.01 * np.where(np.isfinite(velocities), velocities, 1.0)
        self._inverse = inverse
        self._smoothing = smoothing
        self._filter = Average(smoothing)
        super().__init__(names, time)

    def _restart(self) -> None:
        self._filter.reset()

    def _row(self, sample: Sample) -> Row | None:
        if sample.position is None or sample.velocity is None or sample.effort is None:
            self._filter.reset()
            return None
        now = np.stack([sample.position, sample.velocity, sample.effort])
        position, velocity, effort = self._filter.update(sample.stamp, now)
        acceleration = (sample.velocity - velocity) / self._smoothing
        sign = np.tanh(velocity / self._slow)

        def features() -> Array:
            flat = [a.reshape(-1, a.shape[-1]) for a in (position, velocity, acceleration)]
            rigid = np.array([self._inverse(*row) for row in zip(*flat)]).reshape(position.shape)
            return np.stack([rigid, acceleration, velocity, sign, np.ones_like(velocity)], axis=-1)

        return Row(effort, 1.0 - sign**2, features)


class DriveResidual(Residual):
    """Efforts that commands do not explain: delays, lost gain, a sensor that drives do not have.

    Features of a joint: the command less the measurement, for commands up to ``HORIZON`` ago,
    its velocity, and a constant: any drive whose effort follows from these linearly.

    Args:
        names: (nj,) joint names.
        interface: what is commanded; for efforts the measurement is no feature.
        limits: (nj,) largest efforts, where drives saturate [N*m or N].
        continuous: (nj,) joints whose angles may wrap.
        time: time constant of the average that is scored [s].
    """

    def __init__(
        self,
        names: Sequence[str],
        interface: str,
        limits: Array,
        continuous: npt.ArrayLike,
        time: float,
    ) -> None:
        self._closed = interface != 'effort'
        self._continuous = np.asarray(continuous, dtype=bool)
        self._lags = np.linspace(0.0, HORIZON, TAPS)
        super().__init__(names, time)
        self._limits = np.where(limits > 0, limits, np.inf)

    def _restart(self) -> None:
        self._past: deque[tuple[float, Array]] = deque()

    def _row(self, sample: Sample) -> Row | None:
        velocity = sample.velocity
        if sample.command is None or velocity is None or sample.effort is None:
            self._past.clear()
            return None
        self._past.append((sample.stamp, np.array(sample.command)))
        while len(self._past) > 2 and self._past[1][0] <= sample.stamp - HORIZON:
            self._past.popleft()

        def features() -> Array:
            stamps = np.array([stamp for stamp, _ in self._past]) - 1e-9
            index = np.searchsorted(stamps, sample.stamp - self._lags, side='right') - 1
            given = [self._past[max(i, 0)][1] for i in index]
            if self._closed:
                given = [shortest(u - sample.measured, self._continuous) for u in given]
            return np.stack([*given, velocity, np.ones_like(velocity)], axis=-1)

        return Row(sample.effort, np.zeros_like(sample.effort), features)


def _variance(residuals: Array, doubts: Array) -> Array:
    """The ``a`` and ``b`` (2, nj) of the variance ``a + b * doubt`` of residuals (n, nj)."""
    square = residuals**2
    sure = 1.0 - doubts
    tiny = np.finfo(float).tiny
    # Means over the sure and the unsure share of the time; a joint may never move, or rest.
    known = (sure * square).sum(axis=0) / np.maximum(sure.sum(axis=0), tiny)
    unknown = (doubts * square).sum(axis=0) / np.maximum(doubts.sum(axis=0), tiny)
    known = np.where(sure.sum(axis=0) > MEAGRE * len(square), known, unknown)
    return np.stack([np.maximum(known, tiny), np.maximum(unknown - known, 0.0)])
