"""``sim2real randomize narrow``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile
    from sim2real_core.records import Estimate

HELP = 'narrow a space to what an estimate knows'
EXAMPLE = 'sim2real randomize narrow --robot arm6 --estimate estimate.json --out narrowed.yaml'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        '--estimate',
        type=Path,
        required=True,
        metavar='JSON',
        help='address to mean, std and status; std null where nothing is known',
    )
    add_narrowing(parser)


def add_narrowing(parser: argparse.ArgumentParser) -> None:
    """Arguments that say how a space is narrowed, and where to."""
    _common.add_robot(parser)
    parser.add_argument(
        '--space', default='', help="a YAML file or a shipped name (default: the robot's own)"
    )
    parser.add_argument('--k-sigma', type=float, default=3.0, help='half-width (default: 3)')
    parser.add_argument(
        '--floor', type=float, default=0.02, help='least half-width, as a share of the mean'
    )
    parser.add_argument(
        '--ceiling', type=float, default=1.0, help="greatest, as a share of the prior's"
    )
    parser.add_argument('--shape', default='normal', help='normal, uniform or joint')
    parser.add_argument('--out', type=Path, metavar='YAML', required=True, help='the new space')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Narrow, write, and say what changed."""
    from sim2real_core.profile import load_profile
    from sim2real_randomizer.narrow import read_estimate

    return write_narrowed(args, load_profile(args.robot), read_estimate(args.estimate))


def write_narrowed(args: argparse.Namespace, profile: RobotProfile, estimate: Estimate) -> int:
    """Narrow the space that the arguments name to an estimate, write it, show what changed."""
    import dataclasses

    from sim2real_randomizer.narrow import narrow_with_report
    from sim2real_randomizer.space import load_space

    space, changes = narrow_with_report(
        load_space(args.space, profile),
        estimate,
        k_sigma=args.k_sigma,
        floor=args.floor,
        ceiling=args.ceiling,
        shape=args.shape,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(space.to_yaml(), encoding='utf-8')
    result = {
        'content_hash': space.content_hash,
        'changes': list(map(dataclasses.asdict, changes)),
    }
    _common.finish(args, result)

    def span(ends: tuple[float, float] | None) -> str:
        return '-' if ends is None else f'{ends[0]:.4g} to {ends[1]:.4g}'

    _common.show_table(
        ('address', 'before', 'after', ''),
        ((c.address, span(c.before), span(c.after), c.reason) for c in changes),
        f'{args.out}: {len(space.addresses)} addresses',
    )
    return 0
