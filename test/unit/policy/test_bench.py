import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bench import BLOCK, cycles, overhead
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy
from sim2real_policy.runtime import OnnxRuntime

pytest.importorskip('onnx')


@pytest.fixture
def bundle(tmp_path, metadata):
    return random_policy(metadata(), tmp_path / 'a.onnx', np.random.default_rng(0), hidden=(8,))


class Counter:
    """A clock on which every other reading comes later by the next duration."""

    def __init__(self, durations):
        self._durations = iter(durations)
        self._now, self._running = 0.0, False

    def __call__(self):
        if self._running:
            self._now += next(self._durations)
        self._running = not self._running
        return self._now


def test_overhead_is_the_difference_of_medians_in_turns(bundle):
    # The machine slows down tenfold half-way: of both sides, so the overhead of a block counts.
    turns = [(5e-6, 8e-6), (6e-6, 9e-6), (50e-6, 53e-6)]
    clock = Counter([one for raw, own in turns for one in [raw] * BLOCK + [own] * BLOCK])
    figures = overhead(bundle, calls=3 * BLOCK, clock=clock)
    assert figures['overhead'] == pytest.approx(3e-6, rel=1e-6)
    assert figures['raw']['p50'] == pytest.approx(6e-6)
    assert figures['runtime']['max'] == pytest.approx(53e-6)


def test_cycles_go_through_every_stage(bundle, robot):
    ticks = iter(np.arange(1, 10_000) * 1e-4)
    runtime = OnnxRuntime(bundle)
    figures = cycles(bundle, robot(), runtime, calls=50, clock=lambda: next(ticks))
    assert set(figures) == {'assemble', 'infer', 'guard', 'total', 'missed'}
    assert figures['infer']['p50'] == pytest.approx(1e-4, rel=0.07)  # one reading of the clock
    assert figures['missed'] == 0.0 and figures['total']['p50'] == pytest.approx(5e-4)
    slow = iter(np.arange(1, 10_000) * 0.1)  # a control period is 0.02 s
    assert cycles(bundle, robot(), runtime, calls=50, clock=lambda: next(slow))['missed'] == 1.0


ROBOTS = {
    'rover': (
        ['base_linear_velocity', 'velocity_command', 'previous_action'],
        Action(meaning='twist', scale=(1.0, 1.0)),
    ),
    'quadruped': (
        ['imu_angular_velocity', 'projected_gravity', 'joint_position', 'velocity_command'],
        Action(meaning='position', scale=(0.25,) * 12),
    ),
}


@pytest.mark.parametrize('name', ROBOTS)
def test_cycles_of_robots_of_other_kinds(tmp_path, name):
    profile, (kinds, action) = load_profile(name), ROBOTS[name]
    meta = BundleMetadata.for_robot(profile, [Term(kind=kind) for kind in kinds], action)
    made = random_policy(meta, tmp_path / 'a.onnx', np.random.default_rng(0), hidden=(8,))
    ticks = iter(np.arange(1, 10_000) * 1e-6)
    figures = cycles(made, profile, OnnxRuntime(made), calls=50, clock=lambda: next(ticks))
    assert figures['missed'] == 0.0 and figures['infer']['max'] > 0.0
