"""Clips as arrays: what a robot measured and was told, joint by joint. Needs no ROS.

A clip of arm6 of 8 s, joint states at 250 Hz and a policy at 50 Hz, gives positions (2000, 6)
and applied commands (400, 6), every row with the stamp of the joint state it belongs to. Stamps
are whole nanoseconds, because two floats of one instant since 1970 need not be equal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_capture import catalogue
from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import find_clip, list_clips, show_clip, unsealed_folders
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.joint_states import concerns, is_late
from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]

JOINT_STATE = 'sensor_msgs/msg/JointState'
APPLIED = 'policy/action_applied'
OBSERVATION = 'policy/observation'
DRAWS = ('randomizer/draw', 'simulator/draw_applied')
"""Topics that say which world was simulated: asked for, and what came of it."""
QUANTITIES = ('position', 'velocity', 'effort')
TYPES = frozenset(
    {
        JOINT_STATE,
        'diagnostic_msgs/msg/DiagnosticArray',
        'geometry_msgs/msg/PoseStamped',
        'geometry_msgs/msg/Twist',
        'geometry_msgs/msg/TwistStamped',
        'nav_msgs/msg/Odometry',
        'sensor_msgs/msg/Imu',
        'std_msgs/msg/Float64MultiArray',
        'trajectory_msgs/msg/JointTrajectory',
    }
)
"""Of the messages that are read; images, say, are not."""
TRAJECTORY = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}
"""Quantity -> the field of a trajectory's point."""
Messages = Sequence[tuple[int, Any]]


class Table(NamedTuple):
    """Rows of one topic, in order of their stamps.

    Attributes:
        stamp: (n,) when it was measured, or which joint state it answers [ns].
        time: (n,) when it was recorded, on the same clock [ns].
        values: (n, k).
    """

    stamp: Stamps
    time: Stamps
    values: Array


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        name: its id.
        folder: where it lies.
        manifest: what it says of itself; checked.
        states: values (n, 3 nj): position, velocity, effort in the profile's joint order; NaN
            where a message did not say. Only stamps that advance.
        applied: values (n, nc): what the policy really sent, by the profile's command order.
        sent: values (n, nc): what was heard on the command topic; its stamps are times.
        seen: values (n, d): what the policy published to have seen; its stamps are times.
        labels: (d,) names of its elements; empty when nothing was published.
        heard: topic to the (time [ns], message) that were recorded on it, in order.
        prefix: namespace of the robot, with its slashes.
        draws: time [ns] and ``{address: value}`` of every world heard of, in order.
    """

    name: str
    folder: Path
    manifest: Mapping[str, Any]
    states: Table
    applied: Table
    sent: Table
    seen: Table
    labels: tuple[str, ...]
    heard: Mapping[str, Messages]
    draws: tuple[tuple[int, Mapping[str, float]], ...]
    prefix: str = '/'

    def resolved(self, topic: str) -> str:
        """Full name of a topic of this robot."""
        return resolved(topic, self.prefix)

    def on(self, topic: str) -> Messages:
        """What was recorded on a topic of this robot."""
        return self.heard.get(self.resolved(topic), ())

    def state(self, quantity: str) -> Array:
        """(n, nj) of one of ``position``, ``velocity``, ``effort``."""
        width = self.states.values.shape[1] // len(QUANTITIES)
        index = QUANTITIES.index(quantity)
        return self.states.values[:, index * width : (index + 1) * width]

    @property
    def event(self) -> Mapping[str, Any]:
        """The first event; empty when there is none."""
        events = self.manifest['events']
        return events[0] if events else {}


def read_clip(path: str | Path, profile: RobotProfile) -> Clip:
    """Read a clip whose files match their hashes.

    Args:
        path: its folder, or a file in it.
        profile: of the robot that recorded it.

    Raises:
        InputError: no clip, a damaged one, or of another robot.
    """
    folder = find_clip(path)
    manifest = show_clip(folder)
    if manifest.get('profile', '') not in ('', profile.name):
        mend = f'give the profile of that robot, this is {profile.name}'
        raise InputError(Fault('clip.profile', manifest['profile'], mend, str(folder)))
    prefix = _prefix(manifest['topics'], profile, folder)
    rows = _rows(folder)

    def on(topic: str) -> list[tuple[int, Any]]:
        return rows[resolved(topic, prefix)]

    seen = on(OBSERVATION)
    draws = sorted((row for topic in DRAWS for row in on(topic)), key=lambda row: row[0])
    command = profile.command
    return Clip(
        name=str(manifest['clip']),
        folder=folder,
        manifest=manifest,
        states=_states(on(profile.topics.joint_states), profile),
        applied=_named(on(APPLIED), profile.command_names, command.drives),
        sent=_sent(on(command.topic), profile),
        seen=_table([(t, t, m.data) for t, m in seen]),
        labels=tuple(seen[0][1].layout.dim[0].label.split(',')) if seen else (),
        heard=rows,
        draws=tuple((t, values) for t, m in draws if (values := _draw(m)) is not None),
        prefix=prefix,
    )


def resolved(topic: str, prefix: str) -> str:
    """Full name of a topic of the robot in this namespace (with its slashes)."""
    return topic if topic.startswith('/') else prefix + topic


def _prefix(topics: Mapping[str, Any], profile: RobotProfile, folder: Path) -> str:
    """Namespace of the robot, with its slashes: what stands before the joint states' name."""
    name = f'/{profile.topics.joint_states}'
    found = [
        topic[: -len(name) + 1]
        for topic, about in topics.items()
        if topic.endswith(name) and about['type'] == JOINT_STATE
    ]
    # Beside several robots' joint states, those of the one whose policy was recorded.
    acting = [prefix for prefix in found if prefix + APPLIED in topics]
    chosen = acting or found
    if len(chosen) != 1:
        has = ', '.join(sorted(topics)) or 'nothing'
        mend = f'must hold the joint states of one robot, on ...{name}; it has: {has}'
        raise InputError(Fault('clip', str(folder), mend))
    return chosen[0]


