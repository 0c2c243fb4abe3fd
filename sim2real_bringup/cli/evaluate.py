"""``sim2real evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'success rate and task error of a bundle in simulation, with intervals'
EXAMPLE = 'sim2real evaluate --bundle arm6 --robot arm6 --space arm6 --episodes 200'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--bundle', required=True, help='a path or a shipped name')
    parser.add_argument('--robot', required=True, help='robot profile: a path or a shipped name')
    parser.add_argument('--space', default='', help='randomization space; none: nominal world')
    parser.add_argument(
        '--worlds', type=Path, metavar='FILE', help='of randomize sweep or replay, in turn'
    )
    parser.add_argument('--episodes', type=int, default=100, help='how many (default: 100)')
    parser.add_argument('--seed', type=int, default=0, help='of worlds and goals (default: 0)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures')


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a table."""
    from rich.console import Console
    from rich.table import Table

    from sim2real_core.files import find, write_json
    from sim2real_core.profile import load_profile
    from sim2real_learning.workflow import evaluate_bundle
    from sim2real_learning.worlds import read_worlds
    from sim2real_randomizer.space import load_space

    profile = load_profile(args.robot)
    space = load_space(args.space, profile) if args.space else None
    bundle = find('policies', args.bundle, '.onnx')
    console = Console()
    with Console(stderr=True).status(f'{args.episodes} episodes'):
        worlds = read_worlds(args.worlds, profile) if args.worlds else None
        summary = evaluate_bundle(
            bundle, profile, space, args.episodes, seed=args.seed, worlds=worlds
        ).summary()
    table = Table(title=f'{bundle.name} on {profile.name}, {args.episodes} episodes')
    for heading in ('', 'value', '95 % interval'):
        table.add_column(heading, justify='right' if heading else 'left')
    for label, key, scale, unit in (
        ('success rate', 'success_rate', 100, '%'),
        ('task error', 'task_error', 1e3, 'mm'),
        ('median task error', 'median_task_error', 1e3, 'mm'),
    ):
        low, high = summary[f'{key}_interval']
        interval = f'{scale * low:.1f} to {scale * high:.1f} {unit}'
        table.add_row(label, f'{scale * summary[key]:.1f} {unit}', interval)
    console.print(table)
    if args.json:
        write_json(args.json, summary)
    return 0
