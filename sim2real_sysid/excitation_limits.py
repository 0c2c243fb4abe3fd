"""Within which limits a robot is excited."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

RANGE = math.pi  # [rad or m] each way, where a joint has no limits of position
SPEED = 1.0  # [rad/s or m/s] where it has none of velocity
RISE = 0.25  # [s] to full speed, where it has none of acceleration
MARGIN = 0.02  # share of its range that a joint keeps from its ends


class Limits(NamedTuple):
    """What the motion keeps, (nj,) each, SI units."""

    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    effort: Array

    @property
    def middle(self) -> Array:
        """Of the ranges of position."""
        return 0.5 * (self.lower + self.upper)

    @property
    def half(self) -> Array:
        """Half the ranges of position."""
        return 0.5 * (self.upper - self.lower)

    @property
    def derivatives(self) -> tuple[tuple[Array | float, Array], ...]:
        """Middle and half width, (nj,), of what position, velocity and acceleration may be."""
        return (self.middle, self.half), (0.0, self.velocity), (0.0, self.acceleration)

    def scaled(self, share: float) -> Limits:
        """A share of all of them."""
        reach = share * self.half
        rest = (share * part for part in self[2:])
        return Limits(self.middle - reach, self.middle + reach, *rest)


def limits_of(profile: RobotProfile, share: float = 1.0) -> Limits:
    """The robot's limits, with sensible ones where it has none; a share of all but positions."""
    velocity = profile.array('velocity')
    velocity = np.where(np.isfinite(velocity), velocity, SPEED)
    acceleration = profile.array('acceleration')
    acceleration = np.where(np.isfinite(acceleration), acceleration, velocity / RISE)
    default = profile.array('default_position')
    lower, upper = profile.array('lower'), profile.array('upper')
    lower, upper, velocity = _as_followers_allow(profile, lower, upper, velocity)
    lower = np.where(np.isfinite(lower), lower, np.minimum(default, upper) - RANGE)
    upper = np.where(np.isfinite(upper), upper, np.maximum(default, lower) + RANGE)
    room = MARGIN * (upper - lower)
    effort = share * profile.array('effort')
    return Limits(lower + room, upper - room, share * velocity, share * acceleration, effort)


def _as_followers_allow(
    profile: RobotProfile, lower: Array, upper: Array, velocity: Array
) -> tuple[Array, Array, Array]:
    """The limits of joints, narrowed so that those which follow them (mimic) keep their own."""
    coupling = profile.coupling
    for name, row, shift in zip(*coupling):
        leaders = np.flatnonzero(row)
        if name in profile.joint_names or not len(leaders):
            continue
        joint, leader = profile.urdf.joints[name], leaders[0]
        ends = sorted((end - shift) / row[leader] for end in (joint.lower, joint.upper))
        lower[leader] = max(lower[leader], ends[0])
        upper[leader] = min(upper[leader], ends[1])
        if joint.velocity > 0:  # what no drive moves is often given a zero that means nothing
            velocity[leader] = min(velocity[leader], joint.velocity / abs(row[leader]))
    return lower, upper, velocity
