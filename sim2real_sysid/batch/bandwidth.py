"""How wide the filter of the positions is: as wide as their noise lets it.

Noise of the positions is noise of the regressors, which draws what they are multiplied with
towards zero, however long the motion is. In the rows its power goes with the fifth power of the
bandwidth. A narrower filter, though, makes rows longer, of which those next to a turn are of no
use, and bends what the speed does at a sharp edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim2real_sysid.batch.data import Recording, Segment
from sim2real_sysid.batch.signals import (
    EDGE,
    MARGIN,
    NOISE,
    in_rows,
    long_enough,
    noise,
    rows_of,
    segments_of,
    smooth,
    white_noise,
    widest,
)

Array = npt.NDArray[np.float64]

LEAST = 5.0  # [Hz]
SLOW = 2.0  # [Hz], a bandwidth that tells whether a joint moves at all
NOISY = 1e-3  # power of the noise of an acceleration, of that of the motion, in the rows
SOME = 0.1  # share of the time that a joint moves which counts
FEWEST = 30  # rows that may be believed, and
LONG = 0.9  # share of the samples in segments that are long enough, that must be left


def quiet_bandwidth(recordings: Sequence[Recording]) -> float:
    """The widest bandwidth [Hz] behind which noise does not count.

    It is halved where the noise is more than a little of the motion for most joints that move.
    """
    segments = segments_of(recordings)
    longest = max(segments, key=len)
    moving = np.abs(smooth(longest, SLOW)[1]) > NOISE * noise(longest, SLOW)[1]
    some = moving.mean(axis=0) > SOME
    band = _Band.of(longest, widest(longest.period))
    while band.bandwidth >= 2.0 * LEAST and _most(band.noise > NOISY * band.motion, some):
        narrower = 0.5 * band.bandwidth
        left = sum(len(segment) for segment in segments if long_enough(segment, narrower))
        if left < LONG * sum(map(len, segments)) or not long_enough(longest, narrower):
            break
        next_ = _Band.of(longest, narrower)
        if not _most(next_.believed >= np.minimum(FEWEST, band.believed), some):
            break
        band = next_
    return band.bandwidth


def _most(flags: npt.NDArray[np.bool_], joints: npt.NDArray[np.bool_]) -> bool:
    return bool(2 * flags[joints].sum() > joints.sum())


@dataclass(frozen=True)
class _Band:
    """What rows have of a segment.

    Attributes:
        bandwidth: of the filter [Hz].
        noise: (nj,) mean square of the acceleration's noise.
        motion: (nj,) likewise, of the motion's.
        believed: (nj,) number of rows away from turns.
    """

    bandwidth: float
    noise: Array
    motion: Array
    believed: Array

    @classmethod
    def of(cls, segment: Segment, bandwidth: float) -> _Band:
        from scipy.ndimage import minimum_filter1d

        position, _, relative = smooth(segment)
        deviation = white_noise(segment, position, relative)
        rows, velocity = rows_of(segment.period, bandwidth), smooth(segment, bandwidth)[1]
        # What such noise would be in the rows: noise of our own, through the same filters.
        draws = np.random.default_rng(0).normal(size=(len(segment), 1))
        passed = _power(smooth(replace(segment, position=draws), bandwidth)[1], segment, rows)
        power = np.square(deviation) * passed
        motion = np.maximum(_power(velocity, segment, rows) - power, 0.0)
        moving = np.abs(velocity) > NOISE * noise(segment, bandwidth)[1]
        inside = minimum_filter1d(moving.astype(np.int8), 2 * MARGIN * rows + 1, axis=0)
        return cls(bandwidth, power, motion, inside.sum(axis=0) / rows)


def _power(velocity: Array, segment: Segment, rows: int) -> Array:
    """(nj,) mean square of the rows' acceleration."""
    acceleration = in_rows(np.gradient(velocity, segment.period, axis=0), rows)
    kept = acceleration[EDGE:-EDGE] if len(acceleration) > 2 * EDGE else acceleration
    return np.asarray(np.mean(np.square(kept), axis=0))
