"""``sim2real capture export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'make clips a data set to learn from, in the layout of LeRobot v3'
DETAILS = """Observations are derived again from what was measured, by the bundle's own code; only
frames that agree with what the policy published are kept. Clips that repeat another one, or that
were labelled a false alarm or a duplicate, are left out. A data set is never changed: --base names
the version before, whose cases go into the new one."""
EXAMPLE = """
sim2real capture export ~/.ros/sim2real/clips --robot arm6 --bundle arm6 --out out/failures
sim2real capture export new/ --robot arm6 --bundle arm6 --base out/failures --out out/failures2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('clips', nargs='+', help='clips, or folders of clips')
    _common.add_robot(parser)
    parser.add_argument(
        '--bundle',
        action='append',
        required=True,
        help='policy that ran, a file or a shipped name (repeatable)',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the data set; new')
    parser.add_argument('--base', type=Path, help='data set to go on from')
    parser.add_argument(
        '--similar',
        type=_common.not_negative,
        default=0.1,
        metavar='DISTANCE',
        help='clips nearer to another one than this are left out, in standard deviations of what '
        'was observed (default: %(default)s)',
    )
    parser.add_argument(
        '--confirmed', action='store_true', help='only what was labelled a real failure'
    )
    parser.add_argument('--task', default='', help='what the policy was to do, in words')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read, derive, tell apart, write; 1 when there is nothing left to write."""
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_learning import dataset_lerobot
    from sim2real_learning.clips import clip_folders, labels_of
    from sim2real_learning.dataset import describe, ingest
    from sim2real_learning.network import Network
    from sim2real_policy.bundle import load_bundle

    profile = load_profile(args.robot)
    bundles = [load_bundle(find('policies', name, '.onnx')) for name in args.bundle]
    policies = [Network(bundle) for bundle in bundles]
    folders = list(clip_folders(args.clips))
    with _common.progress({'clips': 'read the clips', 'write': 'write the data set'}) as tell:
        base = describe(bundles[0], profile, args.task)
        if args.base:
            base = dataset_lerobot.read(args.base)
        dataset, fates = ingest(
            base,
            folders,
            profile,
            policies,
            labels_of(folders),
            similar=args.similar,
            confirmed=args.confirmed,
            tell=lambda share, clip: tell('clips', share, clip),
        )
        tell('write', 0.0)
        written = bool(dataset.cases)
        content = dataset_lerobot.write(dataset, args.out.expanduser()) if written else ''
    result = {
        'dataset': str(args.out),
        'content_hash': content,
        'parents': list(dataset.parents),
        'clips': len(dataset.cases),
        'episodes': sum(len(case.episodes) for case in dataset.cases),
        'frames': dataset.frames,
        'fates': [vars(fate) for fate in fates],
    }
    _common.finish(args, result)
    show(result)
    return 0 if written else 1


def show(result: dict[str, Any]) -> None:
    """Print what became of the clips, and the version."""
    rows = [
        (
            fate['clip'],
            'kept' if fate['kept'] else 'left out',
            fate['frames'] or '',
            fate['reason'],
        )
        for fate in result['fates']
    ]
    _common.show_table(('clip', '', 'frames', ''), rows)
    if not result['clips']:
        print('no clip is left: nothing was written')
        return
    print(
        f'{result["dataset"]}: {result["clips"]} clips, {result["episodes"]} episodes, '
        f'{result["frames"]} frames; version {result["content_hash"][:12]}'
    )
