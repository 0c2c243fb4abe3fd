"""What the collected rows say of the parameters, and how well.

Rows are summed into products (moments) per joint and per block of half a second; nothing else is
kept. From these the estimate follows in closed form:

- Normal equations from products of twins, hence free of noise bias (instrumental variables),
  weighted by each joint's residual variance, with a prior so weak that it matters only where
  the data say nothing.
- Covariance by leaving out one block after the other (the block jackknife; Kunsch 1989). Filtered
  residuals are coloured, and what the model leaves out is more so; blocks longer than both need
  no model of it, and a parameter that hangs on one short episode gets a wide interval.
- On top of it what no amount of data removes: a share of the misfit, which the twins show free
  of noise; the spread of the delays; and ``model_error`` of every term of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_sysid.regression import COULOMB, DELAY, LOCAL, STRIBECK, Rows

Array = npt.NDArray[np.float64]

BLOCK = 0.5  # s
MOST_BLOCKS = 96
PRIOR = 10.0  # standard deviation of the prior: times the value that explains all effort
STRIBECK_SIZE = 0.3  # standard deviation of the rise of friction at low speed, of Coulomb's
MISFIT = 0.07  # share of the misfit that may look like any one term
MATTERS = 0.05  # share of the effort below which a value makes no difference
LEAST_RELIABILITY = 0.5  # share of a parameter's information that is motion, not noise


class Moments:
    """Sums of products of rows, in blocks.

    Args:
        joints: number of joints, nj.
        columns: number of columns of a row, p.
        memory: seconds of motion that are kept.
    """

    def __init__(self, joints: int, columns: int, memory: float) -> None:
        self._memory = memory
        self._length = BLOCK
        self._opened = -np.inf
        shape = (0, joints, columns, columns)
        self.cross = np.zeros(shape)
        """(B, nj, p, p) sums of symmetrized products of one twin with the other."""
        self.mean = np.zeros(shape)
        """(B, nj, p, p) sums of products of the twins' mean: noise included."""
        self.count = np.zeros((0, joints, 2))
        """(B, nj, 2) rows of motion backward and forward."""

    def restart(self) -> None:
        """Close the open block: time starts anew."""
        self._opened = -np.inf

    def add(self, rows: Rows) -> None:
        """Add the valid ones of these rows."""
        if not 0.0 <= rows.stamp - self._opened < self._length:
            self._opened = rows.stamp
            self._open_block()
        keep = rows.valid[:, None]
        first, second = rows.values[0] * keep, rows.values[1] * keep
        product = first[:, :, None] * second[:, None, :]
        self.cross[-1] += 0.5 * (product + product.transpose(0, 2, 1))
        mean = 0.5 * (first + second)
        self.mean[-1] += mean[:, :, None] * mean[:, None, :]
        self.count[-1, :, 0] += rows.valid & (rows.direction < 0)
        self.count[-1, :, 1] += rows.valid & (rows.direction > 0)

    def _open_block(self) -> None:
        most = int(self._memory / self._length)
        kept = (self.cross, self.mean, self.count)
        if len(self.cross) >= MOST_BLOCKS:
            self._length *= 2.0
            kept = tuple(part[0::2] + part[1::2] for part in kept)  # type: ignore[assignment]
        elif len(self.cross) >= most:
            kept = tuple(part[-most + 1 :] for part in kept)  # type: ignore[assignment]
        self.cross, self.mean, self.count = (
            np.concatenate([part, np.zeros((1, *part.shape[1:]))]) for part in kept
        )


@dataclass(frozen=True)
class Posterior:
    """Estimate of n stacked parameters.

    Attributes:
        mean: (n,).
        covariance: (n, n); meaningless where ``known`` is False.
        known: (n,) whether any row told of the parameter.
        reliable: (n,) whether the motion it was learned from stood out of the noise.
        matters: (n,) smallest value that makes a difference: it explains 5 % of the effort.
    """

    mean: Array
    covariance: Array
    known: npt.NDArray[np.bool_]
    reliable: npt.NDArray[np.bool_]
    matters: Array


