"""What the collected rows say of the parameters, and how well.

From the moments the estimate follows in closed form:

- Normal equations from products of twins, hence free of noise bias (instrumental variables),
  weighted by each joint's residual variance, with a prior so weak that it matters only where
  the data say nothing, unless there is something to be carried over.
- Covariance by leaving out one block after the other (the block jackknife; Kunsch 1989). Filtered
  residuals are coloured, and what the model leaves out is more so; blocks longer than both need
  no model of it, and a parameter that hangs on one short episode gets a wide interval.
- On top of it what no amount of data removes: a share of the misfit, which the twins show free
  of noise; the spread of the delays; friction that lags behind the speed; and ``model_error`` of
  every term of the model.
- Friction does not fall below Coulomb friction at low speed: its rise is a Gaussian cut at zero,
  and what the cut says goes to all others. Left free, the rise takes a bit of any misfit at low
  speed, and Coulomb and viscous friction pay for it.

A model is a choice of columns, or of sums of columns, for each joint (see :class:`Model`).

Example: 6 joints with seven columns each, four of the payload and five zeros of joints make n = 51
parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_sysid.moments import Block
from sim2real_sysid.regression import (
    ARMATURE,
    COULOMB,
    CURVE,
    DELAY,
    LOCAL,
    OFFSET,
    TILT,
    VISCOUS,
)

Array = npt.NDArray[np.float64]

NOTHING = 1e-9  # SI; columns that are smaller than this were never excited
PRIOR = 10.0  # standard deviation of the prior: times the value that explains all effort
RISE_SIZE = 0.5  # standard deviation of the rise of friction at low speed, of Coulomb's
BEND_SIZE = 0.5  # of the logarithm of the Stribeck velocity about that of its column
MISFIT = 0.07  # share of the misfit that may look like any one term
MATTERS = 0.05  # share of the effort below which a value makes no difference
LEAST_RELIABILITY = 0.5  # share of a parameter's information that is motion, not noise
# Dry and viscous friction follow the speed by up to a millisecond (frictional memory; Armstrong-
# Helouvry, Dupont and Canudas de Wit 1994): viscous friction of a later speed weighs as inertia.
FRICTION_LAG = 0.5e-3  # [s]
USUAL = 2  # column of friction at low speed: a hundredth of the speed limit
MAIN, FULL = 7, 8
"""Columns of a joint in the main model (the quantities, the delay, friction at low speed), and in
the full one, whose viscous friction differs between the directions."""
RISE, BEND, LEAN = 5, 6, 7
"""Columns after the delay: the rise of friction at low speed; by what the logarithm of the
Stribeck velocity is off, times the rise; the tilt of the viscous friction."""


@dataclass(frozen=True)
class Model:
    """Columns of each joint.

    Attributes:
        maps: (nj, p, m) sums of a row's columns; the last two are rigid body effort and
            remaining effort, before them come those that the joints share.
        local: number of columns that are a joint's own.
        shared: number of those that the joints share: of the payload, and the joints' zeros.
    """

    maps: Array
    local: int
    shared: int

    @classmethod
    def of(
        cls,
        curves: npt.NDArray[np.intp],
        columns: int,
        full: bool,
        zeros: int = 0,
        carried: float = 0.0,
    ) -> Model:
        """The main model, or the full one.

        Args:
            curves: (nj,) which of the columns of friction at low speed a joint has.
            columns: of a row, p.
            full: also ``LEAN``.
            zeros: number of zeros that have a second column, per kilogram of payload.
            carried: mass of the payload beyond the nominal one [kg].
        """
        shared = columns - LOCAL - 2 - zeros
        own = FULL if full else MAIN
        maps = np.zeros((len(curves), columns, own + shared + 2))
        maps[:, LOCAL : LOCAL + shared, own : own + shared] = np.eye(shared)
        per_kilogram = slice(LOCAL + shared, LOCAL + shared + zeros)
        maps[:, per_kilogram, own + shared - zeros : own + shared] = carried * np.eye(zeros)
        maps[:, -2:, -2:] = np.eye(2)
        maps[:, :RISE, :RISE] = np.eye(RISE)
        if full:
            maps[:, TILT, LEAN] = 1.0
        for j, k in enumerate(curves):
            maps[j, CURVE + k, RISE] = 1.0
            low, high = max(k - 1, 0), min(k + 1, LOCAL - CURVE - 1)
            step = 0.5 * math.log(2.0) * (high - low)  # columns are half an octave apart
            maps[j, CURVE + high, BEND], maps[j, CURVE + low, BEND] = 1 / step, -1 / step
        return cls(maps, own, shared)

    def apply(self, moments: Array) -> Array:
        """Moments (..., nj, p, p) as those of the model, (..., nj, m, m)."""
        return np.asarray(self.maps.transpose(0, 2, 1) @ moments @ self.maps)


@dataclass(frozen=True)
class Uncertainty:
    """What no amount of data removes.

    Attributes:
        timing: prior standard deviation of the delays [s], of all or (nj,).
        spread: (nj,) standard deviation [s] of a joint's delay from one part of its effort to
            another, which one delay cannot express.
        onset: likewise of when dry friction, which sets in at once, does so [s].
        model: relative standard deviation of the model's terms.
        effort: (nj,) relative standard deviation of a joint's effort; None for none.
        shared: (s,) prior standard deviations of what the joints share; infinite for none.
        friction: (nj,) relative standard deviation of a joint's Coulomb friction; None for none.
        steps: (nj, 3) what the unknown timing of an effort's steps does to armature, viscous
            friction and delay, standard deviations that go together; None for none.
        curves: (nj, 5) likewise, what another curve of friction at low speed does to a joint's
            own parameters up to ``DELAY``.
    """

    timing: float | Array
    spread: Array
    onset: float
    model: float
    shared: Array
    effort: Array | None = None
    friction: Array | None = None
    steps: Array | None = None
    curves: Array | None = None


@dataclass(frozen=True)
class Carried:
    """What is known from before of the main model's parameters.

    Attributes:
        mean: (n,).
        precision: (n, n) inverse covariance.
    """

    mean: Array
    precision: Array


@dataclass(frozen=True)
class Posterior:
    """Estimate of n stacked parameters.

    Attributes:
        mean: (n,).
        covariance: (n, n); meaningless where ``known`` is False.
        known: (n,) whether any row told of the parameter.
        reliable: (n,) whether the motion it was learned from stood out of the noise.
        matters: (n,) smallest value that makes a difference: it explains 5 % of the effort.
        inverse: (n, n) of the normal equations: how the motion alone ties the parameters.
    """

    mean: Array
    covariance: Array
    known: npt.NDArray[np.bool_]
    reliable: npt.NDArray[np.bool_]
    matters: Array
    inverse: Array


@dataclass
class Fit:
    """A point estimate, and the equations that it solves, in units of the effects.

    Attributes:
        system: the equations' weights and prior.
        scale: (n,) units of the parameters.
        mean: (n,) estimate [units].
        inverse: (n, n) of the normal matrix.
        wide: (nj, m, m) units of the moments.
        noisy: (nj, m, m) moments of the twins' mean.
        total: (nj, m, m) moments of the twins' products.
        rows: (nj,) their number.
        known: (n,) whether any row told of the parameter.
        effect: (n,) value that would explain all of the effort by itself.
    """

    system: _System
    scale: Array
    mean: Array
    inverse: Array
    wide: Array
    noisy: Array
    total: Array
    rows: Array
    known: npt.NDArray[np.bool_]
    effect: Array

    def scores(self, cross: Array, noisy: Array) -> tuple[Array, Array]:
        """Scores (b, n) of blocks at the estimate, and the information beside them.

        Scores have no noise bias, but they scatter with the noise of the regressors, too: where a
        joint hardly moves, its acceleration is mostly that.

        Args:
            cross: (b, nj, m, m) products of twins, as the model has them.
            noisy: likewise, of each twin with itself.
        """
        normal, right, _ = self.system.stack(cross * self.wide)
        normal, right = normal - self.system.precision, right - self.system.pull
        score = right - normal @ self.mean
        with_noise = self.system.stack(noisy * self.wide)[0] - self.system.precision
        information = np.einsum('baa->ba', with_noise)
        return score / self.scale, information / self.scale**2


def fit(
    sums: Block,
    model: Model,
    nominal: Array,
    uncertainty: Uncertainty,
    carried: Carried | None = None,
) -> Fit:
    """Point estimate from the sums of all blocks; see :func:`solve`."""
    noisy, rows = model.apply(sums.mean), sums.rows.sum(axis=1)
    nj, p = noisy.shape[:2]
    n, first = len(nominal), model.local * np.arange(nj)
    own = first[:, None] + np.arange(model.local)
    shared = np.tile(np.arange(model.local * nj, n), (nj, 1))
    used = np.concatenate([own, shared], axis=1)  # (nj, p - 2)
    power = np.maximum(np.einsum('jaa->ja', noisy), 0.0)  # sums of columns may cancel
    size = np.sqrt(power / np.maximum(rows, 1.0)[:, None])  # (nj, p) rms
    ratio = np.full((nj, p - 2), np.inf)
    np.divide(size[:, -1:], size[:, : p - 2], out=ratio, where=size[:, : p - 2] > NOTHING)
    effect = np.full(n, np.inf)
    np.minimum.at(effect, used, ratio)
    known = np.isfinite(effect) & (effect > 0)

    # In units of the effects everything is of order one.
    scale = np.where(known, effect, 1.0)
    wide = np.concatenate([scale[used], np.ones((nj, 2))], axis=1)
    wide = wide[:, :, None] * wide[:, None, :]
    noisy, total = noisy * wide, model.apply(sums.cross) * wide
    precision = np.where(known, PRIOR**-2, 1.0)
    precision[first + DELAY] = (scale[first + DELAY] / uncertainty.timing) ** 2
    common = slice(n - model.shared, n)
    precision[common] += (scale[common] / uncertainty.shared) ** 2
    before = None if carried is None else _spread(carried, model, scale)
    if before is not None:
        known = known | (np.diag(before[0]) > 0.0)
    system = _System(used, np.zeros(nj), np.diag(precision), np.zeros(n))
    power = size[:, -1] ** 2
    np.divide(1.0, power, out=system.weights, where=power > 0)
    system.weights[~system.positive(total)] = 0.0
    start = mean = nominal / scale
    for _ in range(4):  # parameters, and what depends on them, in turn
        friction = np.abs(mean * scale)[first + COULOMB]
        rise = RISE_SIZE * np.maximum(friction, 1e-3 * scale[first + COULOMB])
        precision[first + RISE] = (scale[first + RISE] / rise) ** 2
        # Where nothing rises, no Stribeck velocity is off.
        bend = BEND_SIZE * np.clip((mean * scale)[first + RISE], 1e-3 * rise, None)
        precision[first + BEND] = (scale[first + BEND] / bend) ** 2
        system.precision, system.pull = np.diag(precision), precision * start
        if before is not None:
            system.precision, system.pull = system.precision + before[0], system.pull + before[1]
        normal, right, _ = system.stack(total)
        mean = np.asarray(np.linalg.solve(normal, right), dtype=float)
        variance = np.maximum(_residual(noisy, mean[used], rows), 1e-12 * power)
        np.divide(1.0, variance, out=system.weights, where=system.weights > 0)
    normal, right, _ = system.stack(total)
    inverse = np.asarray(np.linalg.inv(normal), dtype=float)
    return Fit(
        system=system,
        scale=scale,
        mean=inverse @ right,
        inverse=inverse,
        wide=wide,
        noisy=noisy,
        total=total,
        rows=rows,
        known=known,
        effect=effect,
    )


def solve(
    blocks: Block,
    sums: Block,
    model: Model,
    nominal: Array,
    uncertainty: Uncertainty,
    carried: Carried | None = None,
) -> Posterior:
    """Estimate from at least one block.

    Args:
        blocks: stacked.
        sums: of them.
        model: what is estimated.
        nominal: (n,) nominal values: those of each joint in turn, then what they share.
        uncertainty: what no amount of data removes.
        carried: what is known from before.
    """
    found = fit(sums, model, nominal, uncertainty, carried)
    system, scale, inverse, mean = found.system, found.scale, found.inverse, found.mean
    first = model.local * np.arange(len(found.rows))
    covariance = system.jackknife(model.apply(blocks.cross) * found.wide, found.total, mean)
    covariance += inverse @ system.precision @ inverse  # what the prior leaves open
    terms = mean.copy()
    terms[first + DELAY] = terms[first + RISE] = terms[first + BEND] = 0.0
    tied = inverse @ system.stack(found.total)[2].T
    covariance += uncertainty.model**2 * (tied @ tied.T + np.diag(terms**2))
    if uncertainty.effort is not None and uncertainty.effort.any():
        pulled = inverse @ (system.efforts(found.total).T * uncertainty.effort)
        covariance += pulled @ pulled.T
    covariance += inverse @ system.misfit(found.total, found.noisy, mean, found.rows) @ inverse
    late = first + DELAY  # what the estimate would be with other delays
    slope = inverse[:, late] / np.diag(inverse)[late] / scale[late]
    covariance += (uncertainty.spread**2 * slope) @ slope.T
    for dry in (first + COULOMB)[:, None] + np.array([0, OFFSET - COULOMB]):
        onset = uncertainty.onset * slope[dry]
        covariance[np.ix_(dry, dry)] += onset @ onset.T
    lag = FRICTION_LAG * (mean * scale)[first + VISCOUS] / scale[first + ARMATURE]
    covariance[first + ARMATURE, first + ARMATURE] += lag**2
    if uncertainty.steps is not None:
        places = first[:, None] + np.array([ARMATURE, VISCOUS, DELAY])
        covariance += _together(uncertainty.steps / scale[places], places, len(mean))
    if uncertainty.friction is not None:
        covariance[first + COULOMB, first + COULOMB] += (
            uncertainty.friction * mean[first + COULOMB]
        ) ** 2
    with_noise = np.linalg.inv(system.stack(found.noisy)[0])
    reliable = np.diag(with_noise) > LEAST_RELIABILITY * np.diag(inverse)
    told = system.weights > 0.0
    reliable &= np.append(np.repeat(told, model.local), np.full(model.shared, told.any()))
    mean = mean.copy()
    for i in first + RISE:
        _truncate(mean, covariance, int(i))
    if uncertainty.curves is not None:  # the cut above is of the model's own curve
        places = first[:, None] + np.arange(RISE)
        covariance += _together(uncertainty.curves / scale[places], places, len(mean))
    return Posterior(
        mean=mean * scale,
        covariance=covariance * np.outer(scale, scale),
        known=found.known,
        reliable=reliable & found.known,
        matters=np.where(found.known, MATTERS * found.effect, np.inf),
        inverse=inverse * np.outer(scale, scale),
    )


def _together(effects: Array, places: npt.NDArray[np.intp], n: int) -> Array:
    """Covariance (n, n) of effects (nj, m), of which those of a joint go together."""
    rows = np.zeros((len(effects), n))
    np.put_along_axis(rows, places, effects, axis=1)
    return np.asarray(rows.T @ rows)


def _spread(carried: Carried, model: Model, scale: Array) -> tuple[Array, Array]:
    """Precision (n, n) and pull (n,) of what is carried over, in the places of a larger model."""
    n, nj = len(scale), model.maps.shape[0]
    own = model.local * np.arange(nj)[:, None] + np.arange(MAIN)
    places = np.concatenate([own.ravel(), np.arange(model.local * nj, n)])
    matrix, pull = np.zeros((n, n)), np.zeros(n)
    matrix[np.ix_(places, places)] = carried.precision
    pull[places] = carried.precision @ carried.mean
    return matrix * np.outer(scale, scale), pull * scale


@dataclass
class _System:
    """Weighted normal equations with a prior.

    Attributes:
        used: (nj, p - 2) which parameters a joint's row depends on.
        weights: (nj,) inverse residual variances; 0 leaves a joint out.
        precision: (n, n) of the prior.
        pull: (n,) precision times mean of the prior.
    """

    used: npt.NDArray[np.intp]
    weights: Array
    precision: Array
    pull: Array

    def stack(self, moments: Array) -> tuple[Array, Array, Array]:
        """Normal equations from moments (..., nj, p, p).

        Returns:
            Normal matrix (..., n, n), right side (..., n), and per joint the products with the
            rigid body effort (..., nj, n).
        """
        lead, n, p = moments.shape[:-3], len(self.pull), moments.shape[-1]
        normal = np.zeros((*lead, n, n)) + self.precision
        right = np.zeros((*lead, n)) + self.pull
        rigid = np.zeros((*lead, len(self.used), n))
        for j, index in enumerate(self.used):
            part = self.weights[j] * moments[..., j, :, :]
            normal[..., index[:, None], index[None, :]] += part[..., : p - 2, : p - 2]
            right[..., index] += part[..., : p - 2, -1]
            rigid[..., j, index] = part[..., : p - 2, -2]
        return normal, right, rigid

    def efforts(self, total: Array) -> Array:
        """What each joint's effort adds to the right side, (nj, n)."""
        parts = np.zeros((len(self.used), len(self.pull)))
        for j, index in enumerate(self.used):
            effort = total[j, :-2, -1] + total[j, :-2, -2]  # the rigid bodies' was taken off
            parts[j, index] = self.weights[j] * effort
        return parts

    def positive(self, total: Array) -> npt.NDArray[np.bool_]:
        """(nj,) whether a joint's motion stands out of the noise.

        If it does, its products of twins are positive definite, given the prior.
        """
        k = self.used.shape[1]
        matrix = self.weights[:, None, None] * total[:, :k, :k]
        matrix = matrix + np.eye(k) * np.diag(self.precision)[self.used][:, None, :]
        return np.asarray(np.linalg.eigvalsh(matrix).min(axis=-1) > 0)

    def misfit(self, total: Array, noisy: Array, mean: Array, rows: Array) -> Array:
        """Score covariance (n, n) of what the model leaves out.

        The twins' noise is independent, so the products of their residuals show the misfit
        alone. A share of it may go along with any term of the model, however long it is watched:
        as if there were never more than ``1 / MISFIT**2`` independent rows.
        """
        wrong = np.maximum(_residual(total, mean[self.used], rows), 0.0)
        factor = MISFIT**2 * rows * self.weights**2 * wrong
        matrix = np.zeros((len(mean), len(mean)))
        for index, part in zip(self.used, factor[:, None, None] * noisy[:, :-2, :-2]):
            matrix[index[:, None], index[None, :]] += part
        return matrix

    def jackknife(self, blocks: Array, total: Array, mean: Array) -> Array:
        """Covariance (n, n) from the estimates without one block each."""
        normal, right, _ = self.stack(total)
        normals, rights, _ = self.stack(blocks)
        less = normal - (normals - self.precision)
        rest = right - (rights - self.pull)
        change = np.linalg.solve(less, rest[..., None])[..., 0] - mean
        n = len(blocks)
        return np.asarray(max(n - 1, 1) / n * change.T @ change)


