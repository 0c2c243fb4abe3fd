"""One small linear regression for each of several joints, with covariances that hold.

Rows are summed into products per joint and per block of time. Estimates follow from the sums of
all blocks, covariances from leaving out one block after the other (the block jackknife; Kunsch
1989), so that residuals may be coloured and the noise need not be known. A row comes with
instruments (Reiersol 1945): as many numbers that go with its regressors and know as little of
their noise as can be had. Rows that have none are their own.

Example: 6 joints and rows of 6 regressors and the observation keep products of (blocks, 6, 7, 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_BLOCKS = 96
REMOVED = 0.9  # share of the most noise that could be taken off; of a column with more, none
RIDGE = 1e-9  # share of the rows that the prior counts for at least; keeps equations regular
LEAST_RESIDUAL = 1e-12  # share of the observation's power; keeps the prior in the equations


@dataclass(frozen=True)
class Fit:
    """Of each joint.

    Attributes:
        mean: (nj, k) coefficients.
        covariance: (nj, k, k).
        blocks: (nj,) number of blocks they come from.
        size: (nj, k + 1) root mean square of regressors and observation.
        residual: (nj,) root mean square of what is left.
    """

    mean: Array
    covariance: Array
    blocks: npt.NDArray[np.intp]
    size: Array
    residual: Array


class Blocks:
    """Sums of products of rows.

    Args:
        joints: their number, nj.
        columns: of a row: k regressors, then the observation.
        length: of a block [s].
        memory: blocks that are older are forgotten [s].
        tags: numbers that are kept with each joint's part of a block.
    """

    def __init__(
        self, joints: int, columns: int, length: float, memory: float, tags: int = 0
    ) -> None:
        self._length, self._memory = length, memory
        self._opened = -np.inf
        self._shape = (joints, columns)
        self.products = np.zeros((0, joints, columns, columns))
        self.noise = np.zeros((0, joints, columns, columns))
        self.count = np.zeros((0, joints))
        self.tags = np.zeros((0, joints, tags))

    def restart(self) -> None:
        """Close the open block: time starts anew."""
        self._opened = -np.inf

    def clear(self, joints: Flags) -> None:
        """Forget what is known of some joints (nj,)."""
        self.products[:, joints] = 0.0
        self.noise[:, joints] = 0.0
        self.count[:, joints] = 0.0

    def due(self, stamp: float) -> bool:
        """Whether a row of this time begins a block."""
        return not 0.0 <= stamp - self._opened < self._length

    def open(self, stamp: float, tags: Array | None = None) -> None:
        """Begin a block, with tags (nj, tags)."""
        self._opened = stamp
        joints, columns = self._shape
        if len(self.count) >= MOST_BLOCKS:
            self._merge()
        kept = max(int(self._memory / self._length) - 1, 1)
        fresh = (
            np.zeros((1, joints, columns, columns)),
            np.zeros((1, joints, columns, columns)),
            np.zeros((1, joints)),
            np.zeros((1, joints, self.tags.shape[2])) if tags is None else tags[None],
        )
        old = (self.products, self.noise, self.count, self.tags)
        self.products, self.noise, self.count, self.tags = (
            np.concatenate([part[-kept:], new]) for part, new in zip(old, fresh)
        )

    def _merge(self) -> None:
        """Join neighbours; the tags of the later one stay."""
        self._length *= 2.0
        self.products = self.products[0::2] + self.products[1::2]
        self.noise = self.noise[0::2] + self.noise[1::2]
        self.count = self.count[0::2] + self.count[1::2]
        self.tags = self.tags[1::2]

    def add(
        self, instruments: Array, rows: Array, weight: Array, noise: Array | float = 0.0
    ) -> None:
        """Add rows to the open block.

        Args:
            instruments: (nj, columns) of the rows; the rows themselves where there are none.
            rows: (nj, columns).
            weight: (nj,).
            noise: (nj, columns, columns) covariance of the instruments' noise with that of the
                rows; it is taken off the products (corrected least squares; Fuller 1987).
        """
        self.products[-1] += weight[:, None, None] * instruments[:, :, None] * rows[:, None, :]
        self.noise[-1] += weight[:, None, None] * noise
        self.count[-1] += weight

    def solve(
        self,
        start: Array,
        deviation: Array,
        use: Flags | None = None,
        *,
        corrected: bool = True,
        combined: Array | None = None,
    ) -> Fit:
        """Least squares with a prior.

        Args:
            start: (nj, k) mean of the prior.
            deviation: (nj, k) its standard deviations; so wide that they matter only where the
                rows say nothing.
            use: (B, nj) which blocks to use; all when None.
            corrected: take the noise off.
            combined: (columns, k + 1) columns to regress on instead, as sums of those there are.
        """
        products, noise = self.products, self.noise
        if combined is not None:
            products, noise = (combined.T @ part @ combined for part in (products, noise))
        k = products.shape[-1] - 1
        used = self.count > 0.0
        if use is not None:
            used = used & use
        products = products * used[:, :, None, None]
        noise = noise * used[:, :, None, None]
        if corrected and noise.any():
            clear = _clear(products.sum(axis=0), noise.sum(axis=0))
            products, noise = products * clear, noise * clear
            share = _removable(products.sum(axis=0), noise.sum(axis=0))
            products = products - share[:, None, None] * noise
        total = products.sum(axis=0)
        rows = np.maximum((self.count * used).sum(axis=0), 1.0)
        size = np.sqrt(np.maximum(np.einsum('jaa->ja', total), 0.0) / rows[:, None])
        scale = np.where(size[:, :k] > 0, size[:, :k], 1.0)  # coefficients get the unit of y
        inner = products[..., :k, :k] / (scale[:, :, None] * scale[:, None, :])
        outer = products[..., :k, k] / scale
        precision = np.square(1.0 / (deviation * scale))
        least = np.where(size[:, k] > 0, LEAST_RESIDUAL * size[:, k] ** 2, 1.0)
        variance = np.maximum(least, size[:, k] ** 2)
        for _ in range(3):  # coefficients, and the residuals' variance, in turn
            prior = np.maximum(variance[:, None] * precision, RIDGE * rows[:, None])
            normal = inner.sum(axis=0) + prior[:, :, None] * np.eye(k)
            right = outer.sum(axis=0) + prior * start * scale
            inverse = np.linalg.inv(normal)
            mean = (inverse @ right[..., None])[..., 0]
            form = np.concatenate([-mean / scale, np.ones((len(mean), 1))], axis=1)
            residual = np.einsum('ja,jab,jb->j', form, total, form)
            variance = np.maximum(residual / np.maximum(rows - k, 1.0), least)
        spread = self._jackknife(normal - inner, right - outer, mean, used)
        opened = inverse * (prior * variance[:, None])[:, None, :] @ inverse.transpose(0, 2, 1)
        return Fit(
            mean / scale,
            (spread + opened) / (scale[:, :, None] * scale[:, None, :]),
            used.sum(axis=0),
            size,
            np.sqrt(variance),
        )

    @staticmethod
    def _jackknife(normal: Array, right: Array, mean: Array, used: Flags) -> Array:
        """Covariance (nj, k, k) from normal equations (B, nj, ...) without one block each."""
        change = np.linalg.solve(normal, right[..., None])[..., 0] - mean
        change = np.where(used[:, :, None], change, 0.0)
        number = np.maximum(used.sum(axis=0), 1)
        share = np.maximum(number - 1, 1) / number
        return np.asarray(np.einsum('bja,bjc->jac', change, change) * share[:, None, None])


def _clear(total: Array, noise: Array) -> Array:
    """Which products (nj, p, p) are of columns that are not almost all noise; the others are 0.

    Noise could not wholly be taken off any column beside those.
    """
    power = np.einsum('jaa->ja', total)
    clear = np.einsum('jaa->ja', noise) <= REMOVED * power
    return np.asarray(clear[:, :, None] & clear[:, None, :], dtype=float)


def _removable(total: Array, noise: Array) -> Array:
    """How much of the noise (nj, p, p) can be taken off products; all of it is 1, (nj,).

    Less than what would leave some combination of the columns without any motion (Fuller 1987).
    """
    size = np.sqrt(np.maximum(np.einsum('jaa->ja', total), 0.0))
    scale = np.where(size > 0.0, size, 1.0)
    wide = scale[:, :, None] * scale[:, None, :]
    matrix = total / wide + LEAST_RESIDUAL * np.eye(total.shape[-1])
    most = np.linalg.eigvals(np.linalg.solve(matrix, noise / wide)).real.max(axis=1)
    return np.minimum(1.0, REMOVED / np.maximum(most, LEAST_RESIDUAL))
