"""``sim2real sysid fit``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sim2real_bringup.cli import _common
from sim2real_sysid.batch.config import MODELS, FitConfig

HELP = "fit a robot's parameters to recordings; score them on what was held out"
DETAILS = f"""Models differ in the friction of the joints: {', '.join(MODELS)}.
One is chosen by cross-validation on the training data, unless it is given; what is held out is
scored once for each, and all scores are listed. Friction, armature and offset of every joint, and
the payload's mass where the motion tells it; drives' gain, delay and lag where commands were
recorded."""
EXAMPLE = """
sim2real sysid fit out/emps --robot slider --heldout out/emps_pulses --report out/fit.html
sim2real sysid fit bag1 bag2 --robot arm6 --heldout 0.2 --json out/fit.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bags', nargs='+', metavar='BAG', help='rosbag2 folder or MCAP file')
    _common.add_robot(parser)
    parser.add_argument(
        '--model', default='', choices=['all', *MODELS],
        help='of friction; all refines each (default: chosen on the training data)',
    )  # fmt: skip
    parser.add_argument(
        '--heldout',
        metavar='BAG|FRACTION',
        help='bag to score on, or share of the end of each bag (default: 0.2; 0 for none)',
    )
    parser.add_argument('--bag-namespace', default='', help='that the topics were recorded under')
    parser.add_argument('--report', type=_common.output, metavar='HTML', help='write a report')
    rows = [row for row in FitConfig.table() if row.name != 'heldout']
    for row in rows:
        unit = f' [{row.unit}]' if row.unit else ''
        parser.add_argument(
            f'--{row.name.replace("_", "-")}',
            type=type(row.default),
            choices=row.choices,
            help=f'{row.description.rstrip(".")}{unit} (default: {row.default})',
        )
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read, fit, show, write."""
    from sim2real_bringup.recordings import read_recording
    from sim2real_core.profile import load_profile
    from sim2real_sysid.batch.fit import STAGES, fit

    profile = load_profile(args.robot)
    share, bag = _heldout(args.heldout)
    args.heldout = share
    config = FitConfig(**_common.given(args, FitConfig))
    stages = {'bags': 'read the bags', **STAGES}
    with _common.progress(stages) as tell:
        paths = [*args.bags, *([bag] if bag else [])]
        raw = []
        for k, path in enumerate(paths):
            tell('bags', k / len(paths))
            raw.append(read_recording(path, profile, args.bag_namespace))
        result = fit(
            profile,
            raw[: len(args.bags)],
            config,
            heldout=raw[len(args.bags) :],
            model=args.model,
            tell=tell,
        )
    _common.finish(args, result.as_json())
    if args.report:
        from sim2real_sysid.batch.report import write_report

        write_report(result, args.report)
    _common.warn(result.notes)
    show(result)
    return 0


def _heldout(text: str | None) -> tuple[float | None, str]:
    """Share and bag, one of them given."""
    if text is None:
        return None, ''
    try:
        return float(text), ''
    except ValueError:
        return 0.0, str(Path(text))


def show(result: Any) -> None:
    """Print parameters and scores."""
    rows = []
    for address, found in result.parameters.items():
        status = found.status.replace('_', ' ')
        if found.confounded:
            status += f' (with {", ".join(found.confounded)})'
        rows.append((address, f'{found.mean:.5g}', f'{found.std:.2g}', found.unit, status))
    _common.show_table(('parameter', 'mean', 'std', 'unit', 'status'), rows)
    table: list[list[str]] = []
    for one in result.scored:
        cells = [one.found.layout.model, one.found.method]
        for scores in (one.train, one.heldout):
            if scores is None:
                cells += ['', '', '']
                continue
            cells.append(f'{scores.effort_error:.2%}')
            cells += [f'{scores.rmse[name]:.4g}' for name in ('open_loop', '1s')]
        table.append(cells)
    header = ['effort', 'open loop', '1 s']
    _common.show_table(
        ('model', 'method', *(f'train {h}' for h in header), *(f'held out {h}' for h in header)),
        table,
        title=f'chosen: {result.model} (errors of effort; of simulated position, rad or m)',
    )
