"""``sim2real demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim2real_bringup.cli import _common
from sim2real_bringup.config import DemoConfig

HELP = 'run the whole loop on this machine and write a report'
EXAMPLE = 'sim2real demo --surrogate-seed 7 --out out/demo'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: one for each field of the demo's configuration."""
    _common.add_config(parser, DemoConfig)
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 1 when a claim did not hold."""
    config = DemoConfig(**_common.given(args, DemoConfig))
    from rich.console import Console

    from sim2real_bringup.demo import STAGES, run_demo
    from sim2real_bringup.report import write_report
    from sim2real_core.files import write_json

    with _common.progress(STAGES) as tell:
        result = run_demo(config, tell)
        tell('fault', 1.0)
    report = write_report(result, Path(config.out))
    numbers = result.as_json()
    write_json(Path(config.out) / 'demo.json', numbers)
    _common.finish(args, numbers)
    gap, found = numbers['gap'], numbers['identification']
    sides = ('before', 'after')
    rows = [
        (label, *(f'{1e3 * gap[side][key]["task_error"]:.1f} mm' for side in sides))
        for label, key in (
            ('task error in simulation', 'simulation'),
            ('on the surrogate', 'robot'),
        )
    ]
    excess = (f'{1e3 * gap[side]["median_excess"]:.1f} mm' for side in sides)
    rows.append(('median excess over the oracle', *excess))
    _common.show_table(
        ('', *sides), rows, f'{numbers["robot"]}, surrogate {config.surrogate_seed}'
    )
    delay = numbers['fault']['delay']
    facts = {
        'nominal policy in nominal episodes': f'{numbers["nominal"]["success_rate"]:.0%} succeed',
        'hidden, excited parameters identified to 10 %': f'{found["sharp"]} of {found["excited"]}',
        '95 % intervals that contain the truth': f'{found["covered"]} of {found["intervals"]}',
        'fault detected after': 'never' if delay is None else f'{delay:.2f} s',
        'clip': numbers['clip']['clip'] if numbers['clip'] else 'none',
        'report': str(report),
    }
    _common.show_table(('', ''), facts.items())
    console = Console()
    for claim, held in result.verdict().items():
        console.print(f'[green]yes[/] {claim}' if held else f'[red]no[/]  {claim}')
    return 0 if all(result.verdict().values()) else 1
