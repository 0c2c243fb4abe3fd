"""What stands between a command and a joint, and between a joint and what is measured.

Real drives answer late, softly and not beyond their limit; gears have play; sensors are noisy,
late, coarse and sometimes silent. Everything here is vectorized over (nsim, nj), changes nothing
where its parameter is neutral, and is skipped where it is neutral everywhere::

    command -> delay -> lag -> servo -> gain -> saturation -> joint
    joint -> play -> offset -> (servo) -> delay -> bias -> noise -> quantization -> dropout

A joint that is commanded by velocity or effort and has no command is held by a brake.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
NO_COMMAND = np.nan  # travels through delay and lag as a command does
NEUTRAL = {
    'gain': 1.0,
    'torque_constant': 1.0,
    'time_constant': 0.0,
    'delay': 0.0,
    'backlash': 0.0,
    'position_offset': 0.0,
}


def play(output: Array, position: Array, backlash: Array) -> Array:
    """Play (backlash) operator: the output follows once the gap is used up.

    Args:
        output: its output so far.
        position: its input now.
        backlash: width of the gap, in the unit of the position.

    Returns:
        The output now, within half a gap of the input.
    """
    half = 0.5 * backlash
    return np.minimum(np.maximum(output, position - half), position + half)


def stribeck(coulomb: Array, static: Array, speed: Array, velocity: Array) -> Array:
    """Friction level that falls from static to Coulomb friction as speed grows.

    ``Fc + (Fs - Fc) exp(-(v / vs)^2)`` (Stribeck curve in its Gaussian form; Armstrong-Helouvry,
    Dupont, Canudas de Wit 1994).

    Args:
        coulomb: Fc.
        static: Fs.
        speed: vs.
        velocity: v.
    """
    return coulomb + (static - coulomb) * np.exp(-np.square(velocity / speed))


class Friction:
    """Coulomb and static friction of all joints of all simulations.

    Attributes:
        coulomb: (nsim, nj) friction of a fast joint.
        static: (nsim, nj) friction of a joint at rest.
        speed: (nsim, nj) Stribeck velocity, where the one turns into the other.
        active: whether any joint's friction depends on its speed; see :meth:`update`.

    Args:
        coulomb: (nj,) nominal.
        speed: nominal Stribeck velocity.
        nsim: number of simulations.
    """

    def __init__(self, coulomb: Array, speed: float, nsim: int) -> None:
        self.coulomb = np.tile(coulomb, (nsim, 1))
        self.static = self.coulomb.copy()
        self.speed = np.full_like(self.coulomb, speed)
        self.active = False

    def update(self) -> None:
        """Take over changed values."""
        self.active = not np.array_equal(self.coulomb, self.static)

    def level(self, velocity: Array) -> Array:
        """Friction (nsim, nj) at these velocities."""
        return stribeck(self.coulomb, self.static, self.speed, velocity)


class DelayLine:
    """Delays a signal by any number of steps, fractions interpolated linearly.

    Args:
        shape: (nsim, width) of the signal.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._history: Array | None = None  # (depth, nsim, width), newest at _head
        self._head = 0
        self._whole = np.zeros(shape, dtype=np.intp)
        self._fraction = np.zeros(shape)
        self._row, self._column = np.ogrid[: shape[0], : shape[1]]

    @property
    def active(self) -> bool:
        """Whether anything is delayed."""
        return self._history is not None

    def set_steps(self, steps: Array, present: Array) -> None:
        """Set the delays.

        Args:
            steps: (nsim, width) delays in steps, at least 0.
            present: (nsim, width) value that the signal had before anything was recorded.
        """
        self._whole = np.floor(steps).astype(np.intp)
        self._fraction = steps - self._whole
        if not steps.any():
            self._history = None
            return
        depth = int(self._whole.max()) + 2
        if self._history is None:
            self._history, self._head = np.repeat(present[None], depth, axis=0), 0
        elif depth > len(self._history):
            newest_first = np.roll(self._history, -self._head, axis=0)
            oldest = np.repeat(newest_first[-1:], depth - len(newest_first), axis=0)
            self._history, self._head = np.concatenate([newest_first, oldest]), 0

    def fill(self, rows: Rows, present: Array) -> None:
        """Forget the past of some simulations: it was ``present`` (n, width) forever."""
        if self._history is not None:
            self._history[:, rows] = present

    def push(self, value: Array) -> Array:
        """Record the signal's next sample and return the delayed one, (nsim, width) each."""
        if self._history is None:
            return value
        depth = len(self._history)
        self._head = (self._head - 1) % depth
        self._history[self._head] = value
        return self.output()

    def output(self) -> Array:
        """The delayed signal at the newest sample."""
        assert self._history is not None, 'nothing is delayed'
        depth = len(self._history)
        index = (self._head + self._whole) % depth
        late = self._history[index, self._row, self._column]
        if not self._fraction.any():
            return late
        later = self._history[(index + 1) % depth, self._row, self._column]
        return late + self._fraction * (later - late)


