"""The demo's report: plots as PNG, and one HTML page that shows them with the figures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import matplotlib

matplotlib.use('Agg')  # a report needs no screen
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from sim2real_bringup.demo import Result

TWO_SIDED = 1.959963984540054
BEFORE, AFTER, ORACLE, TRUTH = '#c8553d', '#2a6f97', '#8d99ae', '#111111'
STYLE: dict[Any, Any] = {
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.alpha': 0.25,
    'figure.dpi': 140,
    'savefig.bbox': 'tight',
}


def write_report(result: Result, folder: Path) -> Path:
    """Write plots and page.

    Args:
        result: what the demo found.
        folder: where; must exist.

    Returns:
        Path of ``report.html``.
    """
    numbers = result.as_json()
    with plt.rc_context(STYLE):
        figures = {
            'estimates': _estimates(numbers['parameters']),
            'gap': _gap(result, numbers),
            'trajectories': _trajectories(result),
            'convergence': _convergence(result),
            'learning': _learning(result),
            'clip': _clip(result),
        }
        images = {}
        for name, figure in figures.items():
            path = folder / f'{name}.png'
            figure.savefig(path)
            plt.close(figure)
            images[name] = base64.b64encode(path.read_bytes()).decode()
    loader = jinja2.FileSystemLoader(Path(__file__).parent / 'templates')
    environment = jinja2.Environment(loader=loader, autoescape=True)
    environment.filters['si'] = si
    page = environment.get_template('demo.html').render(
        numbers=numbers, images=images, verdict=result.verdict(), changes=result.changes
    )
    path = folder / 'report.html'
    path.write_text(page, encoding='utf-8')
    return path


def si(value: float | None) -> str:
    """A number for people: four significant digits."""
    return '–' if value is None or not math.isfinite(value) else f'{value:.4g}'


def _estimates(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Every identified parameter and its interval, as a share of the truth."""
    shown = [(a, r) for a, r in rows.items() if r['status'] == 'identified' and r['truth']]
    figure, axes = plt.subplots(figsize=(7.5, 0.24 * len(shown) + 1.2))
    for place, (_, row) in enumerate(shown):
        scale = abs(row['truth'])
        color = AFTER if row['covered'] else BEFORE
        axes.errorbar(
            100 * (row['mean'] - row['truth']) / scale,
            place,
            xerr=100 * TWO_SIDED * row['std'] / scale,
            fmt='o',
            color=color,
            markersize=4,
            capsize=2.5,
        )
    axes.axvline(0.0, color=TRUTH, linewidth=1)
    axes.set_yticks(range(len(shown)), [address for address, _ in shown])
    axes.invert_yaxis()
    axes.set_xlabel('estimate and 95 % interval, difference from the hidden truth [% of truth]')
    axes.set_title('What was identified (red: the interval misses the truth)', loc='left')
    axes.set_xlim(*np.clip(axes.get_xlim(), -60, 60))
    return figure


def _gap(result: Result, numbers: Mapping[str, Any]) -> Figure:
    """Excess error of each goal, before and after."""
    figure, axes = plt.subplots(figsize=(7.5, 2.8))
    before, after = 1e3 * result.before.excess, 1e3 * result.after.excess
    place = np.arange(len(before))
    axes.bar(place - 0.2, before, 0.38, color=BEFORE, label='before: nominal policy')
    axes.bar(place + 0.2, after, 0.38, color=AFTER, label='after: one turn of the crank')
    for name, color in (('before', BEFORE), ('after', AFTER)):
        axes.axhline(1e3 * numbers['gap'][name]['median_excess'], color=color, linestyle='--')
    axes.axhline(0.0, color=TRUTH, linewidth=0.8)
    axes.set_xticks(place, [str(p + 1) for p in place])
    axes.set_xlabel('goal')
    axes.set_ylabel('excess error [mm]')
    axes.set_title('Error on the robot beyond the oracle’s (dashed: median)', loc='left')
    axes.legend(frameon=False)
    return figure


