"""Allan deviation, and a drift told from white noise.

Formulas of IEEE Std 952-1997, annexes B and C: the overlapping Allan variance, the coefficients
read off its curve, and the first-order Gauss-Markov process that stands for bias instability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FLICKER = math.sqrt(2.0 * math.log(2.0) / math.pi)  # flat part of the curve, per instability
FEWEST = 9  # independent intervals, before a point of the curve means something
BLOCKS = 150  # into which a drift is averaged
TIMES, LEVELS = 24, 48  # of the grid on which a drift is looked for
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
            times.append(start - starts[0] + period * size * (np.arange(m) + 0.5))
            groups.append(np.full(m, 0 if one_mean else k))
    time, value, group = (np.concatenate(parts) for parts in (times, values, groups))
    design = (group[:, None] == np.unique(group)).astype(float)
    white = max(noise, 1e-300) ** 2 / size
    processes = _processes(tuple(np.round(time, 6).tolist()), round(size * period, 9))
    usual = math.sqrt(float(np.var(value - design @ np.linalg.lstsq(design, value)[0])) + white)
    drifts = usual * np.geomspace(1e-3, 3.0, LEVELS)
    scores = np.array([p.solve(drifts, white, value, design)[0] for p in processes])
    none = processes[0].solve(np.zeros(1), white, value, design)[0][0]
    return _read(processes, drifts, scores, float(none), white, value, design)


class _Process(NamedTuple):
    """Means over blocks of a Gauss-Markov process of unit variance, in their principal axes.

    Attributes:
        correlation: its correlation time [s].
        power: (n,) variances along the axes.
        axes: (n, n) rows are the axes.
    """

    correlation: float
    power: Array
    axes: Array

    def solve(
        self, drifts: Array, white: float, value: Array, design: Array
    ) -> tuple[Array, Array, Array]:
        """Restricted log likelihoods, means and their covariances.

        Args:
            drifts: (m,) standard deviations of the process.
            white: variance of the white noise of a block.
            value: (n, k) means over blocks.
            design: (n, groups) which block has which mean.

        Returns:
            (m,), (m, groups, k) and (m, groups, groups).
        """
        y, x = self.axes @ value, self.axes @ design
        k = y.shape[1]
        variance = np.square(drifts)[:, None] * self.power + white
        weighted = x.T / variance[:, None]
        spread = np.linalg.inv(weighted @ x)
        right = weighted @ y
        mean = spread @ right
        misfit = (np.square(y).sum(axis=1) / variance).sum(axis=1) - (mean * right).sum(
            axis=(1, 2)
        )
        score = -0.5 * (misfit + k * np.log(variance).sum(axis=1))
        return score + 0.5 * k * np.linalg.slogdet(spread)[1], mean, spread


@lru_cache(maxsize=8)
def _processes(times: tuple[float, ...], block: float) -> tuple[_Process, ...]:
    """Processes of all correlation times that the blocks could tell; the same for all sensors."""
    time = np.array(times)
    duration = float(np.ptp(time)) + block
    apart = np.abs(time[:, None] - time)
    found = []
    for correlation in np.geomspace(2.0 * block, 20.0 * duration, TIMES):
        x = block / correlation
        # Means over blocks: exact for the process (Gillespie, Phys. Rev. E 54, 1996).
        cov = np.exp(-apart / correlation) * (math.sinh(0.5 * x) / (0.5 * x)) ** 2
        np.fill_diagonal(cov, 2.0 * (x + math.expm1(-x)) / x**2)
        power, axes = np.linalg.eigh(cov)
        found.append(_Process(float(correlation), np.maximum(power, 0.0), axes.T))
    return tuple(found)


def _read(
    processes: Sequence[_Process],
    drifts: Array,
    scores: Array,
    none: float,
    white: float,
    value: Array,
    design: Array,
) -> DriftFit:
    """The best drift on a grid, refined by a paraboloid; or how large one could hide."""
    duration = processes[-1].correlation / 20.0
    i, j = (int(k) for k in np.unravel_index(int(np.argmax(scores)), scores.shape))
    if 2.0 * (scores[i, j] - none) < DETECTED:
        _, mean, spread = processes[0].solve(np.zeros(1), white, value, design)
        usual = int(np.argmin([abs(p.correlation - 0.2 * duration) for p in processes]))
        hidden = drifts[none - scores[usual] < 0.5]
        unseen = float(hidden.max()) if len(hidden) else float(drifts[0])
        wide = np.full(value.shape[1], math.sqrt(spread[0, 0, 0]))
        return DriftFit(0.0, unseen, duration, math.inf, mean[0, 0], wide)
    correlation, drift = processes[i].correlation, float(drifts[j])
    stds = np.full(2, math.inf)
    if 0 < i < TIMES - 1 and 0 < j < LEVELS - 1:
        near = -scores[i - 1 : i + 2, j - 1 : j + 2]
        steps = np.log(
            [processes[1].correlation / processes[0].correlation, drifts[1] / drifts[0]]
        )
        slope = np.array([near[2, 1] - near[0, 1], near[1, 2] - near[1, 0]]) / 2.0
        cross = (near[2, 2] - near[2, 0] - near[0, 2] + near[0, 0]) / 4.0
        curve = np.array(
            [
                [near[2, 1] - 2.0 * near[1, 1] + near[0, 1], cross],
                [cross, near[1, 2] - 2.0 * near[1, 1] + near[1, 0]],
            ]
        )
        if np.linalg.eigvalsh(curve).min() > 0:
            inverse = np.linalg.inv(curve)
            move = np.clip(-inverse @ slope, -1.0, 1.0) * steps
            correlation, drift = correlation * math.exp(move[0]), drift * math.exp(move[1])
            stds = np.sqrt(np.diag(inverse)) * steps
    _, mean, spread = processes[i].solve(np.array([drift]), white, value, design)
    # However sharp the likelihood, there is only one realization of so many periods.
    least = math.sqrt(0.5 * correlation / duration)
    wide = np.full(value.shape[1], math.sqrt(spread[0, 0, 0]))
    return DriftFit(
        drift, drift * max(float(stds[1]), least), correlation, correlation * float(stds[0]),
        mean[0, 0], wide,
    )  # fmt: skip
