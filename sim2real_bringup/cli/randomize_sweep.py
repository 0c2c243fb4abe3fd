"""``sim2real randomize sweep``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'worlds that cover a space evenly, or a grid, for an evaluation'
EXAMPLE = """sim2real randomize sweep --robot arm6 --method sobol --count 256 --out w.json
sim2real randomize sweep --robot arm6 --grid link.gripper.mass=1,2,3 --out w.json
sim2real evaluate --bundle arm6 --robot arm6 --worlds w.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _common.add_robot(parser)
    parser.add_argument(
        '--space', default='', help="a YAML file or a shipped name (default: the robot's name)"
    )
    parser.add_argument(
        '--method',
        choices=('sobol', 'latin_hypercube'),
        default='sobol',
        help='sequence (default: sobol)',
    )
    parser.add_argument('--count', type=int, default=256, help='number of worlds (default: 256)')
    parser.add_argument('--seed', type=int, default=0, help='of the scrambling (default: 0)')
    parser.add_argument(
        '--grid',
        action='append',
        default=[],
        metavar='ADDRESS=V,V,...',
        help='all combinations of these SI values instead, all else nominal (repeatable)',
    )
    parser.add_argument('--out', type=Path, metavar='FILE', required=True, help='write them there')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Make the worlds and write them."""
    from sim2real_core.files import write_json
    from sim2real_core.profile import load_profile
    from sim2real_randomizer.space import load_space
    from sim2real_randomizer.sweeps import grid, sweep

    profile = load_profile(args.robot)
    if args.grid:
        worlds = grid(_points(args.grid), profile)
    else:
        space = load_space(args.space or profile.name, profile)
        worlds = sweep(space, args.method, args.count, seed=args.seed)
    result = {'values': {address: values.tolist() for address, values in worlds.items()}}
    write_json(args.out, result)
    _common.finish(args, result)
    count = max((len(values) for values in worlds.values()), default=0)
    print(f'{args.out}: {count} worlds of {len(worlds)} addresses')
    return 0


def _points(texts: list[str]) -> dict[str, list[float]]:
    """``ADDRESS=1,2`` as numbers."""
    from sim2real_core.errors import Faults

    points, faults = {}, Faults()
    for text in texts:
        address, _, values = text.partition('=')
        try:
            points[address.strip()] = [float(v) for v in _common.comma_list(values)]
        except ValueError:
            faults.add('--grid', text, 'write ADDRESS=1,2,3')
    faults.check()
    return points
