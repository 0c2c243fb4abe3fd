"""What every consumer of joint states agrees on: late or restarted time, stamps, whose they are.

Several publishers may share the topic (an arm and its gripper), and their messages may overtake
one another: with a newest stamp of 10.00 s, one of 9.99 s is late and dropped; one of 3 s means
that time started over, as a simulation that was reset or a bag from its beginning does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BACKWARD = 0.1
"""A stamp this much older than the newest [s] is a clock that went back, not a late message."""
UNSTAMPED = 'joint states carry no stamp; set header.stamp in the driver'
"""What to say of a stamp of zero that follows another one."""


def is_late(stamp: float, newest: float) -> bool:
    """Whether a stamp brings nothing new: it is the newest one [s] again, or barely older."""
    return -BACKWARD <= stamp - newest <= 0.0


def concerns(names: Iterable[str], joints: Iterable[str]) -> bool:
    """Whether a message that names these joints is about any of ours."""
    return not set(joints).isdisjoint(names)


def shortest(difference: Array, continuous: npt.NDArray[np.bool_]) -> Array:
    """Differences of positions (..., nj) [rad or m], those of continuous joints the short way.

    Some drivers wrap the angle of a joint that turns for ever, others count on.
    """
    turns: Array = np.round(difference / (2.0 * np.pi)) * continuous
    return difference - 2.0 * np.pi * turns
