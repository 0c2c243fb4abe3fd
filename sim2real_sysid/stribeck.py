"""Friction at low speed: where a Stribeck velocity lies, and what slow motion leaves open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.moments import Block
from sim2real_sysid.posterior import RISE_SIZE, USUAL
from sim2real_sysid.regression import (
    ARMATURE,
    COULOMB,
    CURVE,
    DELAY,
    LOCAL,
    OFFSET,
    VISCOUS,
    usual_speeds,
)

Array = npt.NDArray[np.float64]

COLOURED = 10.0  # independent residuals that one of a filter's counts for
STRONG = 10.0 * COLOURED  # residual variances that another column explains
NEARLY = 1  # columns to either side of the usual Stribeck velocity
OWN = [ARMATURE, VISCOUS, COULOMB, OFFSET, DELAY]  # columns of a joint that are no curves


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


def steepest(sums: Block, shared: int, usual: npt.NDArray[np.intp] | int = USUAL) -> Steepest:
    """Which column of friction at low speed explains most.

    Profile likelihood: the joint's own parameters and the shared ones follow each choice. Only a
    rise counts.

    Args:
        sums: of all blocks.
        shared: number of the columns that joints share.
        usual: (nj,) which column counts without evidence.
    """
    base = [*OWN, *range(LOCAL, LOCAL + shared)]
    found = np.empty((2, len(sums.cross)), dtype=np.intp)
    found[:] = usual
    sharp = np.zeros(len(sums.cross), dtype=bool)
    for j, rows in enumerate(sums.rows.sum(axis=1)):
        size = np.sqrt(np.maximum(np.diag(sums.mean[j]), 1e-300))
        left, _ = _eliminated(sums.cross[j], size, base)
        noisy, _ = _eliminated(sums.mean[j], size, base)
        power = np.diag(left)[:-1]
        along = np.where(power > 1e-6, np.maximum(left[:-1, -1], 0.0), 0.0)
        gain = along**2 / np.maximum(power, 1e-6)
        best = int(gain.argmax())
        noise = max(float(noisy[-1, -1] - gain[best]), 1e-9) / max(rows, 1.0)
        if gain[best] > 0.0:
            found[0, j] = best
        if gain[best] - gain[found[1, j]] > STRONG * noise:
            found[1, j] = best
        far = np.abs(np.arange(len(gain)) - best) > 1
        sharp[j] = gain[best] - gain[far].max() > STRONG * noise
    return Steepest(found[0], found[1], sharp)


def other_curves(
    sums: Block, shared: int, curves: npt.NDArray[np.intp], speeds: Array, usual: Array
) -> Array:
    """What a rise of friction about the usual Stribeck velocity would do, (nj, 5).

    Where a joint's model has another curve, Coulomb and viscous friction take a part of the rise.
    How much of one there seems to be beside the model's own, and the next ones, follows from what
    it explains, and from how large rises are. It is no more than a doubt: other misfit looks like
    it, too.

    Args:
        sums: of all blocks.
        shared: number of the columns that joints share.
        curves: (nj,) the models' own curves.
        speeds: (nj, 9) Stribeck velocities of the columns [rad/s or m/s].
        usual: (nj,) those that robots have before any is known [rad/s or m/s].

    Returns:
        Standard deviations, which go together, of a joint's own parameters up to ``DELAY``; not
        of its own rise, for static friction is both.
    """
    effects = np.zeros((len(curves), len(OWN)))
    near = np.abs(np.log(speeds / usual[:, None])).argmin(axis=1)
    for j, rows in enumerate(sums.rows.sum(axis=1)):
        if rows == 0.0:
            continue
        size = np.sqrt(np.maximum(np.diag(sums.mean[j]), 1e-300))
        beside = [k for k in (curves[j] - 1, curves[j] + 1) if 0 <= k < LOCAL - CURVE]
        base = [*OWN, CURVE + curves[j], *(CURVE + k for k in beside)]
        base += range(LOCAL, LOCAL + shared)
        left, fitted = _eliminated(sums.cross[j], size, base)
        noise = COLOURED * max(_eliminated(sums.mean[j], size, base)[0][-1, -1], 1e-9) / rows
        friction = abs(fitted[COULOMB, -1]) * size[-1] / size[COULOMB]
        large = np.maximum(RISE_SIZE * friction * size[CURVE:LOCAL] / size[-1], 1e-100)
        precision = np.maximum(np.diag(left)[:-1], 0.0) / noise + large**-2.0
        rise = left[:-1, -1] / (noise * precision)
        effect = -fitted[: len(OWN), :-1] * rise
        some = slice(max(near[j] - NEARLY, 0), near[j] + NEARLY + 1)
        worst = int(np.abs(effect[COULOMB, some]).argmax())
        effects[j] = effect[:, some][:, worst] * size[-1] / size[OWN]
    return effects


def _eliminated(matrix: Array, size: Array, base: list[int]) -> tuple[Array, Array]:
    """Moments of the curves and of the effort, (10, 10), after the base explained what it can.

    Args:
        matrix: (p, p) moments of a joint.
        size: (p,) what they are divided by.
        base: columns.

    Returns:
        The moments, and what the base takes of each, (base, 10).
    """
    further = [*range(CURVE, LOCAL), -1]
    matrix = matrix / np.outer(size, size)
    normal = matrix[np.ix_(base, base)] + 1e-6 * np.eye(len(base))
    fitted = np.asarray(np.linalg.solve(normal, matrix[np.ix_(base, further)]), dtype=float)
    return matrix[np.ix_(further, further)] - matrix[np.ix_(further, base)] @ fitted, fitted


def slow_friction(profile: RobotProfile, fastest: Array) -> Array:
    """Relative standard deviation of Coulomb friction for want of speed, (nj,).

    Friction of a joint that never gets much faster than its nominal Stribeck velocity may be
    static friction in part, however well it is known.

    Args:
        profile: the robot.
        fastest: (nj,) highest speed of each joint [rad/s or m/s].
    """
    return np.asarray(RISE_SIZE * np.exp(-np.square(fastest / usual_speeds(profile))))


def unseen_rise(
    usual: Array, velocity: Array, moves: npt.NDArray[np.bool_], highest: Array
) -> Array:
    """What a rise of friction that is too wide to be seen does to friction, (nj, 2).

    Args:
        usual: (nj,) Stribeck velocities before any is known [rad/s or m/s].
        velocity: (rows, nj) [rad/s or m/s].
        moves: (rows, nj) whether a row counts.
        highest: (nj,) largest Stribeck velocities that are looked for [rad/s or m/s].

    Returns:
        Standard deviations of Coulomb friction and viscous friction [s/rad or s/m], which go
        together, as shares of Coulomb friction; 0 of joints that are fast enough.
    """
    effects = np.zeros((len(usual), 2))
    for j in np.flatnonzero(usual > highest):
        v = velocity[moves[:, j], j]
        if len(v):
            rise = np.sign(v) * np.exp(-np.square(v / usual[j]))
            effects[j] = np.linalg.lstsq(np.stack([np.sign(v), v], 1), rise, rcond=None)[0]
    return RISE_SIZE * effects
