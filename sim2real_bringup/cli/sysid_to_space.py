"""``sim2real sysid to-space``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _sysid
from sim2real_bringup.cli.randomize_narrow import add_narrowing, write_narrowed

HELP = 'write what was identified as a randomization space'
DETAILS = """Identified parameters vary about their estimate, no further than it is uncertain; a
floor and a ceiling bound that. All others vary as in the space it starts from."""
EXAMPLE = """
sim2real sysid to-space fit.json --robot arm6 --out identified.yaml
sim2real sysid to-space BAG --robot arm6 --space none --shape joint --out identified.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _sysid.add_estimate(parser)
    add_narrowing(parser)


def run(args: argparse.Namespace) -> int:
    """Narrow, write, and say what changed."""
    from sim2real_bringup.estimates import load_estimate
    from sim2real_core.profile import load_profile

    return write_narrowed(args, load_profile(args.robot), load_estimate(args.estimate))
