"""``sim2real replay``."""

from __future__ import annotations

import argparse
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'play a bag through sysid, policy or capture and write what came out'
DETAILS = """Over ROS, each node in its own process, in a ROS domain of its own, so that no
running robot is disturbed. All that was recorded of the robot is played (joint states, IMU,
odometry, goals, images), but for what the nodes say themselves; a bag that lacks what the
policy acts on is refused. Every joint state waits for the nodes, so nothing is dropped
and two replays give the same result. A file for --expect:

  metrics:
    - {metric: final/joint.slider.armature/mean, value: 95.1, relative: 0.01}
    - {metric: final/joint.slider.coulomb_friction/status, equals: not_identified, at: 2.0}
    - {metric: events, max: 0}"""
EXAMPLE = """
sim2real replay out/emps --robot slider --nodes sysid --json emps.json
sim2real replay BAG --robot arm6 --nodes policy,capture --rate 1 --out out/replayed
sim2real replay BAG --robot arm6 --nodes sysid --expect thresholds.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bag', help='rosbag2 folder, or an MCAP file such as a clip')
    _common.add_robot(parser)
    parser.add_argument(
        '--nodes',
        type=_common.comma_list,
        required=True,
        metavar='A,B',
        help='nodes to play it through: sysid, policy, capture',
    )
    parser.add_argument(
        '--rate',
        type=_common.not_negative,
        default=0.0,
        help='seconds of the bag a second; 0, the default, is as fast as the nodes are',
    )
    parser.add_argument(
        '--start', type=_common.not_negative, default=0.0, metavar='S', help='begin here'
    )
    parser.add_argument('--duration', type=_common.duration, metavar='S', help='play so much')
    parser.add_argument(
        '--bag-namespace',
        default='',
        metavar='N',
        help='namespace the bag was recorded under, / for none; found out if not given',
    )
    parser.add_argument('--out', default='', metavar='BAG', help='write what came out as a bag')
    parser.add_argument(
        '--expect',
        metavar='FILE',
        help='thresholds (YAML); exit status 1 when one is violated, each is named',
    )
    parser.add_argument(
        '--domain',
        type=int,
        metavar='N',
        help='ROS domain; a free one on this machine if not given',
    )
    _common.add_stack_arguments(parser)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Replay, show the result, hold it against the thresholds."""
    from sim2real_bringup.expect import read_thresholds, violations
    from sim2real_bringup.replay import replay

    thresholds = read_thresholds(args.expect) if args.expect else []
    result = replay(
        args.bag,
        args.robot,
        args.nodes,
        rate=args.rate,
        start=args.start,
        duration=args.duration or 0.0,
        bag_namespace=args.bag_namespace,
        out=args.out,
        bundle=args.bundle,
        params_file=args.params_file,
        assignments=args.param,
        domain=args.domain,
        log_level=args.log_level,
    )
    _common.finish(args, result)
    _show(result, args.nodes)
    wrong = violations(result, thresholds)
    for line in wrong:
        print(f'violated: {line}')
    if thresholds and not wrong:
        print(f'all {len(thresholds)} thresholds hold')
    return 1 if wrong else 0


def _show(result: dict[str, Any], nodes: list[str]) -> None:
    if 'sysid' in nodes:
        rows = [
            (
                address,
                f'{p["mean"]:.6g}',
                '' if p['std'] is None else f'{p["std"]:.3g}',
                p['status'],
                ', '.join(p.get('confounded', ())),
            )
            for address, p in result['final'].items()
        ]
        _common.show_table(('parameter', 'mean', 'std', 'status', 'not told from'), rows)
        for change in result['changes']:
            values = f'{change["before"]:.4g} to {change["after"]:.4g}'
            print(f'changed at {change["t"]:.3f} s: {change["address"]} from {values}')
    for event in result['events']:
        over = f'{event["score"]:.4g}, over {event["threshold"]:.4g}'
        print(f'event at {event["t"]:.3f} s: {event["detector"]} {over} {event["detail"]}')
    if 'policy' in nodes:
        policy = result['policy']
        print(f'policy: {policy["commands"]} commands, {policy["compared"]} compared with the bag')
        for joint, difference in policy['difference'].items():
            print(f'  {joint}: rms {difference["rms"]:.3g}, most {difference["max"]:.3g}')
    print(f'{result["samples"]} samples, {result["duration"]:g} s')
