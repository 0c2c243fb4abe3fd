"""Causal state-variable filters, fed twice from alternate samples.

A cascade of ``n`` equal first-order lags turns each raw signal into its filtered value and the
first two derivatives of that value, without ever differentiating a sample. Every signal passes
the same cascade, so positions, their derivatives and efforts carry the same delay and any
relation that is linear in them survives filtering exactly.

Filtering leaves some sensor noise in the derivatives, and noise in a regressor biases least
squares towards zero. The samples are therefore dealt alternately to two cascades, the twins; the
samples a twin is not given, it interpolates. Both show the same motion with independent noise, so
that products of one twin's output with the other's have no noise bias: each is an instrument for
the other.

Example: 6 joints, position and effort, are 12 channels; the cascade of 5 lags holds a state of
(5, 2, 12), and each of value, rate and curvature is (2, 12).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
ORDER = 5
MOST_GAINS = 64


class LagCascade:
    """Equal lags in series, exact for inputs that are linear between samples.

    Args:
        bandwidth: frequency of -3 dB of the whole cascade [Hz].
        shape: shape of the input.

    Attributes:
        pole: of each lag [1/s].
        delay: of slow signals [s].
        memory: time after which the past weighs less than 1 % [s].
    """

    def __init__(self, bandwidth: float, shape: tuple[int, ...]) -> None:
        self.pole = 2.0 * math.pi * bandwidth / math.sqrt(2.0 ** (1.0 / ORDER) - 1.0)
        self.delay = ORDER / self.pole
        self.memory = (ORDER + 5.5) / self.pole
        self._k = np.arange(ORDER + 2)
        self._factorial = np.array([math.factorial(k) for k in self._k], dtype=float)
        self._below = self._k[:ORDER, None] - self._k[None, :ORDER]
        self._state = np.zeros((ORDER, *shape))
        self._input = np.zeros(shape)
        self._gains: dict[float, tuple[Array, Array, Array]] = {}

    def start(self, value: Array) -> None:
        """Begin at rest at ``value``."""
        self._state[:] = value
        self._input = value

    def step(self, dt: float, value: Array) -> None:
        """Advance by ``dt`` [s], in which the input went linearly from its last to ``value``."""
        decay, held, ramp = self._gain(dt)
        flat = decay @ self._state.reshape(ORDER, -1)
        flat += np.outer(held, self._input) + np.outer(ramp, value - self._input)
        self._state = flat.reshape(self._state.shape)
        self._input = value

    def _gain(self, dt: float) -> tuple[Array, Array, Array]:
        """Decay of the state (n, n), weight of the held input (n,) and of its change (n,).

        The k-th lag's step response is the Erlang distribution ``P_k(pole * dt)``; its integral,
        the ramp response, is ``dt P_k - k / pole P_(k+1)``.
        """
        found = self._gains.get(dt)
        if found is not None:
            return found
        angle = self.pole * dt
        terms = math.exp(-angle) * angle**self._k / self._factorial
        erlang = 1.0 - np.cumsum(terms)  # P_1, P_2, ...
        decay = np.where(self._below >= 0, terms[self._below], 0.0)
        held = erlang[:ORDER]
        ramp = held - self._k[1 : ORDER + 1] / angle * erlang[1 : ORDER + 1]
        if len(self._gains) >= MOST_GAINS:  # stamps that jitter: nothing repeats
            self._gains.clear()
        self._gains[dt] = decay, held, ramp
        return decay, held, ramp

    def outputs(self) -> tuple[Array, Array, Array]:
        """Filtered value, its rate [1/s] and its curvature [1/s^2], in the input's shape."""
        last, before, third = self._state[-1], self._state[-2], self._state[-3]
        rate = self.pole * (before - last)
        curvature = self.pole**2 * (third - 2.0 * before + last)
        return last, rate, curvature


class TwinFilter:
    """Deals samples alternately to two cascades. See the module's text.

    Args:
        bandwidth: of the cascades [Hz].
        channels: number of signals, n.

    Attributes:
        stamp: time the outputs belong to: that of the last sample but one [s].
        age: time since the start [s].
    """

    def __init__(self, bandwidth: float, channels: int) -> None:
        self.cascade = LagCascade(bandwidth, (2, channels))
        self.stamp = -math.inf
        self.age = 0.0
        self._count = 0
        self._newest: tuple[float, Array] | None = None
        self._last = np.zeros(channels)

    @property
    def settled(self) -> bool:
        """Whether nothing is left of the start."""
        return self.age >= 2.0 * self.cascade.memory

    def restart(self) -> None:
        """Forget everything."""
        self._count = 0
        self._newest = None
        self.age = 0.0

    def push(self, stamp: float, sample: Array) -> bool:
        """Take a sample.

        Args:
            stamp: its time [s], later than the last.
            sample: (n,) finite values.

        Returns:
            Whether the outputs moved on (they do from the third sample after a start).
        """
        previous, self._newest = self._newest, (stamp, sample)
        if previous is None:
            return False
        middle, value = previous
        self._count += 1
        if self._count == 1:
            self.cascade.start(np.stack([value, value]))
        else:
            dt = middle - self.stamp
            share = dt / (stamp - self.stamp)
            between = self._last + share * (sample - self._last)
            pair = [value, between] if self._count % 2 else [between, value]
            # Rounded to 0.1 us, so that the gains of regular stamps are found again.
            self.cascade.step(max(round(dt, 7), 1e-7), np.stack(pair))
            self.age += dt
        self.stamp, self._last = middle, value
        return self._count > 1

    def outputs(self) -> tuple[Array, Array, Array]:
        """Value, rate and curvature, each (2, n): one row a twin."""
        return self.cascade.outputs()
