"""What signals leave behind, and random numbers that are each simulation's own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_sim.realism import compiled

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class History:
    """The last samples of a signal; see :func:`sim2real_sim.realism.compiled.ago`.

    Attributes:
        samples: (depth, ..., nsim, width) ring, at least the present one.
        head: place of the newest; older ones follow.

    Args:
        shape: (..., nsim, width) of the signal.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.samples = np.zeros((1, *shape))
        self.head = 0

    @property
    def reaches_back(self) -> bool:
        """Whether more than the present sample is kept."""
        return len(self.samples) > 1

    def reach(self, steps: float) -> None:
        """Keep samples for so many steps; what was before the oldest was like it."""
        depth = int(steps) + 2 if steps > 0 else 1
        if depth > len(self.samples) or depth == 1:
            newest_first = np.roll(self.samples, -self.head, axis=0)[:depth]
            oldest = np.repeat(newest_first[-1:], depth - len(newest_first), axis=0)
            self.samples, self.head = np.concatenate([newest_first, oldest]), 0

    def fill(self, rows: Rows, present: Array) -> None:
        """Forget the past of some simulations: it was ``present`` (..., n, width) forever."""
        self.samples[..., rows, :] = present

    def next(self) -> Array:
        """The place (..., nsim, width) of the signal's next sample, to be written."""
        self.head = (self.head - 1) % len(self.samples)
        return self.samples[self.head]


class Streams:
    """Random numbers for each simulation of its own, whatever the others do.

    Simulation ``i`` with seed ``s`` gets the same numbers in a batch of any size: number ``n`` is
    a function of (s, i, tag, n) alone.

    Attributes:
        keys: (nsim,) where each simulation's stream begins.
        counts: (nsim,) how often was drawn from it.

    Args:
        nsim: number of simulations.
        tag: keeps streams of the same seed apart.
    """

    def __init__(self, nsim: int, tag: int) -> None:
        self._tag = tag
        self.keys = np.zeros(nsim, dtype=np.uint64)
        self.counts = np.zeros(nsim, dtype=np.uint64)

    def seed(self, rows: Rows, seeds: npt.NDArray[np.uint64]) -> None:
        """Begin the streams of some simulations anew."""
        compiled.keyed(rows, seeds, self._tag, self.keys)
        self.counts[rows] = 0
