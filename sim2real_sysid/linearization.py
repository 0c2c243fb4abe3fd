"""About what the efforts of the bodies are taken as linear in the zeros of the encoders.

Joints whose encoders show too much have the efforts of other poses. A column each says so to the
first order, about zeros that are taken for granted. By half the square of what these are off, the
efforts of gravity are wrong. Once it is known that this is much, what was summed up is of no use,
and the motion is learned anew about better ones; few robots ever get there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

SURE = 3.0  # standard deviations
MUCH = 0.002  # share of the efforts
LIKELY = 2.0  # standard deviations that a zero is off at most, unless the motion tells more
MOST = 3  # times that is learned anew


class Linearization:
    """What is taken for granted.

    Args:
        joints: their number, nj.
        zeros: (k,) those whose position gravity tells.
        likely: how far they may be off, before anything is known (standard deviation).

    Attributes:
        zero: (nj,) what encoders show too much [rad or m].
        wrong: share of the efforts that may be wrong for what is not linear.
    """

    def __init__(self, joints: int, zeros: Places, likely: float) -> None:
        self._zeros, self._most = zeros, LIKELY * likely
        self.zero, self.wrong = np.zeros(joints), 0.0
        self._left = MOST

    def improve(self, off: Array, std: Array) -> bool:
        """Take what is known by now, where that makes a difference.

        Args:
            off: (k,) what they differ from ``zero`` by [rad or m].
            std: (k,) their standard deviations.

        Returns:
            Whether ``zero`` changed, so that the motion must be learned anew.
        """
        sure = np.abs(off) > SURE * std
        # What the motion does not tell may come out as anything, and says nothing.
        wrong = 0.5 * np.square(np.where(sure, off, np.clip(off, -self._most, self._most)))
        self.wrong = min(float(wrong.max(initial=0.0)), 1.0)
        far = (wrong > MUCH) & sure
        if not far.any() or not self._left:
            return False
        self._left -= 1
        self.zero[self._zeros[far]] += off[far]  # of the others little is known as yet
        return True
