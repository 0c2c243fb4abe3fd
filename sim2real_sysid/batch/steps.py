"""Efforts that come in steps, of which samples do not tell when between them.

A drive answers each command with a step of its effort. Filters take efforts as straight between
samples, as if each step came in the middle of two. One that comes at another share of the sample
period T is taken ``c T`` too early or too late, ``|c| <= 1/2``, and each one alike where commands
and samples keep step. All steps together are the command's slope times the stiffness K, which is
``d(effort)/dt + K v + D a`` with the damping D of the drive: so the error looks exactly like
lateness ``c T``, viscous friction ``c T K`` and rotor inertia ``c T D``, and no residual shows it.

Nothing but the instant of the steps tells c; here it is taken as uniform. A lag of the drive
smooths the steps: of their first harmonic beyond the samples it passes
``1 / sqrt(1 + (2 pi lag / T)^2)``. No more is left open than the jumps that are seen.
"""

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

Array = npt.NDArray[np.float64]

BLOCK = 1.0  # [s]


def step_timing(
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
    period = max(recording.period for recording in recordings)
    shares = []
    for recording in recordings:
        for segment in recording.segments:
            size = round(BLOCK / segment.period)
            for first in range(0, max(len(segment) - size, 1), size):
                jumps = Jumps(len(profile.joints))
                jumps.push(segment.effort[first : first + size])
                shares.append(jumps.share)
    passed = np.minimum(np.median(shares, axis=0), 1.0)  # not of a start, or of an impact
    for k, joint in enumerate(profile.joint_names):
        lag = drives.get(f'actuator.{joint}.time_constant')
        if lag is not None and lag.status == 'identified':
            shortest = max(lag.mean - lag.std, 0.0)
            passed[k] = min(passed[k], 1.0 / np.hypot(1.0, 2.0 * np.pi * shortest / period))
    return np.asarray(passed * period / np.sqrt(12.0))


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
