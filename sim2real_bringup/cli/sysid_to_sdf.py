"""``sim2real sysid to-sdf``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _sysid

HELP = 'write what was identified into an SDF model'
DETAILS = """Into an SDF of your own, whose text else stays as it is, or one made from the robot's
URDF, which alone has position offsets (as moved zeros of joints). What SDF cannot say goes into a
comment and is shown. Exit status 1 when nothing is identified."""
EXAMPLE = """
sim2real sysid to-sdf fit.json --robot arm6 --out calibrated.sdf
sim2real sysid to-sdf fit.json --robot arm6 --sdf world.sdf --model arm6 --out calibrated.sdf
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _sysid.add_model(parser, 'SDF')
    parser.add_argument('--sdf', type=Path, metavar='FILE', help='model or world to write into')
    parser.add_argument('--model', default='', help='which model of a world (default: all)')


def run(args: argparse.Namespace) -> int:
    """Write it."""
    from sim2real_bringup.estimates import load_estimate
    from sim2real_core.profile import load_profile
    from sim2real_sysid.export import to_sdf

    text = '' if args.sdf is None else args.sdf.read_text(encoding='utf-8')
    made = to_sdf(load_profile(args.robot), load_estimate(args.estimate), text, model=args.model)
    return _sysid.write_model(args, made)
