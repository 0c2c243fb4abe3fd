"""``sim2real sysid sensors``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'what the sensors add: noise, bias, drift, steps, jitter, delay, losses'
DETAILS = """From joint states and IMU of a bag in which the robot rests for a while (the longer,
the slower the drift that shows) and then moves. Every figure has its uncertainty; what the bag is
too short for is not_identified. Delays are those behind the positions."""
EXAMPLE = """
sim2real sysid sensors BAG --robot arm6 --json sensors.json --plot allan.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bag', help='rosbag2 folder, or one .mcap or .db3 file')
    _common.add_robot(parser)
    _common.add_json(parser)
    parser.add_argument(
        '--plot', type=_common.output_file, metavar='F.png', help='draw the Allan deviations here'
    )
    parser.add_argument(
        '--namespace', default='', help='that the bag was recorded under, / for none'
    )


def run(args: argparse.Namespace) -> int:
    """Assess; 1 when nothing was identified."""
    from sim2real_bringup.sensor_logs import read_sensors
    from sim2real_core.profile import load_profile
    from sim2real_sysid import sensor_report

    profile = load_profile(args.robot)
    log = read_sensors(args.bag, profile, args.namespace)
    with _common.progress({'sensors': 'Sensors'}) as tell:
        found, rest = sensor_report.assess_all(
            profile, log.channels, log.stamp, log.position, lambda share: tell('sensors', share)
        )
    result = sensor_report.as_json(found, rest, log.stamp, log.arrivals)
    _common.finish(args, result)
    if args.plot:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        sensor_report.plot(found, args.plot)
    known = {a: p for a, p in result['parameters'].items() if p['status'] == 'identified'}
    rows = [(a, f'{p["mean"]:.4g}', f'{p["std"]:.2g}', p['unit']) for a, p in known.items()]
    _common.show_table(('address', 'value', '+-', 'unit'), rows)
    seconds = sum(end - begin for begin, end in result['rest'])
    print(f'at rest for {seconds:.1f} s; {len(known)} of {len(result["parameters"])} identified')
    return 0 if known else 1
