"""``sim2real up``."""

from __future__ import annotations

import argparse
import contextlib

from sim2real_bringup.cli import _common

HELP = 'start a stack of nodes: sim, workstation, robot, excite, replay or all'
DETAILS = """One process per node. When a node ends on its own it is reported by name, and the
stack ends with a non-zero status; Ctrl-C ends everything. A replay runs in a ROS domain
of its own, so that no running robot is disturbed."""
EXAMPLE = """
sim2real up all
sim2real up sim --robot arm6 --namespace left --param simulator.realtime_factor=2.0
sim2real up robot --robot my_robot.yaml --bundle policy.onnx --duration 60
sim2real up excite --robot arm6 --trajectory excite.yaml
sim2real up replay --robot slider --nodes sysid --bag emps_bag
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('stack', help='sim, workstation, robot, excite, replay, all, ...')
    parser.add_argument(
        '--duration', type=_common.duration, metavar='S', help='end after so many seconds'
    )
    parser.add_argument(
        '--grace',
        type=_common.not_negative,
        default=2.5,
        metavar='S',
        help='time the others have after a node ended on its own, to come to rest (default: 2.5)',
    )
    parser.add_argument(
        '--namespace', default='', metavar='N', help='namespace of all its nodes and topics'
    )
    _common.add_robot(parser, required=False)
    parser.add_argument(
        '--trajectory',
        default='',
        metavar='FILE',
        help='what the policy follows instead of a bundle; sim2real sysid excite makes one',
    )
    parser.add_argument('--space', default='', help='randomization space: a file, or a name')
    parser.add_argument('--bag', default='', help='what a replay plays: rosbag2 folder, MCAP file')
    parser.add_argument(
        '--nodes',
        type=_common.comma_list,
        default=[],
        metavar='A,B',
        help='only these of its nodes',
    )
    parser.add_argument(
        '--domain',
        type=int,
        metavar='N',
        help='ROS domain; a replay takes a free one on this machine if not given',
    )
    parser.add_argument(
        '--wall-time', action='store_true', help='no simulated time, whatever the stack says'
    )
    _common.add_stack_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Start the stack and wait for its end."""
    from sim2real_bringup.stacks import build
    from sim2real_core.profile import load_profile

    stack = build(
        args.stack,
        namespace=args.namespace,
        nodes=args.nodes,
        use_sim_time=False if args.wall_time else None,
        params_file=args.params_file,
        robot=args.robot,
        bundle=args.bundle,
        trajectory=args.trajectory,
        space=args.space,
        bag=args.bag,
        log_level=args.log_level,
        assignments=args.param,
    )
    for robot in {str(p.parameters['robot']) for p in stack.processes if 'robot' in p.parameters}:
        load_profile(robot)  # its faults once, not from every node
    from sim2real_bringup.replay import environment
    from sim2real_bringup.runner import Runner

    # What a replay says is of another time: no running robot may hear it.
    apart = args.domain is not None or any(process.finishes for process in stack.processes)
    with contextlib.ExitStack() as domain:
        variables = domain.enter_context(environment(args.domain)) if apart else {}
        return Runner(stack.processes, environment=variables, grace=args.grace).run(args.duration)
