"""Line plots as geometry, for a template to draw: points, ticks, marks. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 560.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 8.0, 8.0, 20.0
MOST_POINTS = 800
"""Points of a line; of more, the extremes of each stretch are drawn."""


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        style: CSS class.
        points: as SVG's ``points`` wants them.
    """

    style: str
    points: str


@dataclass(frozen=True)
class Tick:
    """A tick: where [px], and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """An event: where [px], and its CSS class."""

    at: float
    style: str


@dataclass(frozen=True)
class Plot:
    """What a template needs to draw one plot.

    Attributes:
        title: above it.
        unit: of the vertical axis.
        lines: in the order of drawing.
        across, up: ticks of the axes.
        marks: the events.
        level: vertical place of the threshold [px].
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    level: float | None = None


def plot(
    title: str,
    unit: str,
    series: Sequence[tuple[str, Array]],
    span: tuple[float, float],
    marks: Sequence[tuple[float, str]],
    zero: float,
    *,
    level: float | None = None,
    most: float = math.inf,
) -> Plot:
    """Lay out a plot.

    Args:
        title: above it.
        unit: of the values.
        series: CSS class and (n, 2) times [s] and values, of each line.
        span: times shown [s].
        marks: times of the events [s], and their CSS classes.
        zero: the time shown as 0 [s].
        level: a threshold; it and 0 are in sight then.
        most: larger values are drawn as this.
    """
    shown = [(style, _within(rows, span, most)) for style, rows in series]
    values = np.concatenate([rows[:, 1] for _, rows in shown] or [np.zeros(0)])
    if level is not None:
        values = np.append(values, (0.0, level))
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    low, high = low - margin, high + margin

    def x(time: float) -> float:
        share = (time - span[0]) / ((span[1] - span[0]) or 1.0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)

    def y(value: float) -> float:
        share = (value - low) / ((high - low) or 1.0)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 2)

    lines = tuple(
        Line(style, ' '.join(f'{x(t)},{y(v)}' for t, v in _thinned(rows)))
        for style, rows in shown
        if len(rows)
    )
    return Plot(
        title,
        unit,
        lines,
        tuple(Tick(x(t + zero), f'{t:g}') for t in ticks(span[0] - zero, span[1] - zero, 6)),
        tuple(Tick(y(v), f'{v:.6g}') for v in ticks(low, high, 4)),
        tuple(Mark(x(t), style) for t, style in marks if span[0] <= t <= span[1]),
        None if level is None else y(level),
    )


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two others, about so many."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / about
    base = 10.0 ** math.floor(math.log10(raw))
    step = min((m * base for m in (1.0, 2.0, 5.0, 10.0)), key=lambda s: abs(s - raw))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f'{i * step:.10g}') for i in range(first, last + 1)]


def _within(rows: Array, span: tuple[float, float], most: float) -> Array:
    inside = rows[(rows[:, 0] >= span[0]) & (rows[:, 0] <= span[1])]
    return np.column_stack([inside[:, 0], np.minimum(inside[:, 1], most)])


def _thinned(rows: Array) -> Array:
    """At most ``MOST_POINTS``: lowest and highest of each stretch, so that no peak is lost."""
    if len(rows) <= MOST_POINTS:
        return rows
    kept: set[int] = {0, len(rows) - 1}
    for part in np.array_split(np.arange(len(rows)), MOST_POINTS // 2):
        kept.add(int(part[np.argmin(rows[part, 1])]))
        kept.add(int(part[np.argmax(rows[part, 1])]))
    return rows[sorted(kept)]
