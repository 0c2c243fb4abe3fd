"""Joint states to arrays in the profile's order, matched by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from sim2real_core.joint_states import concerns
from sim2real_core.messages import to_seconds

Array = npt.NDArray[np.float64]

PLAIN = b'\x00\x01'  # how a serialized message begins whose numbers are little-endian
STAMP, STRINGS = 4, 12  # where stamp, and frame and names, are in it


class JointStateReader:
    """Reads joint states of one robot.

    At a thousand messages a second most of their cost would be Python objects for every number
    and name. Serialized messages are therefore read where they lie, as long as their names are
    those of the message before; only other names are looked at.

    Args:
        joints: names of its joints, in the order wanted.
    """

    def __init__(self, joints: tuple[str, ...]) -> None:
        self._joints = joints
        self._names: list[str] = []
        self._index: list[int] = []
        self._strings = b''  # of the last message, serialized
        self._ours = False

    def read(self, message: JointState) -> tuple[float, Array, Array] | None:
        """Stamp [s], positions (nj,) and efforts (nj,); NaN stands for what is not there.

        None when the message is about none of the joints.
        """
        self._match(list(message.name))
        if not self._ours:
            return None
        stamp = to_seconds(message.header.stamp)
        return stamp, self._pick(message.position), self._pick(message.effort)

    def read_serialized(self, data: bytes) -> tuple[float, Array, Array] | None:
        """The same of a serialized message."""
        end = STRINGS + len(self._strings)
        if data[:2] != PLAIN:
            return self.read(deserialize_message(data, JointState))
        if not self._strings or data[STRINGS:end] != self._strings:
            self._match(list(deserialize_message(data, JointState).name))
            end = _after_strings(data)
            self._strings = data[STRINGS:end]
        if not self._ours:
            return None
        position, end = _doubles(data, end)
        _, end = _doubles(data, end)
        effort, _ = _doubles(data, end)
        return to_seconds(read_stamp(data)), self._pick(position), self._pick(effort)

    def read_field(self, message: JointState, field: str) -> tuple[float, Array] | None:
        """Stamp [s] and one field (nj,) of a message; None as for :meth:`read`."""
        self._match(list(message.name))
        if not self._ours:
            return None
        return to_seconds(message.header.stamp), self._pick(getattr(message, field))

    def _match(self, names: list[str]) -> None:
        if names != self._names:
            self._names = names
            places = {name: i for i, name in enumerate(names)}
            self._index = [places.get(name, -1) for name in self._joints]
            self._ours = concerns(names, self._joints)

    def _pick(self, values: npt.ArrayLike) -> Array:
        padded = np.full(len(self._names) + 1, np.nan)  # the last place: joints not named
        given = np.asarray(values, dtype=float)[: len(self._names)]
        padded[: len(given)] = given
        return padded[self._index]


def read_stamp(data: bytes) -> Time:
    """Stamp of a serialized message that begins with a header."""
    if data[:2] != PLAIN:
        return deserialize_message(data, JointState).header.stamp
    seconds = int.from_bytes(data[STAMP : STAMP + 4], 'little', signed=True)
    return Time(sec=seconds, nanosec=int.from_bytes(data[STAMP + 4 : STAMP + 8], 'little'))


def _after_strings(data: bytes) -> int:
    """Where frame and names end; each length stands on a multiple of four (OMG CDR)."""
    size = int.from_bytes(data[STRINGS : STRINGS + 4], 'little')
    at = _aligned(STRINGS + 4 + size, 4)
    count = int.from_bytes(data[at : at + 4], 'little')
    at += 4
    for _ in range(count):
        at = _aligned(at, 4)
        at += 4 + int.from_bytes(data[at : at + 4], 'little')
    return _aligned(at, 4)


def _doubles(data: bytes, at: int) -> tuple[Array, int]:
    """An array that begins with its length, and where it ends."""
    count = int.from_bytes(data[at : at + 4], 'little')
    if not count:
        return np.zeros(0), at + 4
    begin = _aligned(at + 4, 8)
    return np.frombuffer(data, '<f8', count, begin), begin + 8 * count


def _aligned(at: int, size: int) -> int:
    """The next multiple, counted from the end of the four bytes that say how it is encoded."""
    return at + (4 - at) % size
