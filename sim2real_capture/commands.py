"""Which command is in force: the newest that was applied, else the newest that was sent."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SOURCES = ('applied', 'sent')
"""Where the command in force is taken from: what was really applied, else what was asked for."""
RECENT = 1000
"""Commands remembered of each source: joint states may wait while newer commands are taken, and
the one that was in force then must still be there."""


class Commands:
    """The latest commands of a robot. Times are nanoseconds.

    Args:
        timeout: after which the robot no longer heeds a command [s].
        paced: in a paced run a command without a stamp may come just before or just after the
            joint state it answers is taken, as processes happen to run: it counts from the next
            one on.
    """

    def __init__(self, timeout: float, paced: bool = False) -> None:
        self._timeout = timeout * 1e9
        self._paced = paced
        self._given: dict[str, deque[tuple[int, Array]]] = {
            source: deque(maxlen=RECENT) for source in SOURCES
        }

    def add(self, source: str, values: Array, stamp: int) -> None:
        """A command (nj,) of one of ``SOURCES``, in force after ``stamp``."""
        self._given[source].append((stamp, values))

    def clear(self) -> None:
        """Forget them, after a clock went back."""
        for given in self._given.values():
            given.clear()

    def in_force(self, stamp: int, sampled: int) -> Array | None:
        """The newest command before a stamp; None when the robot no longer heeds it for its age.

        Args:
            stamp: of a joint state.
            sampled: stamp of the joint state before it.
        """
        for source in SOURCES:
            before = sampled if self._paced and source == 'sent' else stamp
            given = next((g for g in reversed(self._given[source]) if g[0] < before), None)
            if given and stamp - given[0] <= self._timeout:
                return given[1]
        return None
