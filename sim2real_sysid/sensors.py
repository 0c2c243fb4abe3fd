"""What sensors add to the truth: noise, bias, drift, steps, jitter, delay and what they lose.

Noise, bias and drift show at rest, jitter and delay in motion. The figures are those of the
simulator's sensors (:mod:`sim2real_sim.realism.sensors`), under the same addresses, so that they
can be put into it: ``sensor.<name>.noise``, ``bias``, ``drift`` and ``correlation_time``,
``quantization``, ``dropout``, ``period``, ``jitter`` and ``delay``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.records import ParameterEstimate
from sim2real_sysid.allan import (
    AllanCurve,
    allan_deviation,
    bias_instability,
    fit_drift,
    random_walk,
)

Array = npt.NDArray[np.float64]

WINDOW = 0.25  # [s], of looking for rest
FEWEST = 10  # samples of a window
REST_SPEED = 1e-3  # of the speed limit
FEWEST_REST = 200  # samples at rest, before anything is said of noise
RELATIVE = 0.3  # standard deviation, as a share of the value, up to which it is identified
GRID = 0.02  # of a step: how far values may be off the grid
APART = 10  # messages
COUNTED = 50  # messages, in which new values are counted
UNITS = {'delay': 's', 'jitter': 's', 'period': 's', 'correlation_time': 's', 'dropout': '1'}


@dataclass(frozen=True)
class Channel:
    """Readings of one sensor.

    Attributes:
        name: as in addresses, e.g. ``elbow_position`` or ``imu_gyro``.
        stamp: (n,) [s], increasing.
        values: (n, k), e.g. the three axes of a gyro.
        unit: of the values.
        zero_at_rest: the truth is zero at rest, as for speeds.
    """

    name: str
    stamp: Array
    values: Array
    unit: str
    zero_at_rest: bool = False


@dataclass(frozen=True)
class Assessment:
    """What was found out about a sensor.

    Attributes:
        parameters: quantity (``noise``, ...) to its estimate.
        curve: Allan deviation at rest; empty where it never rested.
        figures: more for people: bias instability and random walk with their uncertainty.
    """

    parameters: dict[str, ParameterEstimate]
    curve: AllanCurve
    figures: Mapping[str, Any] = field(default_factory=dict)


def find_rest(stamp: Array, position: Array, limit: Array) -> list[slice]:
    """Rows in which no joint moves, without the settling at either end.

    Args:
        stamp: (n,) [s], increasing.
        position: (n, nj).
        limit: (nj,) speed limits.
    """
    period = float(np.median(np.diff(stamp))) if len(stamp) > 1 else 1.0
    w = max(FEWEST, round(WINDOW / period))
    m = len(stamp) // w
    if m < 3:
        return []
    t = stamp[: m * w].reshape(m, w)
    q = position[: m * w].reshape(m, w, -1)
    t = t - t.mean(axis=1, keepdims=True)
    weight = t / np.square(t).sum(axis=1, keepdims=True)
    slope = np.einsum('mw,mwj->mj', weight, q - q[:, :1])
    rest = q - q.mean(axis=1, keepdims=True) - slope[:, None] * t[..., None]
    noise = np.sqrt(np.square(rest).mean(axis=1) / np.square(t).sum(axis=1)[:, None])
    step = np.abs(np.diff(position, axis=0))
    quantum = np.where(step > 0, step, np.inf).min(axis=0)
    coarse = 2.0 * np.where(np.isfinite(quantum), quantum, 0.0) / (w * period)
    still = np.abs(slope) < np.maximum(REST_SPEED * limit, 4.0 * noise) + coarse
    # A window that is straight in itself may still be part of a curve.
    quiet = (
        noise < 5.0 * np.median(noise[still.all(axis=1)], axis=0) + coarse
        if still.any()
        else still
    )
    even = np.diff(stamp[: m * w].reshape(m, w), axis=1).max(axis=1) < 5.0 * period
    flags = (still & quiet).all(axis=1) & even
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    found = []
    for first, last in zip(edges[::2], edges[1::2]):
        first, last = first + (first > 0), last - (last < m)
        if last - first >= 2:
            found.append(slice(int(first) * w, int(last) * w))
    return found


def assess(channel: Channel, rest: Sequence[slice]) -> Assessment:
    """Everything that one sensor's readings alone can tell.

    Args:
        channel: its readings.
        rest: rows at rest, see :func:`find_rest`.
    """
    found: dict[str, ParameterEstimate] = {}
    stamp, values = channel.stamp, channel.values
    period = float(np.median(np.diff(stamp)))

    def say(name: str, mean: float, std: float, least: float = 0.0) -> None:
        good = math.isfinite(std) and std <= max(RELATIVE * abs(mean), least)
        status = 'identified' if good else 'not_identified'
        found[name] = ParameterEstimate(mean, std, status, UNITS.get(name, channel.unit))

    step, step_std = quantization(values)
    say('quantization', step, step_std, step_std)
    new = np.any(np.diff(values, axis=0) != 0, axis=1)
    chance = _chance(values, rest, step)
    # What repeats by chance is known at rest; without steps, nothing does.
    shown = [new[rows.start : rows.stop - 1] for rows in rest] if chance > 0 else [new]
    hold, hold_std, lost, lost_std = renewal(np.concatenate(shown), period, chance)
    say('period', hold, hold_std, 0.1 * period)
    say('dropout', lost, lost_std, 0.02)
    pieces = [values[rows] for rows in rest]
    starts = [float(stamp[rows.start]) for rows in rest]
    total = sum(map(len, pieces))
    if total < FEWEST_REST:
        for name in ('noise', 'bias', 'drift', 'correlation_time'):
            say(name, 0.0, math.inf)
        empty = np.zeros(0)
        return Assessment(found, AllanCurve(empty, empty, empty), {'rest': total * period})
    fresh = [np.concatenate([[True], new[rows.start : rows.stop - 1]]) for rows in rest]
    renewed = (period / hold if hold > 0.0 else 1.0) * (1.0 - lost)
    if not math.isfinite(lost_std):
        renewed = math.nan
    noise, noise_std = white_noise(pieces, fresh, step, renewed)
    if not math.isfinite(step_std):  # ever the same value: there may be large steps
        noise_std = math.inf
    say('noise', noise, noise_std, 0.05 * step)
    curve = allan_deviation(pieces, period)
    effective = math.hypot(noise, step / math.sqrt(12.0))
    # Readings that repeat average less; a lost one makes the one before count twice and more.
    worth = renewed / (2.0 - renewed) if hold == 0.0 else renewed
    drift = fit_drift(
        starts, pieces, period, effective / math.sqrt(worth if worth > 0 else 1.0),
        one_mean=channel.zero_at_rest,
    )  # fmt: skip
    unsure = math.isnan(renewed) and drift.drift > 0  # repeats look like drift
    say('drift', drift.drift, math.inf if unsure else drift.drift_std, 0.3 * effective)
    say('correlation_time', drift.time, math.inf if unsure else drift.time_std)
    if channel.zero_at_rest:
        k = int(np.argmax(np.abs(drift.mean)))
        say('bias', float(drift.mean[k]), float(drift.mean_std[k]), effective)
    else:
        say('bias', 0.0, math.inf)
    instability, walk = bias_instability(curve), random_walk(curve)
    figures = {
        'rest': total * period,
        'bias': [float(x) for x in drift.mean] if channel.zero_at_rest else None,
        'bias_instability': _figure(*instability),
        'random_walk': _figure(*walk),
    }
    return Assessment(found, curve, figures)


def _figure(mean: float, std: float) -> dict[str, Any]:
    known = math.isfinite(std) and std <= RELATIVE * mean
    return {
        'mean': mean,
        'std': std if math.isfinite(std) else None,
        'status': 'identified' if known else 'not_identified',
    }


def quantization(values: Array) -> tuple[float, float]:
    """Step of a sensor, and its uncertainty; a step of 0 where values are on no grid.

    Args:
        values: (n, k) readings, of one step.
    """
    levels = np.unique(values[np.isfinite(values)])
    size = np.abs(levels).max(initial=0.0)
    apart = np.diff(levels)
    apart = apart[apart > 1e-12 * size]
    if len(apart) < 2:
        return 0.0, math.inf
    step = float(np.quantile(apart, 0.05))
    for _ in range(3):  # finer each time: more of the multiples are certain
        times = np.round(apart / step)
        sure = times >= 1
        step = float((times * apart)[sure].sum() / np.square(times)[sure].sum())
    off = np.abs(apart / step - np.round(apart / step))
    if (off > GRID).mean() > 0.02 or len(levels) > 0.9 * values.size:
        return 0.0, float(apart.min())
    return step, step * GRID / math.sqrt(len(apart))


def _chance(values: Array, rest: Sequence[slice], step: float) -> float:
    """Probability that a new reading equals the one before, since the steps are coarse.

    Readings some messages apart show it: none of them repeats the other, and drift is slow.
    """
    if step == 0.0 or not rest:
        return 0.0
    pieces = [values[rows] for rows in rest]
    equal = [(piece[APART:] == piece[:-APART]).all(axis=1) for piece in pieces]
    return float(np.concatenate(equal).mean())


def renewal(
    new: npt.NDArray[np.bool_], message: float, chance: float
) -> tuple[float, float, float, float]:
    """How often a sensor has a new value, and how many it loses.

    A slow sensor renews its value evenly, one that loses readings at random: of 50 messages a
    slow one renews the same number, give or take one.

    Args:
        new: (n - 1,) whether a message's value differs from the one before.
        message: time between messages [s].
        chance: probability that a new value equals the one before.

    Returns:
        Period [s] (0: new with every message), its uncertainty, share lost, its uncertainty.
    """
    n = len(new)
    unknown = 0.0, math.inf, 0.0, math.inf
    if n < 4 * COUNTED or chance > 0.5:
        return unknown
    rounding = math.sqrt(1.0 / n)
    counts = new[: n // COUNTED * COUNTED].reshape(-1, COUNTED).sum(axis=1)
    share = float(new.mean())
    if share > 0.999 * (1.0 - chance):
        return 0.0, 0.1 * message, 0.0, rounding
    if chance == 0.0 and np.ptp(counts) <= 2:
        return message / share, message / share / n, 0.0, rounding
    apart = np.diff(np.flatnonzero(new))
    least = float(np.quantile(apart, 0.02))
    if chance > 0.0 and least > 1.0:
        return unknown  # slow, and coarse: nobody can say what was lost
    lost = max(1.0 - share * least / (1.0 - chance), 0.0)
    std = math.hypot(math.sqrt(max(lost, 1.0 / n) / n) / (1.0 - chance), 0.1 * chance)
    if least == 1.0:
        return 0.0, 0.1 * message, lost, std
    return least * message, message / math.sqrt(12.0), lost, std


def white_noise(
    pieces: Sequence[Array],
    fresh: Sequence[npt.NDArray[np.bool_]],
    step: float,
    renewed: float,
) -> tuple[float, float]:
    """Standard deviation of the white noise at rest, and its uncertainty.

    From differences of neighbouring new values, which no drift is in. Rounding to steps adds
    ``step^2 / 12``, as long as the noise is not much smaller than a step.

    Args:
        pieces: (n_i, k) readings at rest.
        fresh: (n_i,) whether a reading is new.
        step: of the sensor.
        renewed: share of the readings that are new; NaN where nobody knows.
    """
    if math.isnan(renewed):
        cut = [piece[: len(piece) // COUNTED * COUNTED] for piece in pieces]
        parts = np.concatenate([piece.reshape(-1, COUNTED, piece.shape[1]) for piece in cut])
        noise = math.sqrt(max(float(parts.var(axis=1, ddof=1).mean()) - step**2 / 12.0, 0.0))
        return noise, math.sqrt(5.0 / parts.size) * noise + 0.3 * step
    steps = np.concatenate(
        [
            np.diff(piece[flags] if step == 0.0 else piece, axis=0).ravel()
            for piece, flags in zip(pieces, fresh)
        ]
    )
    n = max(len(steps), 1)
    variance = 0.5 * float(np.square(steps).mean()) if len(steps) else 0.0
    if step > 0.0:  # what repeats has no difference
        variance /= renewed
    rounding = step**2 / 12.0
    inside = variance - rounding
    error = variance * math.sqrt(3.0 / n) + 0.05 * rounding
    noise = math.sqrt(max(inside, 0.0))
    if noise < 0.35 * step:  # rounding is no longer like noise
        return noise, 0.5 * step
    return noise, 0.5 * error / noise if noise > 0 else 0.0
