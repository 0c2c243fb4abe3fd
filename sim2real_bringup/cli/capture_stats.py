"""``sim2real capture stats``."""

from __future__ import annotations

import argparse
import math

from sim2real_bringup.cli import _common

HELP = 'what fails: clips by detector and by parameter of the world, with intervals'
DETAILS = """With the log of all draws (draws.jsonl of the randomizer) it is known how often it
went well, too: the share of episodes that fail is then told over every parameter's range."""
EXAMPLE = """
sim2real capture stats ~/.ros/sim2real/clips --robot arm6
sim2real capture stats clips/ --draws draws.jsonl --report out/failures.html --json out/f.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('clips', nargs='+', help='clips, or folders of clips')
    _common.add_robot(parser, required=False)
    parser.add_argument('--draws', default='', metavar='LOG', help='log of all draws')
    parser.add_argument('--report', type=_common.output, metavar='HTML', help='write a report')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Count, show, write."""
    from sim2real_core.profile import load_profile
    from sim2real_learning.clips import clip_folders, labels_of
    from sim2real_learning.failures import read_failures, report
    from sim2real_randomizer import draw_log

    folders = list(clip_folders(args.clips))
    failures, skipped = read_failures(folders, labels_of(folders))
    if args.robot:
        robot = load_profile(args.robot).name
        failures = [failure for failure in failures if failure.robot in ('', robot)]
    robots = sorted({failure.robot for failure in failures} - {''})
    if len(robots) > 1:
        _common.warn([f'counts {", ".join(robots)} together; --robot counts one of them'])
    found = report(failures, draw_log.read(args.draws) if args.draws else (), skipped)
    _common.finish(args, found.as_json())
    if args.report:
        from sim2real_learning.failures_report import write_report

        write_report(found, args.report)
    _common.warn(f'{name} was not counted: {why}' for name, why in skipped.items())
    _common.show_table(
        ('detector', 'clips', 'share', '95 %', 'false alarms', 'severity', 'worst', 'most often'),
        [
            (
                row.detector,
                row.clips.count,
                f'{row.clips.value:.1%}',
                '{:.1%} .. {:.1%}'.format(*row.clips.interval),
                f'{row.false_alarms.count} of {row.false_alarms.of}',
                _told(row.severity),
                _told(row.worst),
                ', '.join(f'{what} ({count})' for what, count in row.details),
            )
            for row in found.detectors
        ],
    )
    if found.addresses:
        _common.show_table(
            ('parameter', 'clips', 'median', '95 %', 'effect', 'p'),
            [
                (
                    row.address,
                    len(row.failures),
                    f'{row.median:.4g}',
                    '{:.4g} .. {:.4g}'.format(*row.interval),
                    _told(row.effect),
                    _told(row.p),
                )
                for row in found.addresses
            ],
        )
    return 0


def _told(value: float) -> str:
    """Three digits; a dash where there is no number."""
    return '-' if math.isnan(value) else f'{value:.3g}'
