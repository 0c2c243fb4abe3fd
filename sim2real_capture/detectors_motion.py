"""Scores of joint states that need no training: spikes, frozen sensors, limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim2real_capture.signals import ImuSample, Sample

Array = npt.NDArray[np.float64]


class Average:
    """First-order average of arrays over time, exact for irregular stamps.

    Args:
        time: its time constant [s].

    Attributes:
        value: the average, None before the first sample.
    """

    def __init__(self, time: float) -> None:
        self.time = time
        self.reset()

    def reset(self) -> None:
        """Forget it."""
        self.value: Array | None = None
        self._stamp = 0.0

    def update(self, stamp: float, sample: Array) -> Array:
        """Take a sample; the average including it. The first sample is its own average."""
        if self.value is None or self.value.shape != sample.shape:
            self.value = np.array(sample, dtype=float)
        else:
            gain = -math.expm1(-(stamp - self._stamp) / self.time)
            self.value = self.value + gain * (sample - self.value)
        self._stamp = stamp
        return self.value


class EffortSpike:
    """Sudden effort, as of a collision: efforts less their average, in parts of the limits.

    Args:
        names: (nj,) joint names.
        limits: (nj,) largest efforts [N*m or N]; joints without a limit count in their unit.
        time: time constant of the average [s].
    """

    takes = Sample
    suggested = np.array(0.5)

    def __init__(self, names: Sequence[str], limits: Array, time: float) -> None:
        self.elements = tuple(names)
        self._scale = np.where(np.isfinite(limits) & (limits > 0), limits, 1.0)
        self._average = Average(time)

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._average.reset()

    def score(self, sample: Sample) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing without efforts."""
        if sample.effort is None:
            return None
        return np.abs(sample.effort - self._average.update(sample.stamp, sample.effort)) / (
            self._scale
        )


class FrozenSensor:
    """How long a joint's position has been the very same number [s].

    A sensor with noise never repeats itself for long, a frozen one does. Where positions are so
    coarse that a joint at rest repeats itself, the calibrated threshold is as long as its rest.

    Args:
        names: (nj,) joint names.
    """

    takes = Sample
    suggested = None

    def __init__(self, names: Sequence[str]) -> None:
        self.elements = tuple(names)
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._last: Array | None = None
        self._since: Array | None = None

    def score(self, sample: Sample) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing without positions."""
        if sample.position is None:
            return None
        if self._last is None or self._since is None:
            self._since = np.full(sample.position.shape, sample.stamp)
        else:
            self._since = np.where(sample.position == self._last, self._since, sample.stamp)
        self._last = np.array(sample.position)
        return np.asarray(sample.stamp - self._since)


class JointLimit:
    """How far joints have entered the margin before their position limits.

    0 outside the margin, 1 at the limit, more beyond it.

    Args:
        names: (nj,) joint names.
        lower: (nj,) limits [rad or m], infinite for joints that turn for ever.
        upper: (nj,).
        margin: width of the margin, in parts of the range.
    """

    takes = Sample
    suggested = np.array(0.9)

    def __init__(self, names: Sequence[str], lower: Array, upper: Array, margin: float) -> None:
        self.elements = tuple(names)
        self._lower, self._upper = lower, upper
        self._limited = np.isfinite(lower) & np.isfinite(upper)
        self._width = np.where(self._limited, margin * (upper - lower), 1.0)

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`; it has no history."""

    def score(self, sample: Sample) -> Array | None:
        """See :class:`~sim2real_capture.detectors.Scorer`; nothing without positions."""
        if sample.position is None:
            return None
        room = np.minimum(sample.position - self._lower, self._upper - sample.position)
        return np.where(self._limited, np.maximum(1.0 - room / self._width, 0.0), 0.0)


class ImuShock:
    """Sudden acceleration: distance of the specific force from its average [m/s^2].

    Args:
        time: time constant of the average [s].
    """

    takes = ImuSample
    elements = ('imu',)
    suggested = np.array(30.0)

    def __init__(self, time: float) -> None:
        self._average = Average(time)

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._average.reset()

    def score(self, sample: ImuSample) -> Array:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        force = sample.linear_acceleration
        surprise = force - self._average.update(sample.stamp, force)
        return np.asarray(np.linalg.norm(surprise, axis=-1, keepdims=True))


class TipOver:
    """Angle between the body's upward axis and the vertical [rad].

    The vertical, seen from the body, turns against the measured rate and is drawn towards the
    specific force with a time constant (complementary filter, Mahony et al. 2008).

    Args:
        up: (3,) the body's upward axis in the IMU's frame.
        time: time constant [s].
    """

    takes = ImuSample
    elements = ('tilt',)
    suggested = np.array(0.8)

    def __init__(self, up: Sequence[float], time: float) -> None:
        self._up = np.array(up) / np.linalg.norm(up)
        self._time = time
        self.reset()

    def reset(self) -> None:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        self._vertical: Array | None = None
        self._stamp = 0.0

    def score(self, sample: ImuSample) -> Array:
        """See :class:`~sim2real_capture.detectors.Scorer`."""
        force = sample.linear_acceleration
        size = np.linalg.norm(force, axis=-1, keepdims=True)
        seen = np.divide(force, size, out=np.array(force, dtype=float), where=size > 0)
        if self._vertical is None:
            vertical = seen
        else:
            step = sample.stamp - self._stamp
            turned = self._vertical - step * np.cross(sample.angular_velocity, self._vertical)
            vertical = turned - math.expm1(-step / self._time) * (seen - turned)
        norm = np.linalg.norm(vertical, axis=-1, keepdims=True)
        self._vertical = np.divide(
            vertical, norm, out=np.array(self._up + 0 * vertical), where=norm > 0
        )
        self._stamp = sample.stamp
        return np.arccos(np.clip(self._vertical @ self._up, -1.0, 1.0))[..., None]
