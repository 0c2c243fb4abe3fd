"""Thresholds for a result, e.g. of a replay: each violated one is named.

::

    metrics:
      - {metric: final/joint.slider.armature/mean, value: 95.1089, relative: 0.01}
      - {metric: final/joint.slider.coulomb_friction/status, equals: not_identified, at: 2.0}
      - {metric: events, max: 0}

``metric`` is a path into the JSON, its parts separated by slashes; a list counts as its length.
With ``at`` the estimates in force at that time [s] are meant instead of the final ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim2real_core.errors import Faults
from sim2real_core.yaml_file import read_yaml

NUMBERS = ('min', 'max', 'value', 'relative', 'absolute', 'at')
KEYS = ('metric', 'equals', *NUMBERS)
ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """What one metric must be; what is None is not asked for.

    Attributes:
        metric: path into the result.
        equals: exactly this.
        min: at least.
        max: at most.
        value: this, give or take ``relative`` times its size plus ``absolute``.
        relative: see ``value``.
        absolute: see ``value``.
        at: time [s] of the estimates that are meant.
    """

    metric: str
    equals: Any = None
    min: float | None = None
    max: float | None = None
    value: float | None = None
    relative: float | None = None
    absolute: float | None = None
    at: float | None = None

    def violation(self, result: Mapping[str, Any]) -> str:
        """What is wrong with this metric in a result; ``''`` when all is well."""
        name = self.metric + ('' if self.at is None else f' at {self.at:g} s')
        found = _look_up(result, self.metric, self.at)
        if found is ABSENT:
            return f'{name} is not in the result'
        if self.equals is not None:
            return '' if found == self.equals else f'{name} = {found!r}, must be {self.equals!r}'
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return f'{name} = {found!r}, must be a number'
        low, high = self.bounds()
        if low <= found <= high:
            return ''
        return f'{name} = {found:g}, must be {_between(low, high)}'

    def bounds(self) -> tuple[float, float]:
        """Smallest and largest admissible value."""
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        if self.value is not None:
            margin = (self.relative or 0.0) * abs(self.value) + (self.absolute or 0.0)
            low, high = max(low, self.value - margin), min(high, self.value + margin)
        return low, high


def _between(low: float, high: float) -> str:
    if low == -math.inf:
        return f'at most {high:g}'
    return f'at least {low:g}' if high == math.inf else f'{low:g} to {high:g}'


def _look_up(result: Mapping[str, Any], metric: str, at: float | None) -> Any:
    """The value at a path; a list's length; ``ABSENT`` when there is nothing."""
    parts = metric.split('/')
    if at is not None:
        before = [entry for entry in result.get('timeline', ()) if entry['t'] <= at]
        result = {'final': before[-1]['estimates'] if before else {}}
    found: Any = result
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return ABSENT
        found = found[part]
    return len(found) if isinstance(found, list) else found


def read_thresholds(path: str | Path) -> list[Threshold]:
    """Read a file of thresholds.

    Raises:
        InputError: every fault, with file and line.
    """
    file = read_yaml(path)
    faults = Faults(str(file.path), file.lines)
    for key in file.data:
        if key != 'metrics':
            faults.add(str(key), file.data[key], 'unknown; known: metrics', path=(key,))
    entries = file.data.get('metrics')
    if not isinstance(entries, list) or not entries:
        faults.add('metrics', entries, 'list at least one metric', path=('metrics',))
        entries = []
    thresholds = []
    for i, entry in enumerate(entries):
        found = len(faults.found)
        _check(entry, i, faults)
        if len(faults.found) == found:
            thresholds.append(Threshold(**entry))
    faults.check()
    return thresholds


def _check(entry: Any, i: int, faults: Faults) -> None:
    name, path = f'metrics[{i}]', ('metrics', i)
    if not isinstance(entry, Mapping) or not isinstance(entry.get('metric'), str):
        faults.add(
            name, entry, f'must be a mapping with metric; known: {", ".join(KEYS)}', path=path
        )
        return
    for key, value in entry.items():
        if key not in KEYS:
            faults.add(
                f'{name}.{key}', value, f'unknown; known: {", ".join(KEYS)}', path=(*path, key)
            )
        elif key in NUMBERS and (type(value) not in (int, float) or not math.isfinite(value)):
            faults.add(f'{name}.{key}', value, 'must be a finite number', path=(*path, key))
        elif value is None:
            faults.add(f'{name}.{key}', value, 'say what it must be', path=(*path, key))
        elif key in ('relative', 'absolute') and value < 0:
            faults.add(f'{name}.{key}', value, 'must not be negative', path=(*path, key))
    asked = {'equals', 'min', 'max', 'value'} & set(entry)
    if not asked:
        faults.add(name, dict(entry), 'give equals, min, max or value', path=path)
    if 'equals' in asked and len(asked) > 1:
        faults.add(name, dict(entry), 'equals stands alone', path=path)
    if ('value' in entry) != bool({'relative', 'absolute'} & set(entry)):
        faults.add(name, dict(entry), 'value goes with relative or absolute', path=path)
    if entry.get('at') is not None and not entry['metric'].startswith('final/'):
        faults.add(f'{name}.at', entry['at'], 'is for final/... only', path=(*path, 'at'))


def violations(result: Mapping[str, Any], thresholds: list[Threshold]) -> list[str]:
    """What is wrong with a result, one line a metric."""
    return list(filter(None, (threshold.violation(result) for threshold in thresholds)))


def read_result(path: str | Path) -> dict[str, Any]:
    """A result as it was written."""
    result: dict[str, Any] = json.loads(Path(path).read_text(encoding='utf-8'))
    return result
