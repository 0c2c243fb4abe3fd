"""The report of a fit: one HTML page with its plots inside."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import matplotlib

matplotlib.use('Agg')  # a report needs no screen
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from sim2real_sysid.batch.regression import Regression
from sim2real_sysid.batch.scores import LAGS, Residuals, simulated, whiteness

if TYPE_CHECKING:
    from sim2real_sysid.batch.fit import FitResult

Array = npt.NDArray[np.float64]

TWO_SIDED = 1.959963984540054
MOST_POINTS = 3000  # of a line; nobody sees more
MEASURED, FOUND, WEAK = '#8d99ae', '#2a6f97', '#c8553d'
STYLE: dict[Any, Any] = {
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.alpha': 0.25,
    'figure.dpi': 130,
    'savefig.bbox': 'tight',
}


def write_report(result: FitResult, path: Path) -> None:
    """Write the page.

    Args:
        result: what was found.
        path: of the page.
    """
    numbers = result.as_json()
    residuals = _residuals(result)
    with plt.rc_context(STYLE):
        figures = {
            'parameters': _parameters(numbers['parameters']),
            'efforts': _efforts(result),
            'motion': _motion(result),
            'residuals': _residual_plots(residuals),
        }
        images = {name: _encoded(figure) for name, figure in figures.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(numbers, images, residuals), encoding='utf-8')


def page(
    numbers: Mapping[str, Any], images: Mapping[str, str], residuals: Mapping[str, Residuals]
) -> str:
    """The page, from a result's JSON, its plots (PNG, base64) and the joints' residuals."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / 'templates')
    environment = jinja2.Environment(loader=loader, autoescape=True)
    environment.filters['si'] = si
    environment.filters['percent'] = lambda value: f'{si(100.0 * value)} %'
    template = environment.get_template('fit.html')
    return template.render(numbers=numbers, images=images, residuals=residuals, lags=LAGS)


def si(value: float | None) -> str:
    """A number for people: four significant digits."""
    return '–' if value is None or not math.isfinite(value) else f'{value:.4g}'


def _encoded(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def _residuals(result: FitResult) -> dict[str, Residuals]:
    """Of each joint whose effort was measured."""
    found, (train, heldout) = result.best.found, result.regressions
    own = train.effort - train.predicted(found.layout, found.mean)
    other = np.zeros((0, own.shape[1]))
    if heldout is not None:
        other = heldout.effort - heldout.predicted(found.layout, found.mean)
    names = result.profile.joint_names
    return {
        name: whiteness(own[:, j], other[:, j])
        for j, name in enumerate(names)
        if train.measured[j]
    }


def _parameters(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Every identified parameter and its interval, as a share of its value."""
    shown = [(a, r) for a, r in rows.items() if r['status'] == 'identified' and r['mean']]
    figure, axes = plt.subplots(figsize=(8.0, 0.24 * max(len(shown), 1) + 1.0))
    for place, (_, row) in enumerate(shown):
        share = 100.0 * TWO_SIDED * row['std'] / abs(row['mean'])
        axes.errorbar(0.0, place, xerr=share, fmt='o', color=FOUND, markersize=4, capsize=2.5)
    axes.set_yticks(range(len(shown)), [f'{a} = {si(r["mean"])} {r["unit"]}' for a, r in shown])
    axes.invert_yaxis()
    axes.set_xlabel('95 % interval [% of the value]')
    axes.set_title('What was identified', loc='left')
    return figure


def _grid(names: list[str]) -> tuple[Figure, list[Any]]:
    figure, axes = plt.subplots(
        len(names), 1, figsize=(8.0, 1.7 * len(names) + 0.7), sharex=True, squeeze=False
    )
    for row, name in zip(axes[:, 0], names):
        row.set_ylabel(name)
    axes[-1, 0].set_xlabel('time [s]')
    return figure, list(axes[:, 0])


def _thin(*columns: Array) -> list[Array]:
    step = max(1, len(columns[0]) // MOST_POINTS)
    return [column[::step] for column in columns]


def _efforts(result: FitResult) -> Figure:
    """Measured and predicted, on what was held out, where there is any."""
    train, heldout = result.regressions
    data: Regression = train if heldout is None else heldout
    found = result.best.found
    predicted = data.predicted(found.layout, found.mean)
    names = [n for n, flag in zip(result.profile.joint_names, data.measured) if flag]
    figure, rows = _grid(names)
    places = np.flatnonzero(data.measured)
    for axes, j in zip(rows, places):
        time, measured, own = _thin(data.time, data.effort[:, j], predicted[:, j])
        axes.plot(time, measured, color=MEASURED, linewidth=1.4, label='measured')
        axes.plot(time, own, color=FOUND, linewidth=0.8, label='predicted')
        axes.plot(time, measured - own, color=WEAK, linewidth=0.6, label='difference')
    rows[0].set_title(
        f'{"Training data" if heldout is None else "Held out"}, effort [N·m or N]', loc='left'
    )
    rows[0].legend(frameon=False, ncol=3, fontsize=8, loc='upper right')
    return figure


def _motion(result: FitResult) -> Figure:
    """Measured, simulated in windows of a second and all along."""
    recordings = result.heldout or result.train
    commanded = result.best.train.driven == 'command'
    figure, rows = _grid(list(result.profile.joint_names))
    for chain, style, label in ((0.0, '-', 'simulated, open loop'), (1.0, '--', 'windows of 1 s')):
        time, measured, simulation = simulated(
            result.profile,
            recordings,
            result.best.found,
            chain,
            commanded=commanded,
            threads=result.config.threads,
        )
        for j, axes in enumerate(rows):
            at, position, own = _thin(time, measured[:, j], simulation[:, j])
            if style == '-':
                axes.plot(at, position, color=MEASURED, linewidth=1.8, label='measured')
                axes.set_ylim(*_around(position))
            color = WEAK if style == '-' else FOUND
            axes.plot(at, own, style, color=color, linewidth=0.8, label=label)
    title = 'Held out' if result.heldout else 'Training data'
    rows[0].set_title(f'{title}, position [rad or m]', loc='left')
    rows[0].legend(frameon=False, ncol=3, fontsize=8, loc='upper right')
    return figure


def _around(values: Array) -> tuple[float, float]:
    """Limits that show a measured signal, wherever a simulation of it goes."""
    low, high = float(values.min()), float(values.max())
    margin = 0.25 * max(high - low, 1e-6)
    return low - margin, high + margin


def _residual_plots(residuals: Mapping[str, Residuals]) -> Figure:
    """Distribution and autocorrelation of each joint's residuals."""
    count = max(len(residuals), 1)
    figure, axes = plt.subplots(count, 3, figsize=(8.0, 1.6 * count + 0.7), squeeze=False)
    for row, (name, one) in zip(axes, residuals.items()):
        row[0].plot(*_thin(one.values), color=WEAK, linewidth=0.5)
        row[0].set_ylabel(name)
        row[1].hist(one.values, bins=60, color=FOUND, density=True)
        bound = TWO_SIDED / math.sqrt(len(one.values))
        row[2].bar(range(1, len(one.correlation) + 1), one.correlation, color=FOUND, width=0.6)
        for sign in (-1.0, 1.0):
            row[2].axhline(sign * bound, color=MEASURED, linewidth=0.8, linestyle='--')
        row[2].set_ylim(-1.0, 1.0)
    for place, title in zip(axes[0], ('residual [N·m or N], by row', 'distribution',
                                      'autocorrelation, by lag')):  # fmt: skip
        place.set_title(title, loc='left')
    figure.tight_layout()
    return figure
