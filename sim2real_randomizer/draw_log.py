"""Every draw with its outcomes as a line of JSON, and back: where a world came from.

A line of step 0 is a whole world; those after it in the episode hold what has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_core.records import OUTCOMES, Draw

SCHEMA = 1


def append(path: str | Path, draw: Draw, stamp: float, only: Container[str] | None = None) -> None:
    """Append a draw to a log, in one write.

    Args:
        path: the log; its folder is made.
        draw: what was drawn, with outcomes.
        stamp: simulated time of the outcomes [s].
        only: addresses to keep; all when None.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({'schema': SCHEMA, 'stamp': stamp, **as_json(draw, only)}) + '\n'
    # One write in append mode: lines of several processes do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


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
        InputError: not a log; names the line.
    """
    try:
        text = Path(path).expanduser().read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Fault('draw', str(path), f'give a readable file ({error})')) from error
    try:
        yield from_json(json.loads(text), str(path))
        return
    except json.JSONDecodeError:
        lines = text.splitlines()
    begun: dict[tuple[int, int, str], Draw] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            draw = from_json(json.loads(line), str(path), number)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return  # cut off while it was written
            mend = f'no line of JSON ({error})'
            raise InputError(Fault('draw', line[:60], mend, str(path), number)) from error
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
            raise InputError(Fault('draw', draw.step, mend, str(path), number))
        yield draw


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
