"""How often the policy node misses its deadline at 500 Hz, on two cores that it shares.

A driver publishes a joint state every 2 ms; a command must be there before the next one is due.
Driver, policy node (lifecycle, guard, diagnostics and all; three layers of 256) and two processes
that compute half of the time run on the same two cores. Policy and driver ask for real-time
priority, as a robot does; where that is refused, it is said, and all run at the same priority.
What counts is what the driver sees, its own lateness included.

    python benchmarks/policy_deadlines.py [--seconds 600] [--json FILE]
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from policy_latency import Driver, policy, running, write_policy

BAR = 0.01
PERIOD, WARM_UP = 0.002, 2.0  # [s]
CORES, LOADS, PRIORITY = 2, 2, 50
BURST = 0.005  # [s] a load computes for this long, and rests for as long


def write_robot(path: Path) -> None:
    """Arm6, with joint states and commands every :data:`PERIOD`."""
    from sim2real_core.profile import load_profile

    profile = load_profile('arm6')
    given = yaml.safe_load(profile.path.read_text())
    given['urdf'] = str(profile.urdf.path)
    given['rates'] |= {'control_period': PERIOD, 'joint_state_rate': 1.0 / PERIOD}
    path.write_text(yaml.safe_dump(given))


def load() -> None:
    """Compute half of the time, until ended."""
    while True:
        until = time.perf_counter() + BURST
        while time.perf_counter() < until:
            math.factorial(200)
        time.sleep(BURST)


def measure(driver: Driver, seconds: float) -> np.ndarray:
    """Seconds from each joint state to its command; NaN where none came before the next."""
    took = []
    due = time.perf_counter()
    end = due + seconds
    told = due
    while due < end:
        time.sleep(max(0.0, due - time.perf_counter()))
        due += PERIOD
        took.append(driver.ask('policy', max(1e-6, due - time.perf_counter())))
        if due > told + 10.0:
            told = due
            missed = np.isnan(took).mean()
            print(f'{end - due:5.0f} s left, {missed:.3%} missed', file=sys.stderr)
    return np.array(took)


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=600.0, help='how long (600)')
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--load', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        load()
    from sim2real_core.files import write_json
    from sim2real_policy.realtime import schedule

    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # of all that is started from here on, too
    loads = [[str(Path(__file__).resolve()), '--load']] * LOADS
    with tempfile.TemporaryDirectory() as folder:
        bundle, robot = Path(folder) / 'policy.onnx', Path(folder) / 'arm6.yaml'
        write_robot(robot)
        write_policy(bundle, robot)
        node = [*policy(bundle, robot), '-p', f'realtime_priority:={PRIORITY}']
        with running(node, *loads):
            driver = Driver(('policy',), robot)
            driver.connect('policy')
            priority = schedule(PRIORITY + 1)
            measure(driver, WARM_UP)
            took = measure(driver, arguments.seconds)
    missed = float(np.isnan(took).mean())
    answered = took[~np.isnan(took)]
    figures = {
        'samples': len(took),
        'missed': missed,
        'median': float(np.median(answered)),
        'p99': float(np.percentile(answered, 99)),
        'cores': len(cores),
        'seconds': arguments.seconds,
        'priority': priority,
    }
    ok = missed <= BAR
    if arguments.json:
        write_json(arguments.json, {**figures, 'bar': BAR, 'ok': ok})
    print(f'priority of the driver: {priority}')
    print(
        f'{len(took)} joint states at {1 / PERIOD:.0f} Hz on {len(cores)} shared cores: '
        f'median {figures["median"] * 1e6:.0f} us, p99 {figures["p99"] * 1e6:.0f} us'
    )
    print(f'deadlines missed {missed:.3%} (bar {BAR:.0%})' + (': ok' if ok else ': MISSED'))
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
