"""Messages to arrays and back, with nothing allocated that can be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout

from sim2real_core.command_messages_ros import values_of
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
            index = [names.index(name) for name in self._joints]
            in_order = index == list(range(len(names)))
            self._index = slice(None) if in_order else np.array(index)


class AppliedAction:
    """``policy/action_applied``: what was sent, in the field of what is commanded."""

    def __init__(self, names: Sequence[str], drives: str) -> None:
        self._message = JointState(name=list(names))
        self._values = values_of(self._message, drives, len(names))

    def fill(self, command: Array, stamp: Any) -> JointState:
        """The message for a command (n,) that answers the sample of this stamp."""
        self._values[:] = command
        self._message.header.stamp = stamp
        return self._message


class ObservationMessage:
    """``policy/observation``: one dimension, whose label lists the elements, comma-separated."""

    def __init__(self, labels: Sequence[str]) -> None:
        size = len(labels)
        dimension = MultiArrayDimension(label=','.join(labels), size=size, stride=size)
        self._message = Float64MultiArray(layout=MultiArrayLayout(dim=[dimension]))
        self._values = values_of(self._message, 'data', size)

    def fill(self, observation: npt.NDArray[np.float32]) -> Float64MultiArray:
        """The message for an observation (size,); overwritten by the next."""
        self._values[:] = observation
        return self._message
