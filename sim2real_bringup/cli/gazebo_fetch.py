"""``sim2real gazebo fetch``."""

from __future__ import annotations

import argparse

HELP = 'put a real Gazebo Classic (gzserver) into the cache; nothing is installed'
EXAMPLE = 'sim2real gazebo fetch'
DETAILS = (
    'Uses the gzserver of this machine when it has one. Otherwise takes the packages of the last\n'
    'Debian or Ubuntu release that carries it from the archive this machine already uses, and\n'
    'unpacks them into ~/.cache/sim2real/gazebo ($SIM2REAL_CACHE/gazebo when that is set).\n'
    'An interrupted run is taken up where it stopped.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('--mirror', default='', help="URL of an archive (default: this machine's)")


def run(args: argparse.Namespace) -> int:
    """Fetch, and say where it is."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from sim2real_sim.gazebo_classic.fetch import fetch

    console = Console()
    tasks: dict[str, TaskID] = {}
    with Progress(console=console, disable=not console.is_terminal) as bars:

        def show(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=1.0)
                if not console.is_terminal:
                    print(f'{what} ...', flush=True)
            bars.update(tasks[what], completed=share)

        found = fetch(show, args.mirror)
    print(found.program('gzserver'))
    return 0
