"""What every simulator that runs in a process of its own offers (Gazebo of either kind).

Unlike :class:`sim2real_sim.simulator.Simulator` it has one world with any number of models,
described in SDF, and everything takes a message and an answer. Units are SI, quaternions are
(x, y, z, w), poses are of a model's or link's own frame in the world frame.

Every call waits for its effect, at most as long as the world's ``timeout`` [s], and then raises
:class:`WorldError`: nothing hangs, and nothing that did not happen is reported as done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from sim2real_core.errors import Sim2RealError

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


class WorldError(Sim2RealError):
    """The world did not do what was asked; says what, which model or address, and by when."""


class Pose(NamedTuple):
    """A pose in the world frame.

    Attributes:
        position: [m].
        orientation: (x, y, z, w).
    """

    position: Vector = (0.0, 0.0, 0.0)
    orientation: Quaternion = (0.0, 0.0, 0.0, 1.0)


HOME = Pose()
"""At the origin of the world, unturned."""


class LinkState(NamedTuple):
    """Motion of a link.

    Attributes:
        pose: of its frame in the world frame.
        linear: velocity of its origin in the world frame [m/s].
        angular: in the world frame [rad/s].
    """

    pose: Pose
    linear: Vector
    angular: Vector


class ModelState(NamedTuple):
    """Motion of a model at one instant.

    Attributes:
        time: simulated [s].
        pose: of its frame in the world frame.
        links: by name.
        joints: name to (position, velocity) [rad, rad/s or m, m/s].
    """

    time: float
    pose: Pose
    links: Mapping[str, LinkState]
    joints: Mapping[str, tuple[float, float]]


class World(Protocol):
    """A running world.

    Addresses of ``link``, ``joint``, ``surface``, ``visual`` and ``disturbance`` are those of one
    model; ``world`` and ``light`` are the whole world's.
    """

    @property
    def version(self) -> str:
        """Name and version of the engine, e.g. ``gazebo 11.1.0 (ode)``."""
        ...

    @property
    def tolerance(self) -> float:
        """Relative difference up to which a value that is read back is the one applied."""
        ...

    def time(self) -> float:
        """Simulated time [s]."""
        ...

    def pause(self, paused: bool) -> None:
        """Stop simulated time, or let it run."""
        ...

    def step(self, steps: int) -> None:
        """Take physics steps while paused; returns when they are taken."""
        ...

    def reset(self) -> None:
        """Time to zero, every model at rest where it was spawned; parameters stay as applied."""
        ...

    def models(self) -> tuple[str, ...]:
        """Names of the models in the world."""
        ...

    def sdf(self, model: str) -> str:
        """The model's SDF as it came into the world, before anything was applied."""
        ...

    def spawn(self, model: str, sdf: str, pose: Pose = HOME) -> None:
        """Put a model into the world; what bears its name already is replaced."""
        ...

    def delete(self, model: str) -> None:
        """Take a model out of the world."""
        ...

    def state(self, model: str) -> ModelState:
        """Where a model is and how it moves, at the present instant when paused."""
        ...

    def set_pose(self, model: str, pose: Pose) -> None:
        """Put a model somewhere."""
        ...

    def set_effort(self, model: str, efforts: Mapping[str, float]) -> None:
        """Drive joints with these efforts [N*m or N], until the next call."""
        ...

    def push(self, model: str, link: str, force: Vector, torque: Vector = (0.0, 0.0, 0.0)) -> None:
        """Act on a link's centre of mass during the next physics step (world frame) [N, N*m]."""
        ...

    def routes(self, address: str) -> tuple[str, ...]:
        """Ways to change an address here, the one that is taken unless told otherwise first."""
        ...

    def nominal(self, model: str, address: str) -> float:
        """Value of an address before anything was applied."""
        ...

    def get(self, model: str, address: str) -> float | None:
        """Value that the engine says it has; None when it cannot be asked."""
        ...

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """Make the world one draw away from the nominal one.

        A draw describes the whole world: addresses it does not name return to their nominal
        values, so that draws never add up.

        Args:
            model: whose links, joints and surfaces are meant.
            values: address to absolute SI value.
            route: take this way for all; each address's own first when empty.

        Returns:
            Outcome by address: ``verified`` (read back equal), ``applied`` (cannot be read
            back), ``unsupported`` (no route) or ``failed``.

        Raises:
            InputError: an unknown address, a value out of range or physically impossible; all
                are named and nothing was applied.
        """
        ...

    def close(self) -> None:
        """Let go of the world; it goes on running."""
        ...
