"""The report of what fails: one HTML page with its plots inside."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from sim2real_learning.failures import AddressRow, Report

SHOWN = 12
"""Addresses with a plot of their own."""
BAR, MATTERS, QUIET = '#3a86b4', '#d0634b', '#8d99ae'
INK = '#010203'
"""Stands for the colour of the page's text, light or dark."""


def write_report(report: Report, path: Path) -> None:
    """Write the page.

    Args:
        report: what fails.
        path: of the page.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent / 'templates')
    environment = jinja2.Environment(loader=loader, autoescape=True)
    environment.filters['number'] = number
    page = environment.get_template('failures.html').render(
        report=report, detectors=_detectors(report), addresses=_addresses(report)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding='utf-8')


def number(value: float) -> str:
    """Four significant digits; a dash where there is none."""
    return f'{value:.4g}' if math.isfinite(value) else '–'


def _svg(size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """A figure as part of a page."""
    text = io.StringIO()
    with rc_context(
        {
            'text.color': INK,
            'axes.labelcolor': INK,
            'axes.edgecolor': INK,
            'xtick.color': INK,
            'ytick.color': INK,
        }
    ):
        figure = Figure(figsize=size, layout='constrained')
        draw(figure)
        figure.savefig(text, format='svg', transparent=True)
    # What stands before is an XML file's head, which a page may not have in its middle.
    return text.getvalue()[text.getvalue().index('<svg') :].replace(INK, 'currentColor')


def _plain(axes: Any) -> None:
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)


def _detectors(report: Report) -> str:
    """Share of clips by detector, with intervals."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, row in enumerate(report.detectors):
            low, high = row.clips.interval
            value = row.clips.value
            axes.barh(place, value, color=BAR, height=0.6)
            axes.errorbar(value, place, xerr=[[value - low], [high - value]], color=INK, capsize=3)
        axes.set_yticks(range(len(report.detectors)), [r.detector for r in report.detectors])
        axes.invert_yaxis()
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel(f'share of the {report.clips} clips, with 95 % interval')
        _plain(axes)

    return _svg((7.5, 0.4 * len(report.detectors) + 0.9), draw) if report.detectors else ''


def _addresses(report: Report) -> list[str]:
    """Where failures lie over the addresses, a picture of each."""
    return [_address(row) for row in report.addresses[:SHOWN]]


def _address(row: AddressRow) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        (_rates if row.bins else _histogram)(axes, row)
        axes.set_title(row.address, fontsize=8, loc='left')
        _plain(axes)

    return _svg((3.2, 2.1), draw)


def _rates(axes: Any, row: AddressRow) -> None:
    color = MATTERS if row.matters else QUIET
    for part in row.bins:
        low, high = part.failed.interval
        middle = 0.5 * (part.low + part.high)
        axes.fill_between([part.low, part.high], low, high, color=color, alpha=0.25, linewidth=0)
        axes.plot([part.low, part.high], [part.failed.value] * 2, color=color, linewidth=2)
        axes.text(
            middle, part.failed.value, str(part.failed.count), fontsize=7, ha='center', va='bottom'
        )
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel('share that fails', fontsize=8)


def _histogram(axes: Any, row: AddressRow) -> None:
    axes.hist(np.array(row.failures), bins='auto', color=BAR)
    axes.axvspan(*row.interval, color=MATTERS, alpha=0.25, linewidth=0)
    axes.axvline(row.median, color=MATTERS)
    axes.set_ylabel('clips', fontsize=8)
