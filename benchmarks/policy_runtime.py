"""What the suite's runtime adds to ONNX Runtime's own ``run``, for a perceptron of 3 x 256.

Both run the same model on the same inputs, in turns, in this process.

    python benchmarks/policy_runtime.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CALLS = 20_000


def measure(folder: Path) -> dict:
    """Figures [s] of both, and the overhead."""
    from sim2real_core.profile import load_profile
    from sim2real_policy.action import Action
    from sim2real_policy.bench import overhead
    from sim2real_policy.bundle import BundleMetadata
    from sim2real_policy.observation import Term
    from sim2real_policy.random_policy import random_policy

    profile = load_profile('arm6')
    terms = [Term(kind=kind) for kind in ('joint_position', 'joint_velocity', 'previous_action')]
    meta = BundleMetadata.for_robot(
        profile, terms, Action(meaning='position', scale=(0.1,) * len(profile.joints))
    )
    rng = np.random.default_rng(1)
    bundle = random_policy(meta, folder / 'policy.onnx', rng, hidden=(256, 256, 256))
    return overhead(bundle, CALLS)


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    from sim2real_core.files import write_json
    from sim2real_policy.bench import OVERHEAD

    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    ok = figures['overhead'] <= OVERHEAD
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': OVERHEAD, 'ok': ok})
    for name in ('raw', 'runtime'):
        values = ''.join(f' {k} {v * 1e6:6.1f} us' for k, v in figures[name].items())
        print(f'{name:8s}{values}')
    added = figures['overhead'] * 1e6
    word = 'ok' if ok else 'MISSED'
    print(f'runtime over ONNX Runtime run: {added:+.1f} us (bar {OVERHEAD * 1e6:.0f} us): {word}')
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
