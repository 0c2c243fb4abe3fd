import numpy as np
import pytest
from scipy import stats

from sim2real_learning.config import ReachTask
from sim2real_learning.gap import Gap
from sim2real_learning.metrics import bootstrap_interval, judge, success_interval

TASK = ReachTask(duration=2.0, settle=0.5, tolerance=0.02)
PERIOD = 0.1


def episodes(*distances):
    """Tool paths along x whose distance to the goal at the origin is given for 20 steps."""
    tool = np.zeros((20, len(distances), 3))
    for number, distance in enumerate(distances):
        tool[:, number, 0] = distance
    return judge(TASK, tool, np.zeros((len(distances), 3)), PERIOD)


def test_only_the_last_half_second_counts():
    late = np.full(20, 0.3)
    late[-5:] = 0.01
    slipped = np.full(20, 0.01)
    slipped[-3] = 0.03
    result = episodes(late, slipped, np.full(20, 0.019), np.full(20, 0.021))
    np.testing.assert_array_equal(result.success, [True, False, True, False])
    np.testing.assert_allclose(result.error, [0.01, (4 * 0.01 + 0.03) / 5, 0.019, 0.021])


def test_summary_carries_intervals_around_the_values():
    rng = np.random.default_rng(0)
    summary = episodes(*np.abs(rng.normal(0.015, 0.005, 60))).summary()
    for key in ('success_rate', 'task_error', 'median_task_error'):
        low, high = summary[f'{key}_interval']
        assert low < summary[key] < high


def test_success_interval_is_wilsons():
    low, high = success_interval(np.array([True] * 9 + [False]))
    assert (low, high) == pytest.approx((0.596, 0.982), abs=1e-3)


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(1.0, 0.3, 30), np.mean)
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_bootstrap_is_scipys():
    values = np.random.default_rng(2).normal(size=25)
    theirs = stats.bootstrap((values,), np.mean, method='percentile').confidence_interval
    np.testing.assert_allclose(bootstrap_interval(values, np.mean), theirs, atol=0.1)


def test_bootstrap_of_a_constant_is_a_point():
    assert bootstrap_interval(np.full(5, 0.25), np.median) == [0.25, 0.25]


def test_excess_is_paired():
    robot, oracle = (
        episodes(np.full(20, 0.03), np.full(20, 0.01)),
        episodes(np.full(20, 0.01), np.full(20, 0.005)),
    )
    gap = Gap(oracle, robot, oracle)
    np.testing.assert_allclose(gap.excess, [0.02, 0.005])
    assert gap.as_json()['median_excess'] == pytest.approx(0.0125)
