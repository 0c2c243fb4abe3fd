"""From true (or drive-side) values to what is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import SENSOR
from sim2real_sim.realism.signals import DelayLine, Drift, Streams, everyone

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
# Seconds; a sample is due at its instant although clocks are sums of steps.
ON_TIME = 1e-9


class Sensors:
    """Readings of some channels of all simulations.

    A channel takes a sample every ``period``, counted from time zero, holds it in between and
    says it ``delay`` later, plus a delay of its own for each reading, uniform in [0,
    ``jitter``]. A sample is ``scale * value + bias + drift + noise``, limited to +-
    ``saturation``, rounded to a multiple of ``quantization``, and lost with probability
    ``dropout``: then the reading before is repeated. Drift is a first-order Gauss-Markov process
    (IEEE Std 952-1997, annex B).

    Attributes:
        parameters: (nsim, width) arrays ``noise`` and ``drift`` (standard deviations), ``bias``,
            ``saturation`` and ``quantization`` (0 for none) in the unit of the channel;
            ``correlation_time`` (of the drift), ``delay``, ``jitter`` and ``period`` [s];
            ``scale`` and ``dropout``. Call :meth:`update` after writing.

    Args:
        shape: (nsim, width).
        tag: keeps the noise of several instances apart.
    """

    def __init__(self, shape: tuple[int, int], tag: int = 0) -> None:
        self.parameters = {name: np.full(shape, value) for name, value in SENSOR.items()}
        self._line = DelayLine(shape)
        self._present = np.zeros(shape)
        self._time = np.zeros((shape[0], 1))
        self._last = np.zeros(shape)
        self._sampled = np.full(shape, -np.inf)  # instant of the sample read last
        self._noise = Streams(shape, 2 * tag, 'normal')
        self._dropout = Streams(shape, 2 * tag + 1, 'uniform')
        self._jitter = Streams(shape, 16 + 2 * tag, 'uniform')
        self._drift = Drift(shape, 17 + 2 * tag)
        self._step_length = np.zeros((shape[0], 1))
        self._active = dict.fromkeys(SENSOR, False)
        self._everywhere = dict(self._active)
        self._limit = np.full(shape, np.inf)
        self._ideal: npt.NDArray[np.bool_] | None = None

    @property
    def active(self) -> bool:
        """Whether any reading differs from the truth."""
        return any(self._active.values())

    @property
    def delays(self) -> bool:
        """Whether :meth:`record` must be called at every step."""
        return self._line.active

    def update(self, step_length: Array) -> None:
        """Take over changed parameters; ``step_length`` (nsim, 1) [s]."""
        p = self.parameters
        self._step_length = step_length
        self._active = {
            name: bool((p[name] != neutral).any())
            for name, neutral in SENSOR.items()
            if name != 'correlation_time'
        }
        self._everywhere = {name: bool((p[name] != SENSOR[name]).all()) for name in self._active}
        self._limit = np.where(p['saturation'] > 0, p['saturation'], np.inf)
        longest = ((p['delay'] + p['jitter'] + p['period']) / step_length).max(initial=0.0)
        self._line.set_steps(p['delay'] / step_length, self._present, float(longest))
        ideal = np.ones(self._last.shape, dtype=bool)
        for name in self._active:
            ideal &= p[name] == SENSOR[name]
        self._ideal = ideal if ideal.any() and self.active else None

    def reset(self, rows: Rows, present: Array, seeds: npt.NDArray[np.uint64]) -> None:
        """Forget the past of some simulations; ``present``: (n, width) their true values."""
        self._present[rows] = present
        self._last[rows] = present
        self._time[rows] = 0.0
        self._sampled[rows] = -np.inf
        self._line.fill(rows, present)
        for numbers in (self._noise, self._dropout, self._jitter):
            numbers.seed(rows, seeds)
        self._drift.reset(rows, seeds)

    def record(self, parts: Sequence[Array], time: npt.ArrayLike) -> None:
        """Note the true values after a step.

        Args:
            parts: (nsim, n) each, of consecutive channels.
            time: (nsim,) or () of that instant [s].
        """
        self._present = self._line.next() if self._line.active else np.empty(self._last.shape)
        np.concatenate(parts, axis=1, out=self._present)
        self._time[:] = np.reshape(time, (-1, 1))

    def sample(self, rows: Rows) -> Array:
        """Readings (n, width) of some simulations, ascending, of what was recorded last."""
        p, active = self.parameters, self._active
        pick = everyone(rows, len(self._last))
        held = None
        if active['period'] or active['jitter']:
            value, held = self._old(rows)
        else:
            value = (self._line.output() if self._line.active else self._present)[pick]
        value = value.copy()
        if active['scale']:
            value *= p['scale'][pick]
        if active['bias']:
            value += p['bias'][pick]
        if active['drift']:
            correlation = p['correlation_time'][pick]
            value += p['drift'][pick] * self._drift.sample(rows, self._time[pick], correlation)
        if active['noise']:
            value += p['noise'][pick] * self._noise.draw(rows)
        if active['saturation']:
            limit = self._limit[pick]
            np.maximum(value, -limit, out=value)
            np.minimum(value, limit, out=value)
        if active['quantization']:
            size = p['quantization'][pick]
            with np.errstate(divide='ignore', invalid='ignore'):
                coarse = np.round(value / size) * size
            if self._everywhere['quantization']:
                value = coarse
            else:
                np.copyto(value, coarse, where=size > 0)
        if active['dropout']:
            lost = self._dropout.draw(rows) < p['dropout'][pick]
            held = lost if held is None else held | lost
        if held is not None:
            np.copyto(value, self._last[pick], where=held)
        if self._ideal is not None:  # adding zero would lose the sign of a zero
            np.copyto(value, self._present[pick], where=self._ideal[pick])
        self._last[pick] = value
        return value

    def _old(self, rows: Rows) -> tuple[Array, npt.NDArray[np.bool_] | None]:
        """Values (n, width) of the newest samples that have arrived, and which are not new."""
        p, pick = self.parameters, everyone(rows, len(self._last))
        age = p['delay'][pick].copy()
        if self._active['jitter']:
            age += p['jitter'][pick] * self._jitter.draw(rows)
        held = None
        if self._active['period']:
            period, time = p['period'][pick], self._time[pick]
            now = time - age
            with np.errstate(divide='ignore', invalid='ignore'):
                taken = np.floor((now + ON_TIME) / period) * period
            if not self._everywhere['period']:
                np.copyto(taken, now, where=period == 0)
            before = self._sampled[pick]
            held = taken <= before
            if not self._everywhere['period']:
                held &= period > 0
            self._sampled[pick] = np.maximum(taken, before)
            age = np.maximum(time - taken, 0.0)
        age /= self._step_length[pick]
        return self._line.at(rows, age), held
