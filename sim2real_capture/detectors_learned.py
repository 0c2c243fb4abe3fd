"""Scores learned from nominal episodes: what commands and motion do not explain, and novelty.

All learn in closed form (least squares, covariances) and need nothing but NumPy on the robot.
What was learned is a mapping of arrays, kept in the thresholds file.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors_motion import Average
from sim2real_capture.signals import Sample, Seen, Signal
from sim2real_core.errors import Fault, InputError
from sim2real_core.joint_states import shortest

Array = npt.NDArray[np.float64]
Learned = Mapping[str, Array]

RIDGE = 1e-6
"""Weight of the ridge, in parts of a feature's mean square."""
PERIOD = 0.0079
"""Residuals are looked at this often at most [s]: drives answer no faster."""
HORIZON, TAPS = 0.1, 11
"""How far back commands may act on an effort [s], and in how many steps."""


class Recording(Protocol):
    """Episodes to learn from: signals in order of time, that may be gone through again.

    Attributes:
        episodes: how many lie side by side in the signals' arrays.
    """

    episodes: int

    def __iter__(self) -> Iterator[Signal]:
        """The signals."""
        ...


class LearningScorer(Protocol):
    """A scorer that says nothing before it has learned.

    Attributes:
        learned: what it knows, empty before.
    """

    learned: Learned

    def fit(self, recordings: Sequence[Recording], rng: np.random.Generator) -> None:
        """Learn from nominal episodes; each may be gone through more than once.

        Raises:
            InputError: they hold nothing to learn from.
        """
        ...

    def load(self, learned: Learned) -> None:
        """Take what was learned before.

        Raises:
            InputError: it does not fit.
        """
        ...


class Residual:
    """What a linear model of each joint's effort does not explain, in its usual deviations.

    Subclasses make the features. Scores are one per joint, and one of all joints together,
    which counts how unusual the deviations are as they belong together (Hotelling's T^2).

    Args:
        names: (nj,) joint names.
        time: time constant of the average that is scored [s].
    """

    takes = Sample
    suggested = None

    def __init__(self, names: Sequence[str], time: float) -> None:
        self.elements = (*names, 'together')
        self.learned: Learned = {}
        self._average = Average(time)
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._average.reset()
        self._begun: float | None = None
        self._looked = -math.inf
        self._restart()

    def _restart(self) -> None:
        """Forget the history that features need."""
        raise NotImplementedError

    def _row(self, sample: Sample) -> tuple[Array, Callable[[], Array]] | None:
        """Efforts (*batch, nj), and what makes their features (*batch, nj, f)."""
        raise NotImplementedError

    def _look(self, sample: Sample) -> tuple[Array, Array] | None:
        """Efforts and features, now and then, once enough of the past is known."""
        row = self._row(sample)
        if row is None:
            self._begun = None
            return None
        if self._begun is None:
            self._begun = sample.stamp
        if sample.stamp - self._begun < HORIZON or sample.stamp - self._looked < PERIOD:
            return None
        self._looked = sample.stamp
        return row[0], row[1]()

    def _residual(self, sample: Sample) -> Array | None:
        """Averaged unexplained effort (*batch, nj)."""
        seen = self._look(sample)
        if seen is None:
            return None
        effort, features = seen
        unexplained = effort - np.einsum('...jf,jf->...j', features, self.learned['weights'])
        return self._average.update(sample.stamp, unexplained)

    def score(self, sample: Sample) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing without efforts."""
        residual = self._residual(sample) if self.learned else None
        if residual is None:
            return None
        centred = residual - self.learned['mean']
        whitened = centred @ self.learned['whitening']
        together = np.linalg.norm(whitened, axis=-1, keepdims=True)
        return np.concatenate([np.abs(centred) / self.learned['deviation'], together], axis=-1)

    def fit(self, recordings: Sequence[Recording], rng: np.random.Generator) -> None:
        """See :class:`LearningScorer`."""
        self.learned = {'weights': self._regress(recordings)}
        rows = [
            residual.reshape(-1, residual.shape[-1])
            for residual in self._through(recordings, self._residual)
        ]
        residuals = np.concatenate(rows)
        mean, covariance = residuals.mean(axis=0), np.atleast_2d(np.cov(residuals.T))
        deviation = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
        self.learned = {**self.learned, 'mean': mean, 'deviation': deviation,
                        'whitening': _whitening(covariance)}  # fmt: skip
        self.reset()

    def load(self, learned: Learned) -> None:
        """See :class:`LearningScorer`."""
        count = len(self.elements) - 1
        shapes = {'mean': (count,), 'deviation': (count,), 'whitening': (count, count)}
        for name, shape in shapes.items():
            if name not in learned or learned[name].shape != shape:
                found = learned[name].shape if name in learned else None
                raise InputError(Fault(name, found, f'must be of shape {shape}: calibrate anew'))
        self.learned = learned

    def _through(
        self, recordings: Sequence[Recording], step: Callable[[Sample], Any]
    ) -> Iterable[Any]:
        for recording in recordings:
            self.reset()
            for signal in recording:
                if isinstance(signal, Sample) and (found := step(signal)) is not None:
                    yield found

    def _regress(self, recordings: Sequence[Recording]) -> Array:
        """Weights (nj, f) by ridge regression, one joint at a time."""
        products: Array | None = None
        for effort, features in self._through(recordings, self._look):
            x = features.reshape(-1, *features.shape[-2:])
            xy = np.concatenate([x, effort.reshape(len(x), -1, 1)], axis=2)
            found = np.einsum('njf,njg->jfg', xy, xy)
            products = found if products is None else products + found
        if products is None:
            mend = 'give joint states with position, velocity and effort, and commands'
            raise InputError(Fault('recordings', 'nothing', mend))
        gram, cross = products[:, :-1, :-1], products[:, :-1, -1:]
        size = np.sqrt(np.maximum(np.einsum('jff->jf', gram), np.finfo(float).tiny))
        scaled = gram / size[:, :, None] / size[:, None, :] + RIDGE * np.eye(gram.shape[-1])
        return np.asarray(np.linalg.solve(scaled, cross / size[:, :, None])[..., 0] / size)


class DynamicsResidual(Residual):
    """Efforts that the motion does not explain: payloads, friction, pushes, collisions.

    Features of a joint: its effort by inverse dynamics, its acceleration and velocity, the sign
    of its velocity (smooth), and a constant. Everything passes the same first-order filter, from
    which the acceleration comes without differentiating noise.

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

    def _row(self, sample: Sample) -> tuple[Array, Callable[[], Array]] | None:
        if sample.position is None or sample.velocity is None or sample.effort is None:
            self._filter.reset()
            return None
        now = np.stack([sample.position, sample.velocity, sample.effort])
        position, velocity, effort = self._filter.update(sample.stamp, now)
        acceleration = (sample.velocity - velocity) / self._smoothing

        def features() -> Array:
            flat = [a.reshape(-1, a.shape[-1]) for a in (position, velocity, acceleration)]
            rigid = np.array([self._inverse(*row) for row in zip(*flat)]).reshape(position.shape)
            sign = np.tanh(velocity / self._slow)
            return np.stack([rigid, acceleration, velocity, sign, np.ones_like(velocity)], axis=-1)

        return effort, features


