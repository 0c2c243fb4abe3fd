"""``sim2real evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common
from sim2real_learning.config import ReachTask

HELP = 'success rate and task error of a bundle in simulation, with intervals'
DETAILS = """The task is the one that the policy was trained for, where its bundle says, but for
what is given here."""
EXAMPLE = 'sim2real evaluate --bundle arm6 --robot arm6 --space arm6 --episodes 200'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--bundle', required=True, help='a path or a shipped name')
    _common.add_robot(parser)
    parser.add_argument('--space', default='', help='randomization space; none: nominal world')
    parser.add_argument(
        '--worlds', type=Path, metavar='FILE', help='of randomize sweep or replay, in turn'
    )
    parser.add_argument('--episodes', type=int, default=100, help='how many (default: 100)')
    parser.add_argument(
        '--seed', type=_common.natural, default=0, help='of worlds and goals (default: 0)'
    )
    _common.add_config(parser, ReachTask)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a table."""
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_learning.workflow import evaluate_bundle
    from sim2real_learning.worlds import read_worlds
    from sim2real_randomizer.space import load_space

    profile = load_profile(args.robot)
    space = load_space(args.space, profile) if args.space else None
    bundle = find('policies', args.bundle, '.onnx')
    with _common.progress({'episodes': f'{args.episodes} episodes'}) as tell:
        tell('episodes', 0.0)
        summary = evaluate_bundle(
            bundle,
            profile,
            space,
            args.episodes,
            seed=args.seed,
            task=_common.given(args, ReachTask),
            worlds=read_worlds(args.worlds, profile) if args.worlds else None,
        ).summary()
        tell('episodes', 1.0)
    rows = []
    for label, key, scale, unit in (
        ('success rate', 'success_rate', 100, '%'),
        ('task error', 'task_error', 1e3, 'mm'),
        ('median task error', 'median_task_error', 1e3, 'mm'),
    ):
        low, high = summary[f'{key}_interval']
        interval = f'{scale * low:.1f} to {scale * high:.1f} {unit}'
        rows.append((label, f'{scale * summary[key]:.1f} {unit}', interval))
    _common.show_table(
        ('', 'value', '95 % interval'),
        rows,
        f'{bundle.name} on {profile.name}, {args.episodes} episodes',
    )
    _common.finish(args, summary)
    return 0
