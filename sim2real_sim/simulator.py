"""What every simulator offers. All arrays have a leading axis of ``nsim`` simulations.

Units are SI, joints in the profile's command order, positions in the robot's base frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Union

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]
Ids = Union[npt.NDArray[np.bool_], npt.NDArray[np.intp], 'list[int]', None]


class JointReading(NamedTuple):
    """What the sensors said, through their models.

    Attributes:
        time: (nsim,) simulated time [s].
        position: (nsim, nj) [rad or m].
        velocity: (nsim, nj) [rad/s or m/s].
        effort: (nsim, nj) effort of the actuators in the last step [N*m or N].
    """

    time: Array
    position: Array
    velocity: Array
    effort: Array


class ImuReading(NamedTuple):
    """What the IMU said.

    Attributes:
        orientation: (nsim, 4) true orientation of its link in the world (x, y, z, w).
        angular_velocity: (nsim, 3) in its link's frame [rad/s].
        linear_acceleration: (nsim, 3) proper acceleration in its link's frame [m/s^2].
    """

    orientation: Array
    angular_velocity: Array
    linear_acceleration: Array


class BodyReading(NamedTuple):
    """Where the freely moving body of a mobile robot is, and how it moves; true values.

    Attributes:
        position: (nsim, 3) in the world [m].
        orientation: (nsim, 4) in the world (x, y, z, w).
        linear_velocity: (nsim, 3) in the body's frame [m/s].
        angular_velocity: (nsim, 3) in the body's frame [rad/s].
    """

    position: Array
    orientation: Array
    linear_velocity: Array
    angular_velocity: Array


class Simulator(Protocol):
    """Many simulations of one robot.

    ``ids`` selects simulations: integers or a boolean mask of (nsim,); all when None.
    """

    profile: RobotProfile

    @property
    def nsim(self) -> int:
        """Number of simulations."""
        ...

    @property
    def timestep(self) -> float:
        """Nominal length of a physics step [s]."""
        ...

    def reset(
        self,
        ids: Ids = None,
        *,
        position: npt.ArrayLike | None = None,
        velocity: npt.ArrayLike | None = None,
        seed: int | npt.ArrayLike | None = None,
    ) -> None:
        """Time to zero, joints to ``position`` and ``velocity``; parameters stay as applied.

        Args:
            ids: which simulations.
            position: (nj,) or (n, nj); the profile's default pose when None.
            velocity: likewise; rest when None.
            seed: of the sensor noise, one for all or one each; the constructor's when None.
        """
        ...

    def command(self, values: npt.ArrayLike, ids: Ids = None) -> None:
        """Command the robot, until the next command.

        Args:
            values: (nj,) or (n, nj); position, velocity or effort as the profile's interface says.
            ids: which simulations.
        """
        ...

    def step(self, n: int = 1) -> None:
        """Advance all simulations by ``n`` physics steps."""
        ...

    def read(self) -> JointReading:
        """What the sensors say now; reading twice at one instant gives the same."""
        ...

    def state(self) -> tuple[Array, Array]:
        """True position and velocity, (nsim, nj) each."""
        ...

    def link_position(self, link: str) -> Array:
        """True position (nsim, 3) of a link's origin in the base frame [m]."""
        ...

    def nominal(self, address: str) -> float:
        """Value of an address before anything was applied."""
        ...

    def get(self, address: str) -> Array:
        """Value (nsim,) of an address, read back from the engine."""
        ...

    def apply(
        self, values: Mapping[str, float | npt.ArrayLike], ids: Ids = None
    ) -> dict[str, str]:
        """Make the world one draw away from the nominal one.

        A draw describes the whole world: addresses it does not name return to their nominal
        values, so that draws never add up. It is applied whole or, on any fault, not at all.

        Args:
            values: address to absolute SI value, one for all simulations or (n,) one each.
            ids: which simulations.

        Returns:
            Outcome by address: ``verified`` (read back equal), ``applied`` (cannot be read
            back), ``unsupported`` (this simulator does not have it) or ``failed``.

        Raises:
            InputError: an unknown address, a value out of range or physically impossible; all
                are named and nothing was applied.
        """
        ...
