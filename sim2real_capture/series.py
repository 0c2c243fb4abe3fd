"""What the joints did in a clip and what the detectors made of it, as arrays to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.clip import check_name
from sim2real_capture.library import read_manifest
from sim2real_capture.scores import TOPIC, TYPE
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
SCORES = f'/{TOPIC}'
MOST_SHARE = 1e6
"""An infinite score is shown as so many times its threshold."""


@dataclass(frozen=True)
class Joint:
    """One joint's motion.

    Attributes:
        name: of the joint.
        quantity: ``position``, ``velocity`` or ``effort``.
        unit: of the values, ``''`` where the robot is not known.
        measured: (n, 2) times [s] and values.
        commanded: (m, 2) times [s] and values; no rows when there was no command.
    """

    name: str
    quantity: str
    unit: str
    measured: Array
    commanded: Array


@dataclass(frozen=True)
class Motion:
    """What the joints did, and how near each detector was to its threshold.

    Attributes:
        quantity: ``position``, ``velocity`` or ``effort``: the one that is commanded.
        command_topic: where the commands come from, ``''`` when there are none.
        joints: in the robot's order, first all of the commanded quantity, then of the others
            that the clip has.
        scores: (n, 2) times [s] and scores over their threshold, by detector.
    """

    quantity: str
    command_topic: str
    joints: tuple[Joint, ...]
    scores: Mapping[str, Array]


def read_motion(folder: Path) -> Motion:
    """The joints of a clip and its detectors.

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
    scores = {name for name in topics if SCORES in f'/{name}' and topics[name] == TYPE}
    messages = _messages(folder, ({states, source} | scores) - {''})
    robot = _profile(manifest)
    measured = messages.get(states, [])
    names = robot.joint_names if robot else tuple(measured[0][1].name) if measured else ()
    commands = [(t, _command(message, names)) for t, message in messages.get(source, [])]
    quantity = _quantity(robot, messages.get(source, []), topics.get(source, ''))
    prismatic = {j.name for j in robot.joints if j.type == 'prismatic'} if robot else set()
    rows = _measured(measured)
    found = (
        Joint(
            name,
            each,
            UNITS[each][name in prismatic] if robot else '',
            _pairs(rows.get((each, name), ())),
            _pairs((t, values.get(name, {}).get(each)) for t, values in commands),
        )
        for each in sorted(UNITS, key=lambda each: each != quantity)
        for name in names
    )
    joints = tuple(j for j in found if j.quantity == quantity or len(j.measured))
    curves = {
        topic.rpartition('/')[2]: _pairs((t, min(m.data, MOST_SHARE)) for t, m in heard)
        for topic, heard in messages.items()
        if topic in scores
    }
    return Motion(quantity, source, joints, curves)


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


def _measured(
    messages: Iterable[tuple[float, Any]],
) -> dict[tuple[str, str], list[tuple[float, float | None]]]:
    """Times and values of joint states, by quantity and joint."""
    rows: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
    for t, message in messages:
        for quantity in UNITS:
            for name, value in zip(message.name, getattr(message, quantity)):
                rows.setdefault((quantity, name), []).append((t, float(value)))
    return rows


def _pairs(values: Iterable[tuple[float, float | None]]) -> Array:
    rows = [(t, v) for t, v in values if v is not None and np.isfinite(v)]
    return np.array(rows, dtype=float).reshape(-1, 2)
