"""What moves a command towards an order within limits: one class for each command interface.

Each does the same few things, once a control period:

    take    an order as it is, if no limit is in the way (the fast way)
    follow  an order as far as the limits allow
    hold    come to rest as fast as the limits allow, and stay
    damp    let go: glide to where the robot was last measured (effort: to zero)

They serve one robot in a guard, and thousands at once in training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.joint_states import shortest
from sim2real_policy.guard_limits import Limits
from sim2real_policy.guard_reasons import ACCELERATION, EFFORT, POSITION, RATE, VELOCITY

Array = npt.NDArray[np.float64]

FAR = 1e9
"""Stands for no limit where infinity would need care in every formula."""
_LEAST = 1e-100  # a change of speed that formulas can still divide by
_SAME = 1e-9  # two speeds closer than this share of the limits differ by rounding


class Limiter(ABC):
    """What all have in common.

    Args:
        limits: of the command's elements.
        period: time between two commands [s].
        batch: leading shape, e.g. ``(4096,)`` in training.

    Attributes:
        command: (*batch, nj) the last command, in the unit of the interface.
        period: time between two commands [s].
        step: (nj,) largest change of speed from one period to the next.
    """

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        self.period = period
        self.step = _largest_step(limits, period)
        self.command = np.zeros((*batch, len(limits.lower)))

    def reset(self, position: Array, ids: Any = ...) -> None:
        """Start at rest from a measured position (some robots only, when given)."""
        self.command[ids] = 0.0

    def resume(self, position: Array) -> None:  # noqa: B027 - for most, wherever the robot is
        """Go on after damping or a stop, from a measured position; the command does not jump."""

    def prepare(self) -> None:  # noqa: B027 - nothing, for most
        """Work out ahead, while waiting, what :meth:`take` needs."""

    def take(self, order: Array) -> bool:
        """Take an order as it is, if that is sure to be within the limits."""
        return False

    @abstractmethod
    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Move ``command`` towards a finite order (*batch, nj); returns the limits that acted.

        Args:
            order: what is asked for, in the unit of the interface.
            position: as measured [rad or m].
            velocity: as measured.
        """

    @abstractmethod
    def hold(self, fraction: float = 0.0) -> None:
        """Come to rest and stay there; what cannot rest decays by this fraction."""

    def damp(self, position: Array, fraction: float) -> int:
        """Let go by this fraction; a velocity or an effort has only itself to let go of.

        Returns:
            Limits, other than those of the joints, that acted.
        """
        self.hold(fraction)
        return 0


