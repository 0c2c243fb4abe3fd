"""Parts of messages as arrays, whatever library made the messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def xyz(vector: Any) -> Array:
    """A point or vector message as an array (3,)."""
    return np.array([vector.x, vector.y, vector.z])


def attitude(orientation: Any) -> Array:
    """(x, y, z, w) of a quaternion message; NaN where it is none, as :func:`downward`."""
    if not _turns(orientation):
        return np.full(4, np.nan)
    return np.array([orientation.x, orientation.y, orientation.z, orientation.w])


def downward(orientation: Any) -> Array:
    """The unit vector (3,) downward in the frame that a quaternion message turns.

    The world's -z seen from there: the third row of its rotation matrix, negative. NaN where the
    quaternion is none, as drivers send that do not know the orientation.
    """
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    if not _turns(orientation):
        return np.full(3, np.nan)
    down = [2.0 * (w * y - x * z), -2.0 * (y * z + w * x), x * x + y * y - z * z - w * w]
    return np.array(down) / (x * x + y * y + z * z + w * w)


def _turns(orientation: Any) -> bool:
    """Whether a quaternion message is about of unit length, as one that turns something is."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    return 0.25 < x * x + y * y + z * z + w * w < 4.0
