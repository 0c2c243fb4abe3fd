"""Inverse dynamics of a robot as its profile describes it, through pinocchio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim2real_core.kinematics import Coordinates, build_model

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]


class InverseDynamics:
    """Efforts that a motion takes: rigid bodies, rotors and viscous friction.

    Dry friction is not among them: it jumps where a joint turns.

    Args:
        profile: the robot.

    Raises:
        InputError: pinocchio does not take the URDF.
        MissingError: pinocchio is not installed.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._rnea = pinocchio.rnea
        self._data = self._model.createData()
        self._coordinates = Coordinates(self._model, profile)
        self._armature = profile.array('armature')
        self._viscous = profile.array('viscous_friction')

    def efforts(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        """Efforts (nj,) [N*m or N] of the actuated joints.

        Args:
            position: (nj,) in command order [rad or m].
            velocity: (nj,).
            acceleration: (nj,).
        """
        spread = self._coordinates.map
        q = self._coordinates.configuration(position)
        rigid = self._rnea(self._model, self._data, q, spread @ velocity, spread @ acceleration)
        return np.asarray(
            rigid @ spread + self._armature * acceleration + self._viscous * velocity
        )
