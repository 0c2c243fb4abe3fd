"""Which nodes run together, with which parameters and remappings. Said once, here.

``launch/*.launch.py``, ``sim2real up`` and ``sim2real replay`` all start what :func:`build`
returns. Every stack can run twice on one machine, under two namespaces: topic names are
relative, ``/clock``, ``/tf`` and ``/tf_static`` are remapped into the namespace, and folders
and ports get one of their own.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim2real_bringup.catalog import CONSUMERS, DRAW_APPLIED, NODES
from sim2real_bringup.parameters import USE_SIM_TIME, Parameters, parameter_names
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.files import names, share
from sim2real_core.profile import load_profile

EXCITE = 'excite'
"""The stack whose policy follows a trajectory."""
LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
INTO_NAMESPACE = ('clock', 'tf', 'tf_static')
PORTS = 1000
"""Ports above a server's own that those in namespaces are spread over."""
GAZEBO_PORT = 11345
"""Of a gzserver's master."""
RESPAWNS_WITHIN = 15.0
"""Time for a draw that takes a model out of Gazebo and puts it in again [s]."""


@dataclass(frozen=True)
class StackKind:
    """A stack: its nodes, and whether they run on simulated time unless told otherwise."""

    name: str
    purpose: str
    nodes: tuple[str, ...]
    use_sim_time: bool


