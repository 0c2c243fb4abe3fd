"""``sim2real policy rollback``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common, policy_deploy

HELP = 'switch a robot back to the policy that it ran before'
DETAILS = """Switches between the last two releases: doing it twice changes nothing."""
EXAMPLE = """
sim2real policy rollback --to robot@arm.local --restart 'systemctl --user restart policy'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    policy_deploy.add_ssh(parser)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Switch back."""
    from sim2real_policy.deploy import rollback

    now, was = rollback(policy_deploy.remote(args), args.folder, args.restart)
    _common.finish(args, {'release': now, 'before': was})
    print(f'{args.to} runs {now} (before: {was})')
    return 0
