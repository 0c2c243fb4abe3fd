"""How often the intervals of the online identifier contain the truth.

Draws hidden robots from a space (payload, friction, offsets, lag, delay, backlash, noise), with
drives whose gain is off and encoders whose zeros are, moves each for 60 s as a reach policy does,
with a new goal every 3 s and commands at the profile's rate, and identifies it from its joint
states and commands. With ``--drop`` a share of the joint states is lost.

    python benchmarks/sysid_coverage.py [--json FILE] [--robot arm6|slider] [--robots 200]
        [--seed 0] [--drop 0.2]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.addresses import parse_address
from sim2real_core.files import write_json
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.estimator import OnlineIdentifier

SPACES = {'arm6': 'arm6_surrogate', 'slider': 'slider'}
DURATION, GOAL_EVERY, REACH = 60.0, 3.0, 0.3
INTERVAL = 1.645  # standard deviations: 90 %
LEAST, MOST, ENOUGH, RELATIVE = 0.85, 0.95, 0.80, 0.1
UNSEEN = ('static_friction', 'stribeck_velocity', 'backlash', 'position_offset')
"""What such motion, never slow for long, does not show; and what may be next to nothing."""
GAINS, ZEROS = (0.85, 1.15), 0.015  # of drives, from and to; standard deviation of zeros [rad]
FEWEST = 100  # identified ones of a kind, before its coverage is a figure


def drawn(profile: RobotProfile, space: str, n: int, seed: int) -> dict[str, np.ndarray]:
    """Hidden parameters (n,) by address."""
    values = dict(load_space(space, profile).draw_many(seed, np.arange(n)))
    rng = np.random.default_rng([seed, 1])
    for joint in profile.joint_names:
        values[f'actuator.{joint}.gain'] = rng.uniform(*GAINS, n)
        values[f'joint.{joint}.position_offset'] = ZEROS * rng.normal(size=n)
    return values


def recorded(
    profile: RobotProfile, values: dict[str, np.ndarray], n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Joint states (samples, 1 + 2 nj, n): time, positions, efforts.

    And the commands (samples, nj, n) that were sent before each of them; NaN for none.
    """
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
    period, samples, sent = profile.rates.control_period, [], []
    per_command = round(period / (steps * simulator.timestep))
    per_goal = round(GOAL_EVERY / period)
    for k in range(round(DURATION / (steps * simulator.timestep))):
        if k % (per_command * per_goal) == 0:
            goal = rng.uniform(low, high, command.shape)
            haste = rng.uniform(0.1, 0.5, (n, 1))
        sent.append(np.full_like(command.T, np.nan))
        if k % per_command == 0:
            command = command + np.clip((goal - command) * haste, -speed * period, speed * period)
            jitter = 0.6 * jitter + nervous * rng.normal(size=command.shape)
            simulator.command(command + jitter)
            sent[-1] = (command + jitter).T
        simulator.step(steps)
        reading = simulator.read()
        samples.append(np.vstack([reading.time, reading.position.T, reading.effort.T]))
    return np.array(samples), np.array(sent)


def identified(
    profile: RobotProfile,
    values: dict[str, np.ndarray],
    samples: np.ndarray,
    sent: np.ndarray,
    drop: float,
) -> dict[str, np.ndarray]:
    """What is found of each parameter of each robot, by column (rows,).

    The columns: ``quantity``, whether it is ``identified``, whether the truth is ``inside`` its
    interval, and standard ``deviation`` and ``error`` relative to the truth (NaN where that is 0).
    """
    rows, nj = [], len(profile.joints)
    for robot in range(samples.shape[2]):
        identifier, last = OnlineIdentifier(profile), 0.0
        heard = np.random.default_rng(robot).random(len(samples)) >= drop
        for sample, command, whole in zip(samples[:, :, robot], sent[:, :, robot], heard):
            if np.isfinite(command).all():  # in answer to the last sample
                identifier.command(last, command)
            last = float(sample[0])
            if whole:
                identifier.update(last, sample[1 : 1 + nj], sample[1 + nj :])
        for address, found in identifier.estimate().parameters.items():
            truth = values[address][robot] if address in values else nominal(profile, address)
            error, size = abs(found.mean - truth), abs(truth) or np.nan
            inside = error <= INTERVAL * found.std
            known = found.status == 'identified'
            kind = parse_address(address).quantity.partition('.')[0]
            rows.append((kind, known, inside, found.std / size, error / size))
    names = ('quantity', 'identified', 'inside', 'deviation', 'error')
    return {name: np.array(column) for name, column in zip(names, zip(*rows))}


