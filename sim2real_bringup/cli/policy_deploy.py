"""``sim2real policy deploy``."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_policy.deploy import Ssh

HELP = 'bring a policy onto a robot over ssh: copy, build, check, switch'
DETAILS = """The bundle is copied unless the robot has it, its TensorRT engine is built there where
there is a TensorRT, and sim2real policy check runs there; only then is the link `current`
switched. The release before stays for rollback. Cut off at any moment, it leaves in force what
was; doing it again takes it up. A robot's own profile must be there under the same name or path.
On the robot, the node is started by
  ros2 run sim2real policy --ros-args -p autostart:=true \\
      --params-file ~/.local/share/sim2real/policies/current/policy.yaml

Stages: shadow commands nothing, limited is slow and confined to a box, full is free. limited is
only deployed after sim2real policy trial passed shadow on the robot with this bundle, and full
after it passed limited."""
EXAMPLE = """
sim2real policy deploy policy.onnx --robot arm6 --to robot@arm.local
sim2real policy deploy policy.onnx --robot arm6 --to arm --stage limited --speed 0.2 --workspace 0.2 -0.4 0.1 0.7 0.4 0.8
sim2real policy deploy policy.onnx --robot arm6 --to arm --stage full --restart 'systemctl --user restart policy'
"""  # noqa: E501
SPEED = 0.25  # of the limits, in the stage limited


def add_ssh(parser: argparse.ArgumentParser) -> None:
    """What says where to, and how to get there."""
    from sim2real_policy.stages import FOLDER

    parser.add_argument('--to', required=True, metavar='HOST', help='[user@]host, as ssh takes it')
    parser.add_argument(
        '--ssh',
        type=_words,
        default=(),
        metavar='OPTIONS',
        help="further options of ssh, e.g. '-p 2222 -i key'",
    )
    parser.add_argument(
        '--folder', default=FOLDER, help=f'there, in the home folder (default: {FOLDER})'
    )
    parser.add_argument(
        '--restart', default='', metavar='COMMAND', help='restarts the node there after the switch'
    )


def remote(args: argparse.Namespace) -> Ssh:
    """The robot that the arguments name."""
    from sim2real_policy.deploy import Ssh

    return Ssh(args.to, tuple(args.ssh))


def _words(text: str) -> list[str]:
    """Words as a shell splits them (for argparse)."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text}: {error}') from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    from sim2real_policy.runtime_names import NAMES, PRECISIONS, REFERENCE
    from sim2real_policy.stages import STAGES

    parser.add_argument('bundle', help='an ONNX file, or the name of a shipped one')
    _common.add_robot(parser)
    add_ssh(parser)
    parser.add_argument('--stage', choices=STAGES, default=STAGES[0])
    parser.add_argument(
        '--speed',
        type=_common.positive,
        help=f'share of the speed limits (limited; default: {SPEED})',
    )
    parser.add_argument(
        '--workspace',
        type=float,
        nargs=6,
        metavar=('X0', 'Y0', 'Z0', 'X1', 'Y1', 'Z1'),
        help='corners of the box for the tool [m] (limited, of a robot that has a tool)',
    )
    parser.add_argument(
        '--runtime', choices=NAMES, default=REFERENCE, help=f'of the node (default: {REFERENCE})'
    )
    parser.add_argument(
        '--precision',
        choices=(*PRECISIONS, 'none'),
        help="of the TensorRT engine built there (default: the runtime's, else fp32)",
    )
    parser.add_argument(
        '--command',
        default='sim2real',
        help='runs this suite\'s command there, e.g. "bash -lc \'exec sim2real \\"$@\\"\' -"',
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Deploy it."""
    from sim2real_core.errors import Fault, InputError
    from sim2real_core.files import find
    from sim2real_core.profile import load_profile
    from sim2real_policy.bundle import check_robot, load_bundle
    from sim2real_policy.deploy import STEPS, Plan, deploy
    from sim2real_policy.runtime_names import precision_of

    bundle = load_bundle(find('policies', args.bundle, '.onnx'))
    profile = load_profile(args.robot)
    check_robot(bundle.meta, profile)
    if args.stage != 'limited':
        limits = {'--speed': args.speed, '--workspace': args.workspace}
        given = {name: value for name, value in limits.items() if value is not None}
        mend = f'is of the stage limited; {args.stage} has no such limit'
        if given:
            raise InputError(*(Fault(name, value, mend) for name, value in given.items()))
    elif profile.tool_link and not args.workspace:
        mend = f'give the box that {profile.tool_link} may move in while the policy is on trial'
        raise InputError(Fault('--workspace', '', mend))
    box, precision = args.workspace, args.precision or precision_of(args.runtime)
    plan = Plan(
        bundle=bundle,
        robot=args.robot,
        stage=args.stage,
        speed=args.speed or SPEED,
        workspace=(box[:3], box[3:]) if box else None,
        runtime=args.runtime,
        precision='' if precision == 'none' else precision,
        command=args.command,
        restart=args.restart,
        folder=args.folder,
    )
    with _common.progress(STEPS) as tell:
        result = deploy(plan, remote(args), tell)
    _common.finish(args, result)
    print(f'{args.to} runs {result["release"]} (before: {result["before"] or "nothing"})')
    print(f'engine: {result["built"]}')
    return 0
