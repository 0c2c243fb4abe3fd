"""Recordings to regressors: positions through a zero-phase filter, differences, decimation.

Positions pass a Butterworth filter of fourth order forward and backward and are differenced
centrally; all columns of the regression and the measured efforts then pass one and the same
decimation filter, so that what is linear between them stays so (Gautier 1997; Janot, Gautier,
Brunot 2019). The rigid body part is that of the filtered motion at the full rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_sysid.batch.bodies import Bodies
from sim2real_sysid.batch.data import Recording, Segment

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ORDER = 4
SHARE = 0.1
"""Of the sample rate: the filter's widest bandwidth, twice it for slow logs."""
ENOUGH = 25.0  # [Hz], bandwidth that a slow log is filtered with if it can be
ROWS = 25.0  # [Hz], of the regression, or the bandwidth; more would repeat what was said
STAGE = 10  # the most that is decimated by at once
RINGS = 27  # samples that the decimation filter must see beyond either end
MARGIN = 8  # rows next to what cannot be believed: as far as the decimation filter rings
EDGE = 5  # rows at either end of a segment, where the filters do not see both sides
NOISE = 4.0  # standard deviations of the velocity below which its sign means nothing
LEAST_NOISE = 1e-9  # [rad or m], of a reading that is exact
STUCK = 1.0  # [s] without any change of the reading, while the effort works
PLATEAU = 5  # samples at the very same largest effort: the sensor shows no more


@dataclass(frozen=True)
class Motion:
    """Filtered signals of a segment at the full rate.

    Attributes:
        segment: it.
        decimation: samples a row of the regression.
        position: (n, nj).
        velocity: (n, nj).
        acceleration: (n, nj).
        rigid: (n, nj) effort that the nominal rigid bodies ask for.
        payload: (n, nj, 10) what the payload link's dynamic parameters add.
        moving: (n, nj) whether the sign of the velocity can be believed.
    """

    segment: Segment
    decimation: int
    position: Array
    velocity: Array
    acceleration: Array
    rigid: Array
    payload: Array
    moving: Flags

    @property
    def rate(self) -> Array:
        """(n, nj) of the measured efforts [N*m/s or N/s]."""
        return np.gradient(np.nan_to_num(self.segment.effort), self.segment.period, axis=0)

    def decimated(self, signal: Array) -> Array:
        """A signal (n, ...) as the rows of the regression have it."""
        return in_rows(signal, self.decimation)[EDGE:-EDGE]

    def believed(self) -> Flags:
        """(rows, nj) which rows lie well inside of what can be believed.

        Play lets the reading of a joint that turns rest and then jump to its speed, and the
        filters spread that.
        """
        return self.within(self.moving, MARGIN)

    def sampled(self, signal: Array) -> Array:
        """A signal (n, ...) at the rows' instants, not filtered."""
        return signal[:: self.decimation][EDGE:-EDGE]

    def within(self, flags: Flags, margin: int) -> Flags:
        """(rows, nj) which rows have so many rows around them where all flags (n, nj) are set."""
        from scipy.ndimage import minimum_filter1d

        size = 2 * margin * self.decimation + 1
        wide = minimum_filter1d(flags.astype(np.int8), size, axis=0)
        return np.asarray(self.sampled(wide) > 0)


def motions(
    recordings: Sequence[Recording],
    bodies: Bodies,
    bandwidth: float = 0.0,
    progress: Callable[[float], None] | None = None,
) -> list[Motion]:
    """Filtered signals of all segments.

    Args:
        recordings: cleaned.
        bodies: its inverse dynamics.
        bandwidth: of the filter [Hz], see :mod:`sim2real_sysid.batch.bandwidth`; 0 is the widest.
        progress: told the share done.

    Raises:
        InputError: no segment is long enough for that.
    """
    segments = [s for s in segments_of(recordings) if long_enough(s, bandwidth)]
    if not segments:
        mend = 'must be higher for pieces as short as those of these recordings'
        raise InputError(Fault('bandwidth', bandwidth, mend))
    total, done, found = sum(map(len, segments)), 0, []
    for segment in segments:
        found.append(_motion(segment, bodies, bandwidth))
        done += len(segment)
        if progress is not None:
            progress(done / total)
    return found


def segments_of(recordings: Sequence[Recording]) -> list[Segment]:
    """All segments of recordings."""
    return [segment for recording in recordings for segment in recording.segments]