class PositionLimiter(Limiter):
    """Moves a position command. See :class:`Limiter`.

    It keeps, beside the limits of each period, a distance in which it can still stop before a
    position limit, so that no limit ever has to break another.

    Attributes:
        rate: (*batch, nj) velocity of the command over the last period.
        continuous: (nj,) which joints turn for ever; their driver may wrap the angle.
    """

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        super().__init__(limits, period, batch)
        self._lower = np.maximum(limits.array('lower'), -FAR)
        self._upper = np.minimum(limits.array('upper'), FAR)
        self._velocity = limits.array('velocity')
        self._same = _SAME * np.minimum(self._velocity, self.step)
        shape = self.command.shape
        self.rate = np.zeros(shape)
        self.continuous = np.zeros(shape[-1], bool)
        self._order = np.zeros(shape)
        self._free = True  # the last order was reached, in every joint
        self._prepared = False
        self._low: list[float] = []  # of the orders that can be taken; lists: see take
        self._high: list[float] = []

    def reset(self, position: Array, ids: Any = ...) -> None:
        """Start at rest from a measured position (some robots only, when given)."""
        self.command[ids] = position
        self.rate[ids] = 0.0
        self._order[ids] = position
        self._prepared = False

    def resume(self, position: Array) -> None:
        """Start at rest from a measured position: the robot was let go of, and may be anywhere."""
        self.reset(self._near(position))

    def prepare(self) -> None:
        """Work out which orders could be taken next as they are. Best done while waiting."""
        if self._prepared:
            return
        slowest, fastest = self._speeds()
        low = np.maximum(self.command + slowest * self.period, self._lower)
        high = np.minimum(self.command + fastest * self.period, self._upper)
        self._low, self._high = low.ravel().tolist(), high.ravel().tolist()
        self._prepared = True

    def take(self, order: Array) -> bool:
        """Take an order as it is, if the last one was and no limit is in the way."""
        self.prepare()
        if not self._free:
            return False
        # The robot waits for this: for a handful of numbers Python is faster than NumPy.
        for value, low, high in zip(order.ravel().tolist(), self._low, self._high):
            if not low <= value <= high:
                return False
        np.subtract(order, self.command, out=self.rate)
        self.rate /= self.period
        self.command[:] = order
        self._order[:] = order
        self._prepared = False
        return True

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Move ``command`` towards a finite order (*batch, nj); returns the limits that acted."""
        period, command = self.period, self.command
        target = _clipped(order, self._lower, self._upper)
        asked = (target - command) / period
        speed = _clipped(asked, -self._velocity, self._velocity)
        # Speed of the order itself, so that a steadily moving one is followed without lag, and
        # on top the speed at which the remaining gap can be closed without overshoot.
        lead = _clipped((target - self._order) / period, -self._velocity, self._velocity)
        gap = asked - lead
        closing = stopping_speed(np.abs(gap) * period, self.step, period)
        wanted = _clipped(lead + _clipped(gap, -closing, closing), *self._speeds())
        free = np.abs(wanted - asked) <= self._same
        # With no limit in the way the order is taken as it is, not as command + rate * period.
        self.move(np.where(free, asked, wanted))
        command[:] = np.where(free, target, command)
        self._order[:] = target
        self._free = bool(free.all())
        flags = POSITION if (target != order).any() else 0
        if not self._free:
            flags |= VELOCITY if (speed != asked).any() else 0
            flags |= ACCELERATION if (np.abs(wanted - speed) > self._same).any() else 0
        return flags

    def _speeds(self) -> tuple[Array, Array]:
        """Lowest and highest speed that the limits allow next."""
        step, period = self.step, self.period
        up = stopping_speed(np.maximum(self._upper - self.command, 0.0), step, period)
        down = stopping_speed(np.maximum(self.command - self._lower, 0.0), step, period)
        slowest = np.maximum(self.rate - step, -self._velocity)
        fastest = np.minimum(self.rate + step, self._velocity)
        # The room before a position limit has the last word.
        return np.minimum(np.maximum(slowest, -down), up), np.maximum(
            np.minimum(fastest, up), -down
        )

    def move(self, speed: Array) -> None:
        """Go on for a period at a speed (*batch, nj) that the limits allow."""
        before = self.command
        moved = before + speed * self.period
        # Rounding alone leads no command out of its limits.
        low, high = np.minimum(self._lower, before), np.maximum(self._upper, before)
        self.command[:] = _clipped(moved, low, high)
        self.rate[:] = speed
        self._order[:] = self.command
        self._free, self._prepared = True, False

    def hold(self, fraction: float = 0.0) -> None:
        """Come to rest within the acceleration limits and stay there."""
        self.move(braked(self.rate, self.step))

    def damp(self, position: Array, fraction: float) -> int:
        """Glide a fraction of the way to the position last measured, within the limits."""
        way = self._near(position) - self.command
        self.follow(self.command + fraction * way, position, position)
        return 0

    def _near(self, position: Array) -> Array:
        """The position as it is next to the command."""
        way = position - self.command
        return position - (way - shortest(way, self.continuous))  # as it is, where nothing turned


class VelocityLimiter(Limiter):
    """Limits velocity commands, those of joints and of a moving base. See :class:`Limiter`.

    Before a position limit it brakes in time, and never harder than the acceleration limit
    allows: a measurement that jumps makes no command jump. Elements without position limits,
    as those of a base, need no measured position.
    """

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        super().__init__(limits, period, batch)
        self._bounded = bool(np.isfinite([limits.lower, limits.upper]).any())
        self._lower = np.maximum(limits.array('lower'), -FAR)
        self._upper = np.minimum(limits.array('upper'), FAR)
        self._velocity = np.minimum(limits.array('velocity'), FAR)

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Send a velocity from which the robot can still stop before its position limits."""
        speed = _clipped(order, -self._velocity, self._velocity)
        slowest, fastest = self.command - self.step, self.command + self.step
        sent = smooth = _clipped(speed, slowest, fastest)
        flags = VELOCITY if (speed != order).any() else 0
        flags |= ACCELERATION if (smooth != speed).any() else 0
        if self._bounded:
            up = _clipped(self._upper - position, 0.0, 2.0 * FAR)
            down = _clipped(position - self._lower, 0.0, 2.0 * FAR)
            sent = _clipped(
                smooth,
                -stopping_speed(down, self.step, self.period),
                stopping_speed(up, self.step, self.period),
            )
            flags |= POSITION if (sent != smooth).any() else 0
            sent = _clipped(sent, slowest, fastest)
        self.command[:] = sent
        return flags

    def hold(self, fraction: float = 0.0) -> None:
        """Slow down to rest within the acceleration limits."""
        self.command[:] = braked(self.command, self.step)


