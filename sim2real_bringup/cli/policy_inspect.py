"""``sim2real policy inspect``."""

from __future__ import annotations

import argparse

from sim2real_bringup.cli import _common

HELP = 'show everything a policy bundle says of itself, and whether a robot can run it'
DETAILS = """The file's hash is verified first. With --robot, exit status 1 when the robot cannot
run it; every reason is named. Tables are rounded, --json is not."""
EXAMPLE = """
sim2real policy inspect arm6
sim2real policy inspect out/policy.onnx --robot arm6 --json policy.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('bundle', help='an ONNX file, or the name of a shipped one')
    _common.add_robot(parser, required=False)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it; 1 when the robot that was named cannot run it."""
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_policy.bundle import load_bundle
    from sim2real_policy.inspection import as_mapping, tables, verdict

    bundle = load_bundle(find('policies', args.bundle, '.onnx'))
    result = as_mapping(bundle)
    judged = verdict(bundle.meta, load_profile(args.robot)) if args.robot else None
    result['robot_check'] = judged
    for table in tables(bundle):
        _common.show_table(table.columns, table.rows, table.title)
    _common.finish(args, result)
    if judged is None:
        return 0
    _common.warn(judged['remarks'])
    if judged['fits']:
        print(f'{judged["robot"]} can run it')
        for stage, why in judged['guard_off'].items():
            print(f'  guard without {stage}: {why}')
        return 0
    print(f'{judged["robot"]} cannot run it:')
    for fault in judged['faults']:
        print(f'  {fault["field"]} = {fault["value"]}: {fault["mend"]}')
    return 1
