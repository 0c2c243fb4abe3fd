"""Names what is wrong with the samples that a robot sends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sim2real_policy.guard_limits import Limits

Array = npt.NDArray[np.float64]

BEYOND = 0.05
"""Share of its range by which a position may lie beyond a limit, but at least so much [rad, m]."""
FASTER = 10.0
"""How many times its limit a measured speed or effort may be; limits below 0.1 count as 0.1."""
FAR = 1e9
"""Largest value of what has no limit."""
MOST = {
    'goal': 1e7,  # m
    'velocity_goal': 1e3,  # m/s, rad/s
    'angular_velocity': 1e3,  # rad/s; gyroscopes measure up to 70
    'linear_acceleration': 1e4,  # m/s^2; a thousand times the Earth's
    'orientation': 2.0,  # a unit quaternion's elements are at most 1
    'gravity': 2.0,
    'base_linear_velocity': 1e3,  # m/s
    'base_angular_velocity': 1e3,  # rad/s
    'base_position': 1e7,  # m; as far as maps of the Earth count
}
"""Largest magnitude of an input that has no limits of the robot's; what lies beyond is broken."""


class Plausibility:
    """Says what of a sample is not finite or absurd, joint by joint.

    Encoders that lost their zero, units mixed up (degrees, counts) and broken messages all show as
    values far outside what the robot can do; acting on them would be worse than waiting.

    Args:
        joints: names, in the order of the samples.
        limits: of these joints, as the robot has them.
    """

    def __init__(self, joints: Sequence[str], limits: Limits) -> None:
        self._joints = tuple(joints)
        lower, upper = limits.array('lower'), limits.array('upper')
        room = np.maximum(BEYOND * (upper - lower), BEYOND)
        speed = FASTER * np.maximum(limits.array('velocity'), 0.1)
        effort = FASTER * np.maximum(limits.array('effort'), 0.1)
        # Lists: for a handful of numbers Python is faster than NumPy, above all when it is cold.
        self._bounds = {
            name: (np.maximum(low, -FAR).tolist(), np.minimum(high, FAR).tolist())
            for name, low, high in (
                ('position', lower - room, upper + room),
                ('velocity', -speed, speed),
                ('effort', -effort, effort),
            )
        }

    def fault(self, sample: Mapping[str, Array], names: Iterable[str]) -> str:
        """What is wrong with a sample, or ``''``.

        Args:
            sample: (1, nj) by name: ``position``, ``velocity``, ``effort``.
            names: which of them count.
        """
        for name in names:
            lows, highs = self._bounds[name]
            for index, value in enumerate(sample[name][0].tolist()):
                if not lows[index] <= value <= highs[index]:  # NaN is not, either
                    return self._named(name, index, value)
        return ''

    def _named(self, name: str, index: int, value: float) -> str:
        what = f'the {name} of {self._joints[index]}'
        if not math.isfinite(value):
            return f'{what} is not finite'
        low, high = (bounds[index] for bounds in self._bounds[name])
        return f'{what}, {value:g}, is beyond [{low:.4g}, {high:.4g}]'


def absurd(values: Mapping[str, Array]) -> str:
    """What is wrong with inputs that come from no joint, or ``''``.

    Args:
        values: by name, of :data:`MOST`.
    """
    for name, numbers in values.items():
        most = MOST[name]
        for value in numbers.tolist():
            if not -most <= value <= most:  # NaN is not, either
                if not math.isfinite(value):
                    return f'{name} is not finite'
                return f'{name}, {value:g}, is beyond +/-{most:g}'
    return ''
