"""``sim2real capture token``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'make a token for a robot, or for a person who looks at clips; or take it back'
DETAILS = """It is shown once; the file keeps its hash. A robot has it in the YAML file that its
parameter receiver_credentials names (token: ...); a browser asks for it. A receiver that runs
heeds the change from the next request on."""
EXAMPLE = """
sim2real capture token arm7 --credentials receiver.yaml
sim2real capture token anna --viewer --credentials receiver.yaml
sim2real capture token arm7 --revoke --credentials receiver.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('name', help='of the robot or person; one that has a token gets another')
    parser.add_argument('--viewer', action='store_true', help='for a person, who looks and labels')
    parser.add_argument(
        '--revoke', action='store_true',
        help='let this one in no longer, with neither token nor certificate; 1: it had no token',
    )  # fmt: skip
    parser.add_argument(
        '--credentials', required=True, metavar='FILE', help='of the receiver; made if missing'
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Make it, or take it back."""
    from sim2real_capture.access import add_token, revoke

    if args.revoke:
        had = revoke(Path(args.credentials).expanduser(), args.name)
        _common.finish(args, {'name': args.name, 'revoked': True, 'had_token': had})
        print(f'{args.name} is let in no longer')
        return 0 if had else 1
    role = 'viewers' if args.viewer else 'robots'
    token = add_token(Path(args.credentials).expanduser(), role, args.name)
    _common.finish(args, {'name': args.name, 'role': role, 'token': token})
    print(token)
    return 0
