"""``sim2real bag import``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'turn a measured log (.csv, .parquet, .mat) into a rosbag2'
DETAILS = """The mapping says which column is which joint's position, velocity, effort or
command: SI value = unit * (scale * column + offset), then through the joint's gear.

  robot: slider                    # or none; then the joints are as named here
  time: {column: t, unit: s}       # or t, or {rate: 1000}
  joints:
    slider:
      gear_ratio: 1.0              # motor position per joint position
      torque_constant: 0.0         # effort per ampere, where the effort is in A or mA
      position: {column: q, unit: m}
      velocity: v                  # a column in SI units
      effort: {column: f, scale: 35.15065}
      command: qg
  coupling: {joints: [a, b], matrix: [[0.5, 0.5], [0.5, -0.5]]}   # or a list of them
  commands: applied                # with their times, for sysid; sent: on the command topic
  imu:
    angular_velocity: {x: gx, y: gy, z: {column: gz, unit: deg/s}}
    linear_acceleration: {x: ax, y: ay, z: az}

A coupling is of motors that share joints: joint position = matrix @ motor position."""
EXAMPLE = """
sim2real bag import DATA_EMPS.mat --mapping config/bags/emps.yaml --out out/emps
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('log', help='.csv, .tsv, .txt, .parquet or .mat')
    parser.add_argument(
        '--mapping', required=True, help='YAML file, or the name of a shipped one (emps)'
    )
    parser.add_argument('--out', required=True, metavar='BAG', help='folder; must not exist')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Import the log and say what is in the bag."""
    from sim2real_bringup.bag_import import import_log
    from sim2real_bringup.cli.bag_info import show
    from sim2real_core.files import find

    with _common.progress({'import': f'importing {args.log}'}) as tell:
        tell('import', 0.0)
        mapping = find('bags', args.mapping)
        result = import_log(args.log, mapping, args.out, lambda share: tell('import', share))
    _common.finish(args, result)
    show(result)
    for note in result['notes']:
        print(f'{args.log}: {note}')
    return 0
