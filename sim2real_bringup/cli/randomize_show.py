"""``sim2real randomize show``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'show what a randomization space means, in SI units beside the nominal values'
EXAMPLE = 'sim2real randomize show --robot arm6 --space arm6 --plot space.png'
SAMPLES = 4096
COLUMNS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    _common.add_robot(parser)
    parser.add_argument(
        '--space', default='', help="a YAML file or a shipped name (default: the robot's name)"
    )
    parser.add_argument('--plot', type=_common.output, metavar='PNG', help='plot what is drawn')
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    import numpy as np

    from sim2real_core.addresses import quantity
    from sim2real_core.errors import InputError
    from sim2real_core.profile import load_profile
    from sim2real_randomizer.space import load_space

    profile = load_profile(args.robot)
    space = load_space(args.space, profile)
    drawn = space.draw_many(0, np.arange(SAMPLES))
    rows: dict[str, dict[str, Any]] = {}
    for address, values in drawn.items():
        try:
            nominal: float | None = space.nominal(address)
        except InputError:
            nominal = None  # only a simulator knows it
        rows[address] = {
            **space.variations[address].as_mapping(),
            'unit': quantity(address, profile).unit,
            'range': list(space.range(address)),
            'median': float(np.median(values)),
            'nominal': nominal,
        }
    _common.finish(args, {'content_hash': space.content_hash, 'addresses': rows})
    _common.show_table(
        ('address', 'nominal', 'from', 'to', 'unit', 'how'),
        (_cells(address, row) for address, row in rows.items()),
        f'{space.path}: {len(rows)} addresses on {profile.name}',
    )
    if args.plot:
        _plot(args.plot, drawn, rows)
    return 0


def _cells(address: str, row: dict[str, Any]) -> tuple[str, ...]:
    nominal = '-' if row['nominal'] is None else f'{row["nominal"]:.4g}'
    low, high = (f'{end:.4g}' for end in row['range'])
    how = f'{row["distribution"]}, {row["combine"]}'
    if 'of' in row:
        how += f' of {row["of"]}'
    return address, nominal, low, high, row['unit'], how


def _plot(path: Path, drawn: dict[str, Any], rows: dict[str, dict[str, Any]]) -> None:
    """One small histogram an address, the nominal value marked."""
    from matplotlib.figure import Figure

    lines = max(1, math.ceil(len(drawn) / COLUMNS))
    figure = Figure(figsize=(3 * COLUMNS, 1.6 * lines), layout='constrained')
    axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axis, (address, values) in zip(axes, drawn.items()):
        axis.hist(values, bins=40, color='#4878a8')
        if rows[address]['nominal'] is not None:
            axis.axvline(rows[address]['nominal'], color='#c04040', linewidth=1)
        axis.set_title(f'{address} [{rows[address]["unit"]}]', fontsize=7)
        axis.tick_params(labelsize=6)
        axis.locator_params(axis='x', nbins=4)
        axis.set_yticks([])
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format='png')
