"""``sim2real capture reproduce``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'replay the commands of a clip in simulation: does the failure recur?'
DETAILS = """Tries the nominal robot, the one that was identified and the world that was drawn, as
far as the clip tells of them, and what --set gives on top. A mobile robot begins where odometry
saw it. Ends with 0 where the same detector raises the same alarm at about the same time in one of
them, else with 1; with 0, too, where no detector that sees joint states or an IMU raised it, and
only how far the motion is off can be told."""
EXAMPLE = """
sim2real capture reproduce ~/.ros/sim2real/clips/<clip> --robot arm6 --plot out/again.png
sim2real capture reproduce <clip> --robot arm6 --set actuator.elbow.gain=0.2@-0.3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('clip', help="a clip's folder, or a file in it")
    _common.add_robot(parser)
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        type=hypothesis,
        metavar='ADDRESS=VALUE[@SECONDS]',
        help='a parameter as it may have been, from so long after (negative: before) the alarm '
        'on (repeatable)',
    )
    parser.add_argument(
        '--lead',
        type=_common.duration,
        default=2.0,
        help='start so long before the alarm [s] (default: %(default)s)',
    )
    parser.add_argument('--seed', type=_common.natural, default=0, help='of the sensor noise')
    parser.add_argument('--no-contacts', action='store_true', help='simulate no contacts')
    parser.add_argument('--detectors', default='default', help='file of the detectors, or a name')
    parser.add_argument('--thresholds', default='', help='file of sim2real capture calibrate')
    parser.add_argument(
        '--plot', type=_common.output_file, metavar='FILE', help='draw it (PNG, SVG)'
    )
    _common.add_json(parser)


def hypothesis(text: str) -> tuple[float, str, float]:
    """``ADDRESS=VALUE[@SECONDS]`` as time, address and value (for argparse)."""
    address, _, rest = text.partition('=')
    value, at, after = rest.partition('@')
    when, number = float(after) if at else -math.inf, float(value)
    if not math.isfinite(number) or (at and not math.isfinite(when)):
        raise ValueError(text)
    return when, address.strip(), number


def run(args: argparse.Namespace) -> int:
    """Read, simulate, show."""
    from sim2real_capture.calibration import load_calibration
    from sim2real_capture.detectors_file import build, read_detectors
    from sim2real_core.addresses import parse_address
    from sim2real_core.profile import load_profile
    from sim2real_learning.clips import read_clip
    from sim2real_learning.reproduce import reproduce, worlds_of

    profile = load_profile(args.robot)
    for _, address, _ in args.set:
        parse_address(address)
    entries = read_detectors(args.detectors)
    calibration = load_calibration(args.thresholds) if args.thresholds else None
    clip = read_clip(args.clip, profile)
    with _common.progress({'simulate': 'replay the commands'}) as tell:
        result = reproduce(
            clip,
            profile,
            worlds_of(clip, args.set),
            lambda: build(entries, profile, calibration).active,
            lead=args.lead,
            seed=args.seed,
            contacts=not args.no_contacts,
            tell=lambda share: tell('simulate', share),
        )
    _common.finish(args, result.as_json())
    if args.plot:
        from sim2real_learning.reproduce_plot import plot

        units = tuple('m' if j.type == 'prismatic' else 'rad' for j in profile.joints)
        by_position = profile.command.interface == 'position'
        plot(result, units, Path(args.plot), commanded=by_position)
    show(result)
    return 1 if result.recurs is False else 0


def show(result: Any) -> None:
    """Print how each world went."""
    alarm = result.alarm
    print(f'{result.clip}: {alarm.get("detector", "no alarm")} {alarm.get("detail", "")}')
    rows = []
    mobile = any(math.isfinite(outcome.moved) for outcome in result.outcomes)
    for outcome in result.outcomes:
        worst = int(outcome.largest.argmax())
        rows.append(
            (
                outcome.world,
                'blew up' if outcome.diverged else f'{outcome.rms.max():.4g}',
                f'{outcome.largest[worst]:.4g} ({result.joints[worst]})',
                *[f'{outcome.moved:.3g} m, {outcome.turned:.3g} rad'] * mobile,
                {True: 'yes', False: 'no', None: '-'}[outcome.recurs],
                '' if math.isnan(outcome.delay) else f'{outcome.delay:+.3f}',
                ', '.join(sorted({event.detector for event in outcome.alarms})),
            )
        )
        _common.warn(f'{outcome.world}: {a} left out: {why}' for a, why in outcome.ignored.items())
    body = ['body at most'] * mobile
    head = ('world', 'rms [rad or m]', 'largest', *body, 'same alarm', 'later by [s]', 'alarms')
    _common.show_table(head, rows)
    words = {
        True: 'recurs',
        False: 'does not recur',
        None: 'has an alarm that nothing here raises',
    }
    print(f'the failure {words[result.recurs]}; closest: {result.best.world}')
