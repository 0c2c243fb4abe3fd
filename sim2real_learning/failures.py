"""What fails: clips counted by detector, and held against the worlds they happened in.

Shares have Wilson's 95 % intervals. With the log of all draws the episodes that did not fail are
known too: the share of failures over the values of each address, and whether it depends on them
(Mann-Whitney's U test, its p-value times the number of addresses tested; Bonferroni). Without it
only where the failures lie.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim2real_capture.catalogue import severity
from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import read_manifest
from sim2real_core.errors import InputError
from sim2real_core.records import Draw
from sim2real_learning.clips import Known, known_of
from sim2real_learning.metrics import bootstrap_interval, success_interval

Array = npt.NDArray[np.float64]
Interval = list[float]

BINS = 5
"""Parts of an address's range, as many episodes in each, of which the share that fails is told."""
FEWEST = 8
"""Episodes on either side below which no dependence is tested."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Failure:
    """One clip, as far as its manifest tells.

    Attributes:
        clip: its id.
        created: when, UTC, ISO 8601.
        label: what a person said, or ``''``.
        detectors: that raised the alarm.
        details: what their events say, e.g. the joints.
        severity: largest score over its threshold; nan where there is none.
        values: ``{address: value}`` of the world it happened in.
        episode: seed, episode and environment of that world; None on a robot.
        estimate: what was known of the robot: ``{address: {mean, std, status}}``.
        robot: name of its profile; ``''`` where the clip does not say.
    """

    clip: str
    created: str
    label: str
    detectors: tuple[str, ...]
    details: tuple[str, ...]
    severity: float
    values: Mapping[str, float]
    episode: tuple[int, int, int] | None
    estimate: Mapping[str, Any] = field(default_factory=dict)
    robot: str = ''


@dataclass(frozen=True)
class Share:
    """A part of a whole.

    Attributes:
        count: of the part.
        of: the whole.
        interval: 95 % of ``count / of``; nan where there is no whole.
    """

    count: int
    of: int
    interval: Interval

    @property
    def value(self) -> float:
        """The share; nan where there is no whole."""
        return self.count / self.of if self.of else math.nan


def share(flags: Iterable[bool]) -> Share:
    """How many of them hold."""
    array = np.fromiter(flags, bool)
    interval = success_interval(array) if len(array) else [math.nan, math.nan]
    return Share(int(array.sum()), len(array), interval)


@dataclass(frozen=True)
class DetectorRow:
    """What one detector caught.

    Attributes:
        detector: its name.
        clips: that it had a part in, of all.
        false_alarms: of those that a person labelled.
        severity: median of score over threshold; nan where there is none.
        worst: largest of these.
        details: what its clips say, and how often; the most frequent first.
    """

    detector: str
    clips: Share
    false_alarms: Share
    severity: float
    worst: float
    details: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Bin:
    """Episodes whose value lies from ``low`` to ``high``, and how many of them failed."""

    low: float
    high: float
    failed: Share


@dataclass(frozen=True)
class AddressRow:
    """How failures lie over one address of the draws.

    Attributes:
        address: of the parameter.
        failures: (n,) its values where it failed.
        median: of these.
        interval: 95 % of the median.
        bins: share of failures over its range; empty without a log of draws.
        effect: probability that a failure has the larger value than an episode without one;
            0.5 is no dependence, nan without a log or with too few.
        p: of no dependence, corrected for the number of addresses; nan as above.
    """

    address: str
    failures: tuple[float, ...]
    median: float
    interval: Interval
    bins: tuple[Bin, ...] = ()
    effect: float = math.nan
    p: float = math.nan

    @property
    def matters(self) -> bool:
        """Whether failures depend on it."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True)
class Report:
    """What fails.

    Attributes:
        clips: counted; those labelled a false alarm or a duplicate count for detectors only.
        labels: how many have each label.
        episodes: that the log of draws has; 0 without one.
        detectors: the most frequent first.
        addresses: those that matter most first.
        skipped: folders whose manifest cannot be read, and why.
        first, last: when the first and the last clip was made.
    """

    clips: int
    labels: Mapping[str, int]
    episodes: int
    detectors: tuple[DetectorRow, ...]
    addresses: tuple[AddressRow, ...]
    skipped: Mapping[str, str]
    first: str = ''
    last: str = ''

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        data = asdict(self)
        for row, told in zip(self.addresses, data['addresses']):
            told['matters'] = row.matters
        return data


def read_failures(
    folders: Iterable[Path], labels: Mapping[str, str]
) -> tuple[list[Failure], dict[str, str]]:
    """Manifests of clips as failures, each clip once.

    Returns:
        The failures, and what was not counted: folder to reason.
    """
    found, skipped = [], {}
    known: dict[str, Path] = {}
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            failure = _failure(manifest, known_of(manifest, folder / MANIFEST), labels)
        except InputError as error:
            skipped[str(folder)] = str(error)
            continue
        first = known.setdefault(failure.clip, folder)
        if first is folder:
            found.append(failure)
        else:
            skipped[str(folder)] = f'is {failure.clip} again, as in {first}'
    return found, skipped