def median(values: np.ndarray) -> float | None:
    """Of those that are finite; None when there are none."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def share(flags: np.ndarray) -> float | None:
    """Of those that are true; None when there are none at all."""
    return float(np.mean(flags)) if len(flags) else None


def shown(value: float | None) -> str:
    """A share in per cent."""
    return '     -' if value is None else f'{value:6.1%}'


def measure(robot: str, space: str, n: int, seed: int, drop: float) -> dict[str, object]:
    """Figures of ``n`` hidden robots, printed by quantity."""
    profile, rng = load_profile(robot), np.random.default_rng(seed)
    values = drawn(profile, space, n, seed)
    found = identified(profile, values, *recorded(profile, values, n, rng), drop)
    precise = found['identified'] & (found['deviation'] <= RELATIVE)
    shown_by_it = np.isfinite(found['error']) & ~np.isin(found['quantity'], UNSEEN)
    figures: dict[str, object] = {
        'coverage': share(found['inside'][found['identified']]),
        'precise': share(precise[shown_by_it]),
    }
    figures['quantities'] = quantities = {}
    for quantity in dict.fromkeys(found['quantity']):
        of = found['quantity'] == quantity
        known = of & found['identified']
        quantities[str(quantity)] = row = {
            'identified': share(found['identified'][of]),
            'number': int(known.sum()),
            'coverage': share(found['inside'][known]),
            'median_deviation': median(found['deviation'][known]),
            'median_error': median(found['error'][known]),
        }
        print(
            f'{robot:7} {quantity:17} identified {shown(row["identified"])}, truth within 90 % '
            f'interval {shown(row["coverage"])}, deviation {shown(row["median_deviation"])}, '
            f'error {shown(row["median_error"])}'
        )
    return figures


def main() -> int:
    """Simulate, identify, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--robot', choices=sorted(SPACES), help='only this one')
    parser.add_argument('--robots', type=int, default=200, help='number of hidden robots of each')
    parser.add_argument('--seed', type=int, default=0, help='draws other robots')
    parser.add_argument('--drop', type=float, default=0.0, help='share of joint states lost')
    arguments = parser.parse_args()
    robots = [arguments.robot] if arguments.robot else list(SPACES)
    n, seed, drop = arguments.robots, arguments.seed, arguments.drop
    figures = {name: measure(name, SPACES[name], n, seed, drop) for name in robots}
    rows = [row for f in figures.values() for row in f['quantities'].values()]  # type: ignore
    ok = all(LEAST <= row['coverage'] <= MOST for row in rows if row['number'] >= FEWEST)
    # How much can be known of the slider, whose drive hides its friction, is another matter.
    ok = ok and all(f['precise'] >= ENOUGH for name, f in figures.items() if name == 'arm6')
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': [LEAST, MOST, ENOUGH], 'ok': ok})
    print(
        f'{n} robots each: 90 % intervals contain '
        + ', '.join(f'{shown(f["coverage"]).strip()} ({name})' for name, f in figures.items())
        + f' (bar of each kind {LEAST:.0%} to {MOST:.0%}); known to 10 % '
        + ', '.join(f'{shown(f["precise"]).strip()} ({name})' for name, f in figures.items())
        + f' (bar for arm6 {ENOUGH:.0%})'
        + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
