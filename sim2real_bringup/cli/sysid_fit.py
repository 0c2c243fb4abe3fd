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
the payload's mass, centre of mass and inertia where the motion tells them; drives' gain, delay and
lag where commands were recorded. Models called ..._late leave open by how much efforts are
measured later than positions. --bodies all also gives base parameters of all bodies."""
EXAMPLE = """
sim2real sysid fit out/emps --robot slider --heldout out/emps_pulses --report out/fit.html
sim2real sysid fit bag1 bag2 --robot arm6 --heldout 0.2 --json out/fit.json
sim2real sysid fit bag1 --robot arm6 --bodies all --json out/fit.json
"""

TERMS = 3  # of a combination that are shown


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
    _common.add_config(parser, FitConfig, but=('heldout',))
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
    if result.whole is not None:
        show_bodies(result.whole)
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


def show_bodies(whole: Any) -> None:
    """Print base parameters, and bodies that they may come from."""
    rows = []
    for found in whole.base:
        parts = [f'{factor:+.3g} {name}' for name, factor in found.terms.items()]
        words = ' '.join(parts[:TERMS]) + (' ...' if len(parts) > TERMS else '')
        status = found.status.replace('_', ' ')
        rows.append(
            (words, f'{found.nominal:.5g}', f'{found.mean:.5g}', f'{found.std:.2g}', status)
        )
    _common.show_table(
        ('base parameter', 'nominal', 'mean', 'std', 'status'),
        rows,
        title='combinations of the bodies that show in the efforts',
    )
    table = []
    for link, body in whole.bodies.items():
        com = ', '.join(f'{value:.4g}' for value in body.com)
        known = ', '.join(name for name, flag in body.status.items() if flag == 'identified')
        table.append((link, f'{body.mass:.4g} +/- {body.std[0]:.2g}', com, known or 'nothing'))
    _common.show_table(
        ('link, and what is fixed to it', 'mass [kg]', 'centre of mass [m]', 'identified'),
        table,
        title='likeliest bodies that can exist',
    )
