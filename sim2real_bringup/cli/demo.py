"""``sim2real demo``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

HELP = 'run the whole loop on this machine and write a report'
EXAMPLE = 'sim2real demo --surrogate-seed 7 --out out/demo'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: one for each field of the demo's configuration."""
    from sim2real_bringup.demo import DemoConfig

    for row in DemoConfig.table():
        parser.add_argument(
            f'--{row.name.replace("_", "-")}',
            type=type(row.default),
            default=row.default,
            help=f'{row.description} (default: {row.default})',
        )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers there too')


def run(args: argparse.Namespace) -> int:
    """Run the demo; 1 when a claim did not hold."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from sim2real_bringup.demo import STAGES, DemoConfig, run_demo
    from sim2real_bringup.report import write_report
    from sim2real_core.files import write_json

    names = [field.name for field in dataclasses.fields(DemoConfig)]
    config = DemoConfig(**{name: getattr(args, name) for name in names})
    console = Console()
    with Progress(
        TextColumn('{task.description:<66}'),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        tasks = {
            stage: progress.add_task(text, total=1.0, start=False)
            for stage, text in STAGES.items()
        }

        def tell(stage: str, share: float) -> None:
            for other in tasks:
                if other == stage:
                    break
                progress.update(tasks[other], completed=1.0)
                progress.stop_task(tasks[other])
            if not progress.tasks[tasks[stage]].started:
                progress.start_task(tasks[stage])
            progress.update(tasks[stage], completed=share)

        result = run_demo(config, tell)
        tell('fault', 1.0)
    report = write_report(result, Path(config.out))
    numbers = result.as_json()
    write_json(Path(config.out) / 'demo.json', numbers)
    if args.json:
        write_json(args.json, numbers)
    gap, found = numbers['gap'], numbers['identification']
    table = Table(title=f'{numbers["robot"]}, surrogate {config.surrogate_seed}')
    for heading in ('', 'before', 'after'):
        table.add_column(heading, justify='left' if not heading else 'right')
    for label, key in (('task error in simulation', 'simulation'), ('on the surrogate', 'robot')):
        table.add_row(
            label,
            *(f'{1e3 * gap[side][key]["task_error"]:.1f} mm' for side in ('before', 'after')),
        )
    table.add_row(
        'median excess over the oracle',
        *(f'{1e3 * gap[side]["median_excess"]:.1f} mm' for side in ('before', 'after')),
    )
    console.print(table)
    delay = numbers['fault']['delay']
    rows = {
        'nominal policy in nominal episodes': f'{numbers["nominal"]["success_rate"]:.0%} succeed',
        'hidden parameters identified to 10 %': f'{found["sharp"]} of {found["excited"]}',
        '95 % intervals that contain the truth': f'{found["covered"]} of {found["intervals"]}',
        'fault detected after': 'never' if delay is None else f'{delay:.2f} s',
        'clip': numbers['clip']['clip'] if numbers['clip'] else 'none',
        'report': str(report),
    }
    facts = Table(show_header=False)
    for label, value in rows.items():
        facts.add_row(label, value)
    console.print(facts)
    for claim, held in result.verdict().items():
        console.print(f'[green]yes[/] {claim}' if held else f'[red]no[/]  {claim}')
    return 0 if all(result.verdict().values()) else 1
