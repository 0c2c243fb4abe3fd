"""What a drive's own loop makes of a command: the effort that its gains ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Servo:
    """``effort = forward * command - stiffness * position - damping * velocity``, per joint.

    Attributes:
        forward: (nj,) effort per command; 0 where the profile does not say the gains.
        stiffness: (nj,) of the position loop; 0 where the drive has none.
        damping: (nj,) of the velocity loop.
        wraps: (nj,) a whole turn is nothing to the position loop.
    """

    forward: Array
    stiffness: Array
    damping: Array
    wraps: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, profile: RobotProfile) -> Servo:
        """The drives of a robot."""
        stiffness, damping = profile.array('stiffness'), profile.array('damping')
        wraps = np.array([joint.type == 'continuous' for joint in profile.joints])
        none = np.zeros_like(damping)
        if profile.command.interface == 'effort':
            return cls(none + 1.0, none, none, wraps & False)
        if profile.command.interface == 'velocity':
            return cls(damping, none, damping, wraps & False)
        return cls(stiffness, stiffness, damping, wraps)

    def feedback(self, position: Array, velocity: Array, command: Array) -> Array:
        """What the loops take off, (..., nj); positions are taken within half a turn."""
        if self.wraps.any():
            turns = np.round((position - command) / (2.0 * np.pi))
            position = position - np.where(self.wraps, 2.0 * np.pi * turns, 0.0)
        return self.stiffness * position + self.damping * velocity
