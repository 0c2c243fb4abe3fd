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

Samples come in runs of as many as one likes, and cost little more than one: what a run adds to the
state is one product of weights and inputs.

Example: 6 joints, position and effort, are 12 channels; the cascade of 5 lags holds a state of
(5, 24), both twins side by side, and the outputs, value to third derivative, are (4, 2, 12).
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
        channels: number of signals, n.

    Attributes:
        pole: of each lag [1/s].
        delay: of slow signals [s].
        spread: standard deviation of the weights over the past [s].
        memory: time after which the past weighs less than 1 % [s].
    """

    def __init__(self, bandwidth: float, channels: int) -> None:
        self.pole = 2.0 * math.pi * bandwidth / math.sqrt(2.0 ** (1.0 / ORDER) - 1.0)
        self.delay = ORDER / self.pole
        self.memory = (ORDER + 5.5) / self.pole
        self.spread = math.sqrt(ORDER) / self.pole
        self._k = np.arange(ORDER + 2)
        self._factorial = np.array([math.factorial(k) for k in self._k], dtype=float)
        self._below = np.maximum(self._k[:ORDER, None] - self._k[None, :ORDER], 0)
        self._lags = np.zeros((ORDER, channels))
        self._gains: dict[bytes, tuple[Array, Array]] = {}

    def start(self, value: Array) -> None:
        """Begin at rest at ``value`` (n,)."""
        self._lags[:] = value

    def advance(self, steps: Array, values: Array) -> None:
        """Advance through samples.

        Args:
            steps: (m,) times between them [s].
            values: (m + 1, n): the last input before, and those at the end of each step.
        """
        decay, weights = self._gain(steps)
        self._lags = decay @ self._lags + weights @ values

    def _gain(self, steps: Array) -> tuple[Array, Array]:
        """Weights (k, k) of the state before and (k, m + 1) of the inputs.

        The k-th lag's step response is the Erlang distribution ``P_k(pole * age)``; its integral,
        the ramp response, is ``age P_k - k / pole P_(k+1)``. An input that is linear between
        samples is a sum of ramps that begin at one and end at the next.
        """
        key = steps.tobytes()
        gain = self._gains.get(key)
        if gain is None:
            age = np.append(steps[::-1].cumsum()[::-1], 0.0)
            angle = self.pole * age[:, None]
            terms = np.exp(-angle) * angle**self._k / self._factorial
            erlang = 1.0 - np.cumsum(terms, axis=1)  # P_1, P_2, ...
            ramp = age[:, None] * erlang[:, :ORDER]
            ramp -= self._k[1 : ORDER + 1] / self.pole * erlang[:, 1 : ORDER + 1]
            rise = (ramp[:-1] - ramp[1:]) / steps[:, None]
            weights = np.zeros((len(age), ORDER))
            weights[0] = erlang[0, :ORDER]
            weights[:-1] -= rise
            weights[1:] += rise
            gain = np.tril(terms[0][self._below]), weights.T.copy()
            if len(self._gains) >= MOST_GAINS:  # stamps that jitter: nothing repeats
                self._gains.clear()
            self._gains[key] = gain
        return gain

    def outputs(self) -> Array:
        """Filtered value and its first three derivatives [1/s, 1/s^2, 1/s^3], (4, n)."""
        # Each lag's rate is pole * (the lag before - itself), and so on.
        fourth, third, second, last = self._lags[ORDER - 4 :]
        first = second - last
        curve = third - second - first
        jerk = fourth - 2.0 * third + second - curve
        p = self.pole
        return np.stack([last, p * first, p**2 * curve, p**3 * jerk])


class TwinFilter:
    """Deals samples alternately to two cascades. See the module's text.

    Args:
        bandwidth: of the cascades [Hz].
        channels: number of signals, n.
        interval: time from one output to the next, at least [s].

    Attributes:
        begun: time of the first sample since the start [s].
    """

    def __init__(self, bandwidth: float, channels: int, interval: float = 0.0) -> None:
        self.cascade = LagCascade(bandwidth, 2 * channels)
        self.begun = math.inf
        self._interval = interval
        self._due = -math.inf
        self._turn = 0  # the twin that the newest sample is given to
        self._stamps = np.zeros(0)  # of the samples below
        self._samples = np.zeros((0, channels))  # the last two, of which the newest waits
        self._pair = np.zeros((2, channels))  # the twins' last inputs

    def restart(self) -> None:
        """Forget everything."""
        self._stamps, self._samples = self._stamps[:0], self._samples[:0]
        self._due, self.begun = -math.inf, math.inf

    def push(self, stamps: Array, samples: Array) -> tuple[Array, Array]:
        """Take samples, as many at a time as one likes.

        Args:
            stamps: (m,) their times [s], ascending and later than the last.
            samples: (m, n) finite values.

        Returns:
            Times (r,) of outputs, at the latest that of the last sample but one; and the outputs
            (r, 4, 2, n): times; value and its first three derivatives; twins; signals.
        """
        fresh = len(self._stamps) < 2
        stamps = np.concatenate([self._stamps, stamps])
        samples = np.concatenate([self._samples, samples])
        self._stamps, self._samples = stamps[-2:], samples[-2:]
        if fresh and len(stamps) > 1:
            self.cascade.start(np.concatenate([samples[0], samples[0]]))
            self._pair[:] = samples[0]
            self._turn = 1
            self.begun = float(stamps[0])
        if len(stamps) < 3:
            return np.zeros(0), np.zeros((0, 4, 2, samples.shape[1]))
        # Rounded to 0.1 us, so that the gains of regular stamps are found again.
        steps = np.maximum(np.diff(stamps).round(7), 1e-7)
        return self._advance(stamps[1:-1], steps[:-1], self._dealt(samples, steps))

    def _dealt(self, samples: Array, steps: Array) -> Array:
        """Inputs (m - 1, 2 n) of the twins: the last ones, and all samples but the newest."""
        given = samples[1:-1]
        share = (steps[:-1] / (steps[:-1] + steps[1:]))[:, None]
        between = samples[:-2] + share * (samples[2:] - samples[:-2])
        inputs = np.empty((len(given) + 1, 2, samples.shape[1]))
        inputs[0] = self._pair
        for twin in range(2):
            own = (self._turn + twin) % 2
            inputs[1 + own :: 2, twin] = given[own::2]
            inputs[2 - own :: 2, twin] = between[1 - own :: 2]
        self._pair = inputs[-1]
        self._turn = (self._turn + len(given)) % 2
        return inputs.reshape(len(inputs), -1)

    def _advance(self, times: Array, steps: Array, inputs: Array) -> tuple[Array, Array]:
        """Through the inputs, with outputs on the way; see :meth:`push`."""
        at, outputs, begin = [], [], 0
        while begin < len(times):
            end = min(int(np.searchsorted(times, self._due)) + 1, len(times))
            end = max(end, begin + 1)
            self.cascade.advance(steps[begin:end], inputs[begin : end + 1])
            if times[end - 1] >= self._due:
                self._due = times[end - 1] + self._interval - 1e-6
                at.append(times[end - 1])
                outputs.append(self.cascade.outputs())
            begin = end
        shape = (len(at), 4, 2, inputs.shape[1] // 2)
        return np.array(at), np.array(outputs).reshape(shape)
