"""``sim2real capture evaluate``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'false alarms and detections of calibrated detectors, with intervals'
DETAILS = """The nominal episodes must be others than those of the calibration. Faults are listed
in a YAML file:

  trials:
    - {bag: payload_1, fault: payload, magnitude: 0.3, at: 12.5}
    - {bag: friction_1, fault: friction, magnitude: 2.0, since: 8.0, at: 9.1}

`at` is when the fault took effect [s], by the stamps of the joint states: friction, say, once the
joint moves. Alarms count from `since` on, when the fault was there, else from `at`. Intervals are
those of Clopper and Pearson, 95 %. The status is 1 when the stated rate of false alarms is below
the interval of those that were seen, or when fewer than --at-least of a fault's episodes are
caught."""
EXAMPLE = """
sim2real capture evaluate bags/fresh --robot arm6 --thresholds thresholds.json
sim2real capture evaluate bags/fresh --robot arm6 --thresholds thresholds.json --trials faults.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bags', nargs='+', help='nominal bags, clips, or folders of these')
    _common.add_robot(parser)
    parser.add_argument('--thresholds', required=True, help='file of sim2real capture calibrate')
    parser.add_argument(
        '--detectors', default='all', help='a file, or a shipped name (default: all)'
    )
    parser.add_argument('--trials', default='', metavar='FILE', help='bags with faults')
    parser.add_argument(
        '--episode', type=_common.not_negative, default=0.0, metavar='SECONDS',
        help='cut nominal bags into episodes this long (default: each is one)',
    )  # fmt: skip
    parser.add_argument(
        '--within', type=_common.duration, default=0.5, metavar='SECONDS',
        help='a fault is caught within this time (default: 0.5)',
    )  # fmt: skip
    parser.add_argument(
        '--at-least', type=_common.not_negative, default=0.0, metavar='SHARE',
        help='of the episodes of each fault that must be caught (default: 0)',
    )  # fmt: skip
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print tables."""
    from sim2real_bringup.episodes import read_episodes, read_trials
    from sim2real_capture.calibration import load_calibration
    from sim2real_capture.detection import evaluate
    from sim2real_capture.detectors_file import build, read_detectors
    from sim2real_core.profile import load_profile

    profile = load_profile(args.robot)
    calibration = load_calibration(args.thresholds)
    entries = [
        entry for entry in read_detectors(args.detectors) if entry.name in calibration.detectors
    ]
    made = build(entries, profile, calibration)
    nominal = read_episodes(args.bags, profile, entries, args.episode)
    trials = read_trials(args.trials, profile, entries) if args.trials else []
    with _common.progress({'episodes': f'{len(nominal) + len(trials)} episodes'}) as tell:
        found = evaluate(
            made.active, nominal, trials, within=args.within,
            tell=lambda share: tell('episodes', share),
        )  # fmt: skip
    alarms = found.false_alarms
    low, high = alarms.interval
    stated = f'stated: {100 * calibration.alpha:g} %'
    print(
        f'false alarms: {alarms.count} of {alarms.total} nominal episodes, '
        f'{100 * alarms.value:.1f} % ({100 * low:.1f} to {100 * high:.1f} %; {stated})'
    )
    _common.show_table(('detector', 'false alarms'), list(found.by.items()))
    rows = []
    for (fault, magnitude), one in found.detections.items():
        low, high = one.rate.interval
        best = max(one.by, key=lambda name: one.by[name]) if one.rate.count else '-'
        rows.append(
            (fault, f'{magnitude:g}', f'{one.rate.count} of {one.rate.total}',
             f'{100 * low:.1f} to {100 * high:.1f} %', f'{one.delay:.3f}', best)
        )  # fmt: skip
    columns = ('fault', 'magnitude', 'caught', '95 % interval', 'median delay [s]', 'mostly by')
    if rows:
        _common.show_table(columns, rows)
    _common.finish(args, found.as_json())
    missed = any(d.rate.value < args.at_least for d in found.detections.values())
    return int(alarms.interval[0] > calibration.alpha or missed)
