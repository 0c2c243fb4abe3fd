import numpy as np
import pytest

from sim2real_sysid.posterior import MOST_BLOCKS, Moments, solve
from sim2real_sysid.regression import LOCAL, Rows

COLUMNS = LOCAL + 2  # no payload
TRUTH = np.array([0.5, 2.0, 1.0, -0.3, 0.002, 0.0])
SETTINGS = dict(timing_error=0.002, timing_spread=np.zeros(1), model_error=0.0)


def rows(n, noise=0.0, seed=0, regressor_noise=0.0):
    """Rows of one joint, whose parameters are TRUTH, every 30 ms."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        x = rng.normal(size=LOCAL) * [3, 1, 0, 0, 20, 0]
        x[2], x[3] = np.sign(x[1]), 1.0
        effort = x @ TRUTH
        values = np.zeros((2, 1, COLUMNS))
        for twin in values:
            twin[0, :LOCAL] = x + regressor_noise * rng.normal(size=LOCAL) * [1, 0, 0, 0, 0, 0]
            twin[0, -1] = effort + noise * rng.normal()
        yield Rows(0.03 * k, values, np.array([True]), np.array([x[2]]))


def moments(*args, memory=600.0, **kwargs):
    found = Moments(1, COLUMNS, memory)
    for row in rows(*args, **kwargs):
        found.add(row)
    return found


def test_exact_rows_give_exact_parameters():
    found = solve(moments(400), np.zeros(LOCAL), **SETTINGS)
    assert found.mean[:4] == pytest.approx(TRUTH[:4], rel=1e-4)
    assert found.known[:5].all() and not found.known[5]


def test_deviation_is_that_of_repeated_estimates():
    runs = [solve(moments(600, 0.5, seed), np.zeros(LOCAL), **SETTINGS) for seed in range(60)]
    spread = np.std([run.mean[:4] for run in runs], axis=0)
    told = np.mean([np.sqrt(np.diag(run.covariance))[:4] for run in runs], axis=0)
    assert (told / spread > 0.8).all() and (told / spread < 1.5).all()


def test_noise_of_a_regressor_does_not_bias():
    runs = [
        solve(moments(600, 0.1, seed, regressor_noise=2.0), np.zeros(LOCAL), **SETTINGS).mean[0]
        for seed in range(20)
    ]
    # Least squares would find 0.5 * 9 / (9 + 4 / 2).
    assert np.mean(runs) == pytest.approx(0.5, abs=0.02)


def test_motion_that_drowns_in_noise_is_not_reliable():
    found = solve(moments(600, 0.1, regressor_noise=30.0), np.zeros(LOCAL), **SETTINGS)
    assert not found.reliable[0]


def test_what_was_never_excited_keeps_its_nominal_value():
    found = Moments(1, COLUMNS, 600.0)
    for row in rows(300, 0.1):
        row.values[:, :, 0] = 0.0  # no acceleration, ever
        found.add(row)
    nominal = np.array([0.7, 0, 0, 0, 0, 0])
    told = solve(found, nominal, **SETTINGS)
    assert not told.known[0] and told.mean[0] == 0.7


def test_model_error_is_a_floor():
    settings = {**SETTINGS, 'model_error': 0.05}
    found = solve(moments(3000, 0.01), np.zeros(LOCAL), **settings)
    assert np.sqrt(np.diag(found.covariance))[:4] == pytest.approx(0.05 * abs(TRUTH[:4]), rel=0.1)


def test_merged_blocks_hold_the_same_sums():
    found = moments(5000)
    assert len(found.cross) <= MOST_BLOCKS
    assert found.count.sum() == 5000
    expected = sum(row.values[0, 0, :, None] * row.values[1, 0] for row in rows(5000))
    assert found.cross.sum(axis=0)[0] == pytest.approx(expected)


def test_memory_drops_the_oldest_blocks():
    found = moments(5000, memory=10.0)
    assert found.count.sum() * 0.03 == pytest.approx(10.0, abs=0.6)


def test_rows_that_are_not_valid_count_for_nothing():
    found = Moments(1, COLUMNS, 600.0)
    for row in rows(50):
        found.add(row._replace(valid=np.array([False])))
    assert not found.cross.any() and not found.mean.any() and not found.count.any()
