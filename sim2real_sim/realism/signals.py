"""What signals go through: delay, lag, play; and random numbers that are each simulation's own."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def everyone(rows: Rows, nsim: int) -> Rows | slice:
    """Ascending rows as an index that copies nothing where they are all of ``nsim``."""
    return slice(None) if len(rows) == nsim else rows


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
    low = position - half
    half += position
    np.maximum(output, low, out=low)
    return np.minimum(low, half, out=low)


class DelayLine:
    """Delays a signal by any number of steps, fractions interpolated linearly.

    Args:
        shape: (nsim, width) of the signal.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._size = shape[0] * shape[1]
        self._history: Array | None = None  # (depth, nsim, width), newest at _head
        self._head = 0
        self._place = np.arange(self._size, dtype=np.intp).reshape(shape)
        self._offset = self._place
        self._fraction: Array | None = None
        self._buffer: tuple[Rows, Array, Array] | None = None
        self._exact: npt.NDArray[np.bool_] | None = None  # where no neighbour counts, be it nan

    @property
    def active(self) -> bool:
        """Whether anything is delayed."""
        return self._history is not None

    def set_steps(self, steps: Array, present: Array, longest: float | None = None) -> None:
        """Set the delays.

        Args:
            steps: (nsim, width) delays in steps, at least 0.
            present: (nsim, width) value that the signal had before anything was recorded.
            longest: the longest delay that :meth:`at` will be asked for, where that is longer.
        """
        longest = float(steps.max(initial=0.0)) if longest is None else longest
        if longest <= 0:
            self._history = None
            return
        self._offset, self._fraction = self._split(steps, self._place)
        exact = steps == np.floor(steps)
        self._exact = exact if exact.any() else None
        depth = int(longest) + 2
        if self._history is None:
            self._history, self._head = np.repeat(present[None], depth, axis=0), 0
        elif depth > len(self._history):
            newest_first = np.roll(self._history, -self._head, axis=0)
            oldest = np.repeat(newest_first[-1:], depth - len(newest_first), axis=0)
            self._history, self._head = np.concatenate([newest_first, oldest]), 0

    def _split(self, steps: Array, place: Rows) -> tuple[Rows, Array | None]:
        """Flat index from the newest sample to the later of two neighbours, and their ratio."""
        whole = np.floor(steps)
        fraction = steps - whole
        return whole.astype(np.intp) * self._size + place, fraction if fraction.any() else None

    def fill(self, rows: Rows, present: Array) -> None:
        """Forget the past of some simulations: it was ``present`` (n, width) forever."""
        if self._history is not None:
            self._history[:, rows] = present

    def push(self, value: Array) -> Array:
        """Record the signal's next sample and return the delayed one, see :meth:`output`."""
        if self._history is None:
            return value
        self.next()[:] = value
        return self.output()

    def next(self) -> Array:
        """The place (nsim, width) of the signal's next sample, to be written."""
        assert self._history is not None, 'nothing is delayed'
        self._head = (self._head - 1) % len(self._history)
        return self._history[self._head]

    def output(self) -> Array:
        """The delayed signal at the newest sample; the next call overwrites it."""
        return self._take(self._offset, self._fraction, self._exact)

    def at(self, rows: Rows, steps: Array) -> Array:
        """The signal (n, width) of some simulations, so many steps (n, width) ago; likewise."""
        return self._take(*self._split(steps, self._place[everyone(rows, self._shape[0])]))

    def _take(
        self,
        offset: Rows,
        fraction: Array | None,
        exact: npt.NDArray[np.bool_] | None = None,
    ) -> Array:
        assert self._history is not None, 'nothing is delayed'
        flat, index, late, later = self._history.reshape(-1), *self._buffers(offset.shape)
        np.add(offset, self._head * self._size, out=index)
        flat.take(index, mode='wrap', out=late)
        if fraction is not None:
            index += self._size
            flat.take(index, mode='wrap', out=later)
            later -= late
            later *= fraction
            if exact is not None:
                later[exact] = 0.0
            late += later
        return late

    def _buffers(self, shape: tuple[int, ...]) -> tuple[Rows, Array, Array]:
        """Memory for what is taken; the same again where as much is taken again."""
        if self._buffer is None or self._buffer[0].shape != shape:
            self._buffer = np.empty(shape, dtype=np.intp), np.empty(shape), np.empty(shape)
        return self._buffer


