"""Whether what a policy sees is unlike anything it was trained on.

The bundle says between which values each element of the observation lay in training. An element
counts as novel when it is further outside than a share of that range; a policy that meets this
for a while is asked about a world it does not know, and its answers mean nothing there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array32 = npt.NDArray[np.float32]

MARGIN = 0.25
"""Share of its training range by which an element may lie outside."""


class NoveltyGate:
    """Closes when observations were novel for a while, opens when they no longer are.

    Args:
        low: (d,) smallest value of each element of the observation in training.
        high: (d,) largest.
        period: time between two observations [s].
        persistence: for how long observations must be novel to close it, and known to open it
            again [s].
        margin: see :data:`MARGIN`.

    Attributes:
        closed: whether the policy should not be listened to.
    """

    def __init__(
        self,
        low: Array32,
        high: Array32,
        *,
        period: float,
        persistence: float,
        margin: float = MARGIN,
    ) -> None:
        low, high = np.asarray(low, float), np.asarray(high, float)
        room = margin * (high - low)
        # What never changed in training has no range to measure by: float32 rounding is its room.
        room = np.maximum(room, 1e-5 * np.maximum(np.abs(low), np.abs(high)) + 1e-6)
        self._low, self._high = (low - room).astype(np.float32), (high + room).astype(np.float32)
        self._ticks = max(1, round(persistence / period))
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self.closed = False
        self._against = 0  # observations in a row that speak against the present state

    def see(self, observation: Array32) -> bool:
        """Take note of an observation (d,); whether the gate is closed."""
        known = bool(((observation >= self._low) & (observation <= self._high)).all())
        if known == self.closed:
            self._against += 1
            if self._against >= self._ticks:
                self.closed, self._against = not known, 0
        else:
            self._against = 0
        return self.closed

    def outside(self, observation: Array32) -> list[int]:
        """Indices of the elements of an observation (d,) that are novel; not for every period."""
        known = (observation >= self._low) & (observation <= self._high)
        return [int(index) for index in np.flatnonzero(~known)]
