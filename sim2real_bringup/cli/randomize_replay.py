"""``sim2real randomize replay``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_core.records import Draw

HELP = 'reproduce a recorded world, in a running simulator or as a file'
EXAMPLE = """sim2real randomize replay ~/.ros/sim2real/draws.jsonl --episode 7
sim2real randomize replay draws.jsonl --episode 7 --step 12 --out world.json"""
DETAILS = (
    'The values are those of the record, whatever has become of the space since. A world that\n'
    'changed within its episode is reproduced as it was at the step.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('draw', type=Path, help='draws.jsonl, or what randomize draw --json wrote')
    parser.add_argument('--episode', type=int, help='its episode (default: that of the last draw)')
    parser.add_argument('--env', type=int, help='index of its environment')
    parser.add_argument('--step', type=int, help='number of the update within the episode')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='write the world there instead: for train and evaluate --worlds, and for the '
        "simulator's parameters_file",
    )
    _common.add_robot(parser, required=False)
    parser.add_argument('--namespace', default='', help='of the simulator')
    parser.add_argument(
        '--timeout', type=_common.duration, default=10.0, help='wait so long [s] (default: 10)'
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Find the draw, then apply or write it."""
    from sim2real_core.files import write_json
    from sim2real_randomizer.draw_log import as_json, find

    draw = find(args.draw, episode=args.episode, environment=args.env, step=args.step)
    if args.robot:
        _check_robot(draw, args.robot, args.draw)
    key = f'seed {draw.seed}, episode {draw.episode}, environment {draw.environment}'
    key += f', step {draw.step}' if draw.step else ''
    if args.out:
        write_json(args.out, as_json(draw))
        _common.finish(args, as_json(draw))
        print(f'{args.out}: {len(draw.values)} values of {key}')
        return 0
    from sim2real_randomizer.apply import failed
    from sim2real_randomizer.replay_ros import replay

    draw = replay(draw, timeout=args.timeout, namespace=args.namespace)
    _common.finish(args, as_json(draw))
    _common.show_table(
        ('address', 'value', 'outcome'),
        ((a, f'{value:.6g}', draw.outcomes[a]) for a, value in draw.values.items()),
        key,
    )
    return 1 if failed(draw) else 0


def _check_robot(draw: Draw, robot: str, file: Path) -> None:
    """A world of another robot is none of this one."""
    from sim2real_core.addresses import quantity
    from sim2real_core.errors import Fault, InputError
    from sim2real_core.profile import load_profile

    profile = load_profile(robot)
    if draw.profile and draw.profile != profile.content_hash:
        mend = f'recorded with another profile than {profile.name} has now; leave --robot away'
        raise InputError(Fault('profile', draw.profile, mend, str(file)))
    for address in draw.values:
        quantity(address, profile)
