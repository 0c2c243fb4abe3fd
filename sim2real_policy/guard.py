"""The last word before the robot: keeps what is sent within limits, and stops when it must.

Every tick ends in one of three ways:

    apply   the policy's order, or a person's, kept within the limits and the workspace
    hold    come to rest as fast as the limits allow, and stay
    damp    let go: the command glides to where the robot was last measured (effort: to zero)

Stages, in order: finite; position, velocity, acceleration and effort limits, rate (all in
``guard_limiters.py``); workspace (``workspace.py``); stale input: hold, then damp, then stop;
novelty (``novelty.py``); stop; override. A stop is latched: it lasts until :meth:`Guard.release`.
Nothing is changed when no limit is touched: the order is then sent bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_policy.guard_limiters import FAR, LIMITERS, EffortLimiter, PositionLimiter
from sim2real_policy.guard_limits import LIMITS, Limits
from sim2real_policy.guard_reasons import (
    DAMP,
    HOLD,
    INTERVENTIONS,
    NON_FINITE,
    NOVELTY,
    OVERRIDE,
    STOP,
    names_of,
)
from sim2real_policy.novelty import NoveltyGate
from sim2real_policy.workspace import CONFINED, Workspace

__all__ = ['INTERVENTIONS', 'LIMITERS', 'LIMITS', 'NOT_FINITE', 'Guard', 'Limits']

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]

NOT_FINITE = 'the policy gave an action that is not finite'
"""Reason of a stop: see ``Guard.stopped``."""


class Guard:
    """Decides what is really sent to one robot, tick by tick.

    Args:
        limits: of the command's elements: joints, or those of a twist.
        interface: ``position``, ``velocity``, ``effort`` or ``twist``.
        period: time between two commands [s].
        hold_time: with unusable input for longer, hold turns into damp [s].
        damp_time: time constant of damping [s].
        stop_time: with unusable input for longer, it stops until released [s].
        continuous: (nj,) which joints turn for ever; their driver may wrap the angle.
        effort_rate: (nj,) largest change of an effort in a second; no limit when empty.
        workspace: box that the tool may not leave.
        novelty: judges what the policy sees; see :meth:`see`.

    Attributes:
        flags: what the guard did in the last tick; bits named by :data:`INTERVENTIONS`.
        counts: how often, by name, since it was made.
        stopped: why it stopped until :meth:`release`; ``''`` when it did not.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        interface: str,
        period: float,
        hold_time: float,
        damp_time: float,
        stop_time: float = math.inf,
        continuous: Sequence[bool] = (),
        effort_rate: Sequence[float] = (),
        workspace: Workspace | None = None,
        novelty: NoveltyGate | None = None,
    ) -> None:
        limiter = LIMITERS[interface](limits, period)
        if isinstance(limiter, PositionLimiter) and len(continuous):
            limiter.continuous = np.array(continuous)
        if isinstance(limiter, EffortLimiter) and len(effort_rate):
            limiter.rate_step = np.array(effort_rate) * period
        self._limiter = limiter
        if workspace is not None:
            if interface not in CONFINED:
                mend = f'a workspace needs one of {", ".join(CONFINED)}'
                raise InputError(Fault('interface', interface, mend))
            self._limiter = CONFINED[interface](limiter, workspace)
        self._period = period
        self._hold_time, self._stop_time = hold_time, stop_time
        self._fraction = min(1.0, period / damp_time) if damp_time > 0 else 1.0
        self._novelty = novelty
        self._rested = 0.0  # for how long it rests already [s]
        self._manual = np.zeros(len(limits.lower))
        self._order = np.zeros(len(limits.lower))
        self._weight = 0.0
        self._manual_age = 0.0
        self.flags = 0
        self.counts = dict.fromkeys(INTERVENTIONS, 0)
        self.stopped = ''

    @property
    def command(self) -> Array:
        """(nj,) what was sent last, in the unit of the interface."""
        return self._limiter.command

    @property
    def reasons(self) -> tuple[str, ...]:
        """Names of what the guard did in the last tick; the same object for the same ones."""
        return names_of(self.flags)

    @property
    def latched(self) -> bool:
        """Whether it stopped until :meth:`release`."""
        return bool(self.stopped)

    @property
    def damping(self) -> bool:
        """Whether the robot was let go of in the last tick, and may move again."""
        return bool(self.flags & (DAMP | STOP)) and not self.stopped

    def reset(self, position: Array) -> None:
        """Start at rest from a measured position (nj,) [rad or m].

        Raises:
            InputError: it is not finite, or absurd.
        """
        _check_position(position)
        self._limiter.reset(position)
        self._started()

    def resume(self, position: Array) -> None:
        """Go on from a measured position, after damping or a stop. See :meth:`reset`."""
        _check_position(position)
        self._limiter.resume(position)
        self._started()

    def _started(self) -> None:
        self.flags, self._rested = 0, 0.0
        if self._novelty is not None:
            self._novelty.reset()

    def stop(self, reason: str) -> None:
        """Stop from the next tick on, at once and until :meth:`release`: an emergency stop.

        Args:
            reason: to be shown; the first one counts.
        """
        self._latch(reason or 'stopped')
        self._rested = math.inf

    def release(self) -> None:
        """Allow motion again after a stop."""
        self.stopped = ''
        self._rested = 0.0

    def override(self, command: Array, weight: float) -> None:
        """Blend a person's order into the policy's, from the next tick on.

        It must be repeated within the hold time: a person who falls silent makes the guard hold,
        and gives the robot back to the policy only with a weight of 0.

        Args:
            command: (nj,) in the unit of the interface, as an order of the policy's.
            weight: the person's share, from 0 (the policy alone) to 1 (the person alone).

        Raises:
            InputError: not so many finite numbers, or another weight; nothing is changed.
        """
        if np.shape(command) != self._manual.shape or not np.isfinite(command).all():
            mend = f'give {len(self._manual)} finite numbers'
            raise InputError(Fault('command', command, mend))
        if not 0.0 <= weight <= 1.0:
            raise InputError(Fault('weight', weight, 'must be from 0 to 1'))
        self._manual[:] = command
        self._weight, self._manual_age = float(weight), 0.0

    def see(self, observation: Array32) -> None:
        """Take note of what the policy sees (d,), before :meth:`apply`."""
        if self._novelty is not None:
            self._novelty.see(observation)

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
        novel = self._novelty is not None and self._novelty.closed
        if not (self.stopped or novel or self._weight) and self._limiter.take(order):
            self.flags, self._rested = 0, 0.0
            return self._limiter.command
        if not np.isfinite(order).all():
            if not self.stopped:
                self._latch(NOT_FINITE)
                return self._rest(NON_FINITE)
            return self._rest(0)
        if self.stopped or not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            return self._rest(0)
        if novel and self._weight < 1.0:
            return self._rest(NOVELTY)
        flags = 0
        if self._weight:
            self._manual_age += self._period
            if self._manual_age > self._hold_time + self._period:
                return self._rest(OVERRIDE)
            flags = OVERRIDE
            order = self._blended(order)
        self._rested = 0.0
        self._note(flags | self._limiter.follow(order, position, velocity))
        return self._limiter.command

    def _blended(self, order: Array) -> Array:
        """The person's share of an order, and the policy's."""
        np.subtract(self._manual, order, out=self._order)
        self._order *= self._weight
        self._order += order
        return self._order

    def hold(self) -> Array:
        """What is sent when there is nothing to do: rest."""
        return self._rest(0)

    def let_go(self) -> Array:
        """What is sent when the policy's work is over: rest, and efforts that decay."""
        self._rested = math.inf
        return self._rest(0)

    def stale(self, elapsed: float, position: Array) -> Array:
        """What is sent while the input is unusable.

        Args:
            elapsed: for how long already [s].
            position: (nj,) as last measured [rad or m].
        """
        if elapsed > self._stop_time:
            self._latch(f'no usable input for more than {self._stop_time:g} s')
            self._rested = math.inf
        if self.stopped or elapsed <= self._hold_time or not np.isfinite(position).all():
            return self._rest(0)
        self._note(DAMP | self._limiter.damp(position, self._fraction))
        return self._limiter.command

    def _latch(self, reason: str) -> None:
        self.stopped = self.stopped or reason

    def _rest(self, flags: int) -> Array:
        """Come to rest; an effort is kept for the hold time only."""
        self._rested += self._period
        late = self._rested > self._hold_time
        self._limiter.hold(self._fraction if late else 0.0)
        self._note(flags | (STOP if self.stopped and self._rested == math.inf else HOLD))
        return self._limiter.command

    def _note(self, flags: int) -> None:
        self.flags = flags
        if flags:
            for name in names_of(flags):
                self.counts[name] += 1


def _check_position(position: Array) -> None:
    """Whether a robot can be there; nothing could be sent that is near otherwise."""
    if not (np.abs(position) <= FAR).all():
        raise InputError(Fault('position', position, 'give a finite position to start from'))
