"""``sim2real train``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

HELP = 'train a reach policy, or fine-tune one, in a randomization space'
EXAMPLE = 'sim2real train --robot arm6 --space arm6 --out out/arm6.onnx'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--robot', required=True, help='robot profile: a path or a shipped name')
    parser.add_argument('--space', default='', help='randomization space; none: nominal world')
    parser.add_argument(
        '--worlds', type=Path, metavar='FILE', help='of randomize sweep or replay, in turn'
    )
    parser.add_argument('--out', type=Path, required=True, help='bundle to write (.onnx)')
    parser.add_argument('--start', type=Path, help='checkpoint (.pt) to fine-tune')
    parser.add_argument('--seed', type=int, default=0, help='of everything random (default: 0)')
    parser.add_argument('--iterations', type=int, help='PPO iterations')
    parser.add_argument('--environments', type=int, help='robots simulated side by side')
    parser.add_argument('--timestep', type=float, help='physics step while training [s]')
    parser.add_argument('--threads', type=int, help='physics threads')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write rewards and parity')


def run(args: argparse.Namespace) -> int:
    """Train and write bundle and checkpoint."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from sim2real_core.files import write_json
    from sim2real_core.profile import load_profile
    from sim2real_learning.train import FINE_TUNING, TrainConfig
    from sim2real_learning.workflow import train_bundle
    from sim2real_learning.worlds import read_worlds
    from sim2real_randomizer.space import load_space

    given = {
        field.name: getattr(args, field.name)
        for field in dataclasses.fields(TrainConfig)
        if getattr(args, field.name, None) is not None
    }
    config = TrainConfig(**{**(FINE_TUNING if args.start else {}), **given})
    profile = load_profile(args.robot)
    space = load_space(args.space, profile) if args.space else None
    console = Console(stderr=True)
    with Progress(
        TextColumn('training'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn('mean reward {task.fields[reward]:.3f}'),
        console=console,
    ) as bar:
        task = bar.add_task('', total=config.iterations, reward=0.0)
        result = train_bundle(
            profile,
            space,
            args.out,
            config,
            seed=args.seed,
            start=args.start,
            progress=lambda done, reward: bar.update(task, completed=done, reward=reward),
            worlds=read_worlds(args.worlds, profile) if args.worlds else None,
        )
    console.print(f'wrote {args.out} (torch and ONNX differ by {result["parity"]:.1e} at most)')
    if args.json:
        write_json(args.json, result)
    return 0
