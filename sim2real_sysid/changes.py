"""Whether the robot is still the one that was identified.

Of the newest blocks of motion the scores are taken at what the older ones say: the derivative of
the log-likelihood by each parameter, zero on average as long as nothing changes. A score divided
by the information beside it is the change of that one parameter which explains most. How far
scores stray when nothing changes is learned from the windows before, so that coloured noise and
what the model leaves out count as usual. A change must stand out of that, and be large enough to
matter.

Windows of one, two and four seconds of motion are looked at, twice a second: the short ones see a
fault soon, the long one a smaller change. What stands out must do so three times in a row, and
longer while the motion has not told yet which parameter explains it: at first a change of one
looks much like that of another. Nothing changes to what it cannot be.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

WINDOWS = (2, 4, 8)  # blocks
WARM_UP = 8  # windows that are seen before one can stand out
# Before anything was seen the square of a score is taken for so many times the information beside
# it, and never for less: 1 where noise is white and the model right. It counts as the warm-up.
FIRST_USUAL, LEAST_USUAL = 10.0, 3.0
LEAST_SCORE = 5.0  # standard deviations
CONFIRMED = 3  # looks in a row at which something stands out
PATIENCE = 8  # looks after which the best explanation is taken, though another is nearly as good
CLEARLY = 0.2  # share of what the best explains, by which it must be better than any other
LEAST_SHARE = 0.1  # of the value, before a change matters
LEAST_EFFECT = 0.01  # of the effort, likewise
MOST_LEARNED = 4.0  # times the usual, of what is not
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
        lowest: (n,) values that the parameters can have.
    """

    def __init__(self, lowest: Array) -> None:
        parameters, self._lowest = len(lowest), lowest
        self._usual = np.full((len(WINDOWS), parameters), FIRST_USUAL)
        self._seen = np.zeros((len(WINDOWS), parameters))
        self._looks = 0

    def look(
        self, scores: Array, information: Array, value: Array, effect: Array, watched: Flags
    ) -> Step | None:
        """Look at the newest windows.

        Args:
            scores: (b, n) of the newest blocks, oldest first.
            information: (b, n) beside them.
            value: (n,) what the older blocks say.
            effect: (n,) change that would explain all of the effort by itself.
            watched: (n,) parameters that are known well enough to be missed.
        """
        found: list[tuple[float, bool, Step]] = []
        least = np.maximum(LEAST_SHARE * np.abs(value), LEAST_EFFECT * effect)
        for k, length in enumerate(WINDOWS):
            score, weight = scores[-length:].sum(axis=0), information[-length:].sum(axis=0)
            moved = watched & (weight > 0.0)
            size = np.where(moved, score / np.where(moved, weight, 1.0), 0.0)
            power = score * size  # by what the change of one parameter mends the fit
            ratio = np.sqrt(power / np.maximum(self._usual[k], LEAST_USUAL))
            explained = np.where(value + size >= self._lowest, power, 0.0)
            clear = (ratio > LEAST_SCORE) & (np.abs(size) > least) & (self._seen[k] >= WARM_UP)
            if (clear & (explained > 0.0)).any():
                i = int(np.where(clear, explained, 0.0).argmax())
                since = self._since(scores[:, i], information[:, i])
                step = Step(i, float(size[i]), float(ratio[i]), since)
                rival = float(np.delete(explained, i).max(initial=0.0))
                found.append((float(power[i]), rival <= (1.0 - CLEARLY) * power[i], step))
            self._learn(k, power, moved)
        self._looks = self._looks + 1 if found else 0
        if self._looks < CONFIRMED:
            return None
        _, evident, step = max(found)
        if not evident and self._looks < PATIENCE:
            return None
        self._looks = 0
        return step

    def _learn(self, k: int, power: Array, moved: Flags) -> None:
        """Learn what is usual, and hardly from what is not."""
        power = np.minimum(power, MOST_LEARNED * self._usual[k])
        self._seen[k] += moved
        share = np.where(moved, 1.0 / np.minimum(self._seen[k] + WARM_UP, MEMORY), 0.0)
        self._usual[k] += share * (power - self._usual[k])

    @staticmethod
    def _since(scores: Array, information: Array) -> int:
        """Of the newest blocks those that show the change best, counted from the newest."""
        power = scores[::-1].cumsum() ** 2 / np.maximum(information[::-1].cumsum(), 1e-300)
        return int(power.argmax()) + 1
