"""Errors with an exit status, and the collector that names every fault of an input at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST = 300
"""Characters of a value that a message shows."""


class Sim2RealError(Exception):
    """Base of all errors this suite raises on purpose; ``exit_code`` is the command's status."""

    exit_code = 1


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input.

    Attributes:
        field: name of the field, dotted for nested ones.
        value: what was found there.
        mend: what would be right.
        file: file it came from, or ``''``.
        line: line in that file, counted from 1, or None.
    """

    field: str
    value: object
    mend: str
    file: str = ''
    line: int | None = None

    def __str__(self) -> str:
        place = self.file + (f':{self.line}' if self.line else '')
        value = repr(self.value)
        if len(value) > MOST:  # a whole file, say
            value = f'{value[:MOST]}...'
        return f'{place + ": " if place else ""}{self.field} = {value}: {self.mend}'


class InputError(Sim2RealError):
    """Bad input. The message lists every fault, one a line."""

    exit_code = 2

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__('\n'.join(str(fault) for fault in faults))


class MissingError(Sim2RealError):
    """Something that is needed is not there; the message says how to get it."""

    exit_code = 3


class Faults:
    """Collects faults of one input, so that all are named in one error.

    Args:
        file: the input's file name, or ``''``.
        lines: line number of each key path, as :func:`sim2real_core.yaml_file.read_yaml` gives.
    """

    def __init__(self, file: str = '', lines: Mapping[tuple[object, ...], int] | None = None):
        self.file = file
        self.lines = lines or {}
        self.found: list[Fault] = []

    def add(self, field: str, value: object, mend: str, *, path: tuple[object, ...] = ()) -> None:
        """Note a fault; its line is that of ``path`` or of the nearest enclosing key."""
        line = None
        while path and (line := self.lines.get(path)) is None:
            path = path[:-1]
        self.found.append(Fault(field, value, mend, self.file, line))

    def extend(self, error: InputError) -> None:
        """Take over the faults of a nested input."""
        self.found.extend(error.faults)

    def check(self) -> None:
        """Raise InputError when anything was found."""
        if self.found:
            raise InputError(*self.found)
