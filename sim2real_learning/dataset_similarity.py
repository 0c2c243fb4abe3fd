"""How alike two failures are.

Their observations from ``BEFORE`` to ``AFTER`` the failure are taken at ``POINTS`` instants and
measured in standard deviations of each element over all of them. The distance is the root mean
square of the difference: 0 for the same motion, about 1.4 for two that have nothing to do with
one another. Failures that other detectors raised, or in other joints, are never alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sim2real_learning.dataset import Case

Array = npt.NDArray[np.float64]

BEFORE, AFTER = 1.0, 0.5
"""Span around the failure that is compared [s]."""
POINTS = 16
SIMILAR = 0.1
"""Distance up to which two are taken for the same."""


class Signature(NamedTuple):
    """What failures are compared by: ``kind`` must be the same; ``course`` is (POINTS, d)."""

    kind: tuple[str, ...]
    course: Array


def signature(case: Case) -> Signature:
    """Of a case; what its frames do not cover is filled with the nearest ones."""
    stamp = np.concatenate([episode.stamp for episode in case.episodes])
    observation = np.concatenate([episode.observation for episode in case.episodes])
    time = (stamp - case.failed) * 1e-9
    wanted = np.linspace(-BEFORE, AFTER, POINTS)
    place = np.searchsorted(time, wanted).clip(1, len(time) - 1)
    place -= wanted - time[place - 1] < time[place] - wanted
    return Signature((*case.detectors, case.detail), observation[place].astype(np.float64))


def nearest(signatures: Sequence[Signature], similar: float) -> list[tuple[int | None, float]]:
    """For each, the earlier one that it repeats.

    Args:
        signatures: in the order of preference; only those that repeat none are compared with.
        similar: largest distance of a repetition; 0 only finds the same numbers.

    Returns:
        For each, the place of the one it repeats (None when it repeats none) and the distance.
    """
    if not signatures:
        return []
    courses = np.stack([s.course for s in signatures]).reshape(len(signatures), POINTS, -1)
    spread = courses.reshape(-1, courses.shape[2]).std(axis=0)
    flat = (courses / np.where(spread > 0.0, spread, 1.0)).reshape(len(signatures), -1)
    found: list[tuple[int | None, float]] = []
    kept: dict[tuple[str, ...], list[int]] = {}
    for k, (kind, _) in enumerate(signatures):
        others = kept.setdefault(kind, [])
        distance = np.sqrt(((flat[others] - flat[k]) ** 2).mean(axis=1))
        best = int(np.argmin(distance)) if others else -1
        if others and distance[best] <= similar:
            found.append((others[best], float(distance[best])))
        else:
            found.append((None, np.inf))
            others.append(k)
    return found
