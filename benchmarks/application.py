"""How long a draw takes to be in force, by simulator and route, beside what it cannot be below.

A draw of one address and one of twenty are applied to arm6 again and again, each time with other
values, in a world at rest; it counts until they are read back. Beside each, in the same run, its
lower bound:

- mujoco: the bare assignment of as many numbers to the engine's array;
- gazebo_classic, transport: one empty request that waits for the engine's look at its messages
  (five a second, whoever asks);
- gazebo_classic, services: the same, and an empty service call;
- respawn: the bare deletion and insertion of the same model;
- gz: one request for the state.

The bars are ratios to these bounds, of medians. A live draw in Gazebo Classic takes one look to be
taken and the next one to be read back: 2, and up to 3 for what a busy machine adds. Over the
services each link is a request of its own that takes as long: 3 for each of them. A respawn also
puts the joints back where they were, which takes another look after the two or three of deletion
and insertion: 2. Modern Gazebo takes and confirms at once, but every address kind in a request of
its own: 20. Its respawn takes as many requests again as deletion and insertion do, to see where
the model is, put its joints back there and read the values back: 2, and up to 3 for the editing of
the SDF, which counts where all the rest takes milliseconds. MuJoCo's assignment neither checks,
nor derives what the engine derives from it (an inertia's principal axes, weights of constraints),
nor reads back; a draw comes once an episode, so
its bar is not a ratio but 5 ms, one step of a usual controller.

    python benchmarks/application.py [--json FILE]

Where a simulator is not installed its rows say so, and do not count.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MUJOCO_BAR = 0.005
BARS = {
    'gazebo_classic': {'transport': 3.0, 'services': 3.0, 'respawn': 2.0},
    'gz': {'service': 20.0, 'respawn': 3.0},
}
RUNS, MANY = 9, 200
ROBOT, PLACE = 'bench', 3.0
LINKS = ('upper_arm', 'forearm', 'wrist_link', 'gripper')


def timed(
    work: Callable[[int], object], runs: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median and 90th percentile of so many calls [s]."""
    taken = []
    for run in range(runs + 1):
        start = clock()
        work(run)
        taken.append(clock() - start)
    return dict(zip(('median', 'p90'), map(float, np.percentile(taken[1:], [50, 90]))))


def draws(nominal: dict[str, float], run: int) -> dict[str, float]:
    """A draw that differs from the one before."""
    return {a: (value or 0.01) * (1.0 + 0.01 * (1 + run % 7)) for a, value in nominal.items()}


def in_mujoco() -> Iterator[dict[str, object]]:
    from sim2real_core.profile import load_profile
    from sim2real_sim.mujoco_simulator import MujocoSimulator

    simulator = MujocoSimulator(load_profile('arm6'))
    joints = simulator.profile.joint_names
    addresses = [f'joint.{j}.{q}' for q in ('viscous_friction', 'armature') for j in joints]
    addresses += [f'link.{link}.mass' for link in simulator.profile.urdf.links]
    addresses = [a for a in addresses if simulator.has(a)]
    addresses += [f'joint.{j}.coulomb_friction' for j in joints]
    array = simulator.batch.expand('dof_damping')
    for count in (1, 20):
        chosen = {a: float(simulator.nominal(a)) for a in addresses[:count]}
        assert len(chosen) == count

        def apply(run: int, chosen: dict[str, float] = chosen) -> None:
            outcomes = simulator.apply(draws(chosen, run))
            assert set(outcomes.values()) == {'verified'}, outcomes

        def assign(run: int, count: int = count) -> None:
            for k in range(count):
                array[0, k % len(joints)] = 0.1 + run

        # Of the processor: it computes all the time, and others on the machine do not count.
        found, bound = (timed(work, MANY, time.process_time) for work in (apply, assign))
        yield {
            'backend': 'mujoco',
            'route': 'live',
            'addresses': count,
            **found,
            'bound': bound['median'],
            'ok': found['median'] <= MUJOCO_BAR,
        }


def rows_of(
    world, backend: str, route: str, called: str, addresses: list[str], bound: Callable
) -> Iterator[dict[str, object]]:
    """Rows of one route: a draw of the first address, and of all."""
    for count in (1, len(addresses)):
        nominal = {a: world.nominal(ROBOT, a) for a in addresses[:count]}

        def apply(run: int, nominal: dict[str, float] = nominal) -> None:
            outcomes = world.apply(ROBOT, draws(nominal, run), route)
            assert not {'failed', 'unsupported'} & set(outcomes.values()), world.troubles

        links = len({a.split('.')[1] for a in nominal}) if route == 'services' else 1
        found, least = timed(apply, RUNS), timed(bound, RUNS)
        ratio, bar = found['median'] / least['median'], BARS[backend][route] * links
        yield {
            'backend': backend,
            'route': called,
            'addresses': count,
            **found,
            'bound': least['median'],
            'ratio': ratio,
            'bar': bar,
            'ok': ratio <= bar,
        }