def _rows(folder: Path) -> defaultdict[str, list[tuple[int, Any]]]:
    """Topic to its (log time [ns], message), in the order of the log."""
    rows: defaultdict[str, list[tuple[int, Any]]] = defaultdict(list)
    for topic, time, message in messages(folder, lambda connection: connection.msgtype in TYPES):
        rows[topic].append((time, message))
    return rows


def messages(folder: Path, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, int, Any]]:
    """Topic, log time [ns] and message of what a clip holds, in the order of the log.

    Args:
        folder: of the clip.
        wanted: tells connections that matter from others.

    Raises:
        InputError: the file cannot be read.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    try:
        with AnyReader([folder], default_typestore=store) as reader:
            those = [connection for connection in reader.connections if wanted(connection)]
            for connection, time, data in reader.messages(those) if those else ():
                yield connection.topic, time, reader.deserialize(data, connection.msgtype)
    except Exception as error:  # whatever a damaged file makes the library raise
        mend = f'not a readable bag: {str(error) or type(error).__name__}'
        raise InputError(Fault('clip', str(folder), mend)) from error


def _states(rows: Messages, profile: RobotProfile) -> Table:
    """Joint states as the policy takes them: of this robot, each later than those before."""
    found, newest = [], -math.inf
    for time, message in rows:
        stamp = stamp_of(message)
        if not concerns(message.name, profile.joint_names) or is_late(stamp * 1e-9, newest):
            continue
        newest = stamp * 1e-9
        places = {name: place for place, name in enumerate(message.name)}
        row = []
        for quantity in QUANTITIES:
            values = getattr(message, quantity)
            whole = len(values) == len(message.name) == len(places)
            row += [
                float(values[places[name]]) if whole and name in places else math.nan
                for name in profile.joint_names
            ]
        found.append((stamp, time, row))
    return _table(found, len(QUANTITIES) * len(profile.joints))


def _named(rows: Messages, names: Sequence[str], field: str) -> Table:
    """One field of JointStates by name, each with its stamp; those that lack one are left out."""
    found = []
    for time, message in rows:
        values = dict(zip(message.name, getattr(message, field)))
        if all(name in values for name in names):
            found.append((stamp_of(message), time, [float(values[name]) for name in names]))
    return _table(found, len(names))


def _sent(rows: Messages, profile: RobotProfile) -> Table:
    """What was heard on the command topic, a JointTrajectory's last point being its command."""
    names = profile.command_names
    found = []
    for time, message in rows:
        values = _command(message, names, TRAJECTORY[profile.command.drives])
        if len(values) == len(names) and np.isfinite(values).all():
            found.append((time, time, values))
    return _table(found, len(names))


