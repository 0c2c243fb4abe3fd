"""What several verbs share: common arguments, and results as text and JSON."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim2real_core.config import Config
from sim2real_core.files import write_json

EVERY = 15.0
"""Time between two lines about the same stage, where there is no terminal [s]."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json FILE``."""
    parser.add_argument(
        '--json', type=output, metavar='FILE', help='write the result here as JSON'
    )


def output(text: str) -> Path:
    """Where text can be written, found out before the work (for argparse).

    A file, or a terminal or a pipe, such as ``/dev/stdout``: what is written in place.
    """
    path = Path(os.path.expanduser(text))
    if not (path.is_fifo() or path.is_char_device()):
        return output_file(text)
    if not os.access(path, os.W_OK):
        raise argparse.ArgumentTypeError(f'{text}: cannot be written')
    return path


def output_file(text: str) -> Path:
    """A file that can be written or put in place of another, as :func:`output`."""
    given = Path(os.path.expanduser(text))
    path = Path(os.path.realpath(given))  # what a link leads to is written, the link stays
    # A link that is left leads to itself.
    real = (part for part in (path, *path.parents) if part.is_symlink() or part.exists())
    there = given if given.exists() else next(real)
    if not (given.is_file() if there == given else there.is_dir()):
        raise argparse.ArgumentTypeError(f'{text}: must be a file, {there} is not')
    if not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f'{text}: {there} cannot be written')
    return path


def natural(text: str) -> int:
    """A whole number, 0 or more (for argparse)."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'{text}: must not be negative')
    return value


def add_config(
    parser: argparse.ArgumentParser, kind: type[Config], but: Collection[str] = ()
) -> None:
    """An option for each field of a configuration but some.

    :func:`given` finds those that were given.
    """
    for row in kind.table():
        if row.name in but:
            continue
        unit = f' [{row.unit}]' if row.unit else ''
        several = isinstance(row.default, tuple)
        count: int | str | None = len(row.default) if several else None
        parser.add_argument(
            f'--{row.name.replace("_", "-")}',
            type=type(row.default[0] if several else row.default),
            choices=row.choices or None,
            nargs='+' if count == 1 else count,  # one for all joints, or one a joint
            help=f'{row.description.rstrip(".")}{unit} (default: {row.default})',
        )


def given(args: argparse.Namespace, kind: type[Config]) -> dict[str, Any]:
    """Fields of a configuration that were given on the command line."""
    values = {row.name: getattr(args, row.name) for row in kind.table()}
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def progress(stages: Mapping[str, str]) -> Iterator[Callable[..., None]]:
    """Shows on standard error how far the work is: bars; without a terminal, plain lines.

    Args:
        stages: name of each stage, in order, and what to call it for people.

    Yields:
        A function that is told a stage, how much of it is done (0 to 1) and what else to say.
    """
    from rich.console import Console

    console = Console(stderr=True)
    show = (
        _bars(stages, console) if console.is_terminal else contextlib.nullcontext(_Lines(stages))
    )
    with show as tell:
        yield tell


@contextmanager
def _bars(stages: Mapping[str, str], console: Any) -> Iterator[Callable[..., None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    width = max(map(len, stages.values()))
    text = TextColumn(f'{{task.description:<{width}}}')
    with Progress(
        text, BarColumn(), TimeElapsedColumn(), TextColumn('{task.fields[more]}'), console=console
    ) as bars:
        tasks = {
            stage: bars.add_task(title, total=1.0, start=False, more='')
            for stage, title in stages.items()
        }

        def tell(stage: str, share: float, more: str = '') -> None:
            for other in tasks:
                if other == stage:
                    break
                bars.update(tasks[other], completed=1.0)
                bars.stop_task(tasks[other])
            if not bars.tasks[tasks[stage]].started:
                bars.start_task(tasks[stage])
            bars.update(tasks[stage], completed=share, more=more)

        yield tell


class _Lines:
    """A line when a stage begins, and how far it is now and then."""

    def __init__(self, stages: Mapping[str, str]) -> None:
        self._stages = stages
        self._stage = ''
        self._said = 0.0

    def __call__(self, stage: str, share: float, more: str = '') -> None:
        now = time.monotonic()
        if stage == self._stage and now - self._said < EVERY:
            return
        begins = stage != self._stage
        self._stage, self._said = stage, now
        far = '' if begins else f': {share:.0%} {more}'.rstrip()
        print(f'{self._stages[stage]}{far}', file=sys.stderr, flush=True)


def add_robot(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--robot R``."""
    parser.add_argument(
        '--robot',
        required=required,
        default='',
        help='robot profile: a YAML file, or the name of a shipped one (arm6)',
    )


def add_stack_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that starts nodes takes."""
    parser.add_argument('--bundle', default='', help='policy bundle: a file, or a shipped name')
    parser.add_argument(
        '--params-file', default='', metavar='FILE', help='ROS parameter file for all nodes'
    )
    parser.add_argument(
        '--param',
        action='append',
        default=[],
        metavar='NODE.NAME=VALUE',
        help='set a parameter (repeatable); **.NAME=VALUE on every node that has it',
    )
    parser.add_argument('--log-level', default='info', help='debug, info, warn, error or fatal')


def duration(text: str) -> float:
    """A positive, finite number of seconds (for argparse)."""
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f'{text}: must be a positive number of seconds')
    return value


def positive(text: str) -> float:
    """A positive, finite number (for argparse)."""
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f'{text}: must be a positive number')
    return value


def not_negative(text: str) -> float:
    """A finite number, 0 or more (for argparse)."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f'{text}: must not be negative')
    return value


def comma_list(text: str) -> list[str]:
    """``a,b`` as a list (for argparse)."""
    return [part.strip() for part in text.split(',') if part.strip()]


def finish(args: argparse.Namespace, result: Any) -> None:
    """Write the result where ``--json`` says."""
    if args.json:
        write_json(args.json, result)


def warn(warnings: Iterable[str]) -> None:
    """Say on standard error what should be known."""
    for words in warnings:
        print(f'warning: {words}', file=sys.stderr)


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None
) -> None:
    """Print a table, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify='left')
    for column in columns:
        table.add_column(column, overflow='fold')
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)  # for a file or a pipe nothing is cut or folded
    console.print(table)