def report(
    failures: Sequence[Failure],
    draws: Iterable[Draw] = (),
    skipped: Mapping[str, str] | None = None,
) -> Report:
    """Count failures.

    Args:
        failures: of all clips.
        draws: the worlds of all episodes, whether they failed or not.
        skipped: told on.
    """
    real = [f for f in failures if f.label not in ('false alarm', 'duplicate')]
    worlds: dict[tuple[int, int, int], Mapping[str, float]] = {}
    for draw in draws:
        worlds.setdefault((draw.seed, draw.episode, draw.environment), draw.values)
    detectors = sorted(
        (_detector(name, failures) for name in {d for f in failures for d in f.detectors}),
        key=lambda row: (-row.clips.count, row.detector),
    )
    times = sorted(f.created for f in failures)
    return Report(
        clips=len(failures),
        labels=dict(Counter(f.label or 'not labelled' for f in failures)),
        episodes=len(worlds),
        detectors=tuple(detectors),
        addresses=tuple(_addresses(real, worlds)),
        skipped=dict(skipped or {}),
        first=times[0] if times else '',
        last=times[-1] if times else '',
    )


def _failure(manifest: Mapping[str, Any], world: Known, labels: Mapping[str, str]) -> Failure:
    events = manifest['events']
    worst = severity(events)
    return Failure(
        clip=str(manifest['clip']),
        created=str(manifest['created']),
        label=labels.get(str(manifest['clip']), ''),
        detectors=tuple(dict.fromkeys(str(event['detector']) for event in events)),
        details=tuple(dict.fromkeys(str(event.get('detail', '')) for event in events)),
        severity=math.nan if worst is None else worst,
        values=world.values,
        episode=world.episode,
        estimate=world.estimate,
        robot=str(manifest.get('profile', '')),
    )


def _detector(name: str, failures: Sequence[Failure]) -> DetectorRow:
    own = [f for f in failures if name in f.detectors]
    severities = [f.severity for f in own if math.isfinite(f.severity)]
    details = Counter(detail for f in own for detail in f.details if detail)
    return DetectorRow(
        detector=name,
        clips=share(name in f.detectors for f in failures),
        false_alarms=share(f.label == 'false alarm' for f in own if f.label),
        severity=float(np.median(severities)) if severities else math.nan,
        worst=max(severities, default=math.nan),
        details=tuple(details.most_common(5)),
    )


def _addresses(
    failures: Sequence[Failure], worlds: Mapping[tuple[int, int, int], Mapping[str, float]]
) -> list[AddressRow]:
    """Rows of all addresses that vary."""
    failed = {f.episode for f in failures if f.episode is not None}
    values: defaultdict[str, list[float]] = defaultdict(list)
    for failure in failures:
        for address, value in failure.values.items():
            values[address].append(value)
    everywhere: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
    for key, world in worlds.items():
        for address, value in world.items():
            everywhere[address].append((value, key in failed))
    varying = [
        address
        for address in sorted({*values, *everywhere})
        if len({*values[address], *(value for value, _ in everywhere[address])}) > 1
    ]
    rows = [_address(a, values[a], everywhere[a], len(varying)) for a in varying]
    return sorted(rows, key=lambda row: (math.inf if math.isnan(row.p) else row.p, row.address))


def _address(
    address: str, own: Sequence[float], all_of_them: Sequence[tuple[float, bool]], tested: int
) -> AddressRow:
    at_failure = np.array(own, dtype=float)
    median, interval = math.nan, [math.nan, math.nan]
    if len(at_failure):
        median = float(np.median(at_failure))
        interval = bootstrap_interval(at_failure, np.median)
    row = AddressRow(address, tuple(own), median, interval)
    if not all_of_them:
        return row
    value = np.array([v for v, _ in all_of_them])
    failed = np.array([f for _, f in all_of_them])
    effect = p = math.nan
    if min(failed.sum(), (~failed).sum()) >= FEWEST:
        test = stats.mannwhitneyu(value[failed], value[~failed])
        effect = float(test.statistic / (failed.sum() * (~failed).sum()))
        p = min(1.0, float(test.pvalue) * tested)
    return AddressRow(address, row.failures, median, interval, _bins(value, failed), effect, p)


def _bins(value: Array, failed: npt.NDArray[np.bool_]) -> tuple[Bin, ...]:
    """As many episodes in each, but for equal values, which stay together."""
    edges = np.unique(np.quantile(value, np.linspace(0.0, 1.0, BINS + 1)))
    if len(edges) < 2:
        return ()
    place = np.searchsorted(edges[1:-1], value, side='right')
    return tuple(
        Bin(float(edges[k]), float(edges[k + 1]), share(failed[place == k].tolist()))
        for k in range(len(edges) - 1)
        if (place == k).any()
    )
