"""``sim2real bag info``."""

from __future__ import annotations

import argparse
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'say what is in a rosbag2 (folder, .mcap or .db3), without ROS'
EXAMPLE = """
sim2real bag info out/emps
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bag', help='rosbag2 folder, or one .mcap or .db3 file')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show the bag."""
    from sim2real_bringup.bags import summary

    result = summary(args.bag)
    _common.finish(args, result)
    show(result)
    return 0


def show(result: dict[str, Any]) -> None:
    """Print what :func:`sim2real_bringup.bags.summary` says."""
    rows = [(name, t['type'], t['messages']) for name, t in result['topics'].items()]
    _common.show_table(('topic', 'type', 'messages'), rows)
    print(f'{result["bag"]}: {result["messages"]} messages, {result["duration"]:g} s')
