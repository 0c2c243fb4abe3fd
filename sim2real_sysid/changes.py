"""Whether the robot is still the one that was identified.

Of the newest blocks of motion the scores are taken at what the older ones say: the derivative of
the log-likelihood by each parameter, zero on average as long as nothing changes. A score divided
by the information beside it is the change of that one parameter which explains most. How far
scores stray when nothing changes is learned from the windows before, so that coloured noise and
what the model leaves out count as usual. A change must stand out of that, and be large enough to
matter.

Windows of two and of four seconds are looked at, twice a second: the short one sees a fault soon,
the long one a smaller change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

WINDOWS = (4, 8)  # blocks
WARM_UP = 40  # windows that are seen before one can stand out
LEAST_SCORE = 7.0  # standard deviations
LEAST_SHARE = 0.15  # of the value, before a change matters
MEMORY = 2000.0  # windows over which the usual is learned


class Step(NamedTuple):
    """A change of one parameter.

    Attributes:
        parameter: its index.
        size: of the change [its unit].
        score: in standard deviations of the usual.
        blocks: since when.
    """

    parameter: int
    size: float
    score: float
    blocks: int


class ChangeDetector:
    """Looks at the scores of block after block.

    Args:
        parameters: their number, n.
        groups: (n,) parameters that share what is usual, by number.
    """

    def __init__(self, parameters: int, groups: npt.NDArray[np.intp]) -> None:
        self._groups = groups[:, None] == groups[None, :]
        self._usual = np.zeros((len(WINDOWS), parameters))
        self._seen = np.zeros((len(WINDOWS), parameters))

    def look(
        self, scores: Array, information: Array, value: Array, matters: Array, watched: Flags
    ) -> Step | None:
        """Look at the newest windows.

        Args:
            scores: (b, n) of the newest blocks, oldest first.
            information: (b, n) beside them.
            value: (n,) what the older blocks say.
            matters: (n,) smallest change that makes a difference.
            watched: (n,) parameters that are known well enough to be missed.
        """
        found: Step | None = None
        for k, length in enumerate(WINDOWS):
            score, weight = scores[-length:].sum(axis=0), information[-length:].sum(axis=0)
            moved = watched & (weight > 0.0)
            power = np.where(moved, score**2 / np.where(moved, weight, 1.0), 0.0)
            size = np.where(moved, score / np.where(moved, weight, 1.0), 0.0)
            usual = self._usual[k]
            together = (self._groups @ (usual * moved)) / np.maximum(self._groups @ moved, 1)
            usual = np.maximum(np.maximum(usual, together), 1e-12)
            ratio = np.sqrt(power / usual)
            enough = np.abs(size) > np.maximum(LEAST_SHARE * np.abs(value), matters)
            ripe = self._seen[k] >= WARM_UP
            stands_out = np.where(moved & enough & ripe, ratio, 0.0)
            i = int(stands_out.argmax())
            if stands_out[i] > LEAST_SCORE and (found is None or stands_out[i] > found.score):
                since = self._since(scores[:, i], information[:, i])
                found = Step(i, float(size[i]), float(stands_out[i]), since)
            self._learn(k, power, ratio, moved)
        return found

    def _learn(self, k: int, power: Array, ratio: Array, moved: Flags) -> None:
        """Learn what is usual; what stands out is taken for no more than twice the threshold."""
        ripe = self._seen[k] >= WARM_UP
        most = (0.5 * LEAST_SCORE) ** 2 * np.maximum(self._usual[k], 1e-12)
        power = np.where(ripe, np.minimum(power, most), power)
        self._seen[k] += moved
        share = np.where(moved, 1.0 / np.clip(self._seen[k], 1.0, MEMORY), 0.0)
        self._usual[k] += share * (power - self._usual[k])

    @staticmethod
    def _since(scores: Array, information: Array) -> int:
        """Of the newest blocks those that show the change best, counted from the newest."""
        power = scores[::-1].cumsum() ** 2 / np.maximum(information[::-1].cumsum(), 1e-300)
        return int(power.argmax()) + 1
