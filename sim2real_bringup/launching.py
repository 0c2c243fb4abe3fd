"""Stacks as launch descriptions: what ``launch/*.launch.py`` call. ``launch`` is imported late."""

from __future__ import annotations

import difflib
import itertools
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sim2real_bringup.catalog import COMMAND, CONSUMERS, DRAW_REQUEST, JOINT_STATES, topic_name
from sim2real_bringup.config import PlayerConfig
from sim2real_bringup.stacks import LOG_LEVELS, STACKS, Process, build
from sim2real_core.errors import Fault, InputError, Sim2RealError
from sim2real_core.profile import RobotProfile, load_profile

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription

GRACE = 2.5
"""Time the other nodes have after one ended on its own [s], as in the runner."""
LOOK = 1.5
"""Time to discover the nodes that run already [s]."""
MISSPELT = 0.75
"""Likeness of two names from which on one is taken for the other, misspelt."""
PLAYED = ('bag', 'bag_namespace', 'rate', 'start', 'duration', 'json', 'out')
"""Arguments of the replay that are parameters of its player."""


def arguments(stack: str) -> dict[str, tuple[str | None, str]]:
    """Launch arguments of a stack: name to default (None: must be given) and description."""
    kind = STACKS[stack]
    found: dict[str, tuple[str | None, str]] = {
        'namespace': (
            '',
            'Namespace of all nodes and topics; stacks can run side by side.',
        ),
        'use_sim_time': (
            '',
            'Follow the clock topic (true) or the wall clock (false); as params_file says when '
            f'empty, else {str(kind.use_sim_time).lower()}.',
        ),
        'params_file': ('', "ROS parameter file for all nodes; the package's own when empty."),
        'log_level': ('info', f'Of all nodes: {", ".join(LOG_LEVELS)}.'),
        'robot': ('', 'Robot profile, a file or a shipped name; as params_file says when empty.'),
        'nodes': ('', f'Only these, separated by commas, of: {", ".join(kind.nodes)}.'),
    }
    if 'policy' in kind.nodes:
        text = "Policy bundle, a file or a shipped name; that of the robot's name when empty."
        found['bundle'] = ('', text)
        text = 'Trajectory that the policy follows instead; sim2real sysid excite makes one.'
        found['trajectory'] = ('', text)
    if 'randomizer' in kind.nodes:
        text = (
            "Randomization space, a file or a shipped name; the shipped one of the robot's name."
        )
        found['space'] = ('', text)
    if 'gazebo_bridge' in kind.nodes:
        found['world'] = ('', 'World file; as params_file says when empty.')
    if 'gazebo_draws' in kind.nodes:
        joined = 'gazebo_ros (Classic) or ros_gz (modern), which is started, or none: it runs.'
        found['gazebo'] = ('none', f'What joins Gazebo to ROS: {joined}')
        found['world'] = ('', 'World file for the Gazebo that is started.')
    if 'player' in kind.nodes:
        played = ', '.join(CONSUMERS)
        found['nodes'] = ('sysid', f'Nodes to play it through, separated by commas, of: {played}.')
        found |= {
            row.name: (None if row.name == 'bag' else str(row.default), row.description)
            for row in PlayerConfig.table()
            if row.name in PLAYED
        }
    return found


def describe(stack: str) -> LaunchDescription:
    """The launch description of a stack.

    A node that ends on its own is named; the others get a moment, then the launch ends with a
    non-zero status.
    """
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments(stack).items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start, args=[stack])])


def check_spelling(stack: str, given: Iterable[str]) -> None:
    """Whether arguments may be meant as they are written; ROS 2 itself takes any name.

    What is like none of the stack's may be for ``launch`` (``launch-prefix``) or for a launch
    file that the stack includes.

    Args:
        stack: its name.
        given: ``name:=value`` each.

    Raises:
        InputError: a name is nearly one of the stack's.
    """
    known, faults = list(arguments(stack)), []
    for name, _, value in (text.partition(':=') for text in given):
        near = difflib.get_close_matches(name, known, 1, MISSPELT)
        if near and name not in known:
            faults.append(Fault(name, value, f'no such argument; did you mean {near[0]}?'))
    if faults:
        raise InputError(*faults)


def _is_launched(file: str) -> bool:
    """Whether ``ros2 launch`` was given this file (its path, or package and name).

    Another one that includes it has arguments of its own.
    """
    words = sys.argv
    by_name = ('sim2real', os.path.basename(file)) in itertools.pairwise(words)
    return by_name or file in map(os.path.abspath, words)


