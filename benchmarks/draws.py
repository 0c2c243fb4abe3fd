"""How long it takes to draw the worlds of 4096 environments, 60 addresses each, on one core.

Beside it, as a lower bound, what NumPy's own generator takes for as many uniform numbers, which
then still have no key, no distribution and no nominal value.

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
from sim2real_randomizer.space import Space, load_space

ENVIRONMENTS, ADDRESSES, RUNS, BAR = 4096, 60, 30, 0.030


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
    environments, generator = np.arange(ENVIRONMENTS), np.random.default_rng(0)
    figures = {
        'draws': fastest(lambda episode: space.draw_many(0, episode, environments)),
        'numpy': fastest(lambda _: generator.random((ADDRESSES, ENVIRONMENTS))),
    }
    ok = figures['draws'] <= BAR and len(space.addresses) == ADDRESSES
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': BAR, 'ok': ok})
    print(f'numpy uniforms alone: {figures["numpy"] * 1e3:.2f} ms')
    print(
        f'{ENVIRONMENTS} environments by {len(space.addresses)} addresses: '
        f'{figures["draws"] * 1e3:.1f} ms (bar {BAR * 1e3:.0f} ms)'
        + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
