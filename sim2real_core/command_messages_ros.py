"""Commands to a robot as messages, written and read; the types a profile may name."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Twist, TwistStamped
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

FIELDS = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}
"""Command interface -> field of a trajectory's point."""
MESSAGES: dict[str, Any] = {
    'std_msgs/msg/Float64MultiArray': Float64MultiArray,
    'trajectory_msgs/msg/JointTrajectory': JointTrajectory,
    'geometry_msgs/msg/Twist': Twist,
    'geometry_msgs/msg/TwistStamped': TwistStamped,
}
"""Command type of a profile -> class of the message."""


class CommandReader:
    """Reads commands of the profile's type into an array, in the profile's command order.

    Args:
        profile: the robot.

    Attributes:
        type: message type.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self.type: Any = MESSAGES[profile.command.type]
        self._names = profile.command_names
        self._field = FIELDS[profile.command.drives]
        readers = {Float64MultiArray: self._array, JointTrajectory: self._trajectory}
        self._read = readers.get(self.type, self._twist)

    def read(self, message: Any, present: Array) -> tuple[Array, str]:
        """The command that a message means.

        Args:
            message: a trajectory names its joints and has one point, which is the command; an
                array has a value for each joint, in the profile's order; a twist is zero in
                what the robot cannot do.
            present: (n,) the command in force, for joints that a trajectory does not name.

        Returns:
            The command (n,) and what is wrong with the message, or ``''``.
        """
        return self._read(message, present)

    def _array(self, message: Float64MultiArray, present: Array) -> tuple[Array, str]:
        return self._put(message.data, range(len(self._names)), present)

    def _trajectory(self, message: JointTrajectory, present: Array) -> tuple[Array, str]:
        unknown = set(message.joint_names) - set(self._names)
        if unknown:
            return present, f'unknown joints {", ".join(sorted(unknown))}'
        if len(message.points) != 1:
            return present, f'{len(message.points)} trajectory points; one is right'
        index = [self._names.index(name) for name in message.joint_names]
        return self._put(getattr(message.points[0], self._field), index, present)

    def _twist(self, message: Any, present: Array) -> tuple[Array, str]:
        given = elements(message.twist if self.type is TwistStamped else message)
        values = [given.pop(name) for name in self._names]
        others = [name for name, value in given.items() if value != 0.0]
        if others:
            return present, f'{", ".join(others)} of a twist: the robot takes only {self._names}'
        return self._put(values, range(len(values)), present)

    def _put(
        self, values: Sequence[float], index: Sequence[int], present: Array
    ) -> tuple[Array, str]:
        if len(values) != len(index):
            return present, f'{len(values)} values for {len(index)} joints'
        if not np.isfinite(values).all():
            return present, 'a value is not finite'
        command = present.copy()
        command[list(index)] = values
        return command, ''


def elements(message: Twist) -> dict[str, float]:
    """All six elements of a twist, by name."""
    return {
        f'{part}.{axis}': getattr(getattr(message, part), axis)
        for part in ('linear', 'angular')
        for axis in ('x', 'y', 'z')
    }


class CommandMessage(Protocol):
    """Makes the messages of one command type."""

    type: Any

    def fill(self, command: Array, stamp: Any) -> Any:
        """The message for a command (n,) in command order; overwritten by the next.

        Args:
            command: its values.
            stamp: of the sample it answers, for messages that have a stamp of their own.
        """
        ...


class ArrayCommand:
    """Commands as ``std_msgs/Float64MultiArray``, the joints in command order."""

    type: Any = Float64MultiArray

    def __init__(self, names: Sequence[str], interface: str, period: float) -> None:
        self._message = Float64MultiArray()
        self._values = values_of(self._message, 'data', len(names))

    def fill(self, command: Array, stamp: Any = None) -> Float64MultiArray:
        """The message for a command (nj,); overwritten by the next."""
        self._values[:] = command
        return self._message


class TrajectoryCommand:
    """Commands as ``trajectory_msgs/JointTrajectory`` of one point, due a control period later."""

    type: Any = JointTrajectory

    def __init__(self, names: Sequence[str], interface: str, period: float) -> None:
        seconds = int(period)
        point = JointTrajectoryPoint(
            time_from_start=Duration(sec=seconds, nanosec=round((period - seconds) * 1e9))
        )
        self._message = JointTrajectory(joint_names=list(names), points=[point])
        self._values = values_of(point, FIELDS[interface], len(names))

    def fill(self, command: Array, stamp: Any = None) -> JointTrajectory:
        """The message for a command (nj,); overwritten by the next. Stamp zero: begin at once."""
        self._values[:] = command
        return self._message


class TwistCommand:
    """Commands as ``geometry_msgs/Twist``; elements that are not commanded stay zero."""

    type: Any = Twist

    def __init__(self, names: Sequence[str], interface: str, period: float) -> None:
        self._message: Any = self.type()
        twist = self.twist
        self._puts = [(getattr(twist, name[:-2]), name[-1]) for name in names]

    @property
    def twist(self) -> Twist:
        """The twist within the message."""
        return self._message

    def fill(self, command: Array, stamp: Any = None) -> Any:
        """The message for a command (n,); overwritten by the next."""
        for (part, axis), value in zip(self._puts, command.tolist()):
            setattr(part, axis, value)
        return self._message


class StampedTwistCommand(TwistCommand):
    """Commands as ``geometry_msgs/TwistStamped``; controllers refuse one whose stamp is old."""

    type: Any = TwistStamped

    @property
    def twist(self) -> Twist:
        """The twist within the message."""
        return self._message.twist

    def fill(self, command: Array, stamp: Any = None) -> Any:
        """The message for a command (n,), stamped; overwritten by the next."""
        if stamp is not None:
            self._message.header.stamp = stamp
        return super().fill(command)


COMMANDS: dict[str, Callable[[Sequence[str], str, float], CommandMessage]] = {
    'std_msgs/msg/Float64MultiArray': ArrayCommand,
    'trajectory_msgs/msg/JointTrajectory': TrajectoryCommand,
    'geometry_msgs/msg/Twist': TwistCommand,
    'geometry_msgs/msg/TwistStamped': StampedTwistCommand,
}
"""Command type of a profile -> what makes its messages."""


def values_of(message: Any, field: str, size: int) -> Array:
    """Make a field of a message ``size`` numbers long; the array returned writes into it."""
    setattr(message, field, array.array('d', bytes(8 * size)))
    # The message keeps the very array it was given, so that its memory can be written to.
    return np.frombuffer(getattr(message, field), dtype=np.float64)
