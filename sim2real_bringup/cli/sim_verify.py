"""``sim2real sim verify``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sim2real_bringup.cli import _common

if TYPE_CHECKING:
    from sim2real_sim.verify.probes import Probe
    from sim2real_sim.verify.table import Finding
    from sim2real_sim.world import World

HELP = 'try what a simulator really does with the values it is given'
DETAILS = """Physical probes with predictions from mechanics, in a world made for them: a value
counts as verified when what follows from it is what mechanics says, to 1 % (restitution 5 %).
Exit status 1 when something required of the backend is not verified."""
EXAMPLE = """sim2real sim verify --backend mujoco
sim2real sim verify --backend gazebo_classic --kinds mass,friction --json verified.json"""
BACKENDS = ('mujoco', 'gazebo_classic', 'gz')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument('--backend', choices=BACKENDS, default='mujoco')
    parser.add_argument(
        '--routes', type=_common.comma_list, default=[], help='only these ways to change a value'
    )
    parser.add_argument(
        '--kinds', type=_common.comma_list, default=[], help='only these rows of the table'
    )
    parser.add_argument('--port', type=int, default=0, help="of Gazebo's master; any free one")
    _common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Try it; 1 when something required is not verified."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from sim2real_core.errors import Fault, InputError
    from sim2real_sim.gazebo_classic.world import ClassicWorld
    from sim2real_sim.verify.run import KINDS, PROBES, REQUIRED, verify
    from sim2real_sim.verify.table import missing, rows

    unknown = [kind for kind in args.kinds if kind not in KINDS]
    if unknown:
        raise InputError(Fault('--kinds', ','.join(unknown), f'one of {", ".join(KINDS)}'))
    probes = [probe for probe in PROBES if not args.kinds or probe.kind in args.kinds]
    both = args.backend == 'gazebo_classic'  # ways into it
    columns = TextColumn('{task.description:<44}'), MofNCompleteColumn(), TimeElapsedColumn()
    with _world(args) as world, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task('', total=len(probes) * (1 + both))

        def tell(name: str) -> None:
            progress.update(task, description=name, advance=1)

        version, found = world.version, verify(world, probes, args.routes, tell)
        if isinstance(world, ClassicWorld):
            found += _over_services(world.port, probes, args.routes, tell)
    table = {'backend': args.backend, 'version': version, 'rows': rows(found)}
    _common.finish(args, table)
    _common.show_table(
        ('kind', 'route', 'status', 'error', 'note'),
        (
            (
                row['kind'],
                row['route'] or '-',
                row['status'],
                '-' if row['error'] is None else f'{row["error"]:.2%}',
                row.get('note', ''),
            )
            for row in table['rows']
        ),
        f'{args.backend}: {table["version"]}',
    )
    tried = {probe.kind for probe in probes}
    lacking = missing(table, (kind for kind in REQUIRED[args.backend] if kind in tried))
    if lacking:
        print(f'required but not verified: {", ".join(lacking)}')
    return 1 if lacking else 0


def _over_services(
    port: int, probes: list[Probe], routes: list[str], tell: Callable[[str], None]
) -> list[Finding]:
    """What values do that go over gazebo_msgs; nothing, said so, where there is no such thing."""
    try:
        import gazebo_msgs  # noqa: F401

        from sim2real_sim.verify.served_ros import verify_served
    except ImportError as error:
        print(f'the services of gazebo_msgs are not tried: {error}')
        return []
    return verify_served(port, probes, routes, tell)


@contextmanager
def _world(args: argparse.Namespace) -> Iterator[World]:
    """The backend's world, with the probe world in it."""
    if args.backend == 'mujoco':
        from sim2real_sim.mujoco_world import MujocoWorld

        yield MujocoWorld()
        return
    from sim2real_sim.verify.servers import classic, modern

    with (classic if args.backend == 'gazebo_classic' else modern)(args.port) as world:
        yield world
