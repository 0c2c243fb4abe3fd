"""How long it takes to draw the worlds of 4096 environments, 60 addresses each, on one core.

Twice: the shipped space of arm6, and one with everything that a space can have (beta, normal,
empirical and joint distributions, expressions, constraints that reject, a range that grows), also
for a step within an episode. Beside it, as a lower bound, what NumPy's own generator takes for as
many uniform numbers, which then still have no key, no distribution and no nominal value.

    python benchmarks/draws.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.files import write_json
from sim2real_core.profile import load_profile
from sim2real_core.yaml_file import parse_yaml
from sim2real_randomizer.course import Course
from sim2real_randomizer.space import Space, load_space, space_from_yaml

ENVIRONMENTS, ADDRESSES, RUNS, BAR = 4096, 60, 30, 0.030
EVERYTHING = """
parameters:
  link.gripper.mass: {distribution: beta, a: 2, b: 5, low: 0, high: 4, combine: additive}
  link.gripper.inertia.xx: {distribution: uniform, low: 0.9, high: 1.1}
  joint.*.viscous_friction: {distribution: log_uniform, low: 0.5, high: 2.0, when: {walk: 0.1}}
  joint.*.coulomb_friction:
    {distribution: normal, mean: 1, std: 0.3, low: 0.5, high: 2, when: {ornstein_uhlenbeck: 3}}
  joint.*.static_friction: {distribution: uniform, low: 0.8, high: 1.5, of: coulomb_friction}
  joint.*.stribeck_velocity: {distribution: beta, a: 0.5, b: 0.5, low: 0.01, high: 0.05}
  joint.*.armature:
    {distribution: uniform, low: 0.9, high: 1.1, grow: {from: [1, 1], episodes: 100}}
  joint.*.effort_offset: {distribution: normal, mean: 0, std: 0.1, low: -0.5, high: 0.5}
  actuator.*.time_constant: {of: "si(0.02, 's') * actuator.base.gain"}
  actuator.*.gain: {distribution: empirical, samples: [0.9, 0.95, 1.0, 1.02, 1.1]}
  actuator.*.delay:
    {distribution: uniform, low: 0.0, high: 0.012, when: {interval: [0.5, 2]}}
  sensor.*_position.noise: {distribution: categorical, values: [1.0e-5, 2.0e-5, 4.0e-5]}
joint:
  place:
    distribution: normal
    addresses: [link.gripper.com.x, link.gripper.com.y, link.gripper.com.z]
    mean: [0, 0, 0.05]
    covariance: [[1e-4, 1e-5, 0], [1e-5, 1e-4, 0], [0, 0, 1e-4]]
constraints:
  breaks: {condition: static_friction >= coulomb_friction, for: joint.*}
"""


def fastest(work: Callable[[int], object]) -> float:
    """Time of the fastest of many calls [s]: what other processes took does not count."""
    work(0)
    taken = []
    for run in range(1, RUNS + 1):
        start = time.perf_counter()
        work(run)
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    arm6 = load_profile('arm6')
    variations = list(load_space('arm6', arm6).variations.items())[:ADDRESSES]
    space = Space(arm6, dict(variations))
    everything = space_from_yaml(parse_yaml(EVERYTHING, Path('everything.yaml')), arm6)
    variations = list(everything.variations.items())[:ADDRESSES]
    kept = {
        n: c for n, c in everything.constraints.items() if set(c.addresses) <= {*dict(variations)}
    }
    everything = Space(arm6, dict(variations), None, kept)
    environments, generator = np.arange(ENVIRONMENTS), np.random.default_rng(0)
    course = Course(everything, 0, environments, 0)
    figures = {
        'draws': fastest(lambda episode: space.draw_many(0, episode, environments)),
        'everything': fastest(lambda episode: everything.draw_many(0, episode, environments)),
        'step': fastest(lambda step: course.advance(step * everything.period)),
        'numpy': fastest(lambda _: generator.random((ADDRESSES, ENVIRONMENTS))),
    }
    slowest = max(figures['draws'], figures['everything'], figures['step'])
    ok = slowest <= BAR and len(space.addresses) == len(everything.addresses) == ADDRESSES
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': BAR, 'ok': ok})
    for name, what in (
        ('numpy', 'numpy uniforms alone'),
        ('draws', 'the space of arm6'),
        ('everything', 'a space with everything'),
        ('step', 'its next step within an episode'),
    ):
        print(f'{what}: {figures[name] * 1e3:.2f} ms')
    print(
        f'{ENVIRONMENTS} environments by {len(space.addresses)} addresses: '
        f'{slowest * 1e3:.1f} ms (bar {BAR * 1e3:.0f} ms)' + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
