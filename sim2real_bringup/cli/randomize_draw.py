"""``sim2real randomize draw``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'draw one world from a randomization space'
EXAMPLE = 'sim2real randomize draw --robot arm6 --space arm6 --seed 1 --episode 7 --json world'
DETAILS = 'The same seed, episode and environment give the same world, to the bit, everywhere.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _common.add_robot(parser)
    parser.add_argument(
        '--space', default='', help="a YAML file or a shipped name (default: the robot's name)"
    )
    parser.add_argument('--seed', type=int, default=0, help='of all draws (default: 0)')
    parser.add_argument('--episode', type=int, default=0, help='its number (default: 0)')
    parser.add_argument('--env', type=int, default=0, help='index of the environment (default: 0)')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Draw, and show the values."""
    from sim2real_core.addresses import quantity
    from sim2real_core.profile import load_profile
    from sim2real_randomizer.space import load_space

    profile = load_profile(args.robot)
    space = load_space(args.space, profile)
    draw = space.draw(args.seed, args.episode, args.env)
    _common.warn(space.warnings)
    _common.finish(args, {'values': dict(draw.values)})
    _common.show_table(
        ('address', 'value', 'unit'),
        ((a, f'{value:.6g}', quantity(a, profile).unit) for a, value in draw.values.items()),
        f'seed {args.seed}, episode {args.episode}, environment {args.env}',
    )
    return 0
