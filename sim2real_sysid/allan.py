"""Allan deviation, and a drift told from white noise.

Formulas of IEEE Std 952-1997, annexes B and C: the overlapping Allan variance, the coefficients
read off its curve, and the first-order Gauss-Markov process that stands for bias instability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

FLICKER = math.sqrt(2.0 * math.log(2.0) / math.pi)  # flat part of the curve, per instability
FEWEST = 9  # independent intervals, before a point of the curve means something
BLOCKS = 150  # into which a drift is averaged
DETECTED = 8.0  # twice the gain in log likelihood of a drift that is there


class AllanCurve(NamedTuple):
    """An overlapping Allan deviation.

    Attributes:
        tau: (k,) averaging times [s].
        deviation: (k,) in the unit of the signal.
        std: (k,) of the deviation.
    """

    tau: Array
    deviation: Array
    std: Array


def allan_deviation(pieces: Sequence[Array], period: float) -> AllanCurve:
    """Overlapping Allan deviation of a signal at rest.

    Args:
        pieces: stretches (n_i, k) of samples without a break; columns are signals of one kind.
        period: time between samples [s].
    """
    longest = max((len(piece) for piece in pieces), default=0)
    sizes = [m for m in np.unique(np.round(np.geomspace(1, max(longest // 3, 1), 40)).astype(int))]
    tau, deviation, std = [], [], []
    for m in sizes:
        squares, count, degrees = 0.0, 0, 0.0
        for piece in pieces:
            n = len(piece)
            if n < 3 * m:
                continue
            total = np.concatenate([np.zeros((1, piece.shape[1])), np.cumsum(piece, axis=0)])
            means = (total[m:] - total[:-m]) / m
            steps = means[m:] - means[:-m]
            squares += float(np.square(steps).sum())
            count += steps.size
            degrees += max(n / m - 1.0, 1.0) * piece.shape[1]
        if count:
            value = math.sqrt(0.5 * squares / count)
            tau.append(m * period)
            deviation.append(value)
            std.append(value / math.sqrt(2.0 * degrees))
    return AllanCurve(np.array(tau), np.array(deviation), np.array(std))


def bias_instability(curve: AllanCurve) -> tuple[float, float]:
    """The flat part of the curve, and its standard deviation; infinite where it still falls."""
    known = curve.std < curve.deviation / math.sqrt(2.0 * FEWEST)
    if not known.any():
        return 0.0, math.inf
    k = int(np.argmin(np.where(known, curve.deviation, np.inf)))
    value, std = curve.deviation[k] / FLICKER, curve.std[k] / FLICKER
    last = int(np.flatnonzero(known)[-1])
    rises = curve.deviation[last] - curve.deviation[k] > 2.0 * curve.std[last]
    return float(value), float(std) if rises else math.inf


def random_walk(curve: AllanCurve) -> tuple[float, float]:
    """Coefficient K [unit/sqrt(s)] of ``K sqrt(tau/3)``, and its standard deviation.

    Infinite where the end of the curve does not rise like that.
    """
    known = np.flatnonzero(curve.std < curve.deviation / math.sqrt(2.0 * FEWEST))
    if len(known) < 4:
        return 0.0, math.inf
    x, y = np.log(curve.tau[known[-4:]]), np.log(curve.deviation[known[-4:]])
    slope = float(np.polyfit(x, y, 1)[0])
    last = known[-1]
    scale = math.sqrt(3.0 / curve.tau[last])
    value, std = curve.deviation[last] * scale, curve.std[last] * scale
    return float(value), float(std) if abs(slope - 0.5) < 0.2 else math.inf


class DriftFit(NamedTuple):
    """A first-order Gauss-Markov process in white noise.

    Attributes:
        drift: its standard deviation; 0 where none shows.
        drift_std: uncertainty of it; where none shows, what could have stayed unseen.
        time: correlation time [s].
        time_std: uncertainty of it; infinite where none shows.
        mean: (k,) of each signal, if they share one over all pieces.
        mean_std: (k,) uncertainty of it, the drift included.
    """

    drift: float
    drift_std: float
    time: float
    time_std: float
    mean: Array
    mean_std: Array


def fit_drift(
    starts: Sequence[float],
    pieces: Sequence[Array],
    period: float,
    noise: float,
    *,
    one_mean: bool,
) -> DriftFit:
    """Maximum likelihood of drift and correlation time, from means over blocks.

    Args:
        starts: time of the first sample of each piece [s].
        pieces: (n_i, k) samples without a break; columns are signals of one kind.
        period: time between samples [s].
        noise: standard deviation of the white noise.
        one_mean: the true value is the same in all pieces, as the zero of a gyro is.
    """
    size = max(1, sum(map(len, pieces)) // BLOCKS)
    times, values, groups = [], [], []
    for k, (start, piece) in enumerate(zip(starts, pieces)):
        m = len(piece) // size
        if m:
            values.append(piece[: m * size].reshape(m, size, -1).mean(axis=1))
            times.append(start + period * size * (np.arange(m) + 0.5))
            groups.append(np.full(m, 0 if one_mean else k))
    time, value, group = (np.concatenate(parts) for parts in (times, values, groups))
    likelihood = _Likelihood(time, value, group, size * period, max(noise, 1e-300) ** 2 / size)
    return likelihood.fit()


class _Likelihood:
    """Gaussian likelihood of block means of a Gauss-Markov process in white noise."""

    def __init__(
        self, time: Array, value: Array, group: npt.NDArray[np.intp], block: float, white: float
    ) -> None:
        self._apart = np.abs(time[:, None] - time)
        self._value = value
        names = np.unique(group)
        self._design = (group[:, None] == names).astype(float)
        self._block, self._white = block, white
        self._duration = float(np.ptp(time)) + block

    def _solve(self, drift: float, correlation: float) -> tuple[float, Array, Array]:
        """Log likelihood, means (groups, k) and their covariance (groups, groups)."""
        x = self._block / correlation
        # Means over blocks: exact for the process, see Gillespie 1996.
        own = 2.0 * (x + math.expm1(-x)) / x**2
        between = (math.sinh(min(0.5 * x, 300.0)) / (0.5 * x)) ** 2
        cov = np.exp(-self._apart / correlation) * between
        np.fill_diagonal(cov, own)
        cov = drift**2 * cov + self._white * np.eye(len(cov))
        factor = cho_factor(cov, lower=True)
        weighted = cho_solve(factor, self._design)
        spread = np.linalg.inv(self._design.T @ weighted)
        mean = spread @ (weighted.T @ self._value)
        rest = self._value - self._design @ mean
        k = self._value.shape[1]
        score = -0.5 * float((rest * cho_solve(factor, rest)).sum())
        score -= k * float(np.log(np.diag(factor[0])).sum())
        # Restricted likelihood: the means are estimated, too.
        score += 0.5 * k * float(np.linalg.slogdet(spread)[1])
        return score, mean, spread

    def fit(self) -> DriftFit:
        """The best drift, or how large one could be that does not show."""
        shortest, longest = 2.0 * self._block, 20.0 * self._duration

        def cost(point: Array) -> float:
            drift, correlation = np.exp(point)
            if not shortest <= correlation <= longest:
                return 1e9 + float(np.abs(point).sum())
            return -self._solve(float(drift), float(correlation))[0]

        none, mean, spread = self._solve(0.0, self._duration)
        usual = math.sqrt(float(np.var(self._value - self._design @ mean)) + self._white)
        best = None
        for share in (0.02, 0.2):
            start = np.log([usual, max(share * self._duration, 1.5 * shortest)])
            found = minimize(
                cost, start, method='Nelder-Mead', options={'xatol': 0.01, 'fatol': 0.01}
            )
            best = found if best is None or found.fun < best.fun else best
        assert best is not None
        if 2.0 * (-best.fun - none) < DETECTED:
            return DriftFit(
                0.0, self._unseen(none), self._duration, math.inf, mean[0],
                np.full(len(mean[0]), math.sqrt(spread[0, 0])),
            )  # fmt: skip
        drift, correlation = map(float, np.exp(best.x))
        _, mean, spread = self._solve(drift, correlation)
        stds = _spread_of(cost, best.x)
        if not 1.5 * shortest < correlation < longest / 1.5:  # cut off: neither is known
            stds = np.full(2, math.inf)
        # However sure the curve looks, there is only one realization of so many periods.
        least = math.sqrt(0.5 * correlation / self._duration)
        return DriftFit(
            drift, drift * max(stds[0], least), correlation, correlation * stds[1], mean[0],
            np.full(len(mean[0]), math.sqrt(spread[0, 0])),
        )  # fmt: skip

    def _unseen(self, none: float) -> float:
        """The drift of a usual correlation time that is a standard deviation from being seen."""
        drift, correlation = math.sqrt(self._white), 0.2 * self._duration
        for _ in range(60):
            if none - self._solve(drift, correlation)[0] < 0.5:
                break
            drift *= 0.8
        return drift


def _spread_of(cost: object, point: Array) -> Array:
    """Standard deviations at a minimum of a negative log likelihood, from its curvature."""
    assert callable(cost)
    step, n = 0.05, len(point)
    hessian = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            di, dj = step * np.eye(n)[i], step * np.eye(n)[j]
            corners = cost(point + di + dj) - cost(point + di - dj)
            corners -= cost(point - di + dj) - cost(point - di - dj)
            hessian[i, j] = corners / (4.0 * step**2)
    if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian).min() <= 0:
        return np.full(n, np.inf)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(hessian))))
