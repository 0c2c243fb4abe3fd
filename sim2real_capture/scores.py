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

import numpy as np
import numpy.typing as npt

from sim2real_capture.ring import Record

Array = npt.NDArray[np.float64]

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


def share_of(score: Array, threshold: Array) -> float:
    """The largest score over its threshold; what can never be reached counts as 0."""
    with np.errstate(invalid='ignore'):
        shares = score / threshold
    return float(np.nan_to_num(shares, nan=0.0, posinf=np.inf).max())


class ScoreCurve:
    """One detector's curve.

    Args:
        topic: its full name.
        threshold: (k,) or (), the detector's.
    """

    def __init__(self, topic: str, threshold: Array) -> None:
        self._topic = topic
        self._threshold = threshold
        self._last: int | None = None  # stamp of the newest message
        self._largest = np.zeros(0)  # of each element, since then

    def add(self, score: Array, stamp: int, raised: bool) -> Record | None:
        """Take a score.

        Args:
            score: (k,), empty where the signal told nothing; k may grow.
            stamp: on the records' time line [ns].
            raised: it is an event, which the curve must show where and as high as it is.

        Returns:
            The message that is due, if one is.
        """
        if not score.size:
            return None
        if self._largest.shape == score.shape and not raised:
            score = np.maximum(self._largest, score)
        if self._last is not None and 0 <= stamp - self._last < PERIOD and not raised:
            self._largest = score
            return None
        self._last, self._largest = stamp, np.zeros(0)
        return Record(self._topic, TYPE, stamp, encode(share_of(score, self._threshold)))
