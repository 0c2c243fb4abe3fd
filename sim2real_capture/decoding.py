"""Messages to signals and arrays, by their fields alone: rclpy's and those read from a bag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_capture.signals import Changes, ImuSample, Press, Seen, Signal, Status, Statuses
from sim2real_core.records import Change

if TYPE_CHECKING:
    from sim2real_capture.detectors_file import Entry
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]
QUANTITIES = ('position', 'velocity', 'effort')
DIAGNOSTICS = 'diagnostic_msgs/msg/DiagnosticArray'
BUTTONS = ('sensor_msgs/msg/Joy', 'std_msgs/msg/Bool', 'std_msgs/msg/Empty')


class Decoder(NamedTuple):
    """What to make of a topic's messages.

    Attributes:
        types: of messages that it can read; others may go by the same name.
        signals: makes signals of a message and its stamp [s].
    """

    types: tuple[str, ...]
    signals: Callable[[Any, float], tuple[Signal, ...]]


def decoders(
    takes: set[type], entries: Sequence[Entry], robot: RobotProfile, resolve: Callable[[str], str]
) -> dict[str, Decoder]:
    """What to make of messages beside joint states and commands.

    Args:
        takes: classes of signals that somebody takes.
        entries: the detectors; buttons name their own topics.
        robot: names the IMU's topic.
        resolve: makes topic names full.

    Returns:
        By full topic name.
    """
    made: tuple[tuple[type, str, str, Callable[[Any, float], Signal]], ...] = (
        (ImuSample, robot.topics.imu, 'sensor_msgs/msg/Imu', imu_sample),
        (Seen, 'policy/observation', 'std_msgs/msg/Float64MultiArray', seen),
        (Statuses, '/diagnostics', DIAGNOSTICS, statuses),
        (Changes, 'sysid/estimate', DIAGNOSTICS, changes),
    )
    found = {
        resolve(topic): Decoder((name,), partial(_single, make))
        for kind, topic, name, make in made
        if kind in takes
    }
    for entry in entries:
        if entry.kind == 'button':
            topic = resolve(entry.settings.topic)
            found[topic] = Decoder(BUTTONS, partial(presses, topic))
    return found


def _single(make: Callable[[Any, float], Signal], message: Any, stamp: float) -> tuple[Signal]:
    return (make(message, stamp),)


def quantities(message: Any, names: Sequence[str]) -> dict[str, Array | None]:
    """Position, velocity and effort (nj,) of a JointState, each as far as it is usable."""
    return {field: joint_values(message, names, field) for field in QUANTITIES}


def stamp_of(message: Any) -> int:
    """The header's stamp [ns]."""
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def joint_values(message: Any, names: Sequence[str], field: str) -> Array | None:
    """One field of a JointState, by joint name.

    Returns:
        (nj,), or None when a joint or its value is missing or not finite.
    """
    values = getattr(message, field)
    if len(values) != len(message.name):
        return None
    by_name = dict(zip(message.name, values))
    return _finite([by_name.get(name) for name in names])


def missing_values(message: Any, names: Sequence[str], field: str) -> str:
    """Why :func:`joint_values` gives None."""
    lacking = [name for name in names if name not in message.name]
    if lacking:
        return f'joint states lack {", ".join(lacking)}'
    given = len(getattr(message, field))
    if given != len(message.name):
        return f'joint states have {given} of {len(message.name)} {field} values'
    return f'a measured {field} is not finite'


def command_values(message: Any, names: Sequence[str], interface: str) -> Array | None:
    """A command in command order: a JointTrajectory's last point, a Float64MultiArray, a twist.

    Args:
        message: the command.
        names: of the joints, or of the elements of the twist.
        interface: what is commanded.

    Returns:
        One value each, or None when one is missing or not finite.
    """
    twist = getattr(message, 'twist', message)
    if hasattr(twist, 'angular'):
        parts = [name.split('.') for name in names]
        return _finite([getattr(getattr(twist, part), axis) for part, axis in parts])
    if hasattr(message, 'points'):
        if not message.points:
            return None
        field = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}[interface]
        by_name = dict(zip(message.joint_names, getattr(message.points[-1], field)))
        return _finite([by_name.get(name) for name in names])
    if len(message.data) != len(names):
        return None
    return _finite(list(message.data))


class CommandReader:
    """What a robot's drives are told by a command, whether it was sent or applied.

    Args:
        robot: the profile; with wheels, a twist becomes their speeds.
    """

    def __init__(self, robot: RobotProfile) -> None:
        self._names, self._quantity = robot.command_names, robot.command.drives
        self._turns = robot.wheels is not None or not robot.twist
        self._speeds: Array | None = None
        if robot.twist and robot.wheels is not None:
            self._speeds = robot.wheels.speeds(robot.joint_names, robot.command_names)

    def __call__(self, message: Any) -> Array | None:
        """One value per joint (nj,), or None when one is missing, not finite or not known."""
        values = joint_values if hasattr(message, 'name') else command_values
        given = values(message, self._names, self._quantity) if self._turns else None
        if given is None or self._speeds is None:
            return given
        return np.asarray(self._speeds @ given)


def imu_sample(message: Any, stamp: float) -> ImuSample:
    """A sensor_msgs/Imu."""
    rate, force = message.angular_velocity, message.linear_acceleration
    return ImuSample(
        stamp, np.array([rate.x, rate.y, rate.z]), np.array([force.x, force.y, force.z])
    )


def seen(message: Any, stamp: float) -> Seen:
    """An observation, std_msgs/Float64MultiArray."""
    return Seen(stamp, np.array(message.data, dtype=float))


def statuses(message: Any, stamp: float) -> Statuses:
    """A diagnostic_msgs/DiagnosticArray."""
    return Statuses(
        stamp,
        tuple(
            Status(
                status.name,
                status.level[0] if isinstance(status.level, bytes) else int(status.level),
                status.message,
                {pair.key: pair.value for pair in status.values},
            )
            for status in message.status
        ),
    )


def changes(message: Any, stamp: float) -> Changes:
    """The changes that an Estimate tells of; what is not whole is left out."""
    found = []
    for status in message.status:
        if status.name == '__change__':
            values = {pair.key: pair.value for pair in status.values}
            try:
                numbers = [float(values[key]) for key in ('before', 'after', 'score')]
                found.append(Change(float(values['stamp']), values['address'], *numbers))
            except (KeyError, ValueError):
                continue
    return Changes(stamp, tuple(found))


def presses(topic: str, message: Any, stamp: float) -> tuple[Press, ...]:
    """What buttons say: sensor_msgs/Joy, std_msgs/Bool, or std_msgs/Empty for a short press."""
    if hasattr(message, 'buttons'):
        return tuple(Press(stamp, topic, i, bool(on)) for i, on in enumerate(message.buttons))
    if hasattr(message, 'data'):
        return (Press(stamp, topic, None, bool(message.data)),)
    return Press(stamp, topic, None, True), Press(stamp + 1e-6, topic, None, False)


def _finite(values: Sequence[float | None]) -> Array | None:
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    return array if np.isfinite(array).all() else None
