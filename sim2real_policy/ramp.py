"""A slow, smooth way to a pose: a motion of minimum jerk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.trajectory import Motion

Array = npt.NDArray[np.float64]

SHORTEST = 0.5
"""Least duration of a way [s]."""
UNLIMITED = 1.0
"""Speed limit taken for a joint that has none [rad/s or m/s]."""


class Ramp:
    """A motion of minimum jerk, at rest at both ends.

    Args:
        start: (nj,) where it begins [rad or m].
        way: (nj,) how far it goes.
        speed: (nj,) largest speed; infinite where there is no limit.
        share: of that speed which it may reach.

    Attributes:
        lasts: its duration [s].
    """

    def __init__(self, start: Array, way: Array, speed: Array, share: float) -> None:
        self._start, self._way = start.copy(), way.copy()
        slow = share * np.where(np.isfinite(speed), speed, UNLIMITED)
        # The speed of a minimum-jerk motion is 1.875 times its mean at most.
        self.lasts = max(1.875 * float((np.abs(way) / slow).max()), SHORTEST)

    def at(self, time: float) -> Motion:
        """Where it is so long [s] after it began; at its end afterwards."""
        s, rate, way = min(time / self.lasts, 1.0), 1.0 / self.lasts, self._way
        return Motion(
            self._start + way * (10 * s**3 - 15 * s**4 + 6 * s**5),
            way * (30 * s**2 - 60 * s**3 + 30 * s**4) * rate,
            way * (60 * s - 180 * s**2 + 120 * s**3) * rate**2,
        )
