"""What was commanded, and what drives make of it.

A drive holds each command until the next, takes notice of it ``delay`` later and follows through
a lag of first order, ``T x' = u - x``. Between two commands the lag is an exponential, so its
state at the commands' instants gives it at any time, exactly and whatever the sampling::

    x(t) = u_i + (x_i - u_i) exp(-(t - t_i) / T)      for t_i < t <= t_(i+1)

Example: 6 joints whose lags are followed with 3 time constants each keep states of
(commands, 3, 6).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from sim2real_core.joint_states import is_late

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

MOST = 4096  # commands that are remembered; twice as many have room
INTERVALS = 25  # from which the commands' period is learned
REGULAR, MOSTLY = 0.3, 0.6  # commands are regular where so many intervals are so nearly equal
GAP = 1.6  # of their periods after which one is missing
BRIDGED = 4  # missing ones in a row that can be guessed
FORGOTTEN = 6.0  # time constants after which a lag has forgotten what was before
INSTANT = 1e-6  # s; no lag is shorter
FIRST = (0.01, 0.01)  # s, delay and lag before anything is known
FIRST_SPREAD = (0.005, 0.005)  # s
COARSER = 4.0  # times the present spread, where a line is too coarse to be kept
REACH = 3.0**0.5  # standard deviations to the sigma points


class CommandHistory:
    """The commands of the last seconds, and the lags that follow them.

    Args:
        lags: (levels, nj) time constants [s].
        timeout: after this long without a command the robot holds by itself [s].
    """

    def __init__(self, lags: Array, timeout: float) -> None:
        self._timeout = timeout
        self._lags = np.maximum(lags, INSTANT)
        self._stamps = np.zeros(2 * MOST)
        self._values = np.zeros((2 * MOST, lags.shape[1]))
        self._states = np.zeros((2 * MOST, *lags.shape))
        self._clear = np.zeros(2 * MOST)  # since when no command is missing
        self._joints = np.arange(lags.shape[1])
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._count = 0
        self._period = math.inf
        self._end = 0

    @property
    def newest(self) -> float:
        """Stamp of the newest command [s]; -inf before the first."""
        return float(self._stamps[self._end - 1]) if self._end else -math.inf

    def restart(self) -> None:
        """Forget the commands, not how often they come."""
        self._end = 0

    def push(self, stamp: float, values: Array) -> None:
        """Take a command.

        Args:
            stamp: from when on it is in force [s].
            values: (nj,); one that is not finite tells of a command that is not known.
        """
        if not math.isfinite(stamp) or is_late(stamp, self.newest):
            return
        if stamp < self.newest or not np.isfinite(values).all():
            self.restart()
        if not np.isfinite(values).all():
            return
        if self._end:
            self._bridge(stamp, values)
        self._append(stamp, values)

    def _append(self, stamp: float, values: Array) -> None:
        if self._end == len(self._stamps):
            for part in (self._stamps, self._values, self._states, self._clear):
                part[:MOST] = part[MOST:]
            self._end = MOST
        i = self._end
        self._stamps[i], self._values[i] = stamp, values
        self._end += 1
        if i == 0:
            self._states[i], self._clear[i] = values, stamp
        else:
            broken = stamp - self._stamps[i - 1] > self._longest
            self._clear[i] = stamp if broken else self._clear[i - 1]
            self._advance(i)

    def _bridge(self, stamp: float, values: Array) -> None:
        """Put the commands that got lost before this one on the line between their neighbours."""
        before, held = self.newest, self._values[self._end - 1].copy()
        interval = stamp - before
        self._intervals.append(interval)
        if self._count % INTERVALS == INTERVALS - 1:
            middle = float(np.median(self._intervals))
            regular = np.abs(np.array(self._intervals) / middle - 1.0) < REGULAR
            self._period = middle if regular.mean() >= MOSTLY else math.inf
        self._count += 1
        missing = round(interval / self._period) - 1
        if 1 <= missing < BRIDGED:
            for k in range(1, missing + 1):
                share = k / (missing + 1)
                self._append(before + share * interval, held + share * (values - held))

    @property
    def period(self) -> float:
        """Between commands [s]; infinite where they do not come regularly."""
        return self._period

    @property
    def _longest(self) -> float:
        """Time after which a command is missing, or the robot holds by itself [s]."""
        return min(self._timeout, GAP * self._period)

    def _advance(self, i: int) -> None:
        decay = np.exp((self._stamps[i - 1] - self._stamps[i]) / self._lags)
        held = self._values[i - 1]
        self._states[i] = held + (self._states[i - 1] - held) * decay

    def follow(self, lags: Array) -> None:
        """Follow with other time constants (levels, nj) [s] from now on and in what is known."""
        self._lags = np.maximum(lags, INSTANT)
        if self._end == 0:
            return
        reach = FORGOTTEN * float(self._lags.max()) + 2.0
        first = int(np.searchsorted(self._stamps[: self._end], self.newest - reach))
        self._states[first] = self._values[max(first - 1, 0)]
        for i in range(first + 1, self._end):
            self._advance(i)

    def phases(self, times: Array) -> Array:
        """Of these times (m,) [s], those after the newest command before, in command periods.

        None where commands do not come regularly, or not for long.
        """
        if self._end == 0 or not math.isfinite(self._period):
            return np.zeros(0)
        stamps = self._stamps[: self._end]
        place = stamps.searchsorted(times) - 1
        age = (times - stamps[np.maximum(place, 0)]) / self._period
        return np.asarray(age[(place >= 0) & (age < 1.0 + REGULAR)])

    def at(self, times: Array, levels: Index) -> tuple[Array, Flags]:
        """What the lags make of the commands.

        Args:
            times: (m, nj) [s], when each joint's drive took notice; a command that comes in this
                very instant does not count.
            levels: (m,) which of the time constants.

        Returns:
            The lags' outputs, and whether they are known: every command that matters was heard;
            (m, nj) each.
        """
        if self._end == 0:
            return np.zeros(times.shape), np.zeros(times.shape, dtype=bool)
        stamps = self._stamps[: self._end]
        place = stamps.searchsorted(times.ravel()).reshape(times.shape) - 1
        known = place >= 0
        np.maximum(place, 0, out=place)
        age = times - stamps[place]
        held = self._values[place, self._joints]
        state = self._states[place, levels[:, None], self._joints]
        lags = self._lags[levels]
        out = held + (state - held) * np.exp(-np.maximum(age, 0.0) / lags)
        known &= self._clear[place] <= times - FORGOTTEN * lags
        known &= age <= self._longest
        return out, known


class Following:
    """How drives follow their commands, about a delay and a lag that are not quite known.

    Neither acts linearly, least of all where commands come in steps. Over what is still possible
    of both they are replaced by the line that fits best, from sigma points at
    ``+- sqrt(3)`` standard deviations (statistical linearization, as in an unscented filter). It
    is written with the delay and the lag themselves as its coefficients, so that rows of
    different times and different lines still ask for the same unknowns.

    Args:
        joints: their number, nj.
        timeout: see :class:`CommandHistory`.
        others: (k,) more time constants that the history is to follow with [s], for others; its
            levels from 3 on.

    Attributes:
        history: of the commands.
        timing: (2, nj) delays and lags [s] that the lines are about.
        spread: (2, nj) their standard deviations [s].
    """

    def __init__(self, joints: int, timeout: float, others: Array) -> None:
        self._others = np.tile(others[:, None], (1, joints))
        self.timing = np.tile(np.array([FIRST]).T, (1, joints))
        self.spread = np.tile(np.array([FIRST_SPREAD]).T, (1, joints))
        self._levels = np.array([1, 1, 1, 0, 2])
        self.history = CommandHistory(self._followed(), timeout)

    def _followed(self) -> Array:
        return np.concatenate([self._lags(), self._others])

    def _lags(self) -> Array:
        lag, reach = self.timing[1], REACH * self.spread[1]
        return np.stack([np.maximum(lag - reach, 0.0), lag, lag + reach])

    def aim(self, timing: Array, spread: Array) -> None:
        """Take other delays and lags (2, nj), and their deviations, unless they are the same."""
        same = np.abs(timing - self.timing) < 0.2 * self.spread
        same &= np.abs(spread - self.spread) < 0.2 * self.spread
        if same.all():
            return
        self.timing, self.spread = np.maximum(timing, 0.0), spread
        self.history.follow(self._followed())

    def usable(self, tags: Array, rough: float = 0.0) -> Flags:
        """Which lines of before still hold for the delay and lag that are believed now.

        Args:
            tags: (B, nj, 4) delays and lags they were about, and the spreads [s].
            rough: what a line holds for in any case [s].
        """
        about = tags.transpose(2, 0, 1)  # (4, B, nj)
        centre, spread = about[:2], about[2:]
        near = np.abs(centre - self.timing[:, None]) <= np.maximum(2.0 * spread, rough)
        fine = spread <= np.maximum(COARSER * self.spread[:, None], rough)
        return np.asarray((near & fine).all(axis=0))

    def at(self, times: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The commands as followed, ``value + delay * by_delay + lag * by_lag``.

        Args:
            times: (m,) [s].

        Returns:
            (4, m, nj) ``value``, ``by_delay``, ``by_lag`` and the variance that the line leaves;
            (m, nj) whether they are known.
        """
        delay, reach = self.timing[0], REACH * self.spread[0]
        early, late = np.maximum(delay - reach, 0.0), delay + reach
        points = np.stack([early, delay, late, delay, delay])
        when = times[None, :, None] - points[:, None, :]
        shape = when.shape
        flat, known = self.history.at(when.reshape(-1, shape[-1]), self._levels.repeat(len(times)))
        first, middle, last, fast, slow = flat.reshape(shape)
        fastest, lag, slowest = self._lags()
        by_delay = (last - first) / (late - early)
        by_lag = (slow - fast) / (slowest - fastest)
        value = (first + last + fast + slow + 2.0 * middle) / 6.0
        value -= by_delay * delay + by_lag * lag
        # Of three points with weights 1/6, 2/3, 1/6 a line leaves 2/9 of the bend's square.
        bend = np.square(0.5 * (first + last) - middle) + np.square(0.5 * (fast + slow) - middle)
        return np.stack([value, by_delay, by_lag, 2.0 / 9.0 * bend]), known.reshape(shape).all(
            axis=0
        )