STACKS: Mapping[str, StackKind] = {
    kind.name: kind
    for kind in (
        StackKind('sim', 'a robot in the simulator', ('simulator', 'visualizer'), True),
        StackKind(
            'gazebo',
            'a robot in Gazebo Classic, in drawn worlds, with its policy',
            ('gazebo_bridge', 'randomizer', 'policy', 'sysid', 'capture', 'visualizer'),
            True,
        ),
        StackKind(
            'relayed',
            'a robot in the simulator behind the relay, which changes what it says and hears',
            ('simulator', 'relay', 'visualizer'),
            True,
        ),
        StackKind(
            'gazebo_ros',
            'the same beside a Gazebo that gazebo_ros or ros_gz joined to ROS',
            ('gazebo_draws', 'randomizer', 'policy', 'sysid', 'capture', 'visualizer'),
            True,
        ),
        StackKind(
            'workstation',
            'beside a robot: draws worlds, takes clips, shows what goes on',
            ('randomizer', 'receiver', 'visualizer'),
            False,
        ),
        StackKind(
            'robot',
            'on the robot: acts, identifies and keeps what goes wrong',
            ('policy', 'sysid', 'capture'),
            False,
        ),
        StackKind(
            EXCITE,
            'a robot in the simulator on an exciting trajectory, and what that tells of it',
            ('simulator', 'policy', 'sysid', 'visualizer'),
            True,
        ),
        StackKind(
            'replay', 'plays a bag through nodes of the robot', ('player', *CONSUMERS), True
        ),
        StackKind(
            'all',
            'simulator, workstation and robot on this machine',
            (
                'simulator', 'randomizer', 'policy', 'sysid', 'capture', 'receiver', 'visualizer',
            ),
            True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Process:
    """One node to start.

    Attributes:
        name: of the node and its executable.
        module: Python module that runs it.
        namespace: absolute, or ``''``.
        parameters: all that differ from their defaults.
        remappings: pairs (from, to).
        log_level: of its logger.
        finishes: whether it ends by itself; the stack then ends with it.
    """

    name: str
    module: str
    namespace: str = ''
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    log_level: str = 'info'
    finishes: bool = False

    def command(self) -> list[str]:
        """The command line that starts it without ``launch``."""
        return [sys.executable, '-m', self.module, *self.ros_arguments()]

    def ros_arguments(self) -> list[str]:
        """What follows the executable."""
        arguments = ['--ros-args', '--log-level', self.log_level]
        if self.namespace:
            arguments += ['-r', f'__ns:={self.namespace}']
        for source, target in self.remappings:
            arguments += ['-r', f'{source}:={target}']
        for name, value in self.parameters.items():
            # JSON is YAML, the format of a value here; repr keeps every digit of a float.
            arguments += ['-p', f'{name}:={json.dumps(value)}']
        return arguments


@dataclass(frozen=True)
class Stack:
    """What :func:`build` made of a kind and its arguments."""

    name: str
    processes: tuple[Process, ...]


def default_file() -> Path:
    """The parameter file of the package, which serves every stack."""
    return share() / 'config' / 'sim2real.yaml'


def build(
    name: str,
    *,
    namespace: str = '',
    nodes: Iterable[str] = (),
    use_sim_time: bool | None = None,
    params_file: str | Path = '',
    robot: str = '',
    bundle: str = '',
    trajectory: str = '',
    space: str = '',
    bag: str = '',
    log_level: str = 'info',
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    assignments: Iterable[str] = (),
) -> Stack:
    """Settle every parameter of a stack.

    Defaults of the nodes, then ``params_file``, then the arguments here, then ``assignments``:
    what comes later wins. What follows from running together fills in the rest.

    Args:
        name: of the stack; one of ``STACKS``.
        namespace: for all its nodes, with or without the leading slash.
        nodes: only these of its nodes; all when empty.
        use_sim_time: None takes what the parameter file says, or the stack's own default.
        params_file: ROS parameter file; the package's own when empty.
        robot: profile for every node; as the parameter file says when empty.
        bundle: policy bundle; the shipped one of the robot's name when nothing says.
        trajectory: what the policy node follows instead, and the visualizer shows.
        space: randomization space; the robot's own when nothing says (see the randomizer).
        bag: what a replay plays.
        log_level: of all nodes.
        settings: node to parameter to value, e.g. what ``sim2real replay`` sets.
        assignments: texts ``node.name=value``.

    Raises:
        InputError: every fault of the arguments, or of the parameters with file and line.
    """
    kind = STACKS.get(name)
    if kind is None:
        raise InputError(Fault('stack', name, f'must be one of {", ".join(STACKS)}'))
    chosen = _chosen(kind, tuple(nodes))
    namespace = check_namespace(namespace)
    if log_level not in LOG_LEVELS:
        raise InputError(Fault('log_level', log_level, f'one of {", ".join(LOG_LEVELS)}'))
    parameters = Parameters(namespace)
    parameters.read(params_file or default_file())
    for node in chosen:
        if robot and 'robot' in parameter_names(node):
            parameters.set(node, 'robot', robot)
        if use_sim_time is not None and USE_SIM_TIME in parameter_names(node):
            parameters.set(node, USE_SIM_TIME, use_sim_time)
    for node, values in (settings or {}).items():
        for parameter, value in values.items():
            parameters.set(node, parameter, value)
    for node, parameter, value in (
        ('policy', 'bundle', bundle),
        ('policy', 'trajectory', trajectory),
        ('visualizer', 'trajectory', trajectory),
        ('randomizer', 'space', space),
        ('player', 'bag', bag),
    ):
        if value:
            parameters.set(node, parameter, value)
    for text in assignments:
        parameters.assign(text)
    _structure(parameters, chosen, namespace)
    _what_acts(parameters, chosen, kind.name == EXCITE)
    _space_of_the_robot(parameters, chosen)
    parameters.check(chosen)
    behind = _behind_the_relay(parameters) if 'relay' in chosen else ()
    return Stack(
        name,
        tuple(
            _process(
                n,
                parameters.values[n],
                namespace,
                kind.use_sim_time,
                log_level,
                behind if DRAW_APPLIED in NODES[n].publishes and n != 'relay' else (),
            )
            for n in chosen
        ),
    )


def _chosen(kind: StackKind, nodes: tuple[str, ...]) -> tuple[str, ...]:
    faults = Faults()
    for node in nodes:
        if node not in kind.nodes:
            faults.add('nodes', node, f'stack {kind.name} has: {", ".join(kind.nodes)}')
    faults.check()
    return tuple(node for node in kind.nodes if not nodes or node in nodes or NODES[node].finishes)


def check_namespace(namespace: str) -> str:
    """A namespace with its leading slash, or ``''`` for none.

    Raises:
        InputError: not a ROS namespace.
    """
    tokens = namespace.strip('/')
    if not tokens:
        return ''
    if not all(re.fullmatch(r'[A-Za-z_]\w*', token, re.ASCII) for token in tokens.split('/')):
        mend = 'letters, digits and _ between slashes, not starting with a digit'
        raise InputError(Fault('namespace', namespace, mend))
    return f'/{tokens}'


def receiver_port(first: int, namespace: str) -> int:
    """The port of a namespace's server: the same on every machine, its own per namespace."""
    return first + 1 + zlib.crc32(namespace.encode()) % PORTS if namespace else first


def _structure(parameters: Parameters, chosen: tuple[str, ...], namespace: str) -> None:
    """What follows from running together: folders and ports apart, consumers paced.

    What the arguments of this stack set stays as it is; the parameter file may serve several
    stacks, so what it says of folders and ports is only where these begin.
    """

    def present(node: str, name: str) -> Any:
        return parameters.values[node].get(
            name, next(row.default for row in NODES[node].config().table() if row.name == name)
        )

    def fill(node: str, name: str, value: Any) -> None:
        if not parameters.given(node, name):
            parameters.set(node, name, value)

    replayed = '_replayed' if 'player' in chosen else ''  # apart from what really happened
    for node in ('capture', 'receiver'):
        fill(node, 'folder', f'{present(node, "folder")}{replayed}{namespace}')
    port = present('receiver', 'port')
    if namespace and isinstance(port, int) and port > 0:
        fill('receiver', 'port', receiver_port(port, namespace))
    if replayed:
        fill('capture', 'receiver', '')
    if {'capture', 'receiver'} <= set(chosen) and not present('capture', 'receiver'):
        host, port = present('receiver', 'host'), present('receiver', 'port')
        if port == 0:
            mend = 'capture must know it: choose a port, or say where in capture.receiver'
            parameters.faults.found.append(Fault('receiver.port', port, mend))
        scheme = 'https' if present('receiver', 'certificate') else 'http'
        parameters.set('capture', 'receiver', f'{scheme}://{host}:{port}')
    if 'policy' in chosen and 'autostart' not in parameters.values['policy']:
        parameters.set('policy', 'autostart', True)
    if {'gazebo_bridge', 'gazebo_draws'} & set(chosen):
        fill('randomizer', 'apply_timeout', RESPAWNS_WITHIN)
        modern = present('gazebo_draws', 'joined_by') == 'ros_gz' and 'gazebo_draws' in chosen
        fill('randomizer', 'verified', 'gz' if modern else 'gazebo_classic')
        if 'gazebo_bridge' in chosen and namespace:
            fill('gazebo_bridge', 'port', receiver_port(GAZEBO_PORT, namespace))
    if 'player' in chosen:
        consumers = [node for node in CONSUMERS if node in chosen]
        fill('player', 'pace_consumers', consumers)
        for node in consumers:
            fill(node, 'paced', True)
        if 'policy' in consumers:
            for node in {'sysid', 'capture'} & set(consumers):
                fill(node, 'commander', 'policy')
        if not present('player', 'bag'):
            mend = 'name the bag to play (--bag, or bag:= with ros2 launch)'
            parameters.faults.found.append(Fault('player.bag', '', mend))


def _what_acts(parameters: Parameters, chosen: tuple[str, ...], excites: bool) -> None:
    """A bundle that nothing names is the shipped one of the robot's name.

    A stack that is there to excite needs a trajectory instead.
    """
    values = parameters.values['policy']
    if 'policy' not in chosen or values.get('bundle') or values.get('trajectory'):
        return
    if excites:
        mend = (
            'name the trajectory (--trajectory, or trajectory:=); sim2real sysid excite makes one'
        )
        parameters.faults.found.append(Fault('policy.trajectory', '', mend))
        return
    default = next(r.default for r in NODES['policy'].config().table() if r.name == 'robot')
    robot = Path(str(values.get('robot', default))).stem
    if robot in names('policies', '.onnx'):
        parameters.set('policy', 'bundle', robot)
    else:
        mend = f'none ships for {robot}: name a file, or leave policy out of the nodes'
        parameters.faults.found.append(Fault('policy.bundle', '', mend))


def _space_of_the_robot(parameters: Parameters, chosen: tuple[str, ...]) -> None:
    """The randomizer's space can be read; one that nothing names is the robot's own."""
    from sim2real_randomizer.space import load_space

    values = parameters.values['randomizer']
    default = next(r.default for r in NODES['randomizer'].config().table() if r.name == 'robot')
    robot, named = values.get('robot', default), values.get('space', '')
    if 'randomizer' not in chosen or not isinstance(robot, str) or not isinstance(named, str):
        return  # what is no text is named later
    try:
        space = load_space(named, load_profile(robot))
    except InputError as error:
        parameters.faults.extend(error)
        return
    if not named:
        parameters.set('randomizer', 'space', str(space.path))


def _behind_the_relay(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    """Remappings of a simulator that stands behind the relay."""
    from sim2real_sim.config import RelayConfig

    given = {k: v for k, v in parameters.values['relay'].items() if k != USE_SIM_TIME}
    config = RelayConfig.from_mapping(given)
    profile = load_profile(config.robot)
    names = (
        profile.topics.joint_states, profile.topics.imu, profile.command.topic, '~/draw',
        '~/draw_applied',
    )  # fmt: skip
    return tuple((n, f'{config.behind}/{n.replace("~", "simulator")}') for n in names)


def _process(
    node: str,
    values: Mapping[str, Any],
    namespace: str,
    sim_time: bool,
    log_level: str,
    remappings: tuple[tuple[str, str], ...] = (),
) -> Process:
    kind = NODES[node]
    given = dict(values)
    if not kind.makes_time:  # nor has it the parameter
        given.setdefault(USE_SIM_TIME, sim_time)
    if namespace:
        remappings += tuple((f'/{t}', f'{namespace}/{t}') for t in INTO_NAMESPACE)
    return Process(
        name=node,
        module=kind.module,
        namespace=namespace,
        parameters=given,
        remappings=remappings,
        log_level=log_level,
        finishes=kind.finishes,
    )
