"""Commands as the bytes they travel in, so that nothing is converted while a robot waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message

from sim2real_core.command_messages_ros import CommandMessage

Array = npt.NDArray[np.float64]


class CommandEncoder:
    """Makes what a publisher takes: bytes where only the numbers of a command change.

    Where those are is found by looking for numbers that were put in; where a message has a stamp,
    or its numbers are not in one piece, it is left to rclpy.

    Args:
        messages: makes the messages.
        size: numbers of a command.
    """

    def __init__(self, messages: CommandMessage, size: int) -> None:
        self._messages = messages
        self._data: bytearray | None = None
        known: Array = np.arange(size, dtype=np.float64) + 1.0 / 3.0
        data, later = (
            serialize_message(messages.fill(known, Time(sec=second))) for second in (1, 2)
        )
        at = data.find(known.tobytes())
        if at >= 0 and data == later:
            self._data = bytearray(data)
            self._numbers = np.frombuffer(self._data, float, size, at)

    def __call__(self, command: Array, stamp: Any) -> Any:
        """The bytes of a command (n,), or its message; overwritten by the next."""
        if self._data is None:
            return self._messages.fill(command, stamp)
        self._numbers[:] = command
        return bytes(self._data)
