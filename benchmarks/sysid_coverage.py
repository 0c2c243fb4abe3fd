"""How often the intervals of the online identifier contain the truth.

Draws hidden robots from a space (payload, friction, offsets, lag, delay, backlash, noise), moves
each for 40 s as a reach policy does, with a new goal every 3 s and commands at the profile's rate,
and identifies it from its joint states.

    python benchmarks/sysid_coverage.py [--json FILE] [--robot arm6] [--space arm6_surrogate]
        [--robots 40] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.files import write_json
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.estimator import OnlineIdentifier

DURATION, GOAL_EVERY, REACH = 40.0, 3.0, 0.3
LEAST, MOST, ENOUGH, RELATIVE = 0.88, 0.99, 0.80, 0.1


def recorded(
    profile: RobotProfile, values: dict[str, np.ndarray], n: int, rng: np.random.Generator
) -> np.ndarray:
    """Joint states (samples, 1 + 2 nj, n): time, positions, efforts."""
    simulator = MujocoSimulator(profile, nsim=n, contacts=False, seed=int(rng.integers(2**31)))
    outcomes = simulator.apply(values)
    assert set(outcomes.values()) == {'verified'}, outcomes
    simulator.reset()
    middle, speed = profile.array('default_position'), profile.array('velocity')
    low = middle + REACH * (np.maximum(profile.array('lower'), middle - np.pi) - middle)
    high = middle + REACH * (np.minimum(profile.array('upper'), middle + np.pi) - middle)
    command = np.tile(middle, (n, 1))
    goal, haste, jitter = command, np.ones((n, 1)), np.zeros_like(command)
    nervous = 2e-3 * speed * (np.arange(n) % 3 == 0)[:, None]
    steps = round(1.0 / profile.rates.joint_state_rate / simulator.timestep)
    period, samples = profile.rates.control_period, []
    per_command = round(period / (steps * simulator.timestep))
    per_goal = round(GOAL_EVERY / period)
    for k in range(round(DURATION / (steps * simulator.timestep))):
        if k % (per_command * per_goal) == 0:
            goal = rng.uniform(low, high, command.shape)
            haste = rng.uniform(0.1, 0.5, (n, 1))
        if k % per_command == 0:
            command = command + np.clip((goal - command) * haste, -speed * period, speed * period)
            jitter = 0.6 * jitter + nervous * rng.normal(size=command.shape)
            simulator.command(command + jitter)
        simulator.step(steps)
        reading = simulator.read()
        samples.append(np.vstack([reading.time, reading.position.T, reading.effort.T]))
    return np.array(samples)


def main() -> int:
    """Simulate, identify, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--robot', default='arm6', help='robot profile')
    parser.add_argument('--space', default='arm6_surrogate', help='what hidden robots are of')
    parser.add_argument('--robots', type=int, default=40, help='number of hidden robots')
    parser.add_argument('--seed', type=int, default=0, help='draws other robots')
    arguments = parser.parse_args()
    profile, n = load_profile(arguments.robot), arguments.robots
    rng, nj = np.random.default_rng(arguments.seed), len(profile.joints)
    values = load_space(arguments.space, profile).draw_many(arguments.seed, np.arange(n))
    samples = recorded(profile, values, n, rng)
    rows = []  # quantity, identified, inside its interval, relative deviation, relative error
    for robot in range(n):
        identifier = OnlineIdentifier(profile)
        for sample in samples[:, :, robot]:
            identifier.update(float(sample[0]), sample[1 : 1 + nj], sample[1 + nj :])
        for address, found in identifier.estimate().parameters.items():
            truth = values[address][robot] if address in values else nominal(profile, address)
            error = found.mean - truth
            rows.append(
                (
                    address.rpartition('.')[2],
                    found.status == 'identified',
                    abs(error) <= 1.96 * found.std,
                    found.std / abs(truth),
                    error / abs(truth),
                )
            )
    quantities, identified, inside, deviation, error = (np.array(c) for c in zip(*rows))
    figures = {
        'coverage': float(inside[identified].mean()),
        'precise': float((identified & (deviation <= RELATIVE)).mean()),
        'quantities': {},
    }
    for quantity in dict.fromkeys(quantities):
        of = quantities == quantity
        known = of & identified
        figures['quantities'][str(quantity)] = row = {
            'identified': float(identified[of].mean()),
            'coverage': float(inside[known].mean()),
            'median_deviation': float(np.median(deviation[known])),
            'median_error': float(np.median(np.abs(error[known]))),
        }
        print(
            f'{quantity:17} identified {row["identified"]:6.1%}, truth within 95 % interval '
            f'{row["coverage"]:6.1%}, deviation {row["median_deviation"]:5.1%}, '
            f'error {row["median_error"]:5.1%}'
        )
    ok = LEAST <= figures['coverage'] <= MOST and figures['precise'] >= ENOUGH
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': [LEAST, MOST, ENOUGH], 'ok': ok})
    print(
        f'{n} robots: 95 % intervals contain {figures["coverage"]:.1%} (bar {LEAST:.0%} to '
        f'{MOST:.0%}), {figures["precise"]:.1%} known to 10 % (bar {ENOUGH:.0%})'
        + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
