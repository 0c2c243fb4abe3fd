"""The last word before the robot: keeps what is sent within limits, and stops when it must.

Every tick ends in one of three ways:

    apply   the policy's order, kept within position, velocity, acceleration and effort limits
    hold    come to rest as fast as the limits allow, and stay
    damp    let go: the command glides to where the robot was last measured (effort: to zero)

A position command keeps, beside the limits of each tick, a distance in which it can still stop
before a position limit, so that no limit ever has to break another. Nothing is changed when no
limit is touched: the order is then sent bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_core.joint_states import shortest
from sim2real_policy.action import vector

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

POSITION, VELOCITY, ACCELERATION, EFFORT, NON_FINITE, HOLD, DAMP = (1 << i for i in range(7))
INTERVENTIONS = (
    'position_limit',
    'velocity_limit',
    'acceleration_limit',
    'effort_limit',
    'non_finite',
    'hold',
    'damp',
)
"""Name of each bit of ``Guard.flags``, lowest first."""

_SAME = 1e-9  # two speeds closer than this differ by rounding
_FAR = 1e9  # stands for no limit where infinity would need care in every formula


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of each joint, (nj,) each; infinite where there is none. SI units.

    Attributes:
        lower: smallest position.
        upper: largest position.
        velocity: largest speed.
        effort: largest effort.
        acceleration: largest acceleration of the command.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    velocity: tuple[float, ...]
    effort: tuple[float, ...]
    acceleration: tuple[float, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in LIMITS:
            values = vector(faults, name, getattr(self, name), finite=False)
            object.__setattr__(self, name, values)
            if len(values) != len(self.lower) and not faults.found:
                faults.add(name, values, f'must have {len(self.lower)} elements, as lower')
            for index, value in enumerate(values):
                if name not in ('lower', 'upper') and value <= 0:
                    faults.add(f'{name}[{index}]', value, 'must be positive')
        for index, (low, high) in enumerate(zip(self.lower, self.upper)):
            if not low < high:
                faults.add(f'lower[{index}]', low, f'must be less than upper ({high:g})')
        faults.check()

    @classmethod
    def of(cls, profile: RobotProfile, joints: Sequence[str] | None = None) -> Limits:
        """Those of a robot, for some joints in this order (all, in command order, when None)."""
        chosen = [profile.joint(name) for name in joints or profile.joint_names]
        return cls(**{n: tuple(getattr(joint, n) for joint in chosen) for n in LIMITS})

    def tightest(self, other: Limits) -> Limits:
        """The narrower of both, limit by limit.

        Raises:
            InputError: position ranges that do not overlap.
        """
        narrow = {name: min for name in LIMITS} | {'lower': max}
        return Limits(
            **{
                name: tuple(map(narrow[name], getattr(self, name), getattr(other, name)))
                for name in LIMITS
            }
        )

    def array(self, name: str) -> Array:
        """One limit as an array (nj,)."""
        return np.array(getattr(self, name))


LIMITS = tuple(field.name for field in fields(Limits))


class PositionLimiter:
    """Moves a position command towards orders within limits; any number of robots at once.

    Args:
        limits: of the joints.
        period: time between two commands [s].
        batch: leading shape, e.g. ``(4096,)`` in training.

    Attributes:
        command: (*batch, nj) the last command [rad or m].
        rate: (*batch, nj) its velocity over the last period.
    """

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        self._period = period
        self._lower = np.maximum(limits.array('lower'), -_FAR)
        self._upper = np.minimum(limits.array('upper'), _FAR)
        self._velocity = limits.array('velocity')
        self._step = _largest_step(limits, period)
        shape = (*batch, len(limits.lower))
        self.command = np.zeros(shape)
        self.rate = np.zeros(shape)
        self._order = np.zeros(shape)
        self._free = True  # the last order was reached, in every joint
        self._prepared = False
        self._low, self._high = np.zeros(shape), np.zeros(shape)

    def reset(self, position: Array, ids: Any = ...) -> None:
        """Start at rest from a measured position (some robots only, when given)."""
        self.command[ids] = position
        self.rate[ids] = 0.0
        self._order[ids] = position
        self._prepared = False

    def prepare(self) -> None:
        """Work out which orders could be taken next as they are. Best done while waiting."""
        if self._prepared:
            return
        slowest, fastest = self._speeds()
        self._low = np.maximum(self.command + slowest * self._period, self._lower)
        self._high = np.minimum(self.command + fastest * self._period, self._upper)
        self._prepared = True

    def take(self, order: Array) -> bool:
        """Take an order as it is, if the last one was and no limit is in the way."""
        self.prepare()
        if not (self._free and bool(((order >= self._low) & (order <= self._high)).all())):
            return False
        np.subtract(order, self.command, out=self.rate)
        self.rate /= self._period
        self.command[:] = order
        self._order[:] = order
        self._prepared = False
        return True

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Move ``command`` towards a finite order (*batch, nj); returns the limits that acted."""
        period, command = self._period, self.command
        target = _clipped(order, self._lower, self._upper)
        asked = (target - command) / period
        speed = _clipped(asked, -self._velocity, self._velocity)
        # Speed of the order itself, so that a steadily moving one is followed without lag, and
        # on top the speed at which the remaining gap can be closed without overshoot.
        lead = _clipped((target - self._order) / period, -self._velocity, self._velocity)
        gap = asked - lead
        closing = self.stopping_speed(np.abs(gap) * period)
        wanted = _clipped(lead + _clipped(gap, -closing, closing), *self._speeds())
        free = np.abs(wanted - asked) <= _SAME
        self._free = bool(free.all())
        self.rate[:] = np.where(free, asked, wanted)
        # With no limit in the way the order is taken as it is, not as command + rate * period.
        command[:] = np.where(free, target, command + wanted * period)
        self._order[:] = target
        self._prepared = False
        flags = POSITION if (target != order).any() else 0
        if not self._free:
            flags |= VELOCITY if (speed != asked).any() else 0
            flags |= ACCELERATION if (np.abs(wanted - speed) > _SAME).any() else 0
        return flags

    def _speeds(self) -> tuple[Array, Array]:
        """Lowest and highest speed that the limits allow next."""
        up = self.stopping_speed(np.maximum(self._upper - self.command, 0.0))
        down = self.stopping_speed(np.maximum(self.command - self._lower, 0.0))
        slowest = np.maximum(self.rate - self._step, -self._velocity)
        fastest = np.minimum(self.rate + self._step, self._velocity)
        # The room before a position limit has the last word.
        return np.minimum(np.maximum(slowest, -down), up), np.maximum(
            np.minimum(fastest, up), -down
        )

    def hold(self) -> None:
        """Come to rest within the acceleration limits and stay there."""
        self.rate[:] = _clipped(0.0, self.rate - self._step, self.rate + self._step)
        self.command += self.rate * self._period
        self._order[:] = self.command
        self._free, self._prepared = True, False

    def damp(self, position: Array, fraction: float) -> None:
        """Glide a fraction of the way to the position last measured, within the limits."""
        self.follow(self.command + fraction * (position - self.command), position, position)

    def stopping_speed(self, distance: Array) -> Array:
        """Largest speed from which a joint can stop within ``distance`` >= 0 (*batch, nj).

        Stopping in ``n`` steps of length ``h``, each slower by ``a h``, takes the distance
        ``n v h - a h^2 n (n - 1) / 2``; ``n`` is the least that is enough for it.
        """
        step, period = self._step, self._period
        n = np.ceil(0.5 * np.sqrt(1.0 + 8.0 / (step * period) * distance) - 0.5)
        n = np.maximum(n, 1.0)
        speed: Array = distance / (n * period) + 0.5 * step * (n - 1.0)
        return speed