def processes(stack: str, given: dict[str, str]) -> tuple[Process, ...]:
    """The processes of a stack from the texts of its launch arguments.

    Raises:
        InputError: a fault of the arguments or parameters.
    """
    nodes = [node.strip() for node in given['nodes'].split(',') if node.strip()]
    settings: dict[str, dict[str, Any]] = {}
    if 'player' in STACKS[stack].nodes:
        settings['player'] = {
            row.name: _number(row.name, given[row.name])
            if isinstance(row.default, float)
            else given[row.name]
            for row in PlayerConfig.table()
            if row.name in PLAYED
        }
    if given.get('world') and 'gazebo_bridge' in STACKS[stack].nodes:
        settings['gazebo_bridge'] = {'world': given['world']}
    if given.get('gazebo', 'none') != 'none':
        settings['gazebo_draws'] = {'joined_by': given['gazebo']}
    built = build(
        stack,
        namespace=given['namespace'],
        nodes=nodes,
        use_sim_time=_truth('use_sim_time', given['use_sim_time']),
        params_file=given['params_file'],
        robot=given['robot'],
        bundle=given.get('bundle', ''),
        trajectory=given.get('trajectory', ''),
        space=given.get('space', ''),
        log_level=given['log_level'],
        settings=settings,
    )
    return built.processes


def _truth(name: str, text: str) -> bool | None:
    if not text:
        return None
    if text.lower() not in ('true', 'false'):
        raise InputError(Fault(name, text, 'must be true or false'))
    return text.lower() == 'true'


def _number(name: str, text: str) -> Any:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(Fault(name, text, 'must be a number')) from error


def _start(context: LaunchContext, stack: str) -> list[Any]:
    from launch.actions import RegisterEventHandler
    from launch.event_handlers import OnProcessExit
    from launch_ros.actions import Node

    if _is_launched(context.get_locals_as_dict().get('current_launch_file_path', '')):
        check_spelling(stack, context.argv)
    given = {name: context.launch_configurations[name] for name in arguments(stack)}
    started = processes(stack, given)
    for process in started:
        if process.name == 'player':
            robot = process.parameters.get('robot', PlayerConfig().robot)
            check_alone(load_profile(robot), process.namespace)
    actions = _gazebo(given.get('gazebo', 'none'), given.get('world', ''))
    for process in started:
        node = Node(
            package='sim2real',
            executable=process.name,
            ros_arguments=process.ros_arguments()[1:],
            output='both',
        )
        ended = OnProcessExit(target_action=node, on_exit=_Ended(process))
        actions += [RegisterEventHandler(ended), node]
    return actions


def check_alone(profile: RobotProfile, namespace: str, look: float = LOOK) -> None:
    """Whether a replay can run here without disturbing a robot, or being disturbed by one.

    Args:
        profile: of the robot.
        namespace: of the replay, whose nodes do not run yet.
        look: time to discover other nodes [s].

    Raises:
        Sim2RealError: somebody publishes the sensor topic, or would hear replayed commands.
    """
    import rclpy

    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    try:
        node = rclpy.create_node('lookout', context=context, use_global_arguments=False)
        time.sleep(look)
        states, command, draw = (
            f'{namespace}/{topic_name(topic, profile)}'
            for topic in (JOINT_STATES, COMMAND, DRAW_REQUEST)
        )
        found = [
            f'{_who(end)} publishes {states}' for end in node.get_publishers_info_by_topic(states)
        ]
        found += [
            f'{_who(end)} listens to {topic}'
            for topic in (command, draw)
            for end in node.get_subscriptions_info_by_topic(topic)
        ]
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    if found:
        raise Sim2RealError(
            f'{"; ".join(found)}: no replay beside a running robot; '
            'set another ROS_DOMAIN_ID or namespace'
        )


def _who(end: Any) -> str:
    """The node of an endpoint; its name may not be known yet, though the endpoint is."""
    from sim2real_core.graph_ros import is_named

    return str(end.node_name) if is_named(end) else 'another node'


def _gazebo(what: str, world: str) -> list[Any]:
    """Actions that start a Gazebo with what joins it to ROS."""
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch_ros.actions import Node
    from launch_ros.substitutions import FindPackageShare

    if what == 'none':
        return []
    package, file, arguments = {
        'gazebo_ros': ('gazebo_ros', 'gzserver.launch.py', {'world': world}),
        'ros_gz': ('ros_gz_sim', 'gz_sim.launch.py', {'gz_args': f'-s -r {world}'}),
    }[what]
    source = [FindPackageShare(package), f'/launch/{file}']
    actions: list[Any] = [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(source), launch_arguments=arguments.items()
        )
    ]
    if what == 'ros_gz':
        clock = '/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock'
        bridge = Node(package='ros_gz_bridge', executable='parameter_bridge', arguments=[clock])
        actions.append(bridge)
    return actions


class _Ended:
    """What happens when a node's process ends."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def __call__(self, event: Any, context: LaunchContext) -> Any:
        from launch.actions import EmitEvent, LogInfo, OpaqueFunction, TimerAction
        from launch.events import Shutdown

        if context.is_shutdown:
            return None
        name, code = self._process.name, event.returncode
        if self._process.finishes and code == 0:
            return EmitEvent(event=Shutdown(reason=f'{name} has finished'))
        how = f'was killed by signal {-code}' if code < 0 else f'ended with status {code}'

        def fail(_: LaunchContext) -> None:
            # What an action raises is what gives launch a status other than 0.
            raise Sim2RealError(f'{name} {how}')

        return [
            LogInfo(msg=f'{name} {how}; the others are stopped in {GRACE:g} s'),
            TimerAction(period=GRACE, actions=[OpaqueFunction(function=fail)]),
        ]