class FirstOrderLag:
    """``T x' = u - x``, exact over steps in which the input is held.

    A missing signal (nan) goes on where it reappears, from zero.

    Attributes:
        active: whether anything lags.
        value: (nsim, width) its output.

    Args:
        shape: (nsim, width).
        may_miss: whether the signal may be missing.
    """

    def __init__(self, shape: tuple[int, int], may_miss: bool = True) -> None:
        self.active = False
        self._may_miss = may_miss
        self.value = np.zeros(shape)
        self._decay = np.zeros(shape)

    def update(self, time_constant: Array, step_length: Array, present: Array) -> None:
        """Take over changed parameters.

        Args:
            time_constant: (nsim, width) T [s]; 0 for no lag.
            step_length: (nsim, 1) [s].
            present: (nsim, width) input, where a lag that appears begins.
        """
        begins = (time_constant > 0) & (self._decay == 0)
        self.value = np.where(begins, present, self.value)
        self.active = bool(time_constant.any())
        with np.errstate(divide='ignore'):
            self._decay = np.exp(-step_length / time_constant)

    def reset(self, rows: Rows, present: Array) -> None:
        """Rest at ``present`` (n, width)."""
        self.value[rows] = present

    def push(self, value: Array) -> Array:
        """The output at the end of a step (nsim, width) in which the input is ``value``."""
        state = self.value
        if self._may_miss:
            _found(state)
        state -= value
        state *= self._decay
        state += value
        return state


class SecondOrderLag:
    """``x'' = w^2 (u - x) - 2 z w x'``, exact over steps in which the input is held.

    The matrix exponential of the damped oscillator, closed over all damping ratios by complex
    arithmetic (e.g. Franklin, Powell, Workman, Digital Control of Dynamic Systems, 1998, 4.3).
    A missing signal (nan) goes on where it reappears, from rest at zero.

    Attributes:
        active: whether anything lags.
        value: (nsim, width) its output.

    Args:
        shape: (nsim, width).
        may_miss: whether the signal may be missing.
    """

    def __init__(self, shape: tuple[int, int], may_miss: bool = True) -> None:
        self.active = False
        self._may_miss = may_miss
        self.value = np.zeros(shape)
        self._rate = np.zeros(shape)
        self._lags = np.zeros(shape, dtype=bool)
        self._step: tuple[Array, ...] = (np.zeros(shape),) * 4

    def update(self, frequency: Array, ratio: Array, step_length: Array, present: Array) -> None:
        """Take over changed parameters.

        Args:
            frequency: (nsim, width) natural frequency w [rad/s]; 0 for no lag.
            ratio: (nsim, width) damping ratio z.
            step_length: (nsim, 1) [s].
            present: (nsim, width) input, where a lag that appears begins.
        """
        lags = frequency > 0
        begins = lags & ~self._lags
        self.value = np.where(begins, present, self.value)
        self._rate = np.where(begins, 0.0, self._rate)
        self._lags, self.active = lags, bool(lags.any())
        if not self.active:
            return
        h, w = step_length, frequency
        root = np.sqrt((np.square(ratio) - 1.0).astype(complex))
        slow = np.exp(-w * h / (ratio + root))
        fast = np.exp(-w * h * (ratio + root))
        close = np.abs(root * w * h) < 1e-4
        sine = np.where(
            close,
            h * np.exp(-ratio * w * h) * (1.0 + np.square(w * h) * (np.square(ratio) - 1.0) / 6.0),
            ((slow - fast) / np.where(close, 1.0, 2.0 * w * root)).real,
        )
        cosine = (0.5 * (slow + fast)).real
        transition = (
            cosine + ratio * w * sine, sine, -np.square(w) * sine, cosine - ratio * w * sine,
        )  # fmt: skip
        self._step = tuple(np.where(lags, part, 0.0) for part in transition)

    def reset(self, rows: Rows, present: Array) -> None:
        """Rest at ``present`` (n, width)."""
        self.value[rows] = present
        self._rate[rows] = 0.0

    def push(self, value: Array) -> Array:
        """The output at the end of a step (nsim, width) in which the input is ``value``."""
        state, rate = self.value, self._rate
        if self._may_miss:
            _found(state)
            _found(rate)
        xx, xv, vx, vv = self._step
        state -= value
        moved = rate * xv
        rate *= vv
        rate += state * vx
        state *= xx
        state += moved
        state += value
        return state


