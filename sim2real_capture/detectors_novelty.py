"""Scores of novelty: how far what the policy sees is from what it saw in nominal episodes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors_learned import Learned, Recording, whitening
from sim2real_capture.signals import Seen
from sim2real_core.errors import Fault, InputError

Array = npt.NDArray[np.float64]


class Novelty(ABC):
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

    def reset(self) -> None:  # noqa: B027
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

    @abstractmethod
    def _learn(self, seen: Array, rng: np.random.Generator) -> Learned:
        """From standardized observations (n, size)."""

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

    @abstractmethod
    def _distance(self, seen: Array) -> Array:
        """Of standardized observations (*batch, size): (*batch,)."""


class Mahalanobis(Novelty):
    """Distance from the mean observation in the metric of their covariance."""

    def _learn(self, seen: Array, rng: np.random.Generator) -> Learned:
        return {'whitening': whitening(np.atleast_2d(np.cov(seen.T)))}

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
