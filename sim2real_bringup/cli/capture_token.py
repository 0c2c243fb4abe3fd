"""``sim2real capture token``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'make a token for a robot, or for a person who looks at clips'
DETAILS = """It is shown once; the file keeps its hash. A robot has it in the YAML file that its
parameter receiver_credentials names (token: ...); a browser asks for it. Restart the receiver
afterwards."""
EXAMPLE = """
sim2real capture token arm7 --credentials receiver.yaml
sim2real capture token anna --viewer --credentials receiver.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('name', help='of the robot or person; one that has a token gets another')
    parser.add_argument('--viewer', action='store_true', help='for a person, who looks and labels')
    parser.add_argument(
        '--credentials', required=True, metavar='FILE', help='of the receiver; made if missing'
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    from sim2real_capture.access import add_token

    role = 'viewers' if args.viewer else 'robots'
    token = add_token(Path(args.credentials).expanduser(), role, args.name)
    _common.finish(args, {'name': args.name, 'role': role, 'token': token})
    print(token)
    return 0
