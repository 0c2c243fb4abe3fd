"""From command to effort."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import ACTUATOR
from sim2real_sim.realism.signals import DelayLine, FirstOrderLag, SecondOrderLag, play

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
NO_COMMAND = np.nan  # travels through delay and lag as a command does
NEUTRAL = {**ACTUATOR, 'position_offset': 0.0}


def dead_zone(value: Array, width: Array) -> Array:
    """What is left of a value beyond +- ``width``; all of it where the width is 0."""
    within = np.maximum(value, -width)
    return np.subtract(value, np.minimum(within, width, out=within), out=within)


def sine(turns: Array) -> Array:
    """``sin(2 pi turns)`` to six digits, much faster: without whole turns, in single precision."""
    part = turns - np.rint(turns)
    return np.sin((2.0 * math.pi * part).astype(np.float32)).astype(float)


class Actuators:
    """From command to effort, for all joints of all simulations.

    A drive follows its command late (``delay``), through a lag of first (``time_constant``) and
    one of second order (``natural_frequency``, ``damping_ratio``). It takes no notice of a
    velocity or effort command within +- ``dead_zone``, a position loop of an error within it.
    What it then asks for is multiplied with ``gain``, ``torque_constant``, ``1 - wear * work``
    (``work``: the mechanical work it has done or braked since the reset; wear in proportion to
    load times distance is Archard's law, J. Appl. Phys. 24, 1953) and ``1 + ripple sin(2 pi n
    turns)`` with n = ``ripple_periods``. It is limited to ``saturation``, and in the direction of
    motion by the torque-speed line of a DC motor, ``saturation (1 - speed / no_load_speed)``.

    Between motor and link there is play (``backlash``) and a shaft of some ``compliance`` c. The
    motor has no inertia (the link's armature stands for it), so with a servo of stiffness K and
    damping D the motor's angle m follows ``D m' = K (u - m) - (m - q) / c``, integrated exactly
    over a step in which the link's q moves evenly; the link feels ``(m - q) / c``, and the effort
    tends to that of the rigid drive as c goes to 0. The encoder is on the motor's side and reads
    ``position_offset`` too much.

    Attributes:
        parameters: (nsim, nj) arrays of what is named above, in SI units of the joint; 0 for
            none, but 1 where something is multiplied with it. Call :meth:`update` after writing.
        effort: (nsim, nj) what the drives report of the last step: the effort really applied,
            inferred with the nominal torque constant as drives do.

    Args:
        interface: ``position``, ``velocity`` or ``effort``: what a command means.
        stiffness: (nj,) gain of the drives' position loop.
        damping: (nj,) gain of their velocity loop.
        saturation: (nj,) largest effort; may be infinite, and then at any speed.
        nsim: number of simulations.
        brake: ((nj,), (nj,)) stiffness and damping that hold a joint without a command, beside
            the effort that carries its load.
        turn: (nj,) a turn, of which ripple has ``ripple_periods`` [rad or m].
    """

    def __init__(
        self,
        interface: str,
        stiffness: Array,
        damping: Array,
        saturation: Array,
        nsim: int,
        brake: tuple[Array, Array],
        turn: npt.ArrayLike = 2.0 * math.pi,
    ) -> None:
        self._interface = interface
        self._brake = brake
        self._stiffness = stiffness
        self._damping = damping
        self._turn = np.asarray(turn, dtype=float)
        shape = (nsim, len(stiffness))
        self.parameters = {k: np.full(shape, v) for k, v in NEUTRAL.items()}
        self.parameters['saturation'] = np.tile(saturation, (nsim, 1))
        self._command = np.zeros(shape)
        self._line = DelayLine(shape)
        self._lag = FirstOrderLag(shape, interface != 'position')
        self._oscillator = SecondOrderLag(shape, interface != 'position')
        self._play = np.zeros(shape)
        self._position = np.zeros(shape)
        self._measured = np.zeros(shape), np.zeros(shape)
        self._stand = np.zeros(shape)  # where brakes hold
        self._work = np.zeros(shape)
        self._applied = np.zeros(shape)
        self._twist = np.zeros(shape)  # effort in the shafts
        # What bounds that effort and what it tends to while the link rests; see _twisted.
        self._bounds = (np.zeros(shape),) * 2
        self._rest = self._settling = self._stretching = np.zeros(shape)
        self._loop_damping = np.zeros(shape)
        self._braking = False
        self.effort = np.zeros(shape)
        self._step_length = np.full((nsim, 1), np.nan)
        self._active = dict.fromkeys(self.parameters, False)
        self._fades = self._amplifies = False
        self._everywhere = dict(self._active)
        self._amplification = np.ones(shape)
        self._periods = self._slower = np.zeros(shape)

    def update(self, step_length: Array) -> None:
        """Take over changed parameters.

        Args:
            step_length: (nsim, 1) length of a physics step [s].
        """
        p, before = self.parameters, self._active
        differs = {name: p[name] != neutral for name, neutral in NEUTRAL.items()}
        active = self._active = {name: bool(where.any()) for name, where in differs.items()}
        self._everywhere = {name: bool(where.all()) for name, where in differs.items()}
        self._step_length = step_length
        present = self._line.output() if self._line.active else self._command
        self._line.set_steps(p['delay'] / step_length, self._command)
        self._lag.update(p['time_constant'], step_length, present)
        if self._lag.active:
            present = self._lag.value
        self._oscillator.update(p['natural_frequency'], p['damping_ratio'], step_length, present)
        self._amplification = p['gain'] * p['torque_constant']
        self._fades = active['ripple'] or active['wear']
        self._amplifies = self._fades or active['gain'] or active['torque_constant']
        self._periods = p['ripple_periods'] / self._turn
        limited = (p['no_load_speed'] > 0) & np.isfinite(p['saturation'])
        self._slower = np.zeros_like(self._command)
        np.divide(p['saturation'], p['no_load_speed'], out=self._slower, where=limited)
        if not (before['backlash'] and active['backlash']):
            self._play = self._position.copy()
        if active['compliance']:
            if not before['compliance']:
                self._twist = self._applied.copy()
            self._soften(None)
        self._measured = self._encoder(), self._measured[1]

    def _soften(self, braked: npt.NDArray[np.bool_] | None) -> None:
        """Take over the gains of the loops behind the shafts; see :meth:`_twisted`.

        Args:
            braked: (nsim, nj) where it is the brake; nowhere when None.
        """
        compliance, h = self.parameters['compliance'], self._step_length
        stiffness = self._amplification * (self._stiffness * (self._interface == 'position'))
        damping = self._amplification * (self._damping * (self._interface != 'effort'))
        if braked is not None:
            stiffness = np.where(braked, self._brake[0], stiffness)
            damping = np.where(braked, self._brake[1], damping)
        share = 1.0 / (1.0 + compliance * stiffness)
        with np.errstate(divide='ignore'):
            self._settling = share * -np.expm1(-h / (compliance * share * damping))
        self._stretching = self._settling * share * damping / h + share * stiffness
        self._loop_damping = damping
        self._braking = braked is not None

    def _encoder(self) -> Array:
        """What the encoders read (nsim, nj)."""
        motor = self._play
        if self._active['compliance']:
            motor = motor + self.parameters['compliance'] * self._twist
        if self._active['position_offset']:
            motor = motor + self.parameters['position_offset']
        return motor

    def reset(self, rows: Rows, position: Array, velocity: Array) -> None:
        """Forget the past of some simulations.

        The position loop is commanded to stay here; brakes hold.

        Args:
            rows: which simulations.
            position: (n, nj) of their joints.
            velocity: (n, nj).
        """
        self._position[rows] = self._play[rows] = position
        self._measured[0][rows] = position + self.parameters['position_offset'][rows]
        self._measured[1][rows] = velocity
        self.settle(rows, self._stay(rows))
        for state in (self.effort, self._applied, self._twist, self._work):
            state[rows] = 0.0

    def settle(self, rows: Rows, values: Array) -> None:
        """Set the command (n, nj) of some simulations, as if it had been this one forever."""
        self._command[rows] = values
        self._lag.reset(rows, values)
        self._oscillator.reset(rows, values)
        self._line.fill(rows, values)

    def command(self, rows: Rows | slice, values: Array) -> None:
        """Set the command (n, nj) of some simulations."""
        self._command[rows] = values

    def _stay(self, rows: Rows | slice) -> Array:
        """The command (n, nj) to stay where the joints are measured."""
        here = self._measured[0][rows]
        if self._interface == 'position':
            return here
        self._stand[rows] = here
        return np.full_like(here, NO_COMMAND)

    def hold(self, load: Callable[[], Array]) -> None:
        """Hold the joints where they are measured, until the next command.

        Args:
            load: gives the effort (nsim, nj) that carries the joints at rest. The position loop
                is commanded as far ahead as it needs for that.
        """
        self._command[:] = self._stay(slice(None))
        if self._interface == 'position':
            stiffness = self._stiffness * self.parameters['gain']
            stiffness *= self.parameters['torque_constant']
            if self._fades:
                stiffness *= self._fading(self._measured[0])
            stiff, carried = stiffness > 0, load()
            ahead = np.divide(carried, stiffness, out=np.zeros_like(stiffness), where=stiff)
            if self._active['dead_zone']:
                ahead += np.copysign(self.parameters['dead_zone'], carried)
            self._command += ahead

    @property
    def commanded(self) -> Array:
        """The command in force (nsim, nj), zero where a brake holds."""
        return np.where(np.isnan(self._command), 0.0, self._command)

    def measure(self, position: Array, velocity: Array) -> tuple[Array, Array]:
        """Joint position and velocity as the drives see them, (nsim, nj) each.

        Args:
            position: (nsim, nj) true, after a step; kept, like the velocity.
            velocity: (nsim, nj) true.
        """
        p, active = self.parameters, self._active
        self._position, before = position, self._play
        if active['backlash']:
            self._play = play(before, position, p['backlash'])
            moved = (self._play - before) / self._step_length
            if not self._everywhere['backlash']:
                np.copyto(moved, velocity, where=p['backlash'] == 0)
            velocity = moved
        else:
            self._play = position
        if active['compliance']:
            velocity = self._twisted(self._play - before, velocity)
        self._measured = self._encoder(), velocity
        return self._measured

    def _twisted(self, moved: Array, velocity: Array) -> Array:
        """Turn the motors for a step; see the class.

        With s = 1 / (1 + c K) and the effort f = (m - q) / c in the shaft, where q moves by
        ``moved`` in a step h: ``f += s ((f_rest - f - s D moved / h) (1 - e) - K moved)``,
        ``e = exp(-h / (c s D))``. Fading changes f_rest alone within a step.

        Args:
            moved: (nsim, nj) of the link, in the step.
            velocity: (nsim, nj) of a motor whose shaft is rigid.

        Returns:
            The motors' mean velocity (nsim, nj) in the step.
        """
        change = np.subtract(self._rest, self._twist)
        change *= self._settling
        change -= self._stretching * moved
        change += self._twist
        lower, upper = self._bounds
        np.maximum(change, lower, out=change)
        np.minimum(change, upper, out=change)
        before, self._twist = self._twist, change
        motor = change - before
        motor *= self.parameters['compliance']
        motor += moved
        motor /= self._step_length
        if self._everywhere['compliance']:
            return motor
        rigid = self.parameters['compliance'] == 0
        np.copyto(self._twist, self._applied, where=rigid)
        np.copyto(motor, velocity, where=rigid)
        return motor

    @property
    def measured(self) -> tuple[Array, Array]:
        """What :meth:`measure` gave last."""
        return self._measured

    def follow(self) -> Array:
        """The command (nsim, nj) that the drives follow in the next step: late, lagging."""
        command = self._line.push(self._command)
        if self._lag.active:
            command = self._lag.push(command)
        return self._oscillator.push(command) if self._oscillator.active else command

    def drive(self, load: Callable[[], Array]) -> Array:
        """Effort (nsim, nj) on the joints in the next step, from what was measured last.

        Args:
            load: gives the effort (nsim, nj) that carries the joints; asked where brakes hold.
        """
        p, active = self.parameters, self._active
        command = self.follow()
        position, velocity = self._measured
        wanted = command - position if self._interface == 'position' else command
        if active['dead_zone']:
            wanted = dead_zone(wanted, p['dead_zone'])
        if self._interface == 'position':
            effort = self._stiffness * wanted
            effort -= self._damping * velocity
        elif self._interface == 'velocity':
            effort = self._damping * (wanted - velocity)
        else:
            effort = wanted
        if self._amplifies:
            effort = effort * self._amplification
            if self._fades:
                effort *= self._fading(position)
        braked = None
        if self._interface != 'position' and (none := np.isnan(command)).any():
            braked = none
            stiffness, damping = self._brake
            held = stiffness * (self._stand - position) - damping * velocity + load()
            effort = np.where(braked, held, effort)
        lower, upper = self._bounds = self._limits(velocity)
        applied = np.maximum(effort, lower)
        np.minimum(applied, upper, out=applied)
        if active['compliance']:
            if self._braking or braked is not None:
                self._soften(braked)
            self._rest = effort + self._loop_damping * velocity
            if self._everywhere['compliance']:
                applied = self._twist
            else:
                applied = np.where(p['compliance'] > 0, self._twist, applied)
        self._applied = applied
        if active['wear']:
            work = applied * velocity
            work *= self._step_length
            self._work += np.abs(work, out=work)
        self.effort = applied / p['torque_constant'] if active['torque_constant'] else applied
        return applied

    def _fading(self, position: Array) -> Array:
        """Share of the effort (nsim, nj) that ripple and wear leave at this position."""
        p = self.parameters
        share = p['ripple'] * sine(self._periods * position)
        share += 1.0
        if self._active['wear']:
            left = p['wear'] * self._work
            np.subtract(1.0, left, out=left)
            share *= np.maximum(left, 0.0, out=left)
        return share

    def _limits(self, velocity: Array) -> tuple[Array, Array]:
        """Smallest and largest effort (nsim, nj) at this velocity."""
        upper = self.parameters['saturation']
        if not self._active['no_load_speed']:
            return -upper, upper
        less = self._slower * velocity
        forward = np.maximum(less, 0.0)
        less -= forward
        lower = np.negative(upper)
        lower -= less
        upper = np.subtract(upper, forward, out=forward)
        return np.minimum(lower, 0.0, out=lower), np.maximum(upper, 0.0, out=upper)

    def faultless(self) -> Array:
        """The command (nsim, nj) that makes a drive without flaws move as this one does.

        For who stands between a policy and a drive and can change nothing but commands; the
        drive takes them for one step. Delay, lags and dead zone act on any command, play and
        offset of the encoder on that of a position loop. A drive commanded by effort has no loop:
        all else that makes an effort from a command acts, too.
        """
        if self._interface == 'effort':
            return self.drive(lambda: np.zeros_like(self._command))
        p, command = self.parameters, self.follow()
        wide = p['dead_zone']
        if self._interface == 'velocity':
            return dead_zone(command, wide)
        seen, offset = self._measured[0], self._position - self._measured[0]
        if self._active['dead_zone']:
            command = np.where(wide > 0, seen + dead_zone(command - seen, wide), command)
        return np.where(offset != 0, command + offset, command)
