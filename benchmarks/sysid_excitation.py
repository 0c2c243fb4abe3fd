"""How long the search for an exciting motion of six joints takes, and how much it is worth.

Bars: 60 s of processor time with the default settings, and a condition number at most half that
of the best of random motions within the same limits.

    python benchmarks/sysid_excitation.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.files import write_json
from sim2real_core.profile import load_profile
from sim2real_sysid.excitation import excite

BAR_SECONDS, BAR_RATIO = 60.0, 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--robot', default='arm6')
    parser.add_argument('--json')
    args = parser.parse_args()
    profile = load_profile(args.robot)
    begun = time.process_time()
    found = excite(profile)
    seconds = time.process_time() - begun
    ratio = found.condition / found.before
    result = {
        'joints': len(profile.joints),
        'cpu_seconds': seconds,
        'condition_number': found.condition,
        'condition_number_random': found.before,
        'ratio': ratio,
    }
    if args.json:
        write_json(args.json, result)
    print(f'condition number {found.condition:.3g}, of random motion {found.before:.3g}')
    print(
        f'{seconds:.1f} s of processor time for {len(profile.joints)} joints (at most '
        f'{BAR_SECONDS:g}), condition number {ratio:.2f} of random motion (at most {BAR_RATIO:g})'
    )
    return 0 if seconds <= BAR_SECONDS and ratio <= BAR_RATIO else 1


if __name__ == '__main__':
    raise SystemExit(main())
