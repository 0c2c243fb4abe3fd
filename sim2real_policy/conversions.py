"""Messages to arrays and back, with nothing allocated that can be kept."""

from __future__ import annotations

import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_core.joint_states import concerns

Array = npt.NDArray[np.float64]


class JointStateReader:
    """Puts joint states into arrays, by joint name.

    Args:
        joints: names, in the order of the arrays.
        into: ``position`` and, where needed, ``velocity`` and ``effort``: (1, nj) arrays to fill.
            Only these are required of a message.
    """

    def __init__(self, joints: Sequence[str], into: Mapping[str, Array]) -> None:
        self._joints = tuple(joints)
        self._into = {name: values[0] for name, values in into.items()}
        self._names: list[str] = []
        self._index: Any = None
        self._fault: str | None = None

    def read(self, message: JointState) -> str | None:
        """Read a message.

        Returns:
            What is wrong with it, or ``''``; None when it is about none of the joints.
        """
        if message.name != self._names:
            self._learn(list(message.name))
        if self._fault != '':
            return self._fault
        count = len(self._names)
        for name, values in self._into.items():
            given = getattr(message, name)
            if len(given) != count:
                return f'a joint state has {len(given)} of {count} {name} values'
            values[:] = np.frombuffer(given)[self._index]
        return ''

    def _learn(self, names: list[str]) -> None:
        """Work out where each joint is; messages rarely change their order."""
        self._names = names
        missing = [name for name in self._joints if name not in names]
        self._fault = ''
        if not concerns(names, self._joints):
            self._fault = None
        elif missing:
            self._fault = f'a joint state lacks {", ".join(missing)}'
        elif len(set(names)) != len(names):
            self._fault = 'a joint state names a joint twice'
        else:
            self._index = np.array([names.index(name) for name in self._joints])


class CommandMessage(Protocol):
    """Makes the messages of one command type."""

    type: Any

    def fill(self, command: Array) -> Any:
        """The message for a command (nj,) in command order; overwritten by the next."""
        ...


class ArrayCommand:
    """Commands as ``std_msgs/Float64MultiArray``, the joints in command order."""

    type: Any = Float64MultiArray

    def __init__(self, joints: Sequence[str], interface: str, period: float) -> None:
        self._message = Float64MultiArray()
        self._values = _values_of(self._message, 'data', len(joints))

    def fill(self, command: Array) -> Float64MultiArray:
        """The message for a command (nj,); overwritten by the next."""
        self._values[:] = command
        return self._message


class TrajectoryCommand:
    """Commands as ``trajectory_msgs/JointTrajectory`` of one point, due a control period later."""

    type: Any = JointTrajectory

    def __init__(self, joints: Sequence[str], interface: str, period: float) -> None:
        seconds = int(period)
        point = JointTrajectoryPoint(
            time_from_start=Duration(sec=seconds, nanosec=round((period - seconds) * 1e9))
        )
        self._message = JointTrajectory(joint_names=list(joints), points=[point])
        field = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}[interface]
        self._values = _values_of(point, field, len(joints))

    def fill(self, command: Array) -> JointTrajectory:
        """The message for a command (nj,); overwritten by the next. Stamp zero: begin at once."""
        self._values[:] = command
        return self._message


COMMANDS: dict[str, Callable[[Sequence[str], str, float], CommandMessage]] = {
    'std_msgs/msg/Float64MultiArray': ArrayCommand,
    'trajectory_msgs/msg/JointTrajectory': TrajectoryCommand,
}
"""Command type of a profile -> what makes its messages."""


class AppliedAction:
    """``policy/action_applied``: what was sent, in the field of the command interface."""

    def __init__(self, joints: Sequence[str], interface: str) -> None:
        self._message = JointState(name=list(joints))
        self._values = _values_of(self._message, interface, len(joints))

    def fill(self, command: Array, stamp: Any) -> JointState:
        """The message for a command (nj,) that answers the sample of this stamp."""
        self._values[:] = command
        self._message.header.stamp = stamp
        return self._message


class ObservationMessage:
    """``policy/observation``: one dimension, whose label lists the elements, comma-separated."""

    def __init__(self, labels: Sequence[str]) -> None:
        size = len(labels)
        dimension = MultiArrayDimension(label=','.join(labels), size=size, stride=size)
        self._message = Float64MultiArray(layout=MultiArrayLayout(dim=[dimension]))
        self._values = _values_of(self._message, 'data', size)

    def fill(self, observation: npt.NDArray[np.float32]) -> Float64MultiArray:
        """The message for an observation (size,); overwritten by the next."""
        self._values[:] = observation
        return self._message


def xyz(vector: Any) -> Array:
    """A point or vector message as an array (3,)."""
    return np.array([vector.x, vector.y, vector.z])


def _values_of(message: Any, field: str, size: int) -> Array:
    """Make a field of a message ``size`` numbers long; the array returned writes into it."""
    setattr(message, field, array.array('d', bytes(8 * size)))
    # The message keeps the very array it was given, so that its memory can be written to.
    return np.frombuffer(getattr(message, field), dtype=np.float64)