def _trajectories(result: Result) -> Figure:
    """Distance to the goal over time, simulation and surrogate, before and after."""
    figure, row = plt.subplots(1, 2, figsize=(7.5, 2.8), sharey=True)
    for axes, name, gap, color in (
        (row[0], 'before', result.before, BEFORE),
        (row[1], 'after', result.after, AFTER),
    ):
        for evaluation, style, tint, label in (
            (gap.simulation, '--', ORACLE, 'in simulation'),
            (gap.robot, '-', color, 'on the surrogate'),
        ):
            distance = 1e3 * np.linalg.norm(evaluation.tool - evaluation.goal, axis=2)
            time = evaluation.period * np.arange(1, len(distance) + 1)
            axes.plot(time, distance, style, color=tint, alpha=0.25, linewidth=0.7)
            axes.plot(
                time, np.median(distance, axis=1), style, color=tint, linewidth=2, label=label
            )
        axes.axhline(20.0, color=TRUTH, linewidth=0.8, linestyle=':')
        axes.set_yscale('log')
        axes.set_xlabel('time since the goal was given [s]')
        axes.set_title(name, loc='left')
        axes.legend(frameon=False)
    row[0].set_ylabel('tool to goal [mm]')
    return figure


def _convergence(result: Result) -> Figure:
    """How the estimates closed in on the truth."""
    rows = result.parameters()
    names = [a for a, r in rows.items() if r['hidden'] and r['truth']]
    figure, axes = plt.subplots(figsize=(7.5, 2.8))
    for name in names:
        points = [
            (e.stamp, 100 * (e.parameters[name].mean / rows[name]['truth'] - 1))
            for e in result.timeline
            if name in e.parameters and e.parameters[name].status == 'identified'
        ]
        if points:
            axes.plot(*zip(*points), linewidth=1, alpha=0.7)
    axes.axhline(0.0, color=TRUTH, linewidth=1)
    axes.set_ylim(-60, 60)
    axes.set_xlabel('time [s]')
    axes.set_ylabel('estimate − truth [%]')
    axes.set_title('Online: each line begins when its parameter is identified', loc='left')
    return figure


def _learning(result: Result) -> Figure:
    """Reward while fine-tuning."""
    figure, axes = plt.subplots(figsize=(7.5, 2.2))
    for name, color, label in (
        ('tuned', AFTER, 'in the narrowed space'),
        ('oracle', ORACLE, 'oracle, in the hidden truth'),
    ):
        axes.plot(result.rewards[name], color=color, label=label)
    axes.set_xlabel('iteration')
    axes.set_ylabel('mean reward')
    axes.set_title('Fine-tuning', loc='left')
    axes.legend(frameon=False)
    return figure


def _clip(result: Result) -> Figure:
    """Command and measurement of the joint whose drive failed."""
    stamps, position, command = result.recording.arrays()
    joint = result.fault['address'].split('.')[1]
    index = result.profile.joint_names.index(joint)
    time = stamps - result.fault['stamp']
    figure, axes = plt.subplots(figsize=(7.5, 2.6))
    axes.plot(time, command[:, index], color=ORACLE, label='commanded')
    axes.plot(time, position[:, index], color=AFTER, label='measured')
    axes.axvline(0.0, color=BEFORE, label='fault injected')
    if result.fault['delay'] is not None:
        delay = result.fault['delay']
        axes.axvline(delay, color=BEFORE, linestyle='--', label=f'detected, +{delay:.2f} s')
    axes.set_xlim(max(time[0], -2.0), min(time[-1], 2.5))
    axes.set_xlabel('time since the fault [s]')
    axes.set_ylabel(f'{joint} [rad]' if result.profile.joint(joint).type != 'prismatic' else joint)
    axes.set_title(f'The drive of {joint} loses its torque', loc='left')
    axes.legend(frameon=False, ncol=4, fontsize=8)
    return figure
