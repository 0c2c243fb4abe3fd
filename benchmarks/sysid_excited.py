"""How well hidden arms are known after a minute of their own excitation, and how repeatably.

Hidden robots (payload, friction, offsets, lag, delay, backlash, noise; drives whose gain is off)
follow the motion that ``sim2real sysid excite`` finds for them, and are identified online from
their joint states and commands. One more robot does the same several times, with other noise.

    python benchmarks/sysid_excited.py [--json FILE] [--robots 20] [--repeats 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.addresses import parse_address
from sim2real_core.files import write_json
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_core.records import Estimate
from sim2real_policy.follow import TrajectoryRuntime
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.estimator import OnlineIdentifier
from sim2real_sysid.excitation import excite

GAINS = 0.9, 1.1  # of drives, from and to
RELATIVE = {'viscous_friction': 0.05, 'coulomb_friction': 0.05, 'mass': 0.03}
IF_KNOWN = {'stribeck_velocity': 0.3}  # or not_identified
ABSOLUTE = {'delay': 1e-3}  # s
VARIATION = 0.03
REPEATED = ('armature', 'static_friction', 'gain', 'time_constant', *RELATIVE, *ABSOLUTE)
"""What is above zero by nature, so that it has a coefficient of variation."""


def drawn(profile: RobotProfile, space: str, robots: int, seed: int) -> dict[str, np.ndarray]:
    """Hidden parameters (robots,) by address."""
    values = dict(load_space(space, profile).draw_many(seed, np.arange(robots)))
    rng = np.random.default_rng([seed, 1])
    for joint in profile.joint_names:
        values[f'actuator.{joint}.gain'] = rng.uniform(*GAINS, robots)
    return values


def followed(simulator: MujocoSimulator) -> Iterator[tuple[object, np.ndarray | None]]:
    """Readings on the way through the excitation, and the command sent in answer."""
    profile = simulator.profile
    runtime = TrajectoryRuntime(excite(profile).trajectory, profile)
    steps = round(1.0 / profile.rates.joint_state_rate / simulator.timestep)
    every = round(profile.rates.control_period / (steps * simulator.timestep))
    seen, tick = np.zeros((1, len(profile.joints))), 0
    while runtime.report()['motion'] != 'done':
        command = None
        if tick % every == 0:
            command = runtime.infer(seen)[0]
            simulator.command(np.tile(command, (simulator.nsim, 1)))
        yield simulator.read(), command
        simulator.step(steps)
        tick += 1


def identified(
    profile: RobotProfile, values: dict[str, np.ndarray], seed: int, config: SysidConfig
) -> list[Estimate]:
    """What is found of each robot."""
    n = len(next(iter(values.values())))
    simulator = MujocoSimulator(profile, nsim=n, contacts=False, seed=seed)
    outcomes = simulator.apply(values)
    assert set(outcomes.values()) == {'verified'}, outcomes
    simulator.reset()
    identifiers = [OnlineIdentifier(profile, config) for _ in range(n)]
    for reading, command in followed(simulator):
        for k, identifier in enumerate(identifiers):
            stamp = float(reading.time[k])
            identifier.update(stamp, reading.position[k], reading.effort[k], command)
    return [identifier.estimate() for identifier in identifiers]


def accuracy(estimates: list[Estimate], values: dict[str, np.ndarray]) -> dict[str, dict]:
    """By quantity: how often it is identified, the worst error, and whether it is in the bar."""
    found: dict[str, dict] = {}
    for quantity, bar in {**RELATIVE, **IF_KNOWN, **ABSOLUTE}.items():
        errors, unknown = {}, 0
        for k, estimate in enumerate(estimates):
            for address in (a for a in values if parse_address(a).quantity == quantity):
                parameter, truth = estimate.parameters[address], float(values[address][k])
                if parameter.status != 'identified':
                    unknown += 1
                    continue
                size = 1.0 if quantity in ABSOLUTE else abs(truth)
                errors[f'{address} of robot {k}'] = abs(parameter.mean - truth) / size
        missed = {name: error for name, error in errors.items() if error > bar}
        total = len(errors) + unknown
        found[quantity] = {
            'identified': len(errors) / total,
            'worst': max(errors.values(), default=0.0),
            'bar': bar,
            'missed': missed,
            'ok': not missed and (quantity in IF_KNOWN or not unknown),
        }
    return found


def variation(estimates: list[Estimate]) -> dict[str, float]:
    """Coefficient of variation of what is identified in all repetitions, by address."""
    found = {}
    for address in estimates[0].parameters:
        known = [estimate.parameters[address] for estimate in estimates]
        if parse_address(address).quantity in REPEATED and all(
            parameter.status == 'identified' for parameter in known
        ):
            means = np.array([parameter.mean for parameter in known])
            found[address] = float(means.std(ddof=1) / means.mean())
    return found


def main() -> int:
    """Simulate, identify, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--robots', type=int, default=20, help='different ones')
    parser.add_argument('--repeats', type=int, default=20, help='of one more')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    profile = load_profile('arm6')
    n = arguments.robots
    several = drawn(profile, 'arm6_surrogate', n + 1, arguments.seed)
    one = np.r_[np.arange(n), np.full(arguments.repeats, n)]
    values = {address: each[one] for address, each in several.items()}
    estimates = identified(profile, values, arguments.seed, SysidConfig())
    rows, spread = accuracy(estimates[:n], values), variation(estimates[n:])
    for quantity, row in rows.items():
        print(
            f'{quantity:18} identified {row["identified"]:6.1%}, worst {row["worst"]:.3g} '
            f'(bar {row["bar"]:g})',
            *row['missed'].items(),
        )
    worst = max(spread, key=lambda address: spread[address])
    for address, share in spread.items():
        print(f'{address:36} varies by {share:.2%}')
    ok = all(row['ok'] for row in rows.values()) and spread[worst] <= VARIATION
    if arguments.json:
        write_json(arguments.json, {'accuracy': rows, 'variation': spread, 'ok': ok})
    print(
        f'{n} arms, 60 s: '
        + ', '.join(f'{quantity} {row["worst"]:.3g}' for quantity, row in rows.items())
        + f' at worst; {len(spread)} parameters of one arm vary by up to {spread[worst]:.1%} '
        f'({worst}; bar {VARIATION:.0%})' + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
