"""Names what is wrong with the samples that a robot sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sim2real_core.profile import Joint

Array = npt.NDArray[np.float64]

BEYOND = 0.05
"""Share of its range by which a position may lie beyond a limit, but at least so much [rad, m]."""
FASTER = 10.0
"""How many times its limit a measured speed or effort may be; limits below 0.1 count as 0.1."""
FAR = 1e9
"""Largest value of what has no limit."""
RATE_SHARE = 0.6
"""Joint states that come less often than this share of the profile's rate are too few."""
RATE_SAMPLES = 200
"""Over how many of them the rate is taken."""


class Plausibility:
    """Says what of a sample is not finite or absurd, joint by joint.

    Encoders that lost their zero, units mixed up (degrees, counts) and broken messages all show as
    values far outside what the robot can do; acting on them would be worse than waiting.

    Args:
        joints: in the order of the samples.
    """

    def __init__(self, joints: Sequence[Joint]) -> None:
        self._joints = tuple(joint.name for joint in joints)
        bounds = []
        for joint in joints:
            room = max(BEYOND * (joint.upper - joint.lower), BEYOND)
            speed, effort = (FASTER * max(x, 0.1) for x in (joint.velocity, joint.effort))
            low = (joint.lower - room, -speed, -effort)
            bounds.append((low, (joint.upper + room, speed, effort)))
        low, high = np.clip(bounds, -FAR, FAR).transpose(1, 2, 0)
        names = ('position', 'velocity', 'effort')
        self._bounds = {name: (low[index], high[index]) for index, name in enumerate(names)}

    def fault(self, sample: Mapping[str, Array], names: Iterable[str]) -> str:
        """What is wrong with a sample, or ``''``.

        Args:
            sample: (1, nj) by name: ``position``, ``velocity``, ``effort``.
            names: which of them count.
        """
        for name in names:
            values, (low, high) = sample[name][0], self._bounds[name]
            if not ((values >= low) & (values <= high)).all():
                return self._named(name, values, low, high)
        return ''

    def _named(self, name: str, values: Array, low: Array, high: Array) -> str:
        index = int(np.flatnonzero(~((values >= low) & (values <= high)))[0])
        joint, value = self._joints[index], values[index]
        if not np.isfinite(value):
            return f'the {name} of {joint} is not finite'
        return f'the {name} of {joint}, {value:g}, is beyond [{low[index]:.4g}, {high[index]:.4g}]'


class RateWatch:
    """Says when samples come at another rate than they should.

    Args:
        rate: at which they should [Hz].

    Attributes:
        warning: what is wrong; ``''`` while nothing is.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.warning = ''
        self.reset()

    def reset(self) -> None:
        """Time starts afresh."""
        self._count, self._since = -1, 0.0

    def sample(self, stamp: float) -> None:
        """Take note of a sample, by its stamp [s]; stamps increase."""
        if self._count < 0:
            self._since = stamp
        self._count += 1
        if self._count < RATE_SAMPLES:
            return
        found = self._count / (stamp - self._since)
        self.warning = ''
        if not RATE_SHARE <= found / self._rate <= 1.0 / RATE_SHARE:
            self.warning = (
                f'joint states come at {found:.3g} Hz, not at {self._rate:g} Hz '
                'as rates.joint_state_rate of the profile says'
            )
        self._count, self._since = 0, stamp
