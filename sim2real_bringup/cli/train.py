"""``sim2real train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common
from sim2real_learning.config import FINE_TUNING, ReachTask, TrainConfig

HELP = 'train a reach policy, or fine-tune one, in a randomization space'
DETAILS = f"""The checkpoint is written beside the bundle, with the ending .pt. With --start the
defaults are those of fine-tuning ({', '.join(f'{k} {v:g}' for k, v in FINE_TUNING.items())}),
and the task is the one of the checkpoint."""
EXAMPLE = """
sim2real train --robot arm6 --space arm6 --out out/arm6.onnx
sim2real train --robot arm6 --space arm6 --start out/arm6.pt --out out/tuned.onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _common.add_robot(parser)
    parser.add_argument('--space', default='', help='randomization space; none: nominal world')
    parser.add_argument(
        '--worlds', type=Path, metavar='FILE', help='of randomize sweep or replay, in turn'
    )
    parser.add_argument(
        '--out', type=_common.output_file, required=True, help='bundle to write (.onnx)'
    )
    parser.add_argument('--start', type=Path, help='checkpoint (.pt) to fine-tune')
    parser.add_argument(
        '--seed', type=_common.natural, default=0, help='of everything random (default: 0)'
    )
    _common.add_config(parser, TrainConfig)
    _common.add_config(parser, ReachTask)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train and write bundle and checkpoint."""
    from sim2real_core.profile import load_profile
    from sim2real_learning.workflow import train_bundle
    from sim2real_learning.worlds import read_worlds
    from sim2real_randomizer.space import load_space

    preset = FINE_TUNING if args.start else {}
    config = TrainConfig(**{**preset, **_common.given(args, TrainConfig)})
    profile = load_profile(args.robot)
    space = load_space(args.space, profile) if args.space else None
    with _common.progress({'training': f'training, {config.iterations} iterations'}) as tell:
        tell('training', 0.0)
        result = train_bundle(
            profile,
            space,
            args.out,
            config,
            seed=args.seed,
            start=args.start,
            task=_common.given(args, ReachTask),
            progress=lambda done, reward: tell(
                'training', done / config.iterations, f'mean reward {reward:.3f}'
            ),
            worlds=read_worlds(args.worlds, profile) if args.worlds else None,
        )
    print(f'wrote {args.out} (torch and ONNX differ by {result["parity"]:.1e} at most)')
    _common.finish(args, result)
    return 0
