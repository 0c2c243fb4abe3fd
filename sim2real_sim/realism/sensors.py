"""From true (or drive-side) values to what is read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import SENSOR
from sim2real_sim.realism.signals import DelayLine, Drift, Streams

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
        longest = (p['delay'] + p['jitter'] + p['period']) / step_length
        self._line.set_steps(p['delay'] / step_length, self._present, float(longest.max()))
        ideal = np.ones(self._last.shape, dtype=bool)
        for name in self._active:
            ideal &= p[name] == SENSOR[name]
        self._ideal = ideal if ideal.any() else None

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

    def record(self, present: Array, time: npt.ArrayLike) -> None:
        """Note the true values (nsim, width) after a step, at ``time`` (nsim,) or (), [s]."""
        self._present = present
        self._time[:] = np.reshape(time, (-1, 1))
        self._line.record(present)

    def sample(self, rows: Rows) -> Array:
        """Readings (n, width) of some simulations, of what was recorded last."""
        p, active = self.parameters, self._active
        held = None
        if active['period'] or active['jitter']:
            value, held = self._old(rows)
        else:
            value = (self._line.output() if self._line.active else self._present)[rows]
        if active['scale']:
            value = value * p['scale'][rows]
        if active['bias']:
            value = value + p['bias'][rows]
        if active['drift']:
            size, correlation = p['drift'][rows], p['correlation_time'][rows]
            value = value + size * self._drift.sample(rows, self._time[rows], correlation)
        if active['noise']:
            value = value + p['noise'][rows] * self._noise.draw(rows)
        if active['saturation']:
            limit = p['saturation'][rows]
            value = np.where(limit > 0, np.minimum(np.maximum(value, -limit), limit), value)
        if active['quantization']:
            size = p['quantization'][rows]
            coarse = size > 0
            steps = np.round(np.divide(value, size, out=np.zeros_like(value), where=coarse))
            value = np.where(coarse, steps * size, value)
        if active['dropout']:
            lost = self._dropout.draw(rows) < p['dropout'][rows]
            held = lost if held is None else held | lost
        if held is not None:
            value = np.where(held, self._last[rows], value)
        if self._ideal is not None and self.active:  # adding zero would lose the sign of a zero
            value = np.where(self._ideal[rows], self._present[rows], value)
        self._last[rows] = value
        return value

    def _old(self, rows: Rows) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Values (n, width) of the newest samples that have arrived, and which are not new."""
        p = self.parameters
        time, late = self._time[rows], p['delay'][rows]
        if self._active['jitter']:
            late = late + p['jitter'][rows] * self._jitter.draw(rows)
        period = p['period'][rows]
        samples = np.divide(
            time - late + ON_TIME, period, out=np.zeros_like(late), where=period > 0
        )
        taken = np.where(period > 0, np.floor(samples) * period, time - late)
        age = np.maximum(time - taken, 0.0)
        held = (period > 0) & (taken <= self._sampled[rows])
        self._sampled[rows] = np.maximum(taken, self._sampled[rows])
        return self._line.at(rows, age / self._step_length[rows]), held