class EffortLimiter(Limiter):
    """Limits effort commands. See :class:`Limiter`.

    Beyond a position or velocity limit an effort that pushes further is cut to zero, however
    fast that is. A hold keeps the last effort for its short time, since without measurements
    nothing can be balanced; damping then lets it decay.

    Attributes:
        rate_step: (nj,) largest change of an effort from one period to the next.
    """

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        super().__init__(limits, period, batch)
        self._effort = np.minimum(limits.array('effort'), FAR)
        self._lower, self._upper = limits.array('lower'), limits.array('upper')
        self._velocity = limits.array('velocity')
        self.rate_step = np.full(len(limits.lower), np.inf)

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Send an effort within the limits."""
        wanted = _clipped(order, -self._effort, self._effort)
        flags = EFFORT if (wanted != order).any() else 0
        sent = _clipped(wanted, self.command - self.rate_step, self.command + self.rate_step)
        flags |= RATE if (sent != wanted).any() else 0
        for flag, value, low, high in (
            (POSITION, position, self._lower, self._upper),
            (VELOCITY, velocity, -self._velocity, self._velocity),
        ):
            outward = ((value >= high) & (sent > 0)) | ((value <= low) & (sent < 0))
            if outward.any():
                sent = np.where(outward, 0.0, sent)
                flags |= flag
        self.command[:] = sent
        return flags

    def hold(self, fraction: float = 0.0) -> None:
        """Keep the last effort, or let it decay."""
        self.command *= 1.0 - fraction


LIMITERS: dict[str, Callable[..., Limiter]] = {
    'position': PositionLimiter,
    'velocity': VelocityLimiter,
    'effort': EffortLimiter,
    'twist': VelocityLimiter,
}
"""Command interface -> its limiter."""


def stopping_speed(distance: Array, step: Array, period: float) -> Array:
    """Largest speed from which a joint can stop within ``distance`` >= 0 (..., nj).

    Stopping in ``n`` steps of length ``h``, each slower by ``step = a h``, takes the distance
    ``n v h - a h^2 n (n - 1) / 2``; ``n`` is the least that is enough for it.

    Args:
        distance: to stop within [rad or m].
        step: (nj,) largest change of speed from one period to the next.
        period: time between two commands [s].
    """
    n = np.ceil(0.5 * np.sqrt(1.0 + 8.0 / (step * period) * distance) - 0.5)
    n = np.maximum(n, 1.0)
    speed: Array = distance / (n * period) + 0.5 * step * (n - 1.0)
    return speed


def braked(speed: Array, step: Array) -> Array:
    """A speed (..., nj) one period later, braking as hard as is allowed."""
    return _clipped(0.0, speed - step, speed + step)


def _clipped(value: Array | float, low: Array | float, high: Array | float) -> Array:
    """As ``np.clip``, in a third of the time for a handful of numbers."""
    clipped: Array = np.minimum(np.maximum(value, low), high)
    return clipped


def _largest_step(limits: Limits, period: float) -> Array:
    """Largest change of speed from one period to the next, (nj,).

    Where no acceleration is given, one that never binds: from full speed to full speed backward.
    """
    velocity, acceleration = limits.array('velocity'), limits.array('acceleration')
    # No command goes further in a period than from one end of all positions to the other.
    reversal = 2.0 * np.minimum(velocity, 2.0 * FAR / period)
    step = np.where(np.isfinite(acceleration), acceleration * period, reversal)
    return np.maximum(step, _LEAST)
