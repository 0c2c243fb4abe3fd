"""How near its threshold each detector is, as messages that lie in clips like any other.

::

    capture/scores/<detector>   std_msgs/msg/Float64: its score over its threshold, 1 is the
                                threshold; of several elements (joints, topics) the largest

So every clip has the curve of every detector over its seconds, also of those that stayed quiet,
and any tool that plots a bag shows it.
"""

from __future__ import annotations

import re
import struct

from sim2real_capture.ring import Record

TOPIC = 'capture/scores/'
TYPE = 'std_msgs/msg/Float64'
PERIOD = 20_000_000
"""The largest value of so long [ns] is one message, so that no peak is lost."""

_HEADER = b'\0\1\0\0'


def score_topic(detector: str) -> str:
    """Where a detector's score is, as a relative topic name."""
    return TOPIC + re.sub(r'\W', '_', detector, flags=re.ASCII)


def encode(share: float) -> bytes:
    """A share as the bytes of its message."""
    return _HEADER + struct.pack('<d', share)


class ScoreCurve:
    """One detector's curve.

    Args:
        topic: its full name.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._last: int | None = None  # stamp of the newest message
        self._largest = 0.0  # since then

    def add(self, share: float, stamp: int, raised: bool) -> Record | None:
        """Take a score.

        Args:
            share: of its threshold.
            stamp: on the records' time line [ns].
            raised: it is an event, which the curve must show where and as high as it is.

        Returns:
            The message that is due, if one is.
        """
        self._largest = max(self._largest, share)
        if self._last is not None and 0 <= stamp - self._last < PERIOD and not raised:
            return None
        value = share if raised else self._largest
        record = Record(self._topic, TYPE, stamp, encode(value))
        self._last, self._largest = stamp, 0.0
        return record