def solve(
    moments: Moments,
    nominal: Array,
    *,
    timing_error: float,
    timing_spread: Array,
    model_error: float,
) -> Posterior:
    """Estimate from moments.

    Args:
        moments: of at least one block.
        nominal: (n,) nominal values: ``LOCAL`` for each joint in turn, then the payload's if
            rows have one.
        timing_error: prior standard deviation of the delays [s].
        timing_spread: (nj,) standard deviation [s] of a joint's delay from one part of its
            effort to another, which one delay cannot express.
        model_error: relative standard deviation of the model's terms.
    """
    noisy, rows = moments.mean.sum(axis=0), moments.count.sum(axis=(0, 2))
    nj, p = noisy.shape[:2]
    n, first = len(nominal), LOCAL * np.arange(nj)
    own = first[:, None] + np.arange(LOCAL)
    used = np.concatenate([own, np.tile(np.arange(LOCAL * nj, n), (nj, 1))], axis=1)  # (nj, p - 2)
    size = np.sqrt(np.einsum('jaa->ja', noisy) / np.maximum(rows, 1.0)[:, None])  # (nj, p) rms
    ratio = np.full((nj, p - 2), np.inf)
    np.divide(size[:, -1:], size[:, : p - 2], out=ratio, where=size[:, : p - 2] > 0)
    effect = np.full(n, np.inf)  # the value that would explain all of the effort by itself
    np.minimum.at(effect, used, ratio)
    known = np.isfinite(effect) & (effect > 0)

    # In units of the effects everything is of order one.
    scale = np.where(known, effect, 1.0)
    wide = np.concatenate([scale[used], np.ones((nj, 2))], axis=1)
    blocks, noisy = (m * wide[:, :, None] * wide[:, None, :] for m in (moments.cross, noisy))
    total = blocks.sum(axis=0)
    precision = np.where(known, PRIOR**-2, 1.0)
    precision[first + DELAY] = (scale[first + DELAY] / timing_error) ** 2
    system = _System(used, np.zeros(nj), precision, nominal / scale)
    power = size[:, -1] ** 2
    np.divide(1.0, power, out=system.weights, where=power > 0)
    system.weights[~system.positive(total)] = 0.0
    for _ in range(4):  # parameters, and what depends on them, in turn
        mean = np.linalg.solve(*system.stack(total)[:2])
        variance = np.maximum(_residual(noisy, mean[used], rows), 1e-12 * power)
        np.divide(1.0, variance, out=system.weights, where=system.weights > 0)
        friction = np.abs(mean * scale)[first + COULOMB]
        rise = STRIBECK_SIZE * np.maximum(friction, 1e-3 * scale[first + COULOMB])
        precision[first + STRIBECK] = (scale[first + STRIBECK] / rise) ** 2
    normal, right, rigid = system.stack(total)
    inverse = np.linalg.inv(normal)
    mean = inverse @ right

    covariance = system.jackknife(blocks, normal, right, mean)
    covariance += (inverse * precision) @ inverse  # what the prior leaves open
    terms = mean.copy()
    terms[first + DELAY] = terms[first + STRIBECK] = 0.0
    shift = inverse @ rigid.T
    covariance += model_error**2 * (shift @ shift.T + np.diag(terms**2))
    covariance += inverse @ system.misfit(total, noisy, mean, rows) @ inverse
    late = first + DELAY  # what the estimate would be with other delays
    slope = inverse[:, late] / np.diag(inverse)[late] * (timing_spread / scale[late])
    covariance += slope @ slope.T
    with_noise = np.linalg.inv(system.stack(noisy)[0])
    reliable = np.diag(with_noise) > LEAST_RELIABILITY * np.diag(inverse)
    return Posterior(
        mean=mean * scale,
        covariance=covariance * np.outer(scale, scale),
        known=known,
        reliable=reliable & known,
        matters=np.where(known, MATTERS * effect, np.inf),
    )


@dataclass
class _System:
    """Weighted normal equations with a prior.

    Attributes:
        used: (nj, p - 2) which parameters a joint's row depends on.
        weights: (nj,) inverse residual variances; 0 leaves a joint out.
        precision: (n,) of the prior.
        start: (n,) its mean.
    """

    used: npt.NDArray[np.intp]
    weights: Array
    precision: Array
    start: Array

    def stack(self, moments: Array) -> tuple[Array, Array, Array]:
        """Normal equations from moments (..., nj, p, p).

        Returns:
            Normal matrix (..., n, n), right side (..., n), and per joint the products with the
            rigid body effort (..., nj, n).
        """
        lead, n, p = moments.shape[:-3], len(self.start), moments.shape[-1]
        normal = np.zeros((*lead, n, n)) + np.diag(self.precision)
        right = np.zeros((*lead, n)) + self.precision * self.start
        rigid = np.zeros((*lead, len(self.used), n))
        for j, index in enumerate(self.used):
            part = self.weights[j] * moments[..., j, :, :]
            normal[..., index[:, None], index[None, :]] += part[..., : p - 2, : p - 2]
            right[..., index] += part[..., : p - 2, -1]
            rigid[..., j, index] = part[..., : p - 2, -2]
        return normal, right, rigid

    def positive(self, total: Array) -> npt.NDArray[np.bool_]:
        """(nj,) whether a joint's motion stands out of the noise.

        If it does, its products of twins are positive definite, given the prior.
        """
        k = self.used.shape[1]
        matrix = self.weights[:, None, None] * total[:, :k, :k]
        matrix = matrix + np.eye(k) * self.precision[self.used][:, None, :]
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

    def jackknife(self, blocks: Array, normal: Array, right: Array, mean: Array) -> Array:
        """Covariance (n, n) from the estimates without one block each."""
        normals, rights, _ = self.stack(blocks)
        less = normal - (normals - np.diag(self.precision))
        rest = right - (rights - self.precision * self.start)
        change = np.linalg.solve(less, rest[..., None])[..., 0] - mean
        n = len(blocks)
        return np.asarray(max(n - 1, 1) / n * change.T @ change)


def _residual(noisy: Array, mean: Array, rows: Array) -> Array:
    """(nj,) variance of the residuals; ``mean``: (nj, p - 2) parameters of each joint's row."""
    nj, p = noisy.shape[:2]
    form = np.concatenate([-mean, np.zeros((nj, 1)), np.ones((nj, 1))], axis=1)
    squares = np.einsum('ja,jab,jb->j', form, noisy, form)
    return np.asarray(squares / np.maximum(rows - (p - 2), 1.0))
