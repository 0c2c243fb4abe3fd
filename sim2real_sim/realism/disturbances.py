"""A world that does not leave a robot alone: steady wrenches, pushes, wind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import AIR
from sim2real_sim.realism import compiled
from sim2real_sim.realism.signals import Streams

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
DENSITY = 1.225
"""Density of air at 15 degC and 1013.25 hPa [kg/m^3] (ISO 2533:1975)."""
TAG = 64  # of the first body's random numbers


class Pushes:
    """Random pushes on one body.

    They come as a Poisson process, the next one at an exponentially distributed time after the
    last has begun (never before that has ended), in a direction uniform over the sphere.

    Args:
        nsim: number of simulations.
        tag: keeps the numbers of bodies apart.
    """

    def __init__(self, nsim: int, tag: int) -> None:
        self._force = np.zeros((nsim, 3))
        self._waits = np.full(nsim, np.nan)
        self._left = np.zeros(nsim)
        self._rate = self._impulse = self._duration = np.zeros(nsim)
        self._numbers = Streams(nsim, tag)

    def reset(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Forget the past of some simulations."""
        self._numbers.seed(rows, seeds)
        self._waits[rows] = np.nan
        self._left[rows] = 0.0

    def update(self, rate: Array, impulse: Array, duration: Array) -> None:
        """Take over how this body is pushed.

        Args:
            rate: (nsim,) mean number of pushes in a step.
            impulse: (nsim,) of a push [N*s].
            duration: (nsim,) of a push [s]; whole steps, at least one, are taken.
        """
        # Copies: what is one body's lies apart in memory, and is looked at in every step.
        self._rate, self._impulse, self._duration = (
            values.copy() for values in (rate, impulse, duration)
        )

    def step(self, step_length: Array, place: int, wrench: Array) -> None:
        """Add the forces in the next step to wrenches.

        Args:
            step_length: (nsim,) [s].
            place: of the body in the wrenches.
            wrench: (nsim, n, 6) [N] and [N*m].
        """
        how = self._rate, self._impulse, self._duration, step_length
        state = self._waits, self._left, self._force
        compiled.push(*state, *how, self._numbers.keys, self._numbers.counts, place, wrench)


class Disturbances:
    """Forces and torques on the bodies of all simulations, in the world's axes.

    ``wrench`` is steady. Pushes: see :class:`Pushes`. The air moves with ``wind`` and with gusts
    of standard deviation ``gust`` in each axis, a Gauss-Markov process of correlation time
    ``gust_time`` (the longitudinal Dryden spectrum, MIL-F-8785C). A body of drag area ``A`` =
    drag coefficient * area that moves with ``u`` through this air feels ``-0.5 rho A |u| u``.

    Attributes:
        wrench: (nsim, nbody, 6) force [N] and torque [N*m].
        period: (nsim, nbody) mean time between pushes [s]; 0 for none.
        impulse: (nsim, nbody) of a push [N*s].
        duration: (nsim, nbody) of a push [s].
        drag_area: (nsim, nbody) [m^2].
        wind: (nsim, 3) [m/s].
        gust: (nsim,) [m/s].
        gust_time: (nsim,) [s].
        bodies: those on which a force acts that changes; see :meth:`update`.
        dragged: those whose velocity :meth:`step` needs.

    Args:
        nsim: number of simulations.
        nbody: number of bodies.
    """

    def __init__(self, nsim: int, nbody: int) -> None:
        self.wrench = np.zeros((nsim, nbody, 6))
        self.period = np.zeros((nsim, nbody))
        self.impulse = np.zeros((nsim, nbody))
        self.duration = np.zeros((nsim, nbody))
        self.drag_area = np.zeros((nsim, nbody))
        self.wind = np.zeros((nsim, 3))
        self.gust = np.zeros(nsim)
        self.gust_time = np.full(nsim, AIR['gust_time'])
        self.bodies = self.dragged = np.zeros(0, dtype=np.intp)
        self._pushes: dict[int, Pushes] = {}
        self._pushing: list[tuple[int, Pushes]] = []
        self._steady, self._half_drag = self.wrench[:, :0], self.drag_area[:, :0]
        self._gusts = np.zeros((nsim, 3))  # of unit variance
        self._numbers = Streams(nsim, TAG - 1)
        self._places = self.dragged  # among the bodies
        self._all = np.arange(nsim)
        self._seeds = np.zeros(nsim, dtype=np.uint64)
        self._elapsed = np.full(nsim, np.inf)  # since the gusts were drawn
        self._step_length = np.zeros(nsim)

    def update(self, step_length: Array) -> None:
        """Take over changed values; ``step_length`` (nsim, 1) [s]."""
        self._step_length = step_length[:, 0].copy()
        pushed = np.flatnonzero(((self.period > 0) & (self.impulse != 0)).any(axis=0))
        self.dragged = np.flatnonzero(self.drag_area.any(axis=0))
        self.bodies = np.union1d(pushed, self.dragged)
        self._steady = self.wrench[:, self.bodies]
        self._half_drag = 0.5 * DENSITY * self.drag_area[:, self.dragged]
        self._places = np.searchsorted(self.bodies, self.dragged)
        rate = np.zeros_like(self.period)
        np.divide(step_length, self.period, out=rate, where=self.period > 0)
        before, self._pushes, self._pushing = self._pushes, {}, []
        for body in pushed.tolist():
            pushes = before.get(body)
            if pushes is None:
                pushes = Pushes(len(self._all), TAG + 2 * body)
                pushes.reset(self._all, self._seeds)
            self._pushes[body] = pushes
            pushes.update(rate[:, body], self.impulse[:, body], self.duration[:, body])
            self._pushing.append((int(np.searchsorted(self.bodies, body)), pushes))

    def reset(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Forget the past of some simulations."""
        self._seeds[rows] = seeds
        self._elapsed[rows] = np.inf
        self._numbers.seed(rows, seeds)
        for pushes in self._pushes.values():
            pushes.reset(rows, seeds)

    def step(self, velocity: Array, mass: Array) -> Array:
        """Wrenches (nsim, n, 6) on ``bodies`` in the next step.

        Drag takes the air's resistance at the end of the step, ``c |u| u / (1 + c |u| h / m)``
        with c = 0.5 rho A: the exact answer for a free body, and never too much for a light one.

        Args:
            velocity: (nsim, m, 3) of the centres of mass of ``dragged`` [m/s].
            mass: (nsim, m) of these bodies [kg].
        """
        wrench = self._steady.copy()
        for place, pushes in self._pushing:
            pushes.step(self._step_length, place, wrench)
        if self.dragged.size:
            numbers, gust = self._numbers, self.gust
            blown = self._gusts, self._elapsed, self.gust_time, gust, numbers.keys, numbers.counts
            compiled.blow(*blown)
            body = self._half_drag, mass, self._step_length, self._places, wrench
            compiled.resist(velocity, self.wind, gust, self._gusts, *body)
        self._elapsed += self._step_length
        return wrench
