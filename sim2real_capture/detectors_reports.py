"""Scores of what others say: guard, policy, diagnostics, identification, silence, the operator."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sim2real_capture.signals import Ages, Changes, Press, Status, Statuses

Array = npt.NDArray[np.float64]

MOST_NAMES = 64
"""Diagnostics of more different names are not told apart."""
HALF = np.array(0.5)
"""Threshold of scores that are 0 or at least 1."""


class GuardInterventions:
    """How often the guard of a policy intervened of late, per kind of intervention.

    Args:
        status: name of the policy's status in the diagnostics.
        counters: keys of its counters; those it does not have count nothing.
        window: how long an intervention counts [s].
    """

    takes = Statuses
    suggested = HALF

    def __init__(self, status: str, counters: Sequence[str], window: float) -> None:
        self.elements = tuple(counters)
        self._status = status
        self._window = window
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._past: deque[tuple[float, Array]] = deque()

    def score(self, report: Statuses) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing where the policy is silent."""
        told = _named(report, self._status)
        if told is None:
            return None
        count = np.array([_number(told.values.get(key)) for key in self.elements])
        if self._past and (count < self._past[-1][1]).any():
            self._past.clear()  # the policy started anew
        self._past.append((report.stamp, count))
        while len(self._past) > 2 and self._past[1][0] <= report.stamp - self._window:
            self._past.popleft()
        return np.asarray(count - self._past[0][1])


class PolicyFault:
    """The policy says that it cannot act: its status is at ERROR, or it is latched (1, else 0).

    A policy that has not acted yet, as it waits for the robot, has no fault.

    Args:
        status: name of the policy's status in the diagnostics.
    """

    takes = Statuses
    suggested = HALF

    def __init__(self, status: str) -> None:
        self.elements = ['policy']
        self._status = status
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._acted = False

    def score(self, report: Statuses) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing where the policy is silent."""
        told = _named(report, self._status)
        if told is None:
            return None
        self._acted |= told.level == 0
        if not self._acted:
            return np.zeros(1)
        self.elements[0] = told.message or 'policy'
        latched = told.values.get('latched', '').lower() in ('true', '1')
        return np.array([float(told.level == 2 or latched)])


class ExternalError:
    """Somebody's diagnostics are at ERROR: 1 per name that is, else 0.

    Args:
        ignore: names that match this regular expression do not count.
    """

    takes = Statuses
    suggested = HALF

    def __init__(self, ignore: str = '') -> None:
        self._ignore = re.compile(ignore) if ignore else None
        self.elements: list[str] = []
        self._index: dict[str, int] = {}
        self._levels: list[float] = []

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._levels = [0.0] * len(self.elements)

    def score(self, report: Statuses) -> Array:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        for status in report.statuses:
            if self._ignore is not None and self._ignore.search(status.name):
                continue
            if status.level != 2 and status.name not in self._index:
                continue
            index = self._index.setdefault(status.name, min(len(self._levels), MOST_NAMES - 1))
            if index == len(self._levels):
                self._levels.append(0.0)
                self.elements.append(status.name)
            self._levels[index] = float(status.level == 2)
            if status.level == 2:
                self.elements[index] = f'{status.name}: {status.message}'
        return np.array(self._levels)


class ParameterChange:
    """The identification saw a parameter change: by how many standard deviations."""

    takes = Changes
    suggested = HALF

    def __init__(self) -> None:
        self.elements = ['']
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._newest = -np.inf

    def score(self, estimate: Changes) -> Array:
        """See :class:`~sim2real_capture.detectors.Scorer`; 0 where nothing is new."""
        new = [change for change in estimate.changes if change.stamp > self._newest]
        if not new:
            return np.zeros(1)
        self._newest = max(change.stamp for change in new)
        self.elements[0] = ', '.join(change.said for change in new)
        return np.array([max(abs(change.score) for change in new)])


class Silence:
    """Inputs that are stale or missing: age of each topic in parts of what it may be.

    Args:
        limits: longest time between two messages [s], by full topic name.
    """

    takes = Ages
    suggested = np.array(1.0)

    def __init__(self, limits: Mapping[str, float]) -> None:
        self.elements = tuple(limits)
        self._limits = np.array(list(limits.values()))

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`; it has no history."""

    def score(self, ages: Ages) -> Array:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        return np.array([ages.ages.get(topic, 0.0) for topic in self.elements]) / self._limits


class Button:
    """An operator's button: 1 while it is pressed.

    Args:
        topic: full name.
        index: which of those of a Joy.
    """

    takes = Press
    elements = ('button',)
    suggested = HALF

    def __init__(self, topic: str, index: int = 0) -> None:
        self._topic, self._index = topic, index

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`; it has no history."""

    def score(self, press: Press) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing of other buttons."""
        if press.topic != self._topic or press.index not in (None, self._index):
            return None
        return np.array([float(press.pressed)])


def _named(report: Statuses, name: str) -> Status | None:
    """The status of this name, with any namespace."""
    found = (s for s in report.statuses if s.name == name or s.name.endswith('/' + name))
    return next(found, None)


def _number(text: str | None) -> float:
    try:
        value = float(text or 0.0)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) else 0.0
