"""Joint states to arrays in the profile's order, matched by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import JointState

from sim2real_core.joint_states import concerns
from sim2real_core.messages import to_seconds

Array = npt.NDArray[np.float64]


class JointStateReader:
    """Reads joint states of one robot.

    Args:
        joints: names of its joints, in the order wanted.
    """

    def __init__(self, joints: tuple[str, ...]) -> None:
        self._joints = joints
        self._names: list[str] = []
        self._index: list[int] = []

    def read(self, message: JointState) -> tuple[float, Array, Array] | None:
        """Stamp [s], positions (nj,) and efforts (nj,); NaN stands for what is not there.

        None when the message is about none of the joints.
        """
        if message.name != self._names:
            self._names = list(message.name)
            places = {name: i for i, name in enumerate(self._names)}
            self._index = [places.get(name, -1) for name in self._joints]
        if not concerns(self._names, self._joints):
            return None
        stamp = to_seconds(message.header.stamp)
        return stamp, self._pick(message.position), self._pick(message.effort)

    def _pick(self, values: npt.ArrayLike) -> Array:
        padded = np.full(len(self._names) + 1, np.nan)  # the last place: joints not named
        given = np.asarray(values, dtype=float)[: len(self._names)]
        padded[: len(given)] = given
        return padded[self._index]
