"""What signals go through: delay, lag, play; and random numbers that are each simulation's own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


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


class DelayLine:
    """Delays a signal by any number of steps, fractions interpolated linearly.

    Args:
        shape: (nsim, width) of the signal.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._size = shape[0] * shape[1]
        # (2, depth, nsim, width), newest at _head of both copies: no index ever wraps around.
        self._history: Array | None = None
        self._head = 0
        self._place = np.arange(self._size, dtype=np.intp).reshape(shape)
        self._offset = self._place
        self._fraction: Array | None = None

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
        depth = int(longest) + 2
        if self._history is None:
            self._history, self._head = np.empty((2, depth, *self._shape)), 0
            self._history[:] = present
        elif depth > (before := self._history.shape[1]):
            newest_first = self._history[0, (self._head + np.arange(before)) % before]
            self._history, self._head = np.empty((2, depth, *self._shape)), 0
            self._history[:, :before] = newest_first
            self._history[:, before:] = newest_first[-1]

    def _split(self, steps: Array, place: Rows) -> tuple[Rows, Array | None]:
        """Flat index from the newest sample to the later of two neighbours, and their ratio."""
        whole = np.floor(steps)
        fraction = steps - whole
        return whole.astype(np.intp) * self._size + place, fraction if fraction.any() else None

    def fill(self, rows: Rows, present: Array) -> None:
        """Forget the past of some simulations: it was ``present`` (n, width) forever."""
        if self._history is not None:
            self._history[:, :, rows] = present

    def push(self, value: Array) -> Array:
        """Record the signal's next sample and return the delayed one, (nsim, width) each."""
        if self._history is None:
            return value
        self.record(value)
        return self.output()

    def record(self, value: Array) -> None:
        """Record the signal's next sample (nsim, width)."""
        if self._history is not None:
            self._head = (self._head - 1) % self._history.shape[1]
            self._history[:, self._head] = value

    def output(self) -> Array:
        """The delayed signal at the newest sample."""
        return self._take(self._offset, self._fraction)

    def at(self, rows: Rows, steps: Array) -> Array:
        """The signal (n, width) of some simulations, so many steps (n, width) ago."""
        return self._take(*self._split(steps, self._place[rows]))

    def _take(self, offset: Rows, fraction: Array | None) -> Array:
        assert self._history is not None, 'nothing is delayed'
        # Indices are within bounds, since depth is; mode='clip' is the one that does not look.
        flat = self._history.reshape(-1)[self._head * self._size :]
        late: Array = flat.take(offset, mode='clip')
        if fraction is not None:
            later = flat.take(offset + self._size, mode='clip')
            later -= late
            later *= fraction
            late += later
        return late


class SecondOrderLag:
    """``x'' = w^2 (u - x) - 2 z w x'``, exact over steps in which the input is held.

    The matrix exponential of the damped oscillator, closed over all damping ratios by complex
    arithmetic (e.g. Franklin, Powell, Workman, Digital Control of Dynamic Systems, 1998, 4.3).

    Attributes:
        active: whether anything lags.
        value: (nsim, width) its output.

    Args:
        shape: (nsim, width).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.active = False
        self.value = np.zeros(shape)
        self._rate = np.zeros(shape)
        self._lags = np.zeros(shape, dtype=bool)
        self._some_do_not = False
        self._step = (np.zeros(shape),) * 4

    def update(self, frequency: Array, ratio: Array, step_length: Array, present: Array) -> None:
        """Take over changed parameters.

        Args:
            frequency: (nsim, width) natural frequency [rad/s]; 0 for no lag.
            ratio: (nsim, width) damping ratio.
            step_length: (nsim, 1) [s].
            present: (nsim, width) input, where a lag that appears begins.
        """
        lags = frequency > 0
        begins = lags & ~self._lags
        self.value = np.where(begins, present, self.value)
        self._rate = np.where(begins, 0.0, self._rate)
        self._lags, self.active = lags, bool(lags.any())
        self._some_do_not = not lags.all()
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
            ((slow - fast) / np.where(close | ~lags, 1.0, 2.0 * w * root)).real,
        )
        cosine = (0.5 * (slow + fast)).real
        self._step = (
            cosine + ratio * w * sine, sine, -np.square(w) * sine, cosine - ratio * w * sine,
        )  # fmt: skip

    def reset(self, rows: Rows, present: Array) -> None:
        """Rest at ``present`` (n, width)."""
        self.value[rows] = present
        self._rate[rows] = 0.0

    def push(self, value: Array) -> Array:
        """The output at the end of a step (nsim, width) in which the input is ``value``."""
        known = ~np.isnan(self.value)
        error = np.where(known, self.value, 0.0) - value
        rate = np.where(known, self._rate, 0.0)
        xx, xv, vx, vv = self._step
        self._rate = vx * error + vv * rate
        followed = value + (xx * error + xv * rate)
        self.value = np.where(self._lags, followed, value) if self._some_do_not else followed
        return self.value


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
        elapsed = time - self._time[rows]
        with np.errstate(divide='ignore', invalid='ignore'):
            passed = np.where(elapsed > 0, elapsed / correlation, 0.0)
        value = self._value[rows] * np.exp(-passed)
        value += np.sqrt(-np.expm1(-2.0 * passed)) * self._streams.draw(rows)
        self._value[rows] = value
        self._time[rows] = time
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
        self._ahead = max(32, 384 // shape[1])
        self._block = np.zeros((shape[0], self._ahead, shape[1]))
        self._used = np.full(shape[0], self._ahead)

    def seed(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Begin the streams of some simulations anew."""
        self._seeds[rows] = seeds
        self._used[rows] = self._ahead
        for row in rows:
            self._generators[row] = None

    def draw(self, rows: Rows) -> Array:
        """The next numbers (n, width) of some simulations."""
        for row in rows[self._used[rows] == self._ahead]:
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
