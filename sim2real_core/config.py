"""Configuration classes that validate themselves and name every fault at once.

A room declares its settings once::

    @dataclass(frozen=True, kw_only=True)
    class CaptureConfig(Config):
        before: float = parameter(5.0, 'Recorded before a trigger.', unit='s', low=0.0)

The same declaration gives the ROS parameter with its descriptor, the documentation table
and the check.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sim2real_core.errors import Faults

Self = TypeVar('Self', bound='Config')
KINDS = (bool, int, float, str)


@dataclass(frozen=True)
class ParameterRow:
    """One line of a parameter table; ``low``, ``high`` and ``choices`` may be None."""

    name: str
    type: str
    default: Any
    unit: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None
    read_only: bool
    description: str


def parameter(
    default: Any,
    description: str,
    *,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    read_only: bool = False,
) -> Any:
    """A configuration field.

    Args:
        default: its value when not given; a bool, int, float, str, or a tuple of one of these
            (a tuple of no elements means strings). Its type is the field's type.
        description: one sentence for people.
        unit: SI unit, or ``''``.
        low: smallest admissible value.
        high: largest admissible value.
        choices: the admissible values, when they are few.
        read_only: cannot change while the node runs.
    """
    metadata = dict(
        description=description,
        unit=unit,
        low=low,
        high=high,
        choices=choices,
        read_only=read_only,
    )
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configuration classes."""

    def __post_init__(self) -> None:
        faults = Faults()
        for row in self.table():
            value = self._coerced(row, getattr(self, row.name))
            object.__setattr__(self, row.name, value)
            mend = fault_of(row, value)
            if mend:
                faults.add(row.name, value, mend)
        faults.check()
        self.check(faults)  # may rely on each field being of its type
        faults.check()

    def check(self, faults: Faults) -> None:
        """Hook for rules that tie several fields together: call ``faults.add``."""

    @staticmethod
    def _coerced(row: ParameterRow, value: Any) -> Any:
        if isinstance(row.default, float) and isinstance(value, int) and value is not True:
            return float(value) if value is not False else value
        if isinstance(row.default, tuple) and not isinstance(value, (str, bytes, Mapping)):
            try:
                items = tuple(value)
            except TypeError:
                return value
            if row.default and isinstance(row.default[0], float):
                items = tuple(float(v) if type(v) is int else v for v in items)
            return items
        return value

    @classmethod
    def table(cls) -> list[ParameterRow]:
        """The fields as rows, in order of declaration."""
        rows = []
        for f in dataclasses.fields(cls):
            default = f.default
            if isinstance(default, tuple):
                kind = f'{type(default[0]).__name__ if default else "str"}[]'
            else:
                kind = type(default).__name__
            rows.append(
                ParameterRow(
                    f.name,
                    kind,
                    default,
                    **{
                        k: f.metadata[k]
                        for k in ('unit', 'low', 'high', 'choices', 'read_only', 'description')
                    },
                )
            )
        return rows

    @classmethod
    def from_mapping(
        cls: type[Self],
        mapping: Mapping[str, Any],
        *,
        file: str = '',
        lines: Mapping[tuple[object, ...], int] | None = None,
        path: tuple[object, ...] = (),
    ) -> Self:
        """Build from a mapping; unknown keys and bad values are all named in one error.

        Args:
            mapping: field name to value.
            file: file the mapping came from.
            lines: line numbers by key path (see ``read_yaml``).
            path: key path of the mapping inside the file.

        Raises:
            InputError: any fault.
        """
        from sim2real_core.errors import InputError

        faults = Faults(file, lines)
        known = {row.name for row in cls.table()}
        for key in mapping:
            if key not in known:
                faults.add(
                    '.'.join(map(str, (*path, key))),
                    mapping[key],
                    f'unknown; known here: {", ".join(sorted(known))}',
                    path=(*path, key),
                )
        config = None
        try:
            config = cls(**{key: mapping[key] for key in mapping if key in known})
        except InputError as error:
            for fault in error.faults:
                faults.add(
                    '.'.join(map(str, (*path, fault.field))),
                    fault.value,
                    fault.mend,
                    path=(*path, fault.field),
                )
        faults.check()
        assert config is not None  # no fault means that it was built
        return config


def fault_of(row: ParameterRow, value: Any) -> str:
    """What would be right, when ``value`` is not; else ``''``."""
    if isinstance(row.default, tuple):
        if not isinstance(value, tuple):
            return f'must be a list ({row.type})'
        kind: type = type(row.default[0]) if row.default else str
        for item in value:
            mend = _scalar_fault(row, kind, item)
            if mend:
                return f'each element {mend}'
        return ''
    return _scalar_fault(row, type(row.default), value)


def _scalar_fault(row: ParameterRow, kind: type, value: Any) -> str:
    unit = f' {row.unit}' if row.unit else ''
    if type(value) is not kind:
        return f'must be of type {kind.__name__}'
    if row.choices is not None and value not in row.choices:
        return f'must be one of {", ".join(map(str, row.choices))}'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            return 'must be finite'
        if row.low is not None and value < row.low:
            return f'must be at least {row.low:g}{unit}'
        if row.high is not None and value > row.high:
            return f'must be at most {row.high:g}{unit}'
    return ''
