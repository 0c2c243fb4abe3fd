"""From true (or drive-side) values to what is read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import SENSOR
from sim2real_sim.realism import compiled
from sim2real_sim.realism.signals import History, Streams

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


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
        active: whether any reading differs from the truth.

    Args:
        shape: (nsim, width).
        tag: keeps the noise of several instances apart.
        parts: into how many arrays of consecutive channels what is recorded comes.
    """

    def __init__(self, shape: tuple[int, int], tag: int = 0, parts: int = 1) -> None:
        self._channels = np.zeros(shape, dtype=compiled.CHANNEL)
        self.parameters = {name: self._channels[name] for name in SENSOR}
        for name, ideal in SENSOR.items():
            self.parameters[name][:] = ideal
        self._history = History((parts, shape[0], shape[1] // parts))  # copied as it comes
        self._time = np.zeros(shape[0])
        self._length = np.zeros(shape[0])
        self._streams = Streams(shape[0], tag)
        self.active = False

    @property
    def delays(self) -> bool:
        """Whether :meth:`record` must be called at every step."""
        return self._history.reaches_back

    def update(self, step_length: Array) -> None:
        """Take over changed parameters; ``step_length`` (nsim, 1) [s]."""
        p = self.parameters
        self._length = step_length[:, 0].copy()
        self.active = any(
            bool((p[name] != ideal).any())
            for name, ideal in SENSOR.items()
            if name != 'correlation_time'
        )
        oldest = (p['delay'] + p['jitter'] + p['period']) / step_length
        self._history.reach(float(oldest.max(initial=0.0)))

    def reset(self, rows: Rows, present: Array, seeds: npt.NDArray[np.uint64]) -> None:
        """Forget the past of some simulations; ``present``: (n, width) their true values."""
        parts, _, each = self._history.samples.shape[1:]
        by_parts = present.reshape(len(rows), parts, each)
        self._history.fill(rows, np.moveaxis(by_parts, 1, 0))
        self._time[rows] = 0.0
        self._channels['reading'][rows] = present
        self._channels['sampled'][rows] = self._channels['since'][rows] = -np.inf
        self._streams.seed(rows, seeds)

    def record(self, parts: npt.ArrayLike, time: npt.ArrayLike) -> None:
        """Note the true values after a step.

        Args:
            parts: (parts, nsim, width / parts) of consecutive channels.
            time: (nsim,) or () of that instant [s].
        """
        self._history.next()[:] = parts
        self._time[:] = time

    def sample(self, rows: Rows) -> Array:
        """Readings (n, width) of some simulations of what was recorded last."""
        samples, out = self._history.samples, np.empty((len(rows), self._channels.shape[1]))
        compiled.read(
            rows,
            self._channels,
            samples.reshape(len(samples), self._channels.size),
            self._history.head,
            samples.shape[-1],
            self._time,
            self._length,
            self._streams.keys,
            self._streams.counts,
            out,
        )
        return out