def _command(message: Any, names: Sequence[str], field: str) -> list[float]:
    """A command as the names have it; NaN or nothing where it does not say."""
    if hasattr(message, 'points'):
        point = message.points[-1] if len(message.points) else None
        given = getattr(point, field, ())
        by_name = dict(zip(message.joint_names, given))
        return [float(by_name.get(name, math.nan)) for name in names]
    if hasattr(message, 'data'):
        return [float(value) for value in message.data]
    twist = getattr(message, 'twist', message)
    parts = (name.split('.') for name in names)
    return [float(getattr(getattr(twist, part), axis)) for part, axis in parts]


def _table(rows: Sequence[tuple[int, int, Any]], width: int = 0) -> Table:
    """Rows of stamp, time and values; in order of the stamps."""
    rows = sorted(rows, key=lambda row: row[0])
    values = np.array([row[2] for row in rows], dtype=np.float64)
    return Table(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        values.reshape(len(rows), -1 if len(rows) else width),
    )


def stamp_of(message: Any) -> int:
    """Of a message's header [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _draw(message: Any) -> dict[str, float] | None:
    """The values of a Draw; None where the message holds none, or the engine refused it.

    What the engine answers to an address that it does not have is not a number.
    """
    if not message.status or message.status[0].name != '__draw__':
        return None
    values = {}
    for status in message.status[1:]:
        value = _pair(status, 'value')
        if status.message == 'failed':
            return None
        if value is not None and math.isfinite(value):
            values[status.name] = value
    return values


def _pair(status: Any, key: str) -> float | None:
    text = next((pair.value for pair in status.values if pair.key == key), '')
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Known:
    """What was known of the world when a clip was recorded.

    Attributes:
        values: of its draw, by address; empty on a robot.
        episode: seed, episode and environment of that draw, where it says them.
        estimate: ``{address: {mean, std, status}}``; empty when there was none.
    """

    values: Mapping[str, float]
    episode: tuple[int, int, int] | None
    estimate: Mapping[str, Any]


def known_of(manifest: Mapping[str, Any], source: str | Path) -> Known:
    """What a manifest, or a case of a data set, tells of the world.

    Args:
        manifest: as JSON gave it.
        source: where it came from, for messages.

    Raises:
        InputError: its draw or estimate is not what capture writes.
    """
    faults = Faults(str(source))
    draw, estimate = manifest.get('draw') or {}, manifest.get('estimate') or {}
    if isinstance(estimate, Mapping) and 'error' in estimate:  # what was heard was none
        estimate = {}
    values = draw.get('values') or {} if isinstance(draw, Mapping) else None
    if not isinstance(values, Mapping) or not all(map(_is_number, values.values())):
        faults.add('draw.values', values, 'must give a finite number for each address')
        draw, values = {}, {}
    seed, episode, environment = (draw.get(key) for key in ('seed', 'episode', 'environment'))
    numbers = (seed, episode, environment)
    if not all(number is None or type(number) is int for number in numbers):
        faults.add('draw', numbers, 'seed, episode and environment must be whole numbers')
    for address, about in estimate.items() if isinstance(estimate, Mapping) else (('', estimate),):
        status = about.get('status') if isinstance(about, Mapping) else None
        sure = status == 'identified'
        if status is None or (sure and not all(_is_number(about.get(k)) for k in ('mean', 'std'))):
            faults.add(f'estimate.{address}', about, 'must give mean, std and status')
    faults.check()
    if seed is None or episode is None or environment is None:
        return Known(dict(values), None, dict(estimate))
    return Known(dict(values), (seed, episode, environment), dict(estimate))


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def clip_folders(paths: Sequence[str | Path]) -> Iterator[Path]:
    """Folders of clips, of those given and of those in folders that were given, each once.

    Those of clips that are there only in part are among them: who reads them is told.

    Raises:
        InputError: something that is neither.
    """
    known = set()
    for path in paths:
        path = Path(path).expanduser()
        single = path.is_file() or (path / MANIFEST).is_file()
        folders = [find_clip(path)] if single else [info.path for info in list_clips(path)]
        folders += [] if single else unsealed_folders(path)
        for folder in folders:
            if folder.resolve() not in known:
                known.add(folder.resolve())
                yield folder


def labels_of(folders: Sequence[Path]) -> dict[str, str]:
    """What people said of clips: clip to label, those of whom nobody said anything left out."""
    labels: dict[str, str] = {}
    for parent in dict.fromkeys(folder.parent for folder in folders):
        labels.update({clip: said for clip, said in catalogue.labels(parent).items() if said})
    return labels