def _found(state: Array) -> None:
    """Put zeros where a signal was missing (nan)."""
    if math.isnan(state.sum()):
        state[np.isnan(state)] = 0.0


class Drift:
    """First-order Gauss-Markov (Ornstein-Uhlenbeck) processes of unit variance.

    ``x(t + h) = x(t) exp(-h / T) + sqrt(1 - exp(-2 h / T)) n``, exact for any interval h; the
    first value after a reset is drawn from the stationary distribution (Gillespie, Phys. Rev. E
    54, 1996).

    Args:
        shape: (nsim, width).
        tag: keeps the numbers of several instances apart.
    """

    def __init__(self, shape: tuple[int, int], tag: int) -> None:
        self._value = np.zeros(shape)
        self._time = np.full((shape[0], 1), -np.inf)
        self._streams = Streams(shape, tag, 'normal')

    def reset(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Forget the past of some simulations."""
        self._streams.seed(rows, seeds)
        self._time[rows] = -np.inf

    def sample(self, rows: Rows, time: Array, correlation: Array) -> Array:
        """Values (n, width) of some simulations.

        Args:
            rows: which.
            time: (n, 1) not before that of the last sample [s].
            correlation: (n, width) correlation time T [s]; 0 for white noise.
        """
        pick = everyone(rows, len(self._time))
        elapsed = time - self._time[pick]
        with np.errstate(divide='ignore', invalid='ignore'):
            kept = np.exp(-elapsed / correlation)
        if not elapsed.all():
            kept = np.where(elapsed > 0, kept, 1.0)
        fresh = np.square(kept)
        np.sqrt(np.subtract(1.0, fresh, out=fresh), out=fresh)
        value = self._value[pick] * kept
        value += fresh * self._streams.draw(rows)
        self._value[pick] = value
        self._time[pick] = time
        return value


class Streams:
    """Random numbers for each simulation of its own, whatever the others do.

    Simulation ``i`` with seed ``s`` gets the same numbers in a batch of any size, from the
    generator keyed by (s, i, tag).

    Args:
        shape: (nsim, width) of one drawing.
        tag: keeps streams of the same seed apart.
        kind: ``normal`` or ``uniform``.
    """

    def __init__(self, shape: tuple[int, int], tag: int, kind: str) -> None:
        self._tag = tag
        self._kind = kind
        self._generators: list[np.random.Generator | None] = [None] * shape[0]
        self._seeds = np.zeros(shape[0], dtype=np.uint64)
        # Drawn ahead in blocks, which changes no number: they come in the same order.
        self._ahead = max(32, 384 // max(1, shape[1]))  # a robot may have no joints
        self._block = np.zeros((self._ahead, *shape))
        self._mine = np.zeros((self._ahead, shape[1]))  # one simulation's part of it
        self._used = np.full(shape[0], self._ahead)

    def seed(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Begin the streams of some simulations anew."""
        self._seeds[rows] = seeds
        self._used[rows] = self._ahead
        for row in rows:
            self._generators[row] = None

    def draw(self, rows: Rows) -> Array:
        """The next numbers (n, width) of some simulations, in ascending order; to be read now."""
        for row in rows[self._used[rows] == self._ahead]:
            generator = self._generators[row]
            if generator is None:
                key = np.random.SeedSequence([int(self._seeds[row]), int(row), self._tag])
                generator = self._generators[row] = np.random.default_rng(key)
            if self._kind == 'normal':
                generator.standard_normal(out=self._mine)
            else:
                generator.random(out=self._mine)
            self._block[:, row] = self._mine
            self._used[row] = 0
        used = self._used[rows]
        self._used[rows] += 1
        if len(rows) == len(self._used) and (used == used[0]).all():
            return self._block[used[0]]
        return self._block[used, rows]
