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
from sim2real_sysid.servo import Servo
from sim2real_sysid.steps import Steps

Array = npt.NDArray[np.float64]

BLOCK = 4096  # samples at a time


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
    lags = np.zeros(len(profile.joints))
    for k, joint in enumerate(profile.joint_names):
        lag = drives.get(f'actuator.{joint}.time_constant')
        if lag is not None and lag.status == 'identified':
            lags[k] = max(lag.mean - lag.std, 0.0)
    timing = np.zeros(len(profile.joints))
    for recording in recordings:
        steps = Steps(Servo.of(profile), profile.rates.control_period, recording.period)
        for segment in recording.segments:
            steps.restart()
            for first in range(0, len(segment), BLOCK):
                block = slice(first, first + BLOCK)
                steps.push(segment.position[block], segment.effort[block])
        timing = np.maximum(timing, steps.timing(lags))
    return timing


def with_step_timing(
    found: Fitted, profile: RobotProfile, timing: Array, rotors: Array | None = None
) -> Fitted:
    """What was found, as uncertain as steps of such a timing leave it.

    Args:
        found: it.
        profile: the robot.
        timing: (nj,) see :func:`timing_of` [s].
        rotors: (b, nj) what the armature of each joint adds to the link's parameters, where these
            stand for armatures, too; None where they do not.
    """
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
    if rotors is not None:
        effects[:, shape.link] = (rotors * timing * servo.damping).T
    return replace(found, covariance=found.covariance + effects.T @ effects)
