"""``sim2real init``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'make a robot known: a profile and a first randomization space from its URDF or xacro'
DETAILS = """What the URDF does not say is chosen by rule and written into the profile with its
reason. The robot stands at zero or mid-range or, where it would meet the floor or itself there,
in the nearest pose that is free."""
EXAMPLE = 'sim2real init --urdf my_robot.urdf --out my_robot'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('--urdf', required=True, help='URDF or .xacro file')
    parser.add_argument('--out', default='.', metavar='FOLDER', help='where (default: here)')
    parser.add_argument('--name', help="of the robot (default: the URDF's)")
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    from sim2real_bringup.init import init_robot

    with _common.progress({'init': f'reading {Path(args.urdf).name}'}) as tell:
        tell('init', 0.0)
        profile, space, pose = init_robot(args.urdf, args.out, args.name)
    made = {'profile': str(profile), 'space': str(space)}
    _common.finish(args, made | {'default_position': list(pose.position), 'pose': pose.text})
    print(f'profile: {profile}\nspace:   {space}\npose:    {pose.text}')
    print(f'look at it: sim2real randomize show --robot {profile} --space {space}')
    return 0
