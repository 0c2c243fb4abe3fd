"""Is it time to train again? Enough new failures, one that is bad enough, or another robot.

A robot is another one when what was identified on it has moved: the median of an address over the
new clips against its median over the data set's, in standard deviations of both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real_core.config import Config, parameter
from sim2real_learning.dataset import LEFT_OUT, Dataset
from sim2real_learning.failures import Failure

FEWEST = 3
"""Clips on either side below which nothing is said of the robot."""


@dataclass(frozen=True, kw_only=True)
class DueConfig(Config):
    """When to train again; any of these is enough."""

    count: int = parameter(20, 'New failures.', low=1)
    severity: float = parameter(
        5.0, 'A new failure whose score is so many times its threshold.', low=1.0
    )
    drift: float = parameter(
        4.0, 'An identified parameter that has moved by so many standard deviations.', low=0.1
    )


@dataclass(frozen=True)
class Reason:
    """Why it is time.

    Attributes:
        rule: the field of :class:`DueConfig`.
        what: the clip or the address, where it is about one.
        value: what was found.
        limit: what is enough.
    """

    rule: str
    what: str
    value: float
    limit: float


def new_failures(failures: Iterable[Failure], known: Dataset | None) -> list[Failure]:
    """Failures of its robot that the data set does not have, but false alarms and duplicates.

    Nor those that repeat one which it has: they add nothing to a training.
    """
    there = {*(case.clip for case in known.cases), *known.repeats} if known else set()
    return [
        f
        for f in failures
        if f.clip not in there
        and f.label not in LEFT_OUT
        and (known is None or f.robot in ('', known.robot))
    ]


def due(failures: Sequence[Failure], known: Dataset | None, config: DueConfig) -> list[Reason]:
    """Why it is time to train again.

    Args:
        failures: of all clips there are, see ``failures.read_failures``.
        known: the data set of the last training; None when there was none.
        config: what is enough.

    Returns:
        Every reason; none when it is not time.
    """
    new = new_failures(failures, known)
    reasons = []
    if len(new) >= config.count:
        reasons.append(Reason('count', '', float(len(new)), float(config.count)))
    for failure in new:
        if failure.severity >= config.severity:
            reasons.append(Reason('severity', failure.clip, failure.severity, config.severity))
    moved = drift([f.estimate for f in new], [c.estimate for c in known.cases] if known else [])
    for address, by in moved.items():
        if by >= config.drift:
            reasons.append(Reason('drift', address, by, config.drift))
    return reasons


def drift(
    new: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]]
) -> dict[str, float]:
    """How far identified parameters have moved, in standard deviations.

    Args:
        new: estimates: ``{address: {mean, std, status}}``.
        before: those they are compared with.

    Returns:
        By address, for those that at least ``FEWEST`` estimates of both sides know.
    """
    old, now = _known(before), _known(new)
    moved = {}
    for address in sorted(set(old) & set(now)):
        if min(len(old[address]), len(now[address])) >= FEWEST:
            (mean0, std0), (mean1, std1) = (
                np.median(values[address], axis=0).tolist() for values in (old, now)
            )
            spread = math.hypot(std0, std1)
            if spread > 0.0:
                moved[address] = abs(mean1 - mean0) / spread
    return moved


def _known(estimates: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Means and standard deviations of what was identified."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for estimate in estimates:
        for address, about in estimate.items():
            if about['status'] == 'identified':
                found[address].append((float(about['mean']), float(about['std'])))
    return found