class VelocityLimiter:
    """Limits velocity commands. See :class:`PositionLimiter` for arguments and attributes."""

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        self._stopping_speed = PositionLimiter(limits, period).stopping_speed
        self._lower = np.maximum(limits.array('lower'), -_FAR)
        self._upper = np.minimum(limits.array('upper'), _FAR)
        self._velocity = limits.array('velocity')
        self._step = _largest_step(limits, period)
        self.command = np.zeros((*batch, len(limits.lower)))

    def prepare(self) -> None:
        """Nothing to work out ahead."""

    def take(self, order: Array) -> bool:
        """Every order goes through :meth:`follow`."""
        return False

    def reset(self, position: Array, ids: Any = ...) -> None:
        """Start at rest."""
        self.command[ids] = 0.0

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Send a velocity from which the robot can still stop before its position limits."""
        speed = _clipped(order, -self._velocity, self._velocity)
        smooth = _clipped(speed, self.command - self._step, self.command + self._step)
        up = self._stopping_speed(np.maximum(self._upper - position, 0.0))
        down = self._stopping_speed(np.maximum(position - self._lower, 0.0))
        sent = _clipped(smooth, -down, up)
        self.command[:] = sent
        return (
            (POSITION if (sent != smooth).any() else 0)
            | (VELOCITY if (speed != order).any() else 0)
            | (ACCELERATION if (smooth != speed).any() else 0)
        )

    def hold(self) -> None:
        """Slow down to rest within the acceleration limits."""
        self.command[:] = _clipped(0.0, self.command - self._step, self.command + self._step)

    def damp(self, position: Array, fraction: float) -> None:
        """As :meth:`hold`: a velocity interface has nothing else to let go of."""
        self.hold()


class EffortLimiter:
    """Limits effort commands. See :class:`PositionLimiter` for arguments and attributes.

    Beyond a position or velocity limit an effort that pushes further is cut to zero. A hold
    keeps the last effort for its short time, since without measurements nothing can be
    balanced; damping then lets it decay.
    """

    def __init__(self, limits: Limits, period: float, batch: tuple[int, ...] = ()) -> None:
        self._limits = {name: limits.array(name) for name in LIMITS}
        self.command = np.zeros((*batch, len(limits.lower)))

    def prepare(self) -> None:
        """Nothing to work out ahead."""

    def take(self, order: Array) -> bool:
        """Every order goes through :meth:`follow`."""
        return False

    def reset(self, position: Array, ids: Any = ...) -> None:
        """Start without effort."""
        self.command[ids] = 0.0

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Send an effort within the limits."""
        bound = self._limits
        sent = _clipped(order, -bound['effort'], bound['effort'])
        flags = EFFORT if (sent != order).any() else 0
        for flag, value, low, high in (
            (POSITION, position, bound['lower'], bound['upper']),
            (VELOCITY, velocity, -bound['velocity'], bound['velocity']),
        ):
            outward = ((value >= high) & (sent > 0)) | ((value <= low) & (sent < 0))
            if outward.any():
                sent = np.where(outward, 0.0, sent)
                flags |= flag
        self.command[:] = sent
        return flags

    def hold(self) -> None:
        """Keep the last effort."""

    def damp(self, position: Array, fraction: float) -> None:
        """Let the effort decay."""
        self.command *= 1.0 - fraction


