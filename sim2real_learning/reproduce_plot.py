"""A picture of how closely a failure recurs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sim2real_learning.reproduce import Reproduction

SHOWN = 4
"""Joints, those of the alarm first, then those that are furthest off."""
COLORS = ('#8d99ae', '#2a6f97', '#6a994e', '#bc6c25', '#7b2cbf')
RECORDED, ALARM = '#111111', '#c8553d'


def plot(
    result: Reproduction, units: tuple[str, ...], path: Path, *, commanded: bool = True
) -> None:
    """Write a picture (PNG, SVG or PDF, by its name).

    Args:
        result: what to show.
        units: (nj,) of the joints' positions.
        path: of the picture.
        commanded: whether commands are positions, and shown.
    """
    named = set(str(result.alarm.get('detail', '')).split())
    furthest = np.argsort(-result.best.largest, kind='stable')
    rows = sorted(furthest.tolist(), key=lambda j: result.joints[j] not in named)[:SHOWN]
    time = result.stamp * 1e-9 - result.reference
    figure = Figure(figsize=(9.0, 1.0 + 2.0 * len(rows)), layout='constrained')
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, joint in zip(panels, rows):
        if commanded:
            axes.plot(time, result.command[:, joint], ':', color=ALARM, lw=1, label='commanded')
        axes.plot(time, result.position[:, joint], color=RECORDED, lw=2.2, label='recorded')
        for k, outcome in enumerate(result.outcomes):
            color = COLORS[k % len(COLORS)]
            axes.plot(
                time, result.simulated[:, k, joint], color=color, lw=1.3, label=outcome.world
            )
            for event in outcome.alarms:
                if event.detector == result.alarm.get('detector'):
                    axes.axvline(event.stamp - result.reference, color=color, lw=1, ls='--')
        axes.axvline(0.0, color=ALARM, lw=1)
        axes.set_ylabel(f'{result.joints[joint]} [{units[joint]}]')
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(alpha=0.25)
    panels[0].legend(frameon=False, ncol=7, fontsize=8, loc='lower left', bbox_to_anchor=(0, 1))
    panels[-1].set_xlabel(
        'time since the recorded alarm [s]; dashed: the same detector in simulation'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