def addresses_of(profile) -> tuple[list[str], list[str]]:
    """Twenty that change live in Gazebo Classic, and twenty that take a respawn."""
    live = [f'link.{link}.{q}' for link in LINKS for q in ('mass', 'com.x', 'com.y', 'com.z')]
    live += [f'link.{link}.inertia.xx' for link in LINKS]
    spawned = [
        f'joint.{j}.{q}'
        for q in ('viscous_friction', 'coulomb_friction', 'armature')
        for j in profile.joint_names
    ]
    return live, [*spawned, 'link.gripper.mass', 'link.forearm.mass']


def in_gazebo_classic() -> Iterator[dict[str, object]]:
    from sim2real_core.profile import load_profile
    from sim2real_sim import sdf
    from sim2real_sim.gazebo_classic.server import Server
    from sim2real_sim.gazebo_classic.world import ClassicWorld
    from sim2real_sim.world import Pose

    profile = load_profile('arm6')
    text, place = sdf.from_profile(profile), Pose((PLACE, 0.0, 0.0))
    live, spawned = addresses_of(profile)
    folder = Path(tempfile.mkdtemp())
    with ExitStack() as stack:
        server = stack.enter_context(
            Server('worlds/empty.world', port=free_port(), log=folder / 'log')
        )
        world = ClassicWorld(port=server.port, timeout=20.0)
        stack.callback(world.close)
        world.spawn(ROBOT, text, place)
        world.step(50) if world.paused() else time.sleep(0.2)
        world.pause(True)
        live_look, backend = world._gazebo.live.look, 'gazebo_classic'
        yield from rows_of(world, backend, 'transport', 'transport', live, lambda _: live_look())
        yield from rows_of(
            world,
            backend,
            'respawn',
            'respawn',
            spawned,
            lambda _: world.replace(ROBOT, text, place),
        )
        world.delete(ROBOT)
        try:
            from sim2real_sim.verify.served_ros import served
        except ImportError as error:
            yield {'backend': backend, 'route': 'services', 'skipped': str(error)}
            return
        services = stack.enter_context(served(server.port))
        services.spawn(ROBOT, text, place)
        services.pause(True)

        def ask(_: int) -> None:
            services.models()
            live_look()

        yield from rows_of(services, backend, 'services', 'services', live, ask)
        yield from rows_of(
            services,
            backend,
            'respawn',
            'services respawn',
            spawned,
            lambda _: services.replace(ROBOT, text, place),
        )


def in_gz() -> Iterator[dict[str, object]]:
    from sim2real_core.errors import MissingError
    from sim2real_core.profile import load_profile
    from sim2real_sim import sdf
    from sim2real_sim.verify.servers import modern
    from sim2real_sim.world import Pose

    if shutil.which('gz') is None:
        raise MissingError('no gz command on the PATH')
    profile = load_profile('arm6')
    text, place = sdf.from_profile(profile, '1.11'), Pose((PLACE, 0.0, 0.0))
    _, spawned = addresses_of(profile)
    with modern() as world:
        world.pause(True)
        world.spawn(ROBOT, text, place)
        gravity = [f'world.gravity.{axis}' for axis in 'zxy']
        yield from rows_of(world, 'gz', 'service', 'service', gravity, lambda _: world.time())
        yield from rows_of(
            world,
            'gz',
            'respawn',
            'respawn',
            [a for a in spawned if 'coulomb' not in a],
            lambda _: world.replace(ROBOT, text, place),
        )


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        return int(taken.getsockname()[1])


def told(row: dict[str, object]) -> str:
    """A row in words."""
    name = f'{row["backend"]:>14} {row["route"]:<17}'
    if 'skipped' in row:
        return f'{name} not installed: {row["skipped"]}'
    figures = ', '.join(f'{k} {1e3 * float(row[k]):9.3f} ms' for k in ('median', 'p90', 'bound'))
    bar = f'{row["ratio"]:.1f} times (bar {row["bar"]:g})' if 'ratio' in row else 'bar 5 ms'
    count = row['addresses']
    return f'{name} {count:>2} addresses: {figures}; {bar}: {"ok" if row["ok"] else "MISSED"}'


def main() -> int:
    """Measure, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    from sim2real_core.errors import MissingError
    from sim2real_core.files import write_json

    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    rows: list[dict[str, object]] = []
    for backend, measure in (
        ('mujoco', in_mujoco),
        ('gazebo_classic', in_gazebo_classic),
        ('gz', in_gz),
    ):
        try:
            for row in measure():
                rows.append(row)
                print(told(row), flush=True)
        except MissingError as error:
            rows.append({'backend': backend, 'route': '', 'skipped': str(error).splitlines()[0]})
            print(told(rows[-1]), flush=True)
    measured = [row for row in rows if 'skipped' not in row]
    missed = list(itertools.filterfalse(lambda row: row['ok'], measured))
    ok = not missed
    if arguments.json:
        write_json(arguments.json, {'rows': rows, 'bars': BARS, 'ok': ok})
    shares = [float(row['ratio']) / float(row['bar']) for row in measured if 'ratio' in row]
    print(
        f'{len(measured)} rows, {len(missed)} below their bar; the nearest takes '
        f'{max(shares, default=0.0):.2f} of what it may (bar 1): ' + ('ok' if ok else 'MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