class DriveResidual(Residual):
    """Efforts that commands do not explain: delays, lost gain, a sensor that drives do not have.

    Features of a joint: the command less the measurement, for commands up to ``HORIZON`` ago,
    its velocity, and a constant: any drive whose effort follows from these linearly.

    Args:
        names: (nj,) joint names.
        interface: what is commanded; for efforts the measurement is no feature.
        continuous: (nj,) joints whose angles may wrap.
        time: time constant of the average that is scored [s].
    """

    def __init__(
        self, names: Sequence[str], interface: str, continuous: npt.ArrayLike, time: float
    ) -> None:
        self._closed = interface != 'effort'
        self._continuous = np.asarray(continuous, dtype=bool)
        self._lags = np.linspace(0.0, HORIZON, TAPS)
        super().__init__(names, time)

    def _restart(self) -> None:
        self._past: deque[tuple[float, Array]] = deque()

    def _row(self, sample: Sample) -> tuple[Array, Callable[[], Array]] | None:
        if sample.command is None or sample.velocity is None or sample.effort is None:
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
            return np.stack([*given, sample.velocity, np.ones_like(sample.velocity)], axis=-1)

        return sample.effort, features


class Novelty:
    """Base of scores of observations: how far one is from those of nominal episodes.

    Args:
        most: how many observations are learned from.
    """

    takes = Seen
    elements = ('observation',)
    suggested = None

    def __init__(self, most: int = 20000) -> None:
        self.learned: Learned = {}
        self._most = most

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`; it has no history."""

    def fit(self, recordings: Sequence[Recording], rng: np.random.Generator) -> None:
        """See :class:`LearningScorer`."""
        rows = [
            np.reshape(signal.values, (-1, signal.values.shape[-1]))
            for recording in recordings
            for signal in recording
            if isinstance(signal, Seen)
        ]
        if not rows:
            mend = 'give recordings of policy/observation'
            raise InputError(Fault('recordings', 'no observation', mend))
        if len({row.shape[1] for row in rows}) > 1:
            raise InputError(Fault('recordings', 'observations', 'must be of one policy'))
        seen = np.concatenate(rows)
        if len(seen) > self._most:
            seen = seen[rng.choice(len(seen), self._most, replace=False)]
        mean, deviation = seen.mean(axis=0), seen.std(axis=0)
        # What never changed may change a little.
        deviation = np.maximum(deviation, 1e-3 * np.maximum(1.0, np.abs(mean)))
        self.learned = {'mean': mean, 'deviation': deviation}
        self.learned = {**self.learned, **self._learn((seen - mean) / deviation, rng)}

    def _learn(self, seen: Array, rng: np.random.Generator) -> Learned:
        """From standardized observations (n, size)."""
        raise NotImplementedError

    def load(self, learned: Learned) -> None:
        """See :class:`LearningScorer`."""
        self.learned = learned

    def score(self, signal: Seen) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing before it has learned."""
        if not self.learned:
            return None
        if signal.values.shape[-1] != len(self.learned['mean']):
            return None  # another policy acts
        standard = (signal.values - self.learned['mean']) / self.learned['deviation']
        return np.asarray(self._distance(standard))[..., None]

    def _distance(self, seen: Array) -> Array:
        """Of standardized observations (*batch, size): (*batch,)."""
        raise NotImplementedError


class Mahalanobis(Novelty):
    """Distance from the mean observation in the metric of their covariance."""

    def _learn(self, seen: Array, rng: np.random.Generator) -> Learned:
        return {'whitening': _whitening(np.atleast_2d(np.cov(seen.T)))}

    def _distance(self, seen: Array) -> Array:
        return np.asarray(np.linalg.norm(seen @ self.learned['whitening'], axis=-1))


class Nearest(Novelty):
    """Distance to the k-th nearest of the observations that are kept.

    Args:
        neighbours: k.
        kept: how many observations are kept.
    """

    def __init__(self, neighbours: int, kept: int) -> None:
        super().__init__(kept)
        self._neighbours = neighbours

    def _learn(self, seen: Array, rng: np.random.Generator) -> Learned:
        return {'kept': seen}

    def _distance(self, seen: Array) -> Array:
        kept = self.learned['kept']
        square = (seen**2).sum(axis=-1)[..., None] + (kept**2).sum(axis=1) - 2.0 * seen @ kept.T
        nearest = np.partition(square, min(self._neighbours, len(kept)) - 1, axis=-1)
        return np.sqrt(np.maximum(nearest[..., min(self._neighbours, len(kept)) - 1], 0.0))


class Distillation(Novelty):
    """Random network distillation: where a student does not know what a random teacher says.

    The teacher is a fixed random network; the student (random features and a linear layer that
    is fitted in closed form) has seen its answers to nominal observations only, so that it errs
    on others. After Burda et al. 2019.

    Args:
        width: number of the student's features.
    """

    ANSWERS = 16

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def _learn(self, seen: Array, rng: np.random.Generator) -> Learned:
        size = seen.shape[1]
        nets = {
            'teacher': 2.0 * rng.normal(size=(size, 4 * self.ANSWERS)) / math.sqrt(size),
            'answers': rng.normal(size=(4 * self.ANSWERS, self.ANSWERS)) / math.sqrt(size),
            'features': rng.normal(size=(size, self._width)) / math.sqrt(size),
            'phases': rng.uniform(-np.pi, np.pi, self._width),
        }
        x, y = self._student(seen, nets), self._teacher(seen, nets)
        gram = x.T @ x + 1e-4 * len(x) * np.eye(x.shape[1])
        return {**nets, 'fitted': np.linalg.solve(gram, x.T @ y)}

    @staticmethod
    def _teacher(seen: Array, nets: Learned) -> Array:
        return np.asarray(np.tanh(seen @ nets['teacher']) @ nets['answers'])

    @staticmethod
    def _student(seen: Array, nets: Learned) -> Array:
        waves = np.cos(seen @ nets['features'] + nets['phases'])
        return np.concatenate([waves, seen, np.ones((*seen.shape[:-1], 1))], axis=-1)

    def _distance(self, seen: Array) -> Array:
        told = self._student(seen, self.learned) @ self.learned['fitted']
        return np.asarray(np.linalg.norm(told - self._teacher(seen, self.learned), axis=-1))


def _whitening(covariance: Array) -> Array:
    """A matrix W with W W^T the inverse of a covariance, of which a thousandth is made even."""
    scale = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / np.outer(scale, scale)
    even = 0.999 * correlation + 0.001 * np.eye(len(scale))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(even)).T / scale[:, None])
