"""What one sample costs the online identifier of the six-axis arm, estimates included.

Beside it, as a lower bound, what pinocchio takes for the same inverse dynamics and NumPy for the
QR update of as many rows of 25 parameters: no filter, no gate, no covariance.

    python benchmarks/sysid_update.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim2real_core.files import write_json
from sim2real_core.profile import load_profile
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.estimator import OnlineIdentifier

RATES, DURATION, RUNS, BAR = (250, 1000), 8.0, 5, 150e-6
ROWS = 32.0  # rows a second and joint: four times the bandwidth


def motion(rate: int, nj: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stamps (n,), positions and efforts (n, nj) of a moving arm; what it weighs is no matter."""
    stamp = np.arange(1, int(DURATION * rate) + 1) / rate
    phase = 2 * np.pi * stamp[:, None] * np.linspace(0.3, 0.6, nj)
    rng = np.random.default_rng(0)
    effort = 5.0 * np.cos(phase) + 0.1 * rng.normal(size=phase.shape)
    return stamp, 0.5 * np.sin(phase), effort


def online(rate: int) -> float:
    """Time per sample [s], an estimate every second of motion included."""
    profile = load_profile('arm6')
    identifier = OnlineIdentifier(profile)
    samples = list(zip(*motion(rate, len(profile.joints))))
    begin = time.perf_counter()
    for k, (stamp, position, effort) in enumerate(samples, 1):
        identifier.update(float(stamp), position, effort)
        if k % rate == 0:
            identifier.estimate()
    return (time.perf_counter() - begin) / len(samples)


def bare(rate: int) -> float:
    """Time per sample [s] of the inverse dynamics and one QR update a row of all joints."""
    profile = load_profile('arm6')
    nj = len(profile.joints)
    body, states = RigidBody(profile), np.random.default_rng(0).normal(size=(3, nj))
    n = 4 * nj + 1
    square, rows = np.eye(n + 1), np.random.default_rng(1).normal(size=(nj, n + 1))
    count = int(DURATION * ROWS)
    begin = time.perf_counter()
    for _ in range(count):
        body.efforts(*states)
        body.efforts(*states)
        square = np.linalg.qr(np.concatenate([square, rows]), mode='r')
    return (time.perf_counter() - begin) / (DURATION * rate)


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    figures = {}
    for rate in RATES:
        taken = [(online(rate), bare(rate)) for _ in range(RUNS)]
        figures[rate] = [float(v) for v in np.median(taken, axis=0)]
        print(
            f'{rate} Hz: {figures[rate][0] * 1e6:.0f} us a sample; '
            f'inverse dynamics and QR alone: {figures[rate][1] * 1e6:.0f} us'
        )
    worst = max(ours for ours, _ in figures.values())
    ok = worst <= BAR
    if arguments.json:
        named = {f'{rate} Hz': dict(zip(('online', 'bare'), v)) for rate, v in figures.items()}
        write_json(arguments.json, {**named, 'bar': BAR, 'ok': ok})
    print(
        f'one sample of six joints: {worst * 1e6:.0f} us (bar {BAR * 1e6:.0f} us)'
        + (': ok' if ok else ': MISSED')
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
