"""What a motion takes of a robot as its profile describes it: efforts, and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.kinematics import Coordinates, build_model

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]


class Loop(NamedTuple):
    """A robot's own control loop, which follows a command only as far as its gains go.

    A position loop gives ``stiffness (command - position) - damping velocity``, a velocity loop
    ``damping (command - velocity)``. For a motion it must be commanded ahead by what its effort
    takes.

    Attributes:
        order: derivative of the position that is commanded: 0, or 1 for velocities.
        pull: (nj,) command per effort; zeros where no gain is known: taken as stiff.
        damping: (nj,) effort per velocity that a position loop brakes with.
    """

    order: int
    pull: Array
    damping: Array

    @classmethod
    def of(cls, profile: RobotProfile) -> Loop:
        """That of a robot; an effort interface has none, so that its command is the motion."""
        interface = profile.command.drives
        stiffness, damping = profile.array('stiffness'), profile.array('damping')
        none = np.zeros_like(damping)
        gain = {'position': stiffness, 'velocity': damping}.get(interface, none)
        pull = np.divide(1.0, gain, out=none.copy(), where=gain > 0)
        return cls(
            int(interface == 'velocity'), pull, none if interface != 'position' else damping
        )

    def command(self, position: Array, velocity: Array, effort: Array) -> Array:
        """Commands (..., nj) for a motion that takes these efforts."""
        wanted = velocity if self.order else position
        return np.asarray(wanted + self.pull * (effort + self.damping * velocity))


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
