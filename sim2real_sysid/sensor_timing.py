"""When values were measured: what their stamps jitter by, and how late one signal is to another.

Both need motion. A reading that is late by a random time has an error that grows with speed; and
of two signals that show the same motion, one is the other one shifted.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

Array = npt.NDArray[np.float64]

WINDOW = 16  # samples, in which speed and noise are about constant
SMOOTH = 3.0  # samples: width of the filter that all signals pass
RANGE = 0.25  # [s]: delays that are looked for, either way
STEPS = 51
BLOCKS = 20  # into which the residuals are cut, for the uncertainty
UNEXPLAINED = 0.1  # of the signal, at most
FEWEST = 400  # samples in motion


def motion_jitter(stamp: Array, values: Array, floor: float) -> tuple[float, float]:
    """Width [s] of the random delay, uniform in [0, width], of each reading; its uncertainty.

    The variance of the noise, told from the motion by second differences (neighbours have the
    mean product -4 variances), grows with ``speed^2 width^2 / 12``.

    Args:
        stamp: (n,) [s].
        values: (n, k) readings.
        floor: variance of the noise at rest.
    """
    period = float(np.median(np.diff(stamp)))
    step = np.diff(values, axis=0)
    second = np.diff(step, axis=0)
    m = len(second[1:]) // WINDOW
    if m < 20:
        return 0.0, math.inf
    cut = (m, WINDOW, -1)
    variance = -(second[1:] * second[:-1])[: m * WINDOW].reshape(cut).mean(axis=1) / 4.0
    speed = np.square(step[: m * WINDOW].reshape(cut).mean(axis=1) / period)
    bend = np.abs(np.diff(step[: m * WINDOW].reshape(cut).mean(axis=1), axis=0, prepend=0.0))
    steady = (bend < 0.5 * period * np.sqrt(speed)) & (speed > 0)
    x, y = speed[steady], variance[steady] - floor
    # Noise of a variance grows with it, so that windows weigh by its inverse square.
    width = 0.0
    for _ in range(5):
        weight = 1.0 / np.square(floor + x * width**2 / 12.0 + 1e-300)
        power = float((weight * x * x).sum())
        if power <= 0.0:
            return 0.0, math.inf
        slope = float((weight * x * y).sum()) / power
        width = math.sqrt(max(12.0 * slope, 0.0))
    rest = y - slope * x
    error = math.sqrt(float((np.square(weight * x * rest)).sum())) / power
    if slope < 3.0 * error:
        return 0.0, math.sqrt(12.0 * max(3.0 * error, 0.0))
    return width, 6.0 * error / width


def smooth(values: Array, order: int, period: float) -> Array:
    """Derivative of an order of the smoothed signal; all orders pass the same filter.

    Args:
        values: (n, k) at even times.
        order: 0 for the signal itself.
        period: [s].
    """
    found = gaussian_filter1d(values, SMOOTH, axis=0, order=order, mode='nearest')
    return np.asarray(found / period**order)


def delay(stamp: Array, signal: Array, terms: Array) -> tuple[float, float]:
    """How late a signal [s] is to a combination of terms, and its uncertainty.

    ``signal(t) = terms(t - delay) @ coefficients``, found by trying delays and a parabola about
    the best; uncertain by a jackknife over blocks.

    Args:
        stamp: (n,) even times [s].
        signal: (n,) smoothed.
        terms: (n, p) likewise; a constant is added.
    """
    n = len(stamp)
    if n < FEWEST or not np.ptp(signal) > 0 or not (np.ptp(terms, axis=0) > 0).any():
        return 0.0, math.inf
    spline = CubicSpline(stamp, signal)
    inside = (stamp > stamp[0] + RANGE) & (stamp < stamp[-1] - RANGE)
    if inside.sum() < FEWEST:
        return 0.0, math.inf
    time, design = stamp[inside], np.column_stack([terms[inside], np.ones(inside.sum())])
    design = design / np.maximum(np.abs(design).max(axis=0), 1e-300)
    blocks = np.array_split(np.arange(len(time)), BLOCKS)
    firsts = np.array([block[0] for block in blocks])
    normals = np.array([design[b].T @ design[b] for b in blocks])
    inverses = np.linalg.inv(_without(normals) + 1e-9 * len(time) * np.eye(design.shape[1]))

    def costs(delays: Array) -> Array:
        """(delays, 1 + blocks): residuals of all, and without one block each."""
        found = []
        for lag in delays:
            shifted = spline(time + lag)
            right = _without(np.add.reduceat(design * shifted[:, None], firsts))
            power = _without(np.add.reduceat(shifted * shifted, firsts))
            found.append(power - np.einsum('ba,bac,bc->b', right, inverses, right))
        return np.array(found)

    grid = np.linspace(-RANGE, RANGE, STEPS)
    step = grid[1] - grid[0]
    at = float(grid[int(np.argmin(costs(grid)[:, 0]))])
    if abs(at) > RANGE - 1.5 * step:
        return 0.0, math.inf
    for _ in range(4):
        step /= 4.0
        grid = at + step * np.arange(-5, 6)
        at = float(grid[int(np.argmin(costs(grid)[:, 0]))])
    low, middle, high = costs(at + step * np.array([-1.0, 0.0, 1.0]))
    bend = low - 2.0 * middle + high
    if bend[0] <= 0 or (bend <= 0).any():
        return 0.0, math.inf
    if low[0] > UNEXPLAINED * float(np.square(signal - signal.mean()).sum()):
        return 0.0, math.inf
    points = at + 0.5 * step * (low - high) / bend
    spread = points[1:] - points[1:].mean()
    std = math.sqrt((len(blocks) - 1) / len(blocks) * float(np.square(spread).sum()))
    return float(points[0]), std


def _without(parts: Array) -> Array:
    """Sums (1 + n, ...) over parts (n, ...): of all, and of all but one each."""
    total = parts.sum(axis=0)
    return np.concatenate([total[None], total - parts])
