"""``sim2real randomize show``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from sim2real_bringup.cli import _common

HELP = 'show what a randomization space means, in SI units beside the nominal values'
EXAMPLE = 'sim2real randomize show arm6 --plot space.png'
DETAILS = 'The robot is the one that the space is named after, unless --robot says otherwise.'
SAMPLES = 4096
COLUMNS = 6
COURSES, SECONDS, FRAMES = 3, 30.0, 240
BLUE, RED, GREY = '#4878a8', '#c04040', '#b0b0b0'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('name', nargs='?', default='', metavar='space', help='as --space')
    parser.add_argument(
        '--space', default='', help="a YAML file or a shipped name (default: the robot's name)"
    )
    _common.add_robot(parser, required=False)
    parser.add_argument(
        '--plot',
        type=_common.output_file,
        metavar='PNG',
        help='plot what is drawn, one small plot an address',
    )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    import numpy as np

    from sim2real_core.addresses import quantity
    from sim2real_core.errors import InputError
    from sim2real_core.profile import load_profile
    from sim2real_randomizer.space import load_space

    name = args.name or args.space
    profile = load_profile(args.robot or _robot_of(name))
    space = load_space(name, profile)
    # By the last episode every schedule has ended.
    drawn = space.draw_many(0, np.iinfo(np.int64).max // 2, np.arange(SAMPLES))
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
    constraints = {label: condition.text for label, condition in space.constraints.items()}
    result = {'content_hash': space.content_hash, 'addresses': rows, 'constraints': constraints}
    _common.finish(args, result)
    _common.warn(space.warnings)
    _common.show_table(
        ('address', 'nominal', 'from', 'to', 'unit', 'how', 'when'),
        (_cells(address, row) for address, row in rows.items()),
        f'{space.path}: {len(rows)} addresses on {profile.name}',
    )
    if constraints:
        _common.show_table(('constraint', 'what must hold'), constraints.items())
    if args.plot:
        _plot(args.plot, space, drawn, rows)
    return 0


def _robot_of(space: str) -> str:
    """The shipped robot that a space is named after."""
    from sim2real_core.errors import Fault, InputError
    from sim2real_core.files import names

    stem = Path(space).stem
    fitting = [name for name in names('robots') if stem == name or stem.startswith(f'{name}_')]
    if not fitting:
        raise InputError(Fault('--robot', '', 'say which robot: the name of the space does not'))
    return max(fitting, key=len)


def _cells(address: str, row: dict[str, Any]) -> tuple[str, ...]:
    nominal = '-' if row['nominal'] is None else f'{row["nominal"]:.4g}'
    low, high = (f'{end:.4g}' for end in row['range'])
    how = f'{row["distribution"]}, {row["combine"]}'
    if 'joint' in row:
        how += f', with {row["joint"]}'
    if 'of' in row:
        how += f' of {row["of"]}'
    if 'grow' in row:
        how += f', grows from {row["grow"]["from"]}'
    return address, nominal, low, high, row['unit'], how, _when(row)


def _when(row: dict[str, Any]) -> str:
    """When it is drawn, in words."""
    when = row.get('when', 'reset')
    if isinstance(when, str):
        return f'every {when}' if when == 'reset' else 'once a start'
    ((kind, value),) = when.items()
    if kind == 'interval':
        return f'every {value[0]:g} to {value[1]:g} s'
    return (
        f'walk, {value:g} of the range in 1 s' if kind == 'walk' else f'returns within {value:g} s'
    )


def _plot(path: Path, space: Any, drawn: dict[str, Any], rows: dict[str, dict[str, Any]]) -> None:
    """One small histogram an address, the nominal value marked.

    Below what changes within an episode, some of its courses over 30 s.
    """
    from matplotlib.figure import Figure

    times, courses = _courses(space)
    lines = max(1, math.ceil(len(drawn) / COLUMNS))
    figure = Figure(figsize=(3 * COLUMNS, 1.7 * lines + 0.4), layout='constrained')
    figure.suptitle(
        f'{space.path.name if space.path else "space"} on {space.profile.name}: what is drawn '
        f'(blue), its range (grey), the nominal value (red)',
        fontsize=9,
    )
    axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axis, (address, values) in zip(axes, drawn.items()):
        row = rows[address]
        axis.set_title(f'{address} [{row["unit"]}]', fontsize=7)
        axis.tick_params(labelsize=6)
        for side in (axis.xaxis, axis.yaxis):
            side.get_offset_text().set_fontsize(6)
        low, high = float(values.min()), float(values.max())
        line = axis.axvline
        if address in courses:
            axis.plot(times, courses[address].T, color=BLUE, linewidth=0.7)
            axis.set_xlabel('s', fontsize=6, labelpad=0)
            line = axis.axhline
        elif low == high:
            axis.text(0.5, 0.5, f'always {low:.4g}', transform=axis.transAxes, ha='center')
            axis.set_axis_off()
            continue
        else:
            axis.hist(values, bins=40, color=BLUE)
            axis.locator_params(axis='x', nbins=4)
            axis.set_yticks([])
        for end in row['range']:
            if low - (high - low) <= end <= high + (high - low):  # tails may reach far
                line(end, color=GREY, linewidth=0.8)
        if row['nominal'] is not None:
            line(row['nominal'], color=RED, linewidth=1)
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format='png')


def _courses(space: Any) -> tuple[Any, dict[str, Any]]:
    """Times, and by address some courses (COURSES, FRAMES) of what changes within an episode."""
    import numpy as np

    from sim2real_randomizer.course import Course

    course = Course(space, 0, np.arange(COURSES), np.zeros(COURSES, int))
    times = np.linspace(0.0, SECONDS, FRAMES)
    if not course.varying:
        return times, {}
    seen: dict[str, list[Any]] = {address: [] for address in course.varying}
    for time in times:
        course.advance(time)
        for address, values in seen.items():
            values.append(course.values[address].copy())
    return times, {address: np.array(values).T for address, values in seen.items()}