LIMITERS: dict[str, Callable[..., PositionLimiter | VelocityLimiter | EffortLimiter]] = {
    'position': PositionLimiter,
    'velocity': VelocityLimiter,
    'effort': EffortLimiter,
}
"""Command interface -> its limiter."""


class Guard:
    """Decides what is really sent to one robot, tick by tick.

    Args:
        limits: of the joints.
        interface: ``position``, ``velocity`` or ``effort``.
        period: time between two commands [s].
        hold_time: with unusable input for longer, hold turns into damp [s].
        damp_time: time constant of damping [s].
        continuous: (nj,) which joints turn for ever; their driver may wrap the angle.

    Attributes:
        flags: what the guard did in the last tick; bits named by :data:`INTERVENTIONS`.
        counts: how often, by name, since it was made.
        latched: a non-finite order came; the guard holds until :meth:`release`.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        interface: str,
        period: float,
        hold_time: float,
        damp_time: float,
        continuous: Sequence[bool] = (),
    ) -> None:
        self._limiter = LIMITERS[interface](limits, period)
        self._hold_time = hold_time
        self._fraction = min(1.0, period / damp_time) if damp_time > 0 else 1.0
        self._continuous = np.array(continuous or [False] * len(limits.lower))
        self.flags = 0
        self.counts = dict.fromkeys(INTERVENTIONS, 0)
        self.latched = False

    @property
    def command(self) -> Array:
        """(nj,) what was sent last, in the unit of the interface."""
        return self._limiter.command

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what the guard did in the last tick."""
        return tuple(n for bit, n in enumerate(INTERVENTIONS) if self.flags >> bit & 1)

    def reset(self, position: Array) -> None:
        """Start at rest from a measured position (nj,) [rad or m]."""
        self._limiter.reset(position)
        self.flags = 0

    @property
    def damping(self) -> bool:
        """Whether the last tick let go of the robot."""
        return bool(self.flags & DAMP)

    def resume(self, position: Array) -> None:
        """Start at rest from a measured position, after damping."""
        self.reset(self._near(position))

    def release(self) -> None:
        """Allow motion again after a non-finite order."""
        self.latched = False

    def prepare(self) -> None:
        """Do ahead, while waiting for the next sample, what :meth:`apply` would do first."""
        self._limiter.prepare()

    def apply(self, order: Array, position: Array, velocity: Array) -> Array:
        """What is sent for an order.

        Args:
            order: (nj,) in the unit of the interface.
            position: (nj,) as measured [rad or m].
            velocity: (nj,) as measured.

        Returns:
            ``command`` (nj,); overwritten by the next call.
        """
        if not self.latched and self._limiter.take(order):
            self.flags = 0
            return self._limiter.command
        # A sum is finite exactly when all its (reasonable) terms are, and costs one call.
        if not math.isfinite(order.sum()):
            self.latched = True
            return self._stop(NON_FINITE | HOLD)
        if self.latched or not math.isfinite(position.sum() + velocity.sum()):
            return self._stop(HOLD)
        flags = self._limiter.follow(order, position, velocity)
        self._note(flags)
        return self._limiter.command

    def hold(self) -> Array:
        """What is sent when there is nothing to do: rest."""
        return self._stop(HOLD)

    def stale(self, elapsed: float, position: Array) -> Array:
        """What is sent while the input is unusable.

        Args:
            elapsed: for how long already [s].
            position: (nj,) as last measured [rad or m].
        """
        if elapsed <= self._hold_time or not math.isfinite(position.sum()):
            return self._stop(HOLD)
        self._limiter.damp(self._near(position), self._fraction)
        self._note(DAMP)
        return self._limiter.command

    def _near(self, position: Array) -> Array:
        """The position as it is next to the command; means nothing where that is no position."""
        command = self._limiter.command
        return command + shortest(position - command, self._continuous)

    def _stop(self, flags: int) -> Array:
        self._limiter.hold()
        self._note(flags)
        return self._limiter.command

    def _note(self, flags: int) -> None:
        self.flags = flags
        if flags:
            for name in self.names:
                self.counts[name] += 1


def _clipped(value: Array | float, low: Array, high: Array) -> Array:
    """As ``np.clip``, in a third of the time for a handful of numbers."""
    clipped: Array = np.minimum(np.maximum(value, low), high)
    return clipped


def _largest_step(limits: Limits, period: float) -> Array:
    """Largest change of speed from one period to the next, (nj,).

    Where no acceleration is given, one that never binds: from full speed to full speed backward.
    """
    velocity, acceleration = limits.array('velocity'), limits.array('acceleration')
    reversal = 2.0 * np.where(np.isfinite(velocity), velocity, _FAR)
    return np.where(np.isfinite(acceleration), acceleration * period, reversal)
