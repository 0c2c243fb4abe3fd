"""``sim2real doctor``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'say what this machine can do: ok, missing (and how to get it) or broken (and why)'
EXAMPLE = """
sim2real doctor
sim2real doctor --json machine.json
"""
COLOURS = {'ok': 'green', 'missing': 'yellow', 'broken': 'red'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Examine and show; looking always succeeds."""
    from rich.text import Text

    from sim2real_bringup.doctor import as_json, examine

    rows = examine()
    _common.finish(args, as_json(rows))
    _common.show_table(
        ('', 'status', ''),
        [(row.name, Text(row.status, style=COLOURS[row.status]), row.detail) for row in rows],
    )
    return 0
