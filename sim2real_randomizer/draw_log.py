"""Every draw with its outcomes as a line of JSON, and back: where a world came from.

A line of step 0 is a whole world; those after it in the episode hold what has changed. A log that
has grown to its size goes on in a new file: ``draws.jsonl`` becomes ``draws.1.jsonl``, the next
one ``draws.2.jsonl``; none is ever deleted, and all are read as one.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_core.records import OUTCOMES, Draw

SCHEMA = 1


def append(
    path: str | Path,
    draw: Draw,
    stamp: float,
    only: Container[str] | None = None,
    size: float = math.inf,
) -> None:
    """Append a draw to a log.

    Args:
        path: the log; its folder is made.
        draw: what was drawn, with outcomes.
        stamp: simulated time of the outcomes [s].
        only: addresses to keep; all when None.
        size: a file that has so many bytes is set aside, and a new one begun.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({'schema': SCHEMA, 'stamp': stamp, **as_json(draw, only)}) + '\n'
    written = False
    while not written:
        with path.open('ab') as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # other processes may write, too
            if not _is(path, file.fileno()):
                continue  # set aside while we waited
            if 0 < os.fstat(file.fileno()).st_size >= size:
                path.rename(_free(path))
                continue
            file.write(line.encode())
            written = True


def files(path: Path) -> list[Path]:
    """The files of a log, the oldest first: those set aside, then the present one if begun."""
    aside = [file for _, file in sorted(_aside(path).items())]
    return [*aside, path] if path.exists() or not aside else aside


def _aside(path: Path) -> dict[int, Path]:
    """Files of a log that were set aside, by number."""
    pattern = re.compile(re.escape(path.stem) + r'\.(\d+)' + re.escape(path.suffix))
    found = ((pattern.fullmatch(other.name), other) for other in path.parent.glob('*'))
    return {int(match[1]): other for match, other in found if match}


def _free(path: Path) -> Path:
    """Where a file that is full goes."""
    return path.with_name(f'{path.stem}.{max(_aside(path), default=0) + 1}{path.suffix}')


def _is(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def as_json(draw: Draw, only: Container[str] | None = None) -> dict[str, Any]:
    """A draw as JSON; floats come back to the bit."""

    def kept(mapping: Any) -> dict[str, Any]:
        return {a: v for a, v in mapping.items() if only is None or a in only}

    return {
        'episode': draw.episode,
        'seed': draw.seed,
        'environment': draw.environment,
        'step': draw.step,
        'space': draw.space,
        'profile': draw.profile,
        'values': kept(draw.values),
        'outcomes': kept(draw.outcomes),
    }


def from_json(data: Any, file: str = '', line: int | None = None) -> Draw:
    """A draw from JSON; what ``sim2real randomize draw`` writes has values alone.

    Raises:
        InputError: no draw.
    """
    try:
        if data.get('schema', SCHEMA) != SCHEMA:
            raise ValueError(f'this version reads schema {SCHEMA}')
        values = {str(a): float(v) for a, v in data['values'].items()}
        outcomes = {str(a): str(o) for a, o in data.get('outcomes', {}).items()}
        unknown = set(outcomes.values()) - set(OUTCOMES)
        if unknown:
            raise ValueError(f'no outcomes: {", ".join(sorted(unknown))}')
        for address in values:
            parse_address(address)
        return Draw(
            episode=int(data.get('episode', 0)),
            seed=int(data.get('seed', 0)),
            environment=int(data.get('environment', 0)),
            values=values,
            outcomes=outcomes,
            space=str(data.get('space', '')),
            profile=str(data.get('profile', '')),
            step=int(data.get('step', 0)),
        )
    except InputError as error:
        raise InputError(*(replace(f, file=file, line=line) for f in error.faults)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(Fault('draw', str(error), 'not a draw', file, line)) from error


def read(path: str | Path) -> Iterator[Draw]:
    """The worlds of a log, in order, each whole; or the one of a JSON file.

    Raises:
        InputError: not a log; names file and line.
    """
    path = Path(path).expanduser()
    log = files(path)
    if len(log) == 1:
        try:
            yield from_json(json.loads(_text(path)), str(path))
            return
        except json.JSONDecodeError:
            log = [path]  # of several lines
    begun: dict[tuple[int, int, str], Draw] = {}
    for file, number, draw in _lines(log):
        world = (draw.seed, draw.environment, draw.profile)
        if draw.step == 0:
            begun[world] = draw
        elif world in begun and begun[world].episode == draw.episode:
            before = begun[world]
            draw = replace(
                draw,
                values={**before.values, **draw.values},
                outcomes={**before.outcomes, **draw.outcomes},
            )
        else:
            mend = 'changes a world that the log does not have'
            raise InputError(Fault('draw', draw.step, mend, str(file), number))
        yield draw


def _lines(log: list[Path]) -> Iterator[tuple[Path, int, Draw]]:
    """Draws as they stand in the files of a log, with file and line."""
    for file in log:
        lines = _text(file).splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield file, number, from_json(json.loads(line), str(file), number)
            except json.JSONDecodeError as error:
                if file == log[-1] and number == len(lines):
                    return  # cut off while it was written
                mend = f'no line of JSON ({error})'
                raise InputError(Fault('draw', line[:60], mend, str(file), number)) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Fault('draw', str(file), f'give a readable file ({error})')) from error


def find(
    path: str | Path,
    *,
    episode: int | None = None,
    environment: int | None = None,
    step: int | None = None,
) -> Draw:
    """The last world of a log that matches; what is None matches all.

    Raises:
        InputError: not a log, or none matches.
    """
    wanted = {'episode': episode, 'environment': environment, 'step': step}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    found, seen = None, 0
    for draw in read(path):
        seen += 1
        if all(getattr(draw, key) == value for key, value in wanted.items()):
            found = draw
    if found is None:
        raise InputError(Fault('draw', wanted or str(path), f'none of the {seen} draws matches'))
    return found
