"""``sim2real sysid contacts``."""

from __future__ import annotations

import argparse
import math

from sim2real_bringup.cli import _common

HELP = 'friction and restitution of a surface, from recorded slides and bounces'
DETAILS = """The bag holds poses of a body (geometry_msgs PoseStamped, PoseWithCovarianceStamped,
PointStamped or TransformStamped, or nav_msgs Odometry; z up), at 100 Hz or more, that was pushed
and let go so that it slides to rest, some times, and dropped so that it bounces, from different
heights. What happens in between does not matter. For slides, level or on a slope, any flat body
will do; for bounces, a ball. Uncertain figures are not_identified: repeat."""
EXAMPLE = """
sim2real sysid contacts BAG --surface floor --json contacts.json
sim2real sysid contacts BAG --topic mocap/box/pose --surface gripper --robot arm6
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bag', help='rosbag2 folder, or one .mcap or .db3 file')
    parser.add_argument('--topic', default='', help='of the poses; needed where there are several')
    parser.add_argument(
        '--surface', default='floor', help='what was touched: a link, or floor (default)'
    )
    _common.add_robot(parser, required=False)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look for slides and bounces; 1 when nothing was identified."""
    from sim2real_bringup.pose_logs import read_poses
    from sim2real_core.addresses import quantity
    from sim2real_core.profile import load_profile
    from sim2real_sysid.contacts import assess

    quantity(f'surface.{args.surface}.friction', load_profile(args.robot) if args.robot else None)
    topic, stamp, position = read_poses(args.bag, args.topic)
    found = assess(stamp, position, args.surface)
    parameters = {
        address: {
            'mean': p.mean,
            'std': p.std if math.isfinite(p.std) else None,
            'status': p.status,
        }
        for address, p in found['parameters'].items()
    }
    result = {
        'topic': topic,
        'parameters': parameters,
        'slides': [slide._asdict() for slide in found['slides']],
        'impacts': [impact._asdict() for impact in found['impacts']],
    }
    _common.finish(args, result)
    rows = [
        (address, f'{p.mean:.3f}', f'{p.std:.2g}', p.status)
        for address, p in found['parameters'].items()
    ]
    _common.show_table(('address', 'value', '+-', 'status'), rows)
    print(f'{topic}: {len(found["slides"])} slides, {len(found["impacts"])} impacts')
    return 0 if any(p['status'] == 'identified' for p in parameters.values()) else 1
