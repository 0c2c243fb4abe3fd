"""``sim2real sysid to-urdf``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _sysid

HELP = 'write what was identified into the URDF'
DETAILS = """Masses, centres of mass, inertia, damping and friction; position offsets as moved
origins and limits of joints, so that what the encoders read are the model's positions. The rest of
the text stays as it is. What a URDF cannot say goes into a comment and is shown. Exit status 1
when nothing is identified."""
EXAMPLE = 'sim2real sysid to-urdf fit.json --robot arm6 --out calibrated.urdf'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _sysid.add_model(parser, 'URDF')


def run(args: argparse.Namespace) -> int:
    """Write it."""
    from sim2real_bringup.estimates import load_estimate
    from sim2real_core.profile import load_profile
    from sim2real_sysid.export import to_urdf

    made = to_urdf(load_profile(args.robot), load_estimate(args.estimate))
    return _sysid.write_model(args, made)
