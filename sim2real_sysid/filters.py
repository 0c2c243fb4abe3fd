"""Causal state-variable filters, fed twice from alternate samples.

A cascade of equal first-order lags turns each raw signal into its filtered value and the first
derivatives of that value, without ever differentiating a sample. Every signal passes
the same cascade, so positions, their derivatives and efforts carry the same delay and any
relation that is linear in them survives filtering exactly.

Filtering leaves some sensor noise in the derivatives, and noise in a regressor biases least
squares towards zero. The samples are therefore dealt alternately to two cascades, the twins; the
samples a twin is not given, it interpolates. Both show the same motion with independent noise, so
that products of one twin's output with the other's have no noise bias: each is an instrument for
the other.

Example: 6 joints, position and effort, are 12 channels; the cascade of 5 lags holds a state of
(5, 2, 12), and the outputs, value to third derivative, are (4, 2, 12).
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
        spread: standard deviation of the weights over the past [s].
        memory: time after which the past weighs less than 1 % [s].
    """

    def __init__(self, bandwidth: float, shape: tuple[int, ...]) -> None:
        self.pole = 2.0 * math.pi * bandwidth / math.sqrt(2.0 ** (1.0 / ORDER) - 1.0)
        self.delay = ORDER / self.pole
        self.memory = (ORDER + 5.5) / self.pole
        self.spread = math.sqrt(ORDER) / self.pole
        self._shape = shape
        self._k = np.arange(ORDER + 2)
        self._factorial = np.array([math.factorial(k) for k in self._k], dtype=float)
        self._below = self._k[:ORDER, None] - self._k[None, :ORDER]
        # The outputs of the lags, then the input before and now, flat.
        self._lags = np.zeros((ORDER + 2, math.prod(shape)))
        self._gains: dict[float, Array] = {}

    def start(self, value: Array) -> None:
        """Begin at rest at ``value``."""
        self._lags[:] = value.ravel()

    def step(self, dt: float, value: Array) -> None:
        """Advance by ``dt`` [s], in which the input went linearly from its last to ``value``."""
        lags = self._lags
        lags[-1] = value.ravel()
        lags[:ORDER] = self._gain(dt) @ lags
        lags[-2] = lags[-1]

    def _gain(self, dt: float) -> Array:
        """Weights (n, n + 2) of the state, of the input before and of the input now.

        The k-th lag's step response is the Erlang distribution ``P_k(pole * dt)``; its integral,
        the ramp response, is ``dt P_k - k / pole P_(k+1)``.
        """
        gain = self._gains.get(dt)
        if gain is None:
            angle = self.pole * dt
            terms = math.exp(-angle) * angle**self._k / self._factorial
            erlang = 1.0 - np.cumsum(terms)  # P_1, P_2, ...
            decay = np.where(self._below >= 0, terms[self._below], 0.0)
            held = erlang[:ORDER]
            ramp = held - self._k[1 : ORDER + 1] / angle * erlang[1 : ORDER + 1]
            gain = np.column_stack([decay, held - ramp, ramp])
            if len(self._gains) >= MOST_GAINS:  # stamps that jitter: nothing repeats
                self._gains.clear()
            self._gains[dt] = gain
        return gain

    def outputs(self) -> Array:
        """Filtered value and its first three derivatives [1/s, 1/s^2, 1/s^3], (4, *shape)."""
        # Each lag's rate is pole * (the lag before - itself), and so on.
        fourth, third, second, last = self._lags[ORDER - 4 : ORDER]
        first = second - last
        curve = third - second - first
        jerk = fourth - 2.0 * third + second - curve
        p = self.pole
        return np.stack([last, p * first, p**2 * curve, p**3 * jerk]).reshape(4, *self._shape)


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
        self._pair = np.zeros((2, channels))

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
            turn = self._count % 2
            self._pair[1 - turn], self._pair[turn] = value, between
            # Rounded to 0.1 us, so that the gains of regular stamps are found again.
            self.cascade.step(max(round(dt, 7), 1e-7), self._pair)
            self.age += dt
        self.stamp, self._last = middle, value
        return self._count > 1

    def outputs(self) -> Array:
        """Value and its first three derivatives, (4, 2, n): derivatives, twins, signals."""
        return self.cascade.outputs()