class Actuators:
    """From command to effort, for all joints of all simulations.

    Attributes:
        parameters: (nsim, nj) arrays ``gain``, ``torque_constant``, ``time_constant``, ``delay``,
            ``backlash``, ``saturation`` and ``position_offset``; call :meth:`update` after
            writing.
        effort: (nsim, nj) what the drives report of the last step: the effort really applied,
            inferred with the nominal torque constant as drives do.

    Args:
        interface: ``position``, ``velocity`` or ``effort``: what a command means.
        stiffness: (nj,) gain of the drives' position loop.
        damping: (nj,) gain of their velocity loop.
        saturation: (nj,) largest effort; may be infinite.
        nsim: number of simulations.
        brake: ((nj,), (nj,)) stiffness and damping that hold a joint without a command, beside
            the effort that carries its load.
    """

    def __init__(
        self,
        interface: str,
        stiffness: Array,
        damping: Array,
        saturation: Array,
        nsim: int,
        brake: tuple[Array, Array],
    ) -> None:
        self._interface = interface
        self._brake = brake
        self._stiffness = stiffness
        self._damping = damping
        shape = (nsim, len(stiffness))
        self.parameters = {k: np.full(shape, v) for k, v in NEUTRAL.items()}
        self.parameters['saturation'] = np.tile(saturation, (nsim, 1))
        self._command = np.zeros(shape)
        self._lagged = np.zeros(shape)
        self._line = DelayLine(shape)
        self._play = np.zeros(shape)
        self._position = np.zeros(shape)
        self._measured = np.zeros(shape), np.zeros(shape)
        self._stand = np.zeros(shape)  # where brakes hold
        self.effort = np.zeros(shape)
        self._step_length = np.full((nsim, 1), np.nan)
        self._lags = self._amplifies = self._infers = self._plays = self._offsets = False
        self._smoothing = np.ones(shape)

    def update(self, step_length: Array) -> None:
        """Take over changed parameters.

        Args:
            step_length: (nsim, 1) length of a physics step [s].
        """
        p = self.parameters
        self._step_length = step_length
        present = self._line.output() if self._line.active else self._command
        self._line.set_steps(p['delay'] / step_length, self._command)
        lagged, self._lags = self._lags, bool(p['time_constant'].any())
        if self._lags:
            if not lagged:
                self._lagged = present.copy()
            # Exact over a step in which the command is held; 1 where there is no lag.
            with np.errstate(divide='ignore'):
                self._smoothing = -np.expm1(-step_length / p['time_constant'])
        self._infers = bool((p['torque_constant'] != 1.0).any())
        self._amplifies = self._infers or bool((p['gain'] != 1.0).any())
        plays, self._plays = self._plays, bool(p['backlash'].any())
        if not (plays and self._plays):
            self._play = self._position.copy()
        self._offsets = bool(p['position_offset'].any())
        seen = self._play + p['position_offset'] if self._offsets else self._play
        self._measured = seen, self._measured[1]

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
        command = self._stay(rows)
        self._command[rows] = command
        self._lagged[rows] = command
        self._line.fill(rows, command)
        self.effort[rows] = 0.0

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
            p = self.parameters
            stiffness = self._stiffness * p['gain'] * p['torque_constant']
            stiff = stiffness > 0
            ahead = np.divide(load(), stiffness, out=np.zeros_like(stiffness), where=stiff)
            self._command += ahead

    @property
    def commanded(self) -> Array:
        """The command in force (nsim, nj), zero where a brake holds."""
        return np.where(np.isnan(self._command), 0.0, self._command)

    def measure(self, position: Array, velocity: Array) -> tuple[Array, Array]:
        """Joint position and velocity as the drives see them, (nsim, nj) each.

        Args:
            position: (nsim, nj) true, after a step.
            velocity: (nsim, nj) true.
        """
        self._position = position
        if self._plays:
            before = self._play
            self._play = play(before, position, self.parameters['backlash'])
            velocity = np.where(
                self.parameters['backlash'] > 0,
                (self._play - before) / self._step_length,
                velocity,
            )
            position = self._play
        if self._offsets:
            position = position + self.parameters['position_offset']
        self._measured = position, velocity
        return position, velocity

    @property
    def measured(self) -> tuple[Array, Array]:
        """What :meth:`measure` gave last."""
        return self._measured

    def drive(self, load: Callable[[], Array]) -> Array:
        """Effort (nsim, nj) on the joints in the next step, from what was measured last.

        Args:
            load: gives the effort (nsim, nj) that carries the joints; asked where brakes hold.
        """
        p = self.parameters
        command = self._line.push(self._command)
        if self._lags:
            before = np.where(np.isnan(self._lagged), 0.0, self._lagged)
            followed = before + self._smoothing * (command - before)
            self._lagged = np.where(p['time_constant'] > 0, followed, command)
            command = self._lagged
        position, velocity = self._measured
        if self._interface == 'position':
            effort = self._stiffness * (command - position) - self._damping * velocity
        elif self._interface == 'velocity':
            effort = self._damping * (command - velocity)
        else:
            effort = command
        if self._amplifies:
            effort = effort * (p['gain'] * p['torque_constant'])
        if self._interface != 'position' and (braked := np.isnan(command)).any():
            stiffness, damping = self._brake
            held = stiffness * (self._stand - position) - damping * velocity + load()
            effort = np.where(braked, held, effort)
        applied = np.minimum(np.maximum(effort, -p['saturation']), p['saturation'])
        self.effort = applied / p['torque_constant'] if self._infers else applied
        return applied


