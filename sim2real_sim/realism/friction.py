"""Dry friction in the joints: Coulomb, static, and growing with wear."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_sim.realism import compiled

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class Friction:
    """Coulomb and static friction of all joints of all simulations.

    Friction falls from static to Coulomb friction as speed grows,
    ``Fc + (Fs - Fc) exp(-(v / vs)^2)`` (Stribeck curve in its Gaussian form; Armstrong-Helouvry,
    Dupont, Canudas de Wit 1994). Wear raises both by ``wear`` times the energy that friction has
    turned into heat since the reset: what is worn off is proportional to load times sliding
    distance (Archard, J. Appl. Phys. 24, 1953).

    Attributes:
        coulomb: (nsim, nj) friction of a fast joint.
        static: (nsim, nj) friction of a joint at rest.
        speed: (nsim, nj) Stribeck velocity, where the one turns into the other.
        wear: (nsim, nj) relative growth of both per energy [1/J].
        active: whether any joint's friction changes as it moves; see :meth:`update`.

    Args:
        coulomb: (nj,) nominal.
        speed: nominal Stribeck velocity.
        nsim: number of simulations.
    """

    def __init__(self, coulomb: Array, speed: float, nsim: int) -> None:
        self.coulomb = np.tile(coulomb, (nsim, 1))
        self.static = self.coulomb.copy()
        self.speed = np.full_like(self.coulomb, speed)
        self.wear = np.zeros_like(self.coulomb)
        self.active = False
        self._heat = np.zeros_like(self.coulomb)
        self._length = np.zeros(nsim)
        self._level = np.zeros_like(self.coulomb)

    def update(self, step_length: Array) -> None:
        """Take over changed values; ``step_length`` (nsim, 1) [s]."""
        self.active = bool(self.wear.any()) or not np.array_equal(self.coulomb, self.static)
        self._length = step_length[:, 0].copy()

    def reset(self, rows: Rows) -> None:
        """Make the joints of some simulations new again."""
        self._heat[rows] = 0.0

    def level(self, velocity: Array) -> Array:
        """Friction (nsim, nj) in a step that begins with these velocities.

        It is overwritten by the next one.
        """
        curve = self.coulomb, self.static, self.speed, self.wear
        fast = np.ascontiguousarray(velocity)
        compiled.rub(*curve, self._heat, fast, self._length, self._level)
        return self._level
