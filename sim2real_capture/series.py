"""What the joints did in a clip, as arrays to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.clip import check_name
from sim2real_capture.library import read_manifest
from sim2real_core.errors import InputError, MissingError
from sim2real_core.profile import RobotProfile, load_profile

Array = npt.NDArray[np.float64]

JOINT_STATE = 'sensor_msgs/msg/JointState'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
ARRAY = 'std_msgs/msg/Float64MultiArray'
APPLIED = 'policy/action_applied'
UNITS = {
    'position': ('rad', 'm'),
    'velocity': ('rad/s', 'm/s'),
    'effort': ('N m', 'N'),
}
"""Of a revolute joint, and of a prismatic one."""


@dataclass(frozen=True)
class Joint:
    """One joint's motion.

    Attributes:
        name: of the joint.
        unit: of the values, ``''`` where the robot is not known.
        measured: (n, 2) times [s] and values.
        commanded: (m, 2) times [s] and values; no rows when there was no command.
    """

    name: str
    unit: str
    measured: Array
    commanded: Array


@dataclass(frozen=True)
class Motion:
    """What the joints did.

    Attributes:
        quantity: ``position``, ``velocity`` or ``effort``: the one that is commanded.
        command_topic: where the commands come from, ``''`` when there are none.
        joints: in the robot's order.
    """

    quantity: str
    command_topic: str
    joints: tuple[Joint, ...]


def read_motion(folder: Path) -> Motion:
    """The joints of a clip.

    Commands are those applied, else those sent. Times are the clip's own.

    Raises:
        InputError: no such clip, or its file cannot be read.
        MissingError: the rosbags library.
    """
    manifest = read_manifest(folder)
    topics = {name: topic['type'] for name, topic in manifest['topics'].items()}
    states = next(
        (t for t in sorted(topics, key=len) if topics[t] == JOINT_STATE and _named(t, 'states')),
        '',
    )
    applied = [t for t in topics if t.endswith(APPLIED) and topics[t] == JOINT_STATE]
    sent = [
        t for t, kind in topics.items() if kind in (TRAJECTORY, ARRAY) and _named(t, 'command')
    ]
    source = next(iter((*applied, *sent)), '')
    messages = _messages(folder, {states, source} - {''})
    robot = _profile(manifest)
    measured = messages.get(states, [])
    names = robot.joint_names if robot else tuple(measured[0][1].name) if measured else ()
    commands = [(t, _command(message, names)) for t, message in messages.get(source, [])]
    quantity = _quantity(robot, messages.get(source, []), topics.get(source, ''))
    prismatic = {j.name for j in robot.joints if j.type == 'prismatic'} if robot else set()
    joints = tuple(
        Joint(
            name,
            UNITS[quantity][name in prismatic] if robot else '',
            _pairs((t, _value(m, name, quantity)) for t, m in measured),
            _pairs((t, values.get(name, {}).get(quantity)) for t, values in commands),
        )
        for name in names
    )
    return Motion(quantity, source, joints)


def _named(topic: str, word: str) -> bool:
    return word in topic.rpartition('/')[2]


def _profile(manifest: dict[str, Any]) -> RobotProfile | None:
    """The robot, where a shipped profile has its name and content."""
    try:
        robot = load_profile(check_name(str(manifest.get('profile', ''))))  # a name, no path
    except (InputError, OSError):
        return None
    return robot if robot.content_hash == manifest.get('profile_hash') else None


def _messages(folder: Path, wanted: set[str]) -> dict[str, list[tuple[float, Any]]]:
    """Decoded messages by topic, each with its time [s]."""
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError as error:
        raise MissingError('the rosbags library: pip install rosbags') from error
    found: dict[str, list[tuple[float, Any]]] = {}
    with AnyReader([folder], default_typestore=get_typestore(Stores.LATEST)) as reader:
        connections = [c for c in reader.connections if c.topic in wanted]
        for connection, stamp, data in reader.messages(connections) if connections else ():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((stamp * 1e-9, message))
    return found


def _quantity(robot: RobotProfile | None, messages: Sequence[Any], kind: str) -> str:
    if robot and robot.command.interface in UNITS:
        return robot.command.interface
    if messages and kind == JOINT_STATE:
        return next((q for q in UNITS if len(getattr(messages[0][1], q))), 'position')
    return 'position'


def _command(message: Any, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Values by joint and quantity; of a bare array the quantity is not known: any."""
    if hasattr(message, 'points'):
        point = message.points[0] if message.points else None
        columns = {
            'position': getattr(point, 'positions', ()),
            'velocity': getattr(point, 'velocities', ()),
            'effort': getattr(point, 'effort', ()),
        }
        names = message.joint_names
    elif hasattr(message, 'name'):
        columns, names = {q: getattr(message, q) for q in UNITS}, message.name
    else:
        columns = dict.fromkeys(UNITS, message.data if len(message.data) == len(names) else ())
    return {
        name: {q: float(c[i]) for q, c in columns.items() if i < len(c)}
        for i, name in enumerate(names)
    }


def _value(message: Any, name: str, quantity: str) -> float | None:
    values, names = getattr(message, quantity), list(message.name)
    i = names.index(name) if name in names else len(values)
    return float(values[i]) if i < len(values) else None


def _pairs(values: Iterable[tuple[float, float | None]]) -> Array:
    rows = [(t, v) for t, v in values if v is not None and np.isfinite(v)]
    return np.array(rows, dtype=float).reshape(-1, 2)
