"""How well detectors do: false alarms of nominal episodes and detections of faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors import Detector
from sim2real_capture.detectors_learned import Recording

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """``count`` of ``total`` episodes."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The rate; not a number without episodes."""
        return self.count / self.total if self.total else float('nan')

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of Clopper and Pearson (1934), which covers at least as often."""
        if not self.total:
            return 0.0, 1.0
        from scipy import stats  # takes a second

        found = stats.binomtest(self.count, self.total).proportion_ci(CONFIDENCE, method='exact')
        return float(found.low), float(found.high)

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {'count': self.count, 'total': self.total, 'rate': self.value,
                'interval': list(self.interval)}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Episodes with a fault.

    Attributes:
        recording: the episodes.
        fault: what was done, e.g. ``payload``.
        magnitude: how much of it, in a unit of its own.
        since: (episodes,) when it was there [s], on the recording's time line.
        at: (episodes,) when it took effect [s], e.g. friction once the joint moved.
    """

    recording: Recording
    fault: str
    magnitude: float
    since: Array
    at: Array


@dataclass(frozen=True)
class Detection:
    """How a fault of one magnitude was detected.

    Attributes:
        rate: episodes with an alarm within the time allowed.
        delay: median time to it of those that were [s].
        by: detector to how many of them it caught.
    """

    rate: Rate
    delay: float
    by: Mapping[str, int]


@dataclass(frozen=True)
class Evaluation:
    """What detectors did.

    Attributes:
        false_alarms: nominal episodes with at least one alarm.
        by: detector to how many of these it disturbed.
        detections: by fault and magnitude, in this order.
        within: time allowed [s].
    """

    false_alarms: Rate
    by: Mapping[str, int]
    detections: Mapping[tuple[str, float], Detection]
    within: float

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            'false_alarms': {**self.false_alarms.as_json(), 'by': dict(self.by)},
            'within': self.within,
            'faults': [
                {
                    'fault': fault,
                    'magnitude': magnitude,
                    **found.rate.as_json(),
                    'median_delay': found.delay,
                    'by': dict(found.by),
                }
                for (fault, magnitude), found in self.detections.items()
            ],
        }


def alarms(
    detectors: Sequence[Detector], recording: Recording, after: Array | None = None
) -> dict[str, Array]:
    """First alarm of each detector in each episode.

    Args:
        detectors: reset before use.
        recording: the episodes.
        after: (episodes,) alarms before this stamp [s] do not count; all do when None.

    Returns:
        Stamps (episodes,) by name, infinite where there was none.
    """
    for detector in detectors:
        detector.reset()
    first = {d.name: np.full(recording.episodes, np.inf) for d in detectors}
    since = np.full(recording.episodes, -np.inf) if after is None else after
    for signal in recording:
        for detector in detectors:
            if not isinstance(signal, detector.scorer.takes):
                continue
            raised = detector.raised(signal)
            if raised is None or not raised.any():
                continue
            now = np.broadcast_to(raised.any(axis=-1), recording.episodes)
            new = now & (signal.stamp >= since) & np.isinf(first[detector.name])
            first[detector.name][new] = signal.stamp
    return first


def evaluate(
    detectors: Sequence[Detector],
    nominal: Sequence[Recording],
    trials: Sequence[Trial] = (),
    *,
    within: float = 0.5,
    tell: Callable[[float], None] = lambda share: None,
) -> Evaluation:
    """False alarms on nominal episodes, and detections within a time after faults took effect.

    An alarm counts as a detection from the moment that the fault is there.

    Args:
        detectors: all that run together.
        nominal: fresh nominal episodes.
        trials: episodes with faults.
        within: time allowed [s].
        tell: told how far it is, 0 to 1.
    """
    work = max(1, len(nominal) + len(trials))
    count, total, by = 0, 0, dict.fromkeys((d.name for d in detectors), 0)
    for index, recording in enumerate(nominal):
        tell(index / work)
        first = alarms(detectors, recording)
        count += int(np.isfinite(_earliest(first, recording.episodes)).sum())
        total += recording.episodes
        for name, stamps in first.items():
            by[name] += int(np.isfinite(stamps).sum())
    delays: dict[tuple[str, float], list[dict[str, Array]]] = {}
    for index, trial in enumerate(trials):
        tell((len(nominal) + index) / work)
        first = alarms(detectors, trial.recording, trial.since)
        late = {name: stamps - trial.at for name, stamps in first.items()}
        delays.setdefault((trial.fault, trial.magnitude), []).append(late)
    detections = {
        key: _detection({name: np.concatenate([late[name] for late in found]) for name in by},
                        within)
        for key, found in sorted(delays.items())
    }  # fmt: skip
    return Evaluation(Rate(count, total), by, detections, within)


def _detection(late: Mapping[str, Array], within: float) -> Detection:
    earliest = _earliest(late, len(next(iter(late.values()))) if late else 0)
    caught = earliest <= within + 1e-9
    delay = float(np.median(np.maximum(earliest[caught], 0.0))) if caught.any() else float('nan')
    by = {name: int((delays <= within + 1e-9).sum()) for name, delays in late.items()}
    return Detection(Rate(int(caught.sum()), len(caught)), delay, by)


def _earliest(stamps: Mapping[str, Array], count: int) -> Array:
    return np.min([np.full(count, np.inf), *stamps.values()], axis=0)