def _residual(noisy: Array, mean: Array, rows: Array) -> Array:
    """(nj,) variance of the residuals; ``mean``: (nj, p - 2) parameters of each joint's row."""
    nj, p = noisy.shape[:2]
    form = np.concatenate([-mean, np.zeros((nj, 1)), np.ones((nj, 1))], axis=1)
    squares = np.einsum('ja,jab,jb->j', form, noisy, form)
    return np.asarray(squares / np.maximum(rows - (p - 2), 1.0))


def _truncate(mean: Array, covariance: Array, i: int) -> None:
    """Cut a Gaussian where its i-th component is negative, and keep two moments of the rest.

    Moments of the one component after Simon and Simon (2010), those of the others by regression
    on it.
    """
    variance = float(covariance[i, i])
    if variance <= 0.0:
        return
    sigma = math.sqrt(variance)
    low = -float(mean[i]) / sigma
    hazard = low + 1.0 / low if low > 6.0 else _hazard(low)  # far out the tail is exponential
    gain = covariance[:, i] / variance
    mean += gain * sigma * hazard
    covariance -= np.outer(gain, gain) * variance * min(hazard * (hazard - low), 1.0)


def _hazard(x: float) -> float:
    """Density over tail probability of the standard normal distribution."""
    tail = 0.5 * math.erfc(x / math.sqrt(2.0))
    return math.exp(-0.5 * x * x) / (math.sqrt(2.0 * math.pi) * tail)
