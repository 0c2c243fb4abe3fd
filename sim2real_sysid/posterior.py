"""What the collected rows say of the parameters, and how well.

Rows are summed into products (moments) per joint and per block of half a second; nothing else is
kept. From these the estimate follows in closed form:

- Normal equations from products of twins, hence free of noise bias (instrumental variables),
  weighted by each joint's residual variance, with a prior so weak (ten times the effort seen)
  that it matters only where the data say nothing.
- Covariance by leaving out one block after the other (the block jackknife; Kunsch 1989). Filtered
  residuals are coloured, and what the model leaves out is more so; blocks longer than both need
  no model of it, and a parameter that hangs on one short episode gets a wide interval.
- On top of it, ``model_error`` of every term of the model as an independent error, which no
  amount of data removes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_sysid.regression import LOCAL, Rows

Array = npt.NDArray[np.float64]

BLOCK = 0.5  # s
MOST_BLOCKS = 96
PRIOR = 10.0  # times the effort seen
LEAST_RELIABILITY = 0.5


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
        matters: (n,) smallest value that makes a difference: 5 % of the effort seen.
    """

    mean: Array
    covariance: Array
    known: npt.NDArray[np.bool_]
    reliable: npt.NDArray[np.bool_]
    matters: Array


def solve(
    moments: Moments, nominal: Array, timing_error: float, model_error: float
) -> Posterior:
    """Estimate from moments.

    Args:
        moments: of at least one block.
        nominal: (n,) nominal values: ``LOCAL`` for each joint in turn, then the payload's if
            rows have one.
        timing_error: prior standard deviation of the delays [s].
        model_error: relative standard deviation of the model's terms.
    """
    blocks, noisy = moments.cross, moments.mean.sum(axis=0)
    total = blocks.sum(axis=0)
    nj, p = noisy.shape[:2]
    rows = moments.count.sum(axis=(0, 2))
    used = np.array([np.r_[LOCAL * j : LOCAL * (j + 1), LOCAL * nj : len(nominal)]
                     for j in range(nj)])  # fmt: skip
    size = np.sqrt(np.einsum('jaa->ja', noisy) / np.maximum(rows, 1.0)[:, None])  # (nj, p) rms
    with np.errstate(divide='ignore', invalid='ignore'):
        widest = np.where(size[:, : p - 2] > 0, size[:, -1:] / size[:, : p - 2], np.inf)
    effect = np.full(len(nominal), np.inf)  # value that would explain all of the effort
    np.minimum.at(effect, used, widest)
    known = np.isfinite(effect) & (effect > 0)
    prior = np.where(known, PRIOR * effect, 1.0)
    prior[: LOCAL * nj].reshape(nj, LOCAL)[:, -1] = timing_error

    # In units of the prior's standard deviations everything is of order one.
    scale = np.concatenate([prior[used], np.ones((nj, 2))], axis=1)  # (nj, p)
    scale = scale[:, :, None] * scale[:, None, :]
    blocks, total, noisy = blocks * scale, total * scale, noisy * scale
    start = nominal / prior
    power = size[:, -1] ** 2
    weights = np.divide(1.0, power, out=np.zeros(nj), where=power > 0)
    weights[~_positive(weights[:, None, None] * total[:, : p - 2, : p - 2])] = 0.0
    for _ in range(3):  # parameters and residual variances in turn
        normal, right, _ = _stack(total, weights, used, start)
        mean = np.linalg.solve(normal, right)
        variance = np.maximum(_residual(noisy, mean[used], rows), 1e-12 * power)
        weights = np.divide(1.0, variance, out=np.zeros(nj), where=weights > 0)
    normal, right, rigid = _stack(total, weights, used, start)
    inverse = np.linalg.inv(normal)
    mean = inverse @ right

    covariance = _jackknife(blocks, weights, used, start, normal, right, mean)
    covariance += inverse @ inverse  # what the prior leaves open, where only it speaks
    shift = inverse @ rigid.T
    own = mean.copy()
    own[: LOCAL * nj].reshape(nj, LOCAL)[:, -1] = 0.0
    covariance += model_error**2 * (shift @ shift.T + np.diag(own**2))
    noisy_inverse = np.linalg.inv(_stack(noisy, weights, used, start)[0])
    reliable = np.diag(noisy_inverse) > LEAST_RELIABILITY * np.diag(inverse)
    return Posterior(
        mean=mean * prior,
        covariance=covariance * np.outer(prior, prior),
        known=known,
        reliable=reliable & known,
        matters=np.where(known, 0.05 * effect, np.inf),
    )


def _positive(total: Array) -> npt.NDArray[np.bool_]:
    """(nj,) whether products of twins, plus the prior, are positive definite: motion above noise."""
    return np.asarray(np.linalg.eigvalsh(total + np.eye(total.shape[-1])).min(axis=-1) > 0)


def _stack(
    moments: Array, weights: Array, used: npt.NDArray[np.intp], start: Array
) -> tuple[Array, Array, Array]:
    """Normal matrix (..., n, n) and right side (..., n) with the prior, and per joint the
    products with the rigid body effort (..., nj, n)."""
    lead, n, p = moments.shape[:-3], len(start), moments.shape[-1]
    normal = np.zeros((*lead, n, n)) + np.eye(n)
    right = np.zeros((*lead, n)) + start
    rigid = np.zeros((*lead, len(used), n))
    for j, index in enumerate(used):
        part = weights[j] * moments[..., j, :, :]
        normal[..., index[:, None], index[None, :]] += part[..., : p - 2, : p - 2]
        right[..., index] += part[..., : p - 2, -1]
        rigid[..., j, index] = part[..., : p - 2, -2]
    return normal, right, rigid


def _residual(noisy: Array, mean: Array, rows: Array) -> Array:
    """(nj,) variance of the residuals; ``mean``: (nj, p - 2) parameters of each joint's row."""
    nj, p = noisy.shape[:2]
    form = np.concatenate([-mean, np.zeros((nj, 1)), np.ones((nj, 1))], axis=1)
    squares = np.einsum('ja,jab,jb->j', form, noisy, form)
    return np.asarray(squares / np.maximum(rows - (p - 2), 1.0))


def _jackknife(
    blocks: Array,
    weights: Array,
    used: npt.NDArray[np.intp],
    start: Array,
    normal: Array,
    right: Array,
    mean: Array,
) -> Array:
    """Covariance (n, n) from the estimates without one block each."""
    normals, rights, _ = _stack(blocks, weights, used, start)
    less = normal - (normals - np.eye(len(start)))
    without = np.linalg.solve(less, (right - (rights - start))[..., None])[..., 0]
    change = without - mean
    n = len(blocks)
    return np.asarray((n - 1) / n * change.T @ change)