class Streams:
    """Random numbers for each simulation of its own, whatever the others do.

    Simulation ``i`` with seed ``s`` gets the same numbers in a batch of any size, from the
    generator keyed by (s, i, tag).

    Args:
        shape: (nsim, width) of one drawing.
        tag: keeps streams of the same seed apart.
        kind: ``normal`` or ``uniform``.
    """

    BLOCK = 32

    def __init__(self, shape: tuple[int, int], tag: int, kind: str) -> None:
        self._tag = tag
        self._kind = kind
        self._generators: list[np.random.Generator | None] = [None] * shape[0]
        self._seeds = np.zeros(shape[0], dtype=np.uint64)
        self._block = np.zeros((shape[0], self.BLOCK, shape[1]))
        self._used = np.full(shape[0], self.BLOCK)

    def seed(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Begin the streams of some simulations anew."""
        self._seeds[rows] = seeds
        self._used[rows] = self.BLOCK
        for row in rows:
            self._generators[row] = None

    def draw(self, rows: Rows) -> Array:
        """The next numbers (n, width) of some simulations."""
        for row in rows[self._used[rows] == self.BLOCK]:
            generator = self._generators[row]
            if generator is None:
                key = np.random.SeedSequence([int(self._seeds[row]), int(row), self._tag])
                generator = self._generators[row] = np.random.default_rng(key)
            block = self._block[row]
            if self._kind == 'normal':
                generator.standard_normal(out=block)
            else:
                generator.random(out=block)
            self._used[row] = 0
        drawn: Array = self._block[rows, self._used[rows]]
        self._used[rows] += 1
        return drawn


class Sensors:
    """From true (or drive-side) values to what is read, for some channels of all simulations.

    Attributes:
        parameters: (nsim, width) arrays ``noise`` (standard deviation), ``bias``, ``delay`` [s],
            ``dropout`` (probability that a sample repeats the one before) and ``quantization``
            (smallest step, 0 for none); call :meth:`update` after writing.

    Args:
        shape: (nsim, width).
        tag: keeps the noise of several instances apart.
    """

    def __init__(self, shape: tuple[int, int], tag: int = 0) -> None:
        names = ('noise', 'bias', 'delay', 'dropout', 'quantization')
        self.parameters = {name: np.zeros(shape) for name in names}
        self._line = DelayLine(shape)
        self._present = np.zeros(shape)
        self._last = np.zeros(shape)
        self._noise = Streams(shape, 2 * tag, 'normal')
        self._dropout = Streams(shape, 2 * tag + 1, 'uniform')
        self._active = dict.fromkeys(names, False)

    @property
    def delays(self) -> bool:
        """Whether :meth:`record` must be called at every step."""
        return self._line.active

    def update(self, step_length: Array) -> None:
        """Take over changed parameters; ``step_length`` (nsim, 1) [s]."""
        self._line.set_steps(self.parameters['delay'] / step_length, self._present)
        self._active = {name: bool(values.any()) for name, values in self.parameters.items()}

    def reset(self, rows: Rows, present: Array, seeds: npt.NDArray[np.uint64]) -> None:
        """Forget the past of some simulations; ``present``: (n, width) their true values."""
        self._present[rows] = present
        self._last[rows] = present
        self._line.fill(rows, present)
        self._noise.seed(rows, seeds)
        self._dropout.seed(rows, seeds)

    def record(self, present: Array) -> None:
        """Note the true values (nsim, width) after a step."""
        self._present = present
        self._line.push(present)

    def sample(self, rows: Rows) -> Array:
        """Readings (n, width) of some simulations."""
        p, active = self.parameters, self._active
        value = (self._line.output() if self._line.active else self._present)[rows]
        if active['bias']:
            value = value + p['bias'][rows]
        if active['noise']:
            value = value + p['noise'][rows] * self._noise.draw(rows)
        if active['quantization']:
            size = p['quantization'][rows]
            coarse = size > 0
            steps = np.round(np.divide(value, size, out=np.zeros_like(value), where=coarse))
            value = np.where(coarse, steps * size, value)
        if active['dropout']:
            lost = self._dropout.draw(rows) < p['dropout'][rows]
            value = np.where(lost, self._last[rows], value)
        self._last[rows] = value
        return value
