"""``sim2real init``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'make a robot known: a profile and a first randomization space from its URDF or xacro'
EXAMPLE = 'sim2real init --urdf my_robot.urdf --out my_robot'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--urdf', required=True, type=Path, help='URDF or .xacro file')
    parser.add_argument('--out', type=Path, default=Path(), help='folder (default: this one)')
    parser.add_argument('--name', help="of the robot (default: the URDF's)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the paths')


def run(args: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    from rich.console import Console

    from sim2real_bringup.init import init_robot
    from sim2real_core.files import write_json

    profile, space = init_robot(args.urdf, args.out, args.name)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f'profile: {profile}\nspace:   {space}')
    console.print(f'look at it: sim2real randomize show --robot {profile} --space {space}')
    if args.json:
        write_json(args.json, {'profile': str(profile), 'space': str(space)})
    return 0
