"""Friction at low speed: where a Stribeck velocity lies, and what slow motion leaves open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_sysid.moments import Block
from sim2real_sysid.posterior import RISE_SIZE, USUAL
from sim2real_sysid.regression import ARMATURE, COULOMB, CURVE, DELAY, LOCAL, OFFSET, VISCOUS

STRONG = 100.0  # residual variances that another column explains; coloured ones count tenfold


class Steepest(NamedTuple):
    """Which column of friction at low speed explains most.

    Attributes:
        best: (nj,) of each joint.
        safe: (nj,) likewise, but the usual one unless there is strong evidence: columns of high
            speeds come near to Coulomb and viscous friction.
        sharp: (nj,) whether there is strong evidence against all but the best and its neighbours.
    """

    best: npt.NDArray[np.intp]
    safe: npt.NDArray[np.intp]
    sharp: npt.NDArray[np.bool_]


def steepest(sums: Block, shared: int) -> Steepest:
    """Which column of friction at low speed explains most.

    Profile likelihood: the joint's own parameters and the shared ones follow each choice. Only a
    rise counts.

    Args:
        sums: of all blocks.
        shared: number of the columns that joints share.
    """
    base = [ARMATURE, VISCOUS, COULOMB, OFFSET, DELAY, *range(LOCAL, LOCAL + shared)]
    curves = np.arange(CURVE, LOCAL)
    found = np.full((2, len(sums.cross)), USUAL, dtype=np.intp)
    sharp = np.zeros(len(sums.cross), dtype=bool)
    further = [*curves, -1]
    for j, rows in enumerate(sums.rows.sum(axis=1)):
        size = np.sqrt(np.maximum(np.diag(sums.mean[j]), 1e-300))
        lefts = []
        for matrix in (sums.cross[j], sums.mean[j]):
            matrix = matrix / np.outer(size, size)
            normal = matrix[np.ix_(base, base)] + 1e-6 * np.eye(len(base))
            fitted = np.linalg.solve(normal, matrix[np.ix_(base, further)])
            lefts.append(matrix[np.ix_(further, further)] - matrix[np.ix_(further, base)] @ fitted)
        left, noisy = lefts
        power = np.diag(left)[:-1]
        along = np.where(power > 1e-6, np.maximum(left[:-1, -1], 0.0), 0.0)
        gain = along**2 / np.maximum(power, 1e-6)
        best = int(gain.argmax())
        noise = max(float(noisy[-1, -1] - gain[best]), 1e-9) / max(rows, 1.0)
        if gain[best] > 0.0:
            found[0, j] = best
        if gain[best] - gain[USUAL] > STRONG * noise:
            found[1, j] = best
        far = np.abs(np.arange(len(gain)) - best) > 1
        sharp[j] = gain[best] - gain[far].max() > STRONG * noise
    return Steepest(found[0], found[1], sharp)


def slow_friction(
    profile: RobotProfile, fastest: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Relative standard deviation of Coulomb friction for want of speed, (nj,).

    Friction of a joint that never gets much faster than its nominal Stribeck velocity may be
    static friction in part, however well it is known.

    Args:
        profile: the robot.
        fastest: (nj,) highest speed of each joint [rad/s or m/s].
    """
    speeds = [nominal(profile, f'joint.{j}.stribeck_velocity') for j in profile.joint_names]
    return np.asarray(RISE_SIZE * np.exp(-np.square(fastest / np.array(speeds, dtype=float))))