def rows_of(period: float, bandwidth: float) -> int:
    """Samples a row of the regression; many are a product of stages."""
    samples = max(2.0, 1.0 / (max(ROWS, bandwidth) * period))
    stages = STAGE ** max(0, math.ceil(math.log10(samples / STAGE)))
    return round(samples / stages) * stages


def long_enough(segment: Segment, bandwidth: float) -> bool:
    """Whether a segment is long enough for the filters behind such a bandwidth [Hz]."""
    rows = last = rows_of(segment.period, bandwidth or widest(segment.period))
    while last > STAGE:
        last //= STAGE
    return len(segment) * last > (RINGS + 1) * rows


def in_rows(signal: Array, rows: int) -> Array:
    """A signal (n, ...) at every so many samples, filtered without delay."""
    from scipy.signal import decimate

    while rows > STAGE:
        signal, rows = decimate(signal, STAGE, axis=0, zero_phase=True), rows // STAGE
    return np.asarray(decimate(signal, rows, axis=0, zero_phase=True))


def widest(period: float) -> float:
    """The widest bandwidth of the filter [Hz], for samples every ``period`` seconds."""
    return max(SHARE, min(ENOUGH * period, 2.0 * SHARE)) / period


def smooth(segment: Segment, bandwidth: float = 0.0) -> tuple[Array, Array, float]:
    """Filtered position and velocity (n, nj), and the bandwidth relative to Nyquist's."""
    from scipy.signal import butter, filtfilt

    wanted = (bandwidth or widest(segment.period)) * segment.period
    relative = 2.0 * min(wanted, 0.4)
    numerator, denominator = butter(ORDER, relative)
    pad = min(len(segment) - 1, round(3 * ORDER / relative))
    position = filtfilt(numerator, denominator, segment.position, axis=0, padlen=pad)
    return position, np.gradient(position, segment.period, axis=0), relative


def noise(segment: Segment, bandwidth: float = 0.0) -> Array:
    """(2, nj) standard deviations of position and velocity behind the filter.

    White noise of the readings, from what the filter took away.
    """
    position, _, relative = smooth(segment, bandwidth)
    return _noise(segment, position, relative)


def white_noise(segment: Segment, position: Array, relative: float) -> Array:
    """(nj,) standard deviations of the readings, from what the filter took away."""
    left = 1.4826 * np.median(np.abs(segment.position - position), axis=0)
    return np.asarray(np.maximum(left, LEAST_NOISE) / np.sqrt(max(1.0 - relative, 0.1)))


def _noise(segment: Segment, position: Array, relative: float) -> Array:
    left = white_noise(segment, position, relative) * np.sqrt(relative)
    edge = np.pi * relative / segment.period
    return np.stack([left, left * edge / np.sqrt(3.0)])


def _motion(segment: Segment, bodies: Bodies, bandwidth: float) -> Motion:
    position, velocity, relative = smooth(segment, bandwidth)
    acceleration = np.gradient(velocity, segment.period, axis=0)
    states = np.stack([position, velocity, acceleration], axis=1)
    efforts = bodies.columns(states, np.column_stack([bodies.nominal, bodies.payload]))
    moving = np.abs(velocity) > NOISE * _noise(segment, position, relative)[1]
    moving &= ~_stuck(segment)
    rows = rows_of(segment.period, bandwidth or widest(segment.period))
    rigid, payload = efforts[:, :, 0] + bodies.followers.efforts(velocity), efforts[:, :, 1:]
    return Motion(segment, rows, position, velocity, acceleration, rigid, payload, moving)


def plateaus(effort: Array) -> Flags:
    """(n, nj) efforts at a largest value, of either sign, that several share: no more is shown.

    Noise makes no plateau.
    """
    out = np.zeros(effort.shape, dtype=bool)
    for size in (effort, -effort):
        most = size.max(axis=0)
        top = (size >= most * (1.0 - 1e-9)) & (most > 0.0)
        out |= top & (top.sum(axis=0) >= PLATEAU)
    return out


def _stuck(segment: Segment) -> Flags:
    """(n, nj) where a reading stays bit for bit what it is for long."""
    n = len(segment)
    run = round(STUCK / segment.period)
    still = np.diff(segment.position, axis=0, prepend=np.nan) == 0.0
    out = np.zeros_like(still)
    for j, column in enumerate(still.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]).astype(int)))
        for begin, end in edges.reshape(-1, 2):
            if end - begin >= min(run, n // 2):
                out[max(begin - 1, 0) : end, j] = True
    return out
