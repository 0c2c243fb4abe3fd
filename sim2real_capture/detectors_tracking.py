"""Tracking error: a joint that does not follow its command.

A soft position servo never stands where it is told. It lags (a command of 2 rad/s with a lag of
0.1 s is 0.2 rad behind, and nothing is wrong) and it sags under gravity (a few hundredths of a
rad, another amount in each pose). So :class:`TrackingError` does not score the plain difference of
command and measurement. For one joint, with lag 0.1 s::

    command steps 0 -> 0.5        measured 0.1 s later: 0.21, its sag before the step: 0.03
    fast servo (lag 0.05): 0.45   slow servo (lag 0.15): 0.19
    measured + sag = 0.24, between the two: score 0

Only what lies outside the band between a fast and a slow healthy servo counts, after the slow
part of the error (the sag) is taken off; the band keeps some of its width for a while after a
motion, when other joints shake and the load settles; and the error must persist. A drive that
loses its torque under load leaves that band within tenths of a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim2real_capture.signals import Sample
from sim2real_core.errors import Faults
from sim2real_core.joint_states import shortest

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

FAST, SLOW = 0.5, 1.5
"""Lag of the fast and of the slow healthy servo, in parts of the given one."""
SLACK = 0.8
"""Part of the band's width that is added to either side of it."""
FADING = 0.4
"""Time constant with which that slack goes after a motion [s]."""
SAG, SPEED = 0.2, 1.0
"""Largest sag [rad or m] and speed [rad/s or m/s] where a profile does not tell."""


class TrackingError:
    """How far joints are from where a healthy servo would have them.

    The expected motion is the command through two equal first-order lags in series (total
    ``lag``), once with ``FAST`` times the lag, once as given, once with ``SLOW`` times it. The
    surprise of a joint is the distance of its measurement, corrected by the sag, to the band
    these three span; the sag follows it with the time constant ``settling``. The score is the
    surprise less the slack, ``SLACK`` times the widest the band was of late.

    Args:
        names: (nj,) joint names.
        suggested: (nj,) thresholds where none are calibrated [unit of the command].
        lag: (nj,) or one for all: time from command to motion [s].
        settling: time constant with which the sag is learned [s].
        continuous: (nj,) or one for all: joints that turn for ever; the angles of command and
            measurement may be wrapped.

    Raises:
        InputError: sizes that do not fit, or values that are not positive and finite.
    """

    takes = Sample

    def __init__(
        self,
        names: Sequence[str],
        *,
        suggested: Array | None = None,
        lag: float | npt.ArrayLike = 0.1,
        settling: float = 1.5,
        continuous: npt.ArrayLike = False,
    ) -> None:
        faults = Faults()
        self.elements = tuple(names)
        self.suggested = suggested
        lags = _per_joint('lag', lag, self.elements, faults)
        if not (math.isfinite(settling) and settling > 0.0):
            faults.add('settling', settling, 'must be positive and finite')
        faults.check()
        self.settling = settling
        self._continuous = np.broadcast_to(np.asarray(continuous, dtype=bool), len(self.elements))
        # Time constants of the fast, middle and slow servo's two stages, (3, nj).
        self._lags = np.array([[FAST], [1.0], [SLOW]]) * lags / 2.0
        self.reset()

    def reset(self) -> None:
        """Forget all history: the next sample is taken as the robot at rest."""
        self._stamp: float | None = None

    def _start(self, sample: Sample) -> None:
        shape = sample.measured.shape
        self._stamp = self._begun = sample.stamp
        self._stages = self._lags.reshape(3, *([1] * (len(shape) - 1)), shape[-1])
        self._response = np.zeros((2, 3, *shape)) + sample.measured
        self._command = np.array(sample.measured)  # unwrapped
        self._width = np.zeros(shape)  # widest the band was of late
        self._sag = np.zeros(shape)

    def score(self, sample: Sample) -> Array:
        """See :class:`~sim2real_capture.detectors.Scorer`.

        Without a command the history is dropped and the scores are zero.
        """
        if sample.command is None:
            self.reset()
            return np.zeros_like(sample.measured)
        if self._stamp is None:
            self._start(sample)
            return np.zeros_like(sample.measured)
        step = sample.stamp - self._stamp
        self._stamp = sample.stamp
        self._command = self._command + shortest(sample.command - self._command, self._continuous)
        # The command, held since the last sample, through both stages.
        gain = -np.expm1(-step / self._stages)
        self._response[0] += gain * (self._command - self._response[0])
        self._response[1] += gain * (self._response[0] - self._response[1])
        expected = self._response[1]
        measured = expected[1] + shortest(sample.measured - expected[1], self._continuous)
        # Any sag in this interval explains the measurement; the nearest to the known one is
        # believed. In motion the interval is wide, so that a wrong lag is not taken for sag.
        least, most = expected.min(axis=0), expected.max(axis=0)
        surprise = np.clip(self._sag, least - measured, most - measured) - self._sag
        # A plain average at first, so that a robot found sagging is soon known to sag.
        weight = max(-math.expm1(-step / self.settling), step / (sample.stamp - self._begun))
        self._sag += weight * surprise
        self._width = np.maximum(most - least, self._width * math.exp(-step / FADING))
        return np.asarray(np.maximum(np.abs(surprise) - SLACK * self._width, 0.0))


def default_lag(profile: RobotProfile) -> Array:
    """Time from command to motion of each joint, (nj,) [s], as far as the profile tells.

    A position servo's stiffness pulls against its damping and the joint's friction with the
    time constant damping / stiffness; one control period of delay comes on top. 0.1 s where
    the profile gives no servo gains.
    """
    stiffness = profile.array('stiffness')
    resistance = profile.array('damping') + profile.array('viscous_friction')
    known = (stiffness > 0) & (resistance > 0) & (profile.command.drives == 'position')
    servo = np.divide(resistance, stiffness, out=np.zeros_like(stiffness), where=known)
    return np.where(known, servo + profile.rates.control_period, 0.1)


def default_threshold(profile: RobotProfile) -> Array:
    """Thresholds as far as the profile tells, (nj,) [unit of the command].

    About twice what healthy arms scored at full speed: a fifth of what the lag makes of the
    largest velocity (``SPEED`` where there is no limit), a tenth of the sag that the largest
    effort can cause (``SAG`` where the profile gives no stiffness or no limit), and room for
    sensor noise. For velocity and effort interfaces a quarter of the limit, infinite without one.
    """
    interface = profile.command.drives
    if interface != 'position':
        return 0.25 * profile.array(interface)
    stiffness, effort = profile.array('stiffness'), profile.array('effort')
    known = (stiffness > 0) & np.isfinite(effort)
    sag = np.divide(effort, stiffness, out=np.full_like(stiffness, SAG), where=known)
    velocity = profile.array('velocity')
    late = default_lag(profile) * np.where(np.isfinite(velocity), velocity, SPEED)
    return 0.2 * late + 0.1 * sag + 5.0 * profile.array('position_noise')


def _per_joint(
    field: str, value: float | npt.ArrayLike, names: Sequence[str], faults: Faults
) -> Array:
    array = np.asarray(value, dtype=float)
    if array.shape not in ((), (1,), (len(names),)):
        faults.add(field, value, f'give one value, or {len(names)}: {", ".join(names)}')
    elif not (np.isfinite(array).all() and (array > 0).all()):
        faults.add(field, value, 'must be positive and finite')
    else:
        return np.array(np.broadcast_to(array, (len(names),)))
    return np.ones(len(names))
