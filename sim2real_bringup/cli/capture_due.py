"""``sim2real capture due``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'is it time to train again? By number and severity of new failures, or drift of the robot'
DETAILS = """Ends with 0 when it is, with 1 when it is not: sim2real capture due clips/ --dataset
out/failures && sim2real capture export ... Beside a data set only clips of its robot count that
repeat none of its cases."""
EXAMPLE = """
sim2real capture due ~/.ros/sim2real/clips --dataset out/failures --count 50
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('clips', nargs='+', help='clips, or folders of clips')
    parser.add_argument('--dataset', type=Path, help='what was trained with last')
    parser.add_argument('--count', type=int, help='new failures that are enough (default: 20)')
    parser.add_argument(
        '--severity',
        type=float,
        help='a new failure whose score is so many times its threshold is enough (default: 5)',
    )
    parser.add_argument(
        '--drift',
        type=float,
        help='an identified parameter that has moved by so many standard deviations is enough '
        '(default: 4)',
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look, show."""
    from sim2real_learning import dataset_lerobot
    from sim2real_learning.clips import clip_folders, labels_of
    from sim2real_learning.dataset_due import DueConfig, due, new_failures
    from sim2real_learning.failures import read_failures

    config = DueConfig(**_common.given(args, DueConfig))
    known = dataset_lerobot.read(args.dataset) if args.dataset else None
    folders = list(clip_folders(args.clips))
    failures, skipped = read_failures(folders, labels_of(folders))
    _common.warn(f'{name} was not counted: {why}' for name, why in skipped.items())
    reasons = due(failures, known, config)
    new = len(new_failures(failures, known))
    _common.finish(args, {'due': bool(reasons), 'new': new, 'reasons': [vars(r) for r in reasons]})
    print(f'{new} new failures: {"train again" if reasons else "no need to train again"}')
    rows = [(r.rule, r.what, f'{r.value:.4g}', f'{r.limit:.4g}') for r in reasons]
    if rows:
        _common.show_table(('because of', '', 'is', 'enough'), rows)
    return 0 if reasons else 1
