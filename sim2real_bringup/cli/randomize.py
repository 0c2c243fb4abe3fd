"""``sim2real randomize``: draw worlds, and show what a space means."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim2real_randomizer.space import Space

HELP = 'draw a world from a randomization space, or show what the space means'
EXAMPLE = 'sim2real randomize draw --robot arm6 --space arm6 --seed 1 --episode 7'
SAMPLES = 4096
COLUMNS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest='action', required=True, metavar='draw|show')
    draw = verbs.add_parser('draw', help='the values of one world')
    show = verbs.add_parser('show', help='ranges in SI units, beside the nominal values')
    for verb in (draw, show):
        verb.add_argument('--robot', default='arm6', help='profile: a path or a shipped name')
        verb.add_argument('--space', help="a path or a shipped name (default: the robot's)")
        verb.add_argument('--json', type=Path, metavar='FILE', help='write what is printed')
    draw.add_argument('--seed', type=int, default=0, help='of all draws (default: 0)')
    draw.add_argument('--episode', type=int, default=0, help='number (default: 0)')
    draw.add_argument('--env', type=int, default=0, help='index of the environment (default: 0)')
    show.add_argument('--plot', type=Path, metavar='PNG', help='plot what is drawn')


def run(args: argparse.Namespace) -> int:
    """Draw or show."""
    from sim2real_core.profile import load_profile
    from sim2real_randomizer.space import load_space

    profile = load_profile(args.robot)
    space = load_space(args.space or profile.name, profile)
    return _draw(args, space) if args.action == 'draw' else _show(args, space)


def _draw(args: argparse.Namespace, space: Space) -> int:
    from rich.console import Console
    from rich.table import Table

    from sim2real_core.addresses import quantity
    from sim2real_core.files import write_json

    draw = space.draw(args.seed, args.episode, args.env)
    table = Table(title=f'seed {args.seed}, episode {args.episode}, environment {args.env}')
    table.add_column('address', no_wrap=True)
    table.add_column('value', justify='right')
    table.add_column('unit')
    for address, value in draw.values.items():
        table.add_row(address, f'{value:.6g}', quantity(address, space.profile).unit)
    Console().print(table)
    if args.json:
        write_json(args.json, {'values': draw.values})
    return 0


def _show(args: argparse.Namespace, space: Space) -> int:
    import numpy as np
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from sim2real_core.addresses import quantity
    from sim2real_core.errors import InputError
    from sim2real_core.files import write_json

    drawn = space.draw_many(0, np.arange(SAMPLES))
    title = f'{space.path}: {len(drawn)} addresses on {space.profile.name}'
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column('address', no_wrap=True, min_width=36)
    for heading in ('nominal', 'from', 'to'):
        table.add_column(heading, justify='right', no_wrap=True, min_width=7)
    table.add_column('unit', no_wrap=True, min_width=9)
    table.add_column('how', no_wrap=True)
    rows = {}
    for address, values in drawn.items():
        variation, unit = space.variations[address], quantity(address, space.profile).unit
        try:
            nominal = space.nominal(address)
        except InputError:  # only a simulator knows it
            nominal = math.nan
        low, high = space.range(address)
        how = variation.combine + (f' of {variation.of}' if variation.of else '')
        numbers = ('-' if math.isnan(n) else f'{n:.4g}' for n in (nominal, low, high))
        table.add_row(address, *numbers, unit, f'{variation.distribution.kind}, {how}')
        rows[address] = {
            **variation.as_mapping(),
            'unit': unit,
            'range': [low, high],
            'median': float(np.median(values)),
            'nominal': None if math.isnan(nominal) else nominal,
        }
    Console().print(table)
    if args.plot:
        _plot(args.plot, drawn, rows)
    if args.json:
        write_json(args.json, {'content_hash': space.content_hash, 'addresses': rows})
    return 0


def _plot(path: Path, drawn: dict[str, Any], rows: dict[str, Any]) -> None:
    """One small histogram an address, the nominal value marked."""
    from matplotlib.figure import Figure

    lines = max(1, math.ceil(len(drawn) / COLUMNS))
    figure = Figure(figsize=(3 * COLUMNS, 1.6 * lines), layout='constrained')
    axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axis, (address, values) in zip(axes, drawn.items()):
        axis.hist(values, bins=40, color='#4878a8')
        nominal = rows[address]['nominal']
        if nominal is not None:
            axis.axvline(nominal, color='#c04040', linewidth=1)
        axis.set_title(f'{address} [{rows[address]["unit"]}]', fontsize=7)
        axis.tick_params(labelsize=6)
        axis.locator_params(axis='x', nbins=4)
        axis.set_yticks([])
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
