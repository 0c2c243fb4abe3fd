"""Physics steps a second of the vectorized simulator, beside the bare engine in the same run.

512 arms, each with masses and friction of its own. The bare engine steps the very same models
(``mujoco.batch``, efforts held); the simulator adds the drives' servo at every step, and in its
second figure everything else as well: delay, lag, gain, backlash, Stribeck friction, sensor
noise. Runs alternate; the medians over the runs are compared.

    python benchmarks/simulator_throughput.py [--json FILE]

The bar: with all of the realism at every physics step, at least 0.8 of the bare engine's speed
is left (one thread, 1 ms). Then training in the full chain costs little, and nobody is tempted
to train in a simpler one, which would be a gap of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BAR = 0.8
NSIM, PERIODS, RUNS = 512, 4, 5


def worlds(profile, rng, realism: bool) -> dict[str, np.ndarray]:
    """A draw for every simulation."""
    values = {f'link.{profile.payload_link}.mass': rng.uniform(0.8, 2.5, NSIM)}
    for joint in profile.joints:
        name = joint.name
        for quantity in ('viscous_friction', 'coulomb_friction', 'armature'):
            scale = rng.uniform(0.7, 1.5, NSIM)
            values[f'joint.{name}.{quantity}'] = getattr(joint, quantity) * scale
        if realism:
            values[f'joint.{name}.static_friction'] = (
                1.3 * values[f'joint.{name}.coulomb_friction']
            )
            values[f'actuator.{name}.delay'] = rng.uniform(0, 0.02, NSIM)
            values[f'actuator.{name}.time_constant'] = rng.uniform(0, 0.02, NSIM)
            values[f'actuator.{name}.backlash'] = rng.uniform(0, 0.002, NSIM)
            values[f'actuator.{name}.gain'] = rng.uniform(0.9, 1.1, NSIM)
    return values


def contender(nthread: int, timestep: float, kind: str) -> Callable[[], int]:
    """What runs some control periods and returns how many physics steps that were."""
    from sim2real_core.profile import load_profile
    from sim2real_sim.mujoco_simulator import MujocoSimulator

    profile, rng = load_profile('arm6'), np.random.default_rng(0)
    simulator = MujocoSimulator(profile, NSIM, nthread, timestep, contacts=False)
    simulator.apply(worlds(profile, rng, kind == 'realism'))
    substeps = round(profile.rates.control_period / timestep)
    pose = profile.array('default_position')
    batch = simulator.batch

    def run() -> int:
        for _ in range(PERIODS):
            simulator.command(pose + rng.normal(0, 0.15, (NSIM, len(pose))))
            if kind == 'bare':  # the servo's effort of this instant, held
                simulator.step(1)
                for _ in range(substeps - 1):
                    batch.step()
            else:
                simulator.step(substeps)
                simulator.read()
        return NSIM * PERIODS * substeps

    return run


def measure(nthread: int, timestep: float) -> dict[str, float]:
    """Physics steps a second of each kind, medians over alternating runs."""
    kinds = ('bare', 'servo', 'realism')
    runs = {kind: contender(nthread, timestep, kind) for kind in kinds}
    speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for run in runs.values():
        run()
    for _ in range(RUNS):
        for kind, run in runs.items():
            start = time.perf_counter()
            steps = run()
            speeds[kind].append(steps / (time.perf_counter() - start))
    figures = {kind: float(np.median(values)) for kind, values in speeds.items()}
    figures['ratio'] = figures['realism'] / figures['bare']
    return figures


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    from sim2real_core.files import write_json

    figures = {}
    for nthread, timestep in ((1, 1e-3), (2, 1e-3), (1, 2e-3), (2, 2e-3)):
        name = f'{nthread} thread{"s" * (nthread > 1)}, {timestep * 1e3:g} ms'
        figures[name] = measure(nthread, timestep)
        found = figures[name]
        print(
            f'{name}: bare {found["bare"]:.0f}, with servo {found["servo"]:.0f}, with realism '
            f'{found["realism"]:.0f} physics steps/s '
            f'({found["realism"] * timestep / 0.02:.0f} environment steps/s at 50 Hz)'
        )
    ratio = figures['1 thread, 1 ms']['ratio']
    ok = ratio >= BAR
    if arguments.json:
        write_json(arguments.json, {'figures': figures, 'ratio': ratio, 'bar': BAR, 'ok': ok})
    print(
        f'simulator with all realism against the bare engine: {ratio:.2f} of its speed '
        f'(bar {BAR}): {"ok" if ok else "MISSED"}'
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
