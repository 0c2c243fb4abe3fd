"""What scorers that learn from nominal episodes have in common.

All learn in closed form (least squares, covariances) and need nothing but NumPy on the robot.
What was learned is a mapping of arrays, kept in the thresholds file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors import Scorer
from sim2real_capture.signals import Sample, Signal
from sim2real_core.errors import Fault, InputError

Array = npt.NDArray[np.float64]
Learned = Mapping[str, Array]

RIDGE = 1e-6
"""Weight of the ridge, in parts of a feature's mean square."""
PERIOD = 0.0039
"""Residuals are looked at this often at most [s]: drives answer no faster."""


class Recording(Protocol):
    """Episodes to learn from: signals in order of time, that may be gone through again."""

    @property
    def episodes(self) -> int:
        """How many lie side by side in the signals' arrays."""
        ...

    def __iter__(self) -> Iterator[Signal]:
        """The signals."""
        ...


@runtime_checkable
class LearningScorer(Protocol):
    """A scorer that says nothing before it has learned."""

    @property
    def learned(self) -> Learned:
        """What it knows; empty before it has learned."""
        ...

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


def through(
    scorer: Scorer, recordings: Sequence[Recording], step: Callable[[Sample], Any]
) -> Iterator[Any]:
    """What a step of the scorer, reset before each recording, says of the samples, if anything."""
    for recording in recordings:
        scorer.reset()
        for signal in recording:
            if isinstance(signal, Sample) and (found := step(signal)) is not None:
                yield found
    scorer.reset()


def check_shapes(learned: Learned, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ``InputError`` where what was learned is not of these shapes."""
    for name, shape in shapes.items():
        if name not in learned or learned[name].shape != shape:
            found = learned[name].shape if name in learned else None
            raise InputError(Fault(name, found, f'must be of shape {shape}: calibrate anew'))


def ridge(products: Array) -> Array:
    """Weights (nj, f) of ridge regressions, one joint at a time.

    Args:
        products: (nj, f + 1, f + 1), sums of products of features, the last of which is sought.
    """
    gram, cross = products[:, :-1, :-1], products[:, :-1, -1:]
    size = np.sqrt(np.maximum(np.einsum('jff->jf', gram), np.finfo(float).tiny))
    scaled = gram / size[:, :, None] / size[:, None, :] + RIDGE * np.eye(gram.shape[-1])
    return np.asarray(np.linalg.solve(scaled, cross / size[:, :, None])[..., 0] / size)


def whitening(covariance: Array) -> Array:
    """A matrix W with W W^T the inverse of a covariance, of which a thousandth is made even."""
    scale = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / np.outer(scale, scale)
    even = 0.999 * correlation + 0.001 * np.eye(len(scale))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(even)).T / scale[:, None])
