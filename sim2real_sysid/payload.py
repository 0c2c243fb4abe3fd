"""Whether efforts tell what a robot carries, and where it hides if they do not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.dynamics import RigidBody

Array = npt.NDArray[np.float64]

STATES = 64  # random ones, on which it is decided
NEXT_TO_NOTHING = 1e-6  # share of what a kilogram of payload does to all joints
HIDES = ('armature', '', 'effort_offset')
"""What looks like a payload that goes with acceleration, velocity and neither."""


def payload_tells(body: RigidBody, joints: int) -> bool:
    """Whether the payload's mass can be told from armature and offset of the joints.

    On a single prismatic axis, say, it cannot: both are moving mass.
    """
    _, left, total = _alike(body, joints)
    return left > NEXT_TO_NOTHING * total > 0.0


def hidden_payload(body: RigidBody, profile: RobotProfile) -> dict[str, ParameterEstimate]:
    """The payload's mass where it cannot be told, confounded with what it hides in, by address.

    What it weighs beyond the URDF's goes into those parameters. Nothing where it can be told.
    """
    if payload_tells(body, len(profile.joints)):
        return {}
    alike, _, total = _alike(body, len(profile.joints))
    tied = tuple(
        f'joint.{name}.{what}'
        for name, shares in zip(profile.joint_names, np.abs(alike))
        for what, share in zip(HIDES, shares)
        if what and share > NEXT_TO_NOTHING * total
    )
    address = f'link.{profile.payload_link}.mass'
    return {address: ParameterEstimate(body.payload_mass, math.inf, 'not_identified', 'kg', tied)}


def _alike(body: RigidBody, joints: int) -> tuple[Array, float, float]:
    """What is most like a kilogram of payload: (nj, 3) of acceleration, velocity and a constant.

    And the root mean square of what that leaves of the joint where it leaves most, and of all.
    """
    states = np.random.default_rng(0).normal(size=(STATES, 3, joints))
    column = body.columns(states)[:, :, 1]
    found, left = np.zeros((joints, len(HIDES))), 0.0
    for j in range(joints):
        own = np.stack([states[:, 2, j], states[:, 1, j], np.ones(STATES)], axis=1)
        found[j] = np.linalg.lstsq(own, column[:, j], rcond=None)[0]
        left = max(left, float(np.sqrt(np.mean((column[:, j] - own @ found[j]) ** 2))))
    return found, left, float(np.sqrt(np.mean(column**2)))
