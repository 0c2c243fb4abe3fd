"""How near a robot comes to itself and to the floor, while it moves.

Of the pairs of :mod:`sim2real_sysid.collisions`, those that touch in the pose the motion starts
from, where they surely may, are not watched. Only pairs that ever come near in random poses take
part in an optimization; all do in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_sysid.collisions import Collisions

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

AIM = 1.1  # times the distance to be kept: what an optimization aims at
NEAR = 3.0  # times the wanted distance: pairs that come nearer take part in an optimization
BELOW = 1e-3  # [m] that the floor lies below what stands on it


class Pair(NamedTuple):
    """Two shapes that are watched.

    Attributes:
        number: among pinocchio's.
        links: names of their links.
        least: distance to be kept [m].
    """

    number: int
    links: tuple[str, str]
    least: float


class Clearance(Collisions):
    """Distances within a robot, and to the floor.

    Args:
        profile: the robot.
        start: (nj,) pose in which what touches may touch.
        random: (n, nj) poses within the limits.
        least: distance to be kept [m]; less where the start has less.
        floor: its height in the frame of the URDF's root [m]; lower if the robot reaches lower at
            the start.

    Attributes:
        pairs: all that are watched.
        touching: links that touch at the start, and are not watched.
    """

    def __init__(
        self, profile: RobotProfile, start: Array, random: Array, least: float, floor: float
    ) -> None:
        super().__init__(profile)
        self.touching: list[str] = []
        self.pairs: tuple[Pair, ...] = ()
        if self.bare:
            return
        count = self.watch(min(floor, float(self.extent(start)[0][2]) - BELOW))
        self._choose(start, self.told_apart(start, range(count)), least)
        self.near = self._ever_near(random)

    def _choose(self, start: Array, numbers: list[int], least: float) -> None:
        """Which pairs are watched, and what each has to keep."""
        kept = []
        for number, distance in zip(numbers, self.distances(start, numbers)):
            names = self.links(number)
            if distance <= 0.0:
                self.touching.append(' and '.join(names))
            else:
                kept.append(Pair(number, names, min(least, 0.8 * float(distance))))
        self.pairs = tuple(kept)

    def _ever_near(self, random: Array) -> tuple[Pair, ...]:
        indices = [pair.number for pair in self.pairs]
        if not indices:
            return ()
        nearest = np.min([self.distances(pose, indices) for pose in random], axis=0)
        return tuple(p for p, d in zip(self.pairs, nearest) if d < NEAR * p.least)

    def nearest(self, poses: Array) -> tuple[float, tuple[str, str]]:
        """Least distance over poses (n, nj) beyond what each pair has to keep, and of which."""
        indices = [pair.number for pair in self.pairs]
        least = np.array([pair.least for pair in self.pairs])
        if not indices:
            return np.inf, ('', '')
        room = np.array([self.distances(pose, indices) for pose in poses]) - least
        worst = int(room.min(axis=0).argmin())
        return float(room.min()), self.pairs[worst].links

    def least(self, poses: Array) -> float:
        """Least distance of any watched pair over poses (n, nj) [m]."""
        indices = [pair.number for pair in self.pairs]
        if not indices:
            return np.inf
        return float(min(self.distances(pose, indices).min() for pose in poses))

    def cost(self, position: Array) -> tuple[float, Array]:
        """Sum of squares of what near pairs lack of the distance aimed at, as a share of it.

        Args:
            position: (nj,) pose.

        Returns:
            The sum, and its derivative (nj,).
        """
        total, slope = 0.0, np.zeros(len(position))
        if not self.near:
            return total, slope
        found = self.distances(position, [pair.number for pair in self.near])
        short = [(p, AIM * p.least - d) for p, d in zip(self.near, found) if d < AIM * p.least]
        if not short:
            return total, slope
        q = self._coordinates.configuration(position)
        self._pin.computeJointJacobians(self._model, self._data, q)
        for pair, lack in short:
            total += (lack / pair.least) ** 2
            slope -= 2.0 * lack / pair.least**2 * self._gradient(pair.number)
        return total, slope
