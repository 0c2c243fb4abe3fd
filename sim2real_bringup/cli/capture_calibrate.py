"""``sim2real capture calibrate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common

HELP = 'set the thresholds of detectors by nominal episodes, to a stated rate of false alarms'
DETAILS = """Each bag or clip is one nominal episode, and all must be like those to come: the same
robot, the same work, about as long. Part of them teach the detectors that learn, the others set
thresholds by split conformal prediction on the episode maximum, so that at most the stated share
of fresh nominal episodes raises an alarm of any detector."""
EXAMPLE = """
sim2real capture calibrate bags/nominal --robot arm6 --out thresholds.json
sim2real capture calibrate long_run --robot arm6 --episode 10 --alpha 0.01 --out thresholds.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bags', nargs='+', help='rosbag2 folders, clips, or folders of these')
    _common.add_robot(parser)
    parser.add_argument(
        '--detectors', default='all', help='a file, or a shipped name (default: all)'
    )
    parser.add_argument(
        '--alpha', type=float, default=0.05, help='share of episodes with a false alarm (0.05)'
    )
    parser.add_argument(
        '--episode', type=_common.not_negative, default=0.0, metavar='SECONDS',
        help='cut bags into episodes this long (default: each is one)',
    )  # fmt: skip
    parser.add_argument('--seed', type=_common.natural, default=0, help='of the split (0)')
    parser.add_argument(
        '--out', type=_common.output, required=True, metavar='FILE',
        help='thresholds file, for the parameter `thresholds` of the capture node',
    )  # fmt: skip
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate, write the file, print a table."""
    import numpy as np

    from sim2real_bringup.episodes import read_episodes
    from sim2real_capture.calibration import calibrate
    from sim2real_capture.detectors_file import read_detectors
    from sim2real_core.profile import load_profile

    profile = load_profile(args.robot)
    entries = [entry for entry in read_detectors(args.detectors) if entry.calibrated]
    episodes = read_episodes(args.bags, profile, entries, args.episode)
    with _common.progress({'episodes': f'{len(episodes)} episodes'}) as tell:
        found, skipped = calibrate(
            entries, profile, episodes, args.alpha, np.random.default_rng(args.seed),
            lambda share: tell('episodes', share),
        )  # fmt: skip
    found.save(args.out)
    _common.warn(f'{name} is not calibrated: {why}' for name, why in skipped.items())
    rows = [
        (name, element, f'{value:.4g}')
        for name, one in found.detectors.items()
        for element, value in one.threshold.items()
    ]
    title = (
        f'{found.episodes} episodes of up to {found.duration:.1f} s set the thresholds: at most '
        f'{100 * found.alpha:g} % of nominal ones raise an alarm'
    )
    _common.show_table(('detector', 'element', 'threshold'), rows, title)
    _common.finish(
        args,
        {
            'out': str(Path(args.out)),
            'alpha': found.alpha,
            'episodes': found.episodes,
            'duration': found.duration,
            'skipped': skipped,
            'thresholds': {name: dict(one.threshold) for name, one in found.detectors.items()},
        },
    )
    return 0
