"""How long batch identification takes, and how close it comes to hidden truths.

Simulates hidden six-axis arms (payload, friction, offsets, lag, delay, backlash, noise) through
60 s of their own excitation, and fits them from joint states and commands, as ``sim2real sysid
fit`` does unless told otherwise.

    python benchmarks/sysid_batch.py [--json FILE] [--robots 1] [--alike] [--seed 0]
        [--method auto]

The bars: 60 s of six joints take at most 60 s on two cores; viscous and Coulomb friction that
count as identified are known to 5 %, the payload's mass to 3 %; of robots that are alike each
parameter varies by less than 3 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.files import write_json
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_policy.follow import TrajectoryRuntime
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.batch.config import METHODS, FitConfig
from sim2real_sysid.batch.data import RawRecording
from sim2real_sysid.batch.fit import FitResult, fit
from sim2real_sysid.excitation import excite

BAR = 60.0  # [s]
BARS = {'viscous_friction': 0.05, 'coulomb_friction': 0.05, 'mass': 0.03}  # relative errors
VARIES = 0.03  # coefficient of variation
DURATION = 60.0


def wanted(profile: RobotProfile) -> np.ndarray:
    """Commands (n, nj), one a control period: the robot's own excitation, approach and all."""
    runtime = TrajectoryRuntime(excite(profile).trajectory, profile)
    default = profile.array('default_position')
    commands = [default]
    while runtime.report()['motion'] != 'done':
        seen = (commands[-1] - default).astype(np.float32)
        commands.append(runtime.infer(seen[None])[0])
    return np.array(commands)


def recorded(
    profile: RobotProfile,
    values: dict[str, np.ndarray],
    n: int,
    seed: int,
    commands: np.ndarray,
) -> list[RawRecording]:
    """Recordings of ``n`` hidden robots, all moved alike, while they are excited."""
    simulator = MujocoSimulator(profile, nsim=n, nthread=2, contacts=False, seed=seed)
    outcomes = simulator.apply(values)
    assert set(outcomes.values()) <= {'verified'}, outcomes
    simulator.reset()
    step = simulator.timestep
    per_state = round(1.0 / profile.rates.joint_state_rate / step)
    per_command = round(profile.rates.control_period / step)
    ticks = np.arange(len(commands) * per_command)
    rows = []
    for k in ticks:
        if k % per_command == 0:
            simulator.command(np.tile(commands[k // per_command], (n, 1)))
        if k % per_state == 0:
            reading = simulator.read()
            rows.append((reading.time[0], reading.position, reading.effort))
        simulator.step()
    rows = rows[-round(DURATION * profile.rates.joint_state_rate) :]
    stamp = np.array([row[0] for row in rows])
    position, effort = (np.array([row[k] for row in rows]) for k in (1, 2))
    sent = ticks[::per_command] * step
    return [
        RawRecording(f'robot {i}', stamp, position[:, i], effort[:, i], sent, commands)
        for i in range(n)
    ]


def compared(result: FitResult, truth: dict[str, float]) -> dict[str, dict[str, float]]:
    """By quantity: share identified, median and worst relative error, share within intervals."""
    rows: dict[str, list[tuple[bool, float, bool]]] = {}
    for address, found in result.parameters.items():
        if address not in truth:
            continue
        error = abs(found.mean - truth[address])
        row = (
            found.status == 'identified',
            error / max(abs(truth[address]), 1e-12),
            error <= 1.645 * found.std,
        )
        rows.setdefault(address.split('.', 2)[2], []).append(row)
    return {
        name: {
            'identified': float(np.mean([row[0] for row in of])),
            'error': float(np.median([row[1] for row in of])),
            'worst': float(np.max([row[1] for row in of])),
            'worst_identified': float(np.max([row[1] for row in of if row[0]], initial=0.0)),
            'inside': float(np.mean([row[2] for row in of])),
        }
        for name, of in rows.items()
    }


def variation(results: list[FitResult]) -> dict[str, float]:
    """Coefficient of variation of each parameter that all fits identified.

    Of the smallest value that matters, where the parameter is smaller: an offset of nearly nothing
    has no relative error.
    """
    found = results[0].best.found
    matters = dict(zip(found.layout.addresses, found.matters))
    out = {}
    for address in found.layout.addresses:
        every = [result.parameters.get(address) for result in results]
        if all(one is not None and one.status == 'identified' for one in every):
            means = np.array([one.mean for one in every if one is not None])
            size = max(abs(float(means.mean())), float(matters[address]))
            out[address] = float(means.std(ddof=1)) / size
    return out


def main() -> int:
    """Simulate, fit, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--robots', type=int, default=1, help='number of hidden robots')
    parser.add_argument('--alike', action='store_true', help='one robot; only the noise differs')
    parser.add_argument('--seed', type=int, default=0, help='draws other robots')
    parser.add_argument('--method', default='auto', choices=METHODS, help='of the fit')
    arguments = parser.parse_args()
    profile, n = load_profile('arm6'), arguments.robots
    indices = np.zeros(n, dtype=int) if arguments.alike else np.arange(n)
    values = load_space('arm6_surrogate', profile).draw_many(arguments.seed, indices)
    recordings = recorded(profile, values, n, arguments.seed, wanted(profile))
    figures: list[dict[str, dict[str, float]]] = []
    results, seconds, busy = [], 0.0, 0.0
    for i, recording in enumerate(recordings):
        start, work = time.perf_counter(), time.process_time()
        result = fit(profile, [recording], FitConfig(method=arguments.method, threads=2))
        seconds = max(seconds, time.perf_counter() - start)
        busy = max(busy, time.process_time() - work)
        truth = {address: float(column[i]) for address, column in values.items()}
        results.append(result)
        figures.append(compared(result, truth))
        for name, row in figures[-1].items():
            print(
                f'{recording.name} {result.best.found.method:13} {result.model:20} {name:18} '
                f'identified {row["identified"]:4.0%}, error median {row["error"]:6.1%}, worst '
                f'{row["worst"]:6.1%}, truth within 90 % interval {row["inside"]:4.0%}'
            )
    worst = {
        name: max(row[name]['worst_identified'] for row in figures if name in row) for name in BARS
    }
    ok = seconds <= BAR and all(worst[name] <= bar for name, bar in BARS.items())
    numbers: dict[str, object] = {'figures': figures, 'seconds': seconds, 'busy': busy, 'bar': BAR}
    words = ', '.join(f'{name} {worst[name]:.1%} (bar {bar:.0%})' for name, bar in BARS.items())
    if arguments.alike:
        varies = variation(results)
        most = max(varies, key=lambda address: varies[address])
        ok = ok and varies[most] <= VARIES
        words += f'; varies most: {most} {varies[most]:.1%} (bar {VARIES:.0%})'
        numbers['variation'] = varies
    if arguments.json:
        write_json(arguments.json, {**numbers, 'worst': worst, 'bars': BARS, 'ok': ok})
    print(
        f'{arguments.method}: {DURATION:g} s of {len(profile.joints)} joints: {seconds:.1f} s, '
        f'{busy:.1f} s of processors (bar {BAR:g} s on two); worst of {n}: {words}: '
        f'{"ok" if ok else "MISSED"}'
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
