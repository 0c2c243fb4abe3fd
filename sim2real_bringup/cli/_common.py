"""What several verbs share: common arguments, and results as text and JSON."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from sim2real_core.files import write_json


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json FILE``."""
    parser.add_argument('--json', metavar='FILE', help='write the result here as JSON')


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


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = '') -> None:
    """Print a table, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify='left')
    for column in columns:
        table.add_column(column, overflow='fold')
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)  # for a file or a pipe nothing is cut or folded
    console.print(table)
