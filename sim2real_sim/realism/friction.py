"""Dry friction in the joints: Coulomb, static, and growing with wear."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
SLIDING = 700.0
"""From this exponent on stiction is gone to the last bit, and exp() is slow."""


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
        self._sticks = self._wears = False
        self._step_length = np.zeros((nsim, 1))
        self._stiction, self._rate = np.zeros_like(self.coulomb), 1.0 / self.speed

    def update(self, step_length: Array) -> None:
        """Take over changed values; ``step_length`` (nsim, 1) [s]."""
        self._sticks = not np.array_equal(self.coulomb, self.static)
        self._wears = bool(self.wear.any())
        self.active = self._sticks or self._wears
        self._step_length = step_length
        self._stiction, self._rate = self.static - self.coulomb, 1.0 / self.speed

    def reset(self, rows: Rows) -> None:
        """Make the joints of some simulations new again."""
        self._heat[rows] = 0.0

    def level(self, velocity: Array) -> Array:
        """Friction (nsim, nj) in a step that begins with these velocities."""
        level = self.coulomb
        if self._sticks:
            level = velocity * self._rate
            level *= level
            np.minimum(level, SLIDING, out=level)
            np.exp(np.negative(level, out=level), out=level)
            level *= self._stiction
            level += self.coulomb
        if self._wears:
            worn = self.wear * self._heat
            worn += 1.0
            worn *= level
            level = worn
            heat = np.abs(velocity)
            heat *= level
            heat *= self._step_length
            self._heat += heat
        return level
