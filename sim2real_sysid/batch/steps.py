"""What steps of the effort between samples leave open in recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.batch.data import Recording
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.models import LATENESS
from sim2real_sysid.jumps import Jumps
from sim2real_sysid.servo import Servo
from sim2real_sysid.steps import step_timing

Array = npt.NDArray[np.float64]

BLOCK = 1.0  # [s]


def timing_of(
    profile: RobotProfile,
    recordings: Sequence[Recording],
    drives: Mapping[str, ParameterEstimate],
) -> Array:
    """Standard deviation of when the steps of each joint's effort seem to come, (nj,) [s].

    Args:
        profile: the robot.
        recordings: cleaned.
        drives: what is known of them.
    """
    powers = []
    for recording in recordings:
        for segment in recording.segments:
            size = round(BLOCK / segment.period)
            for first in range(0, max(len(segment) - size, 1), size):
                jumps = Jumps(len(profile.joints))
                jumps.push(segment.effort[first : first + size])
                powers.append(jumps.power)
    lags = np.zeros(len(profile.joints))
    for k, joint in enumerate(profile.joint_names):
        lag = drives.get(f'actuator.{joint}.time_constant')
        if lag is not None and lag.status == 'identified':
            lags[k] = max(lag.mean - lag.std, 0.0)
    period = max(recording.period for recording in recordings)
    # In most seconds: not of a start, or of an impact. Chance is of either sign.
    share = np.sqrt(np.maximum(np.median(powers, axis=0), 0.0))
    return step_timing(share, lags, period)


def with_step_timing(found: Fitted, profile: RobotProfile, timing: Array) -> Fitted:
    """What was found, as uncertain as steps of such a timing (nj,) [s] leave it."""
    servo, shape = Servo.of(profile), found.layout
    effects = np.zeros((shape.joints, len(found.mean)))
    joints = np.arange(shape.joints)
    for quantity in shape.quantities:
        if quantity == LATENESS:
            effects[joints, shape.place(quantity)] = timing
        elif quantity == 'armature':
            effects[joints, shape.place(quantity)] = timing * servo.damping
        elif quantity.startswith('viscous_friction'):
            effects[joints, shape.place(quantity)] = timing * servo.stiffness
    return replace(found, covariance=found.covariance + effects.T @ effects)
