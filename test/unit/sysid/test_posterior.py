from dataclasses import replace

import numpy as np
import pytest

from sim2real_sysid.moments import MOST_BLOCKS, RECENT, Moments
from sim2real_sysid.posterior import (
    BEND,
    FULL,
    LEAN,
    MAIN,
    RISE,
    USUAL,
    Carried,
    Model,
    Uncertainty,
    fit,
    solve,
)
from sim2real_sysid.regression import CURVE, LOCAL, SLOW, TILT, Rows
from sim2real_sysid.stribeck import other_curves, steepest

COLUMNS = LOCAL + 2  # no payload
NONE = np.zeros(0)  # that joints share
TRUTH = np.array([0.5, 2.0, 1.0, -0.3, 0.002])
UNCERTAINTY = Uncertainty(timing=0.002, spread=np.zeros(1), onset=0.0, model=0.0, shared=NONE)
LIMIT = 3.0


def rows(n, noise=0.0, seed=0, regressor_noise=0.0, tilt=0.0, rise=0.0, speed=SLOW[4] * LIMIT):
    """Rows of one joint, whose parameters are TRUTH, every 30 ms; some of them are slow."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        values = np.zeros((1, 2, 1, COLUMNS))
        x = np.zeros(COLUMNS - 2)
        x[:5] = rng.normal(size=5) * [3, 1, 0, 0, 20]
        if rise and k % 2:
            x[1] *= 0.1
        x[2], x[3], x[TILT] = np.sign(x[1]), 1.0, abs(x[1])
        x[CURVE:] = x[2] * np.exp(-((x[1] / (LIMIT * SLOW)) ** 2))
        effort = x[:5] @ TRUTH + tilt * x[TILT]
        effort += rise * x[2] * np.exp(-((x[1] / speed) ** 2))
        for twin in range(2):
            own = values[0, twin, 0]
            own[:-2] = x
            own[0] += regressor_noise * rng.normal()
            own[-1] = effort + noise * rng.normal()
        moves, way, where = np.array([[True]]), np.array([[x[2]]]), np.zeros((1, 2, 1))
        yield Rows(np.array([0.03 * k]), values, moves, way, where)


def moments(*args, memory=600.0, **kwargs):
    found = Moments(1, COLUMNS, memory)
    for row in rows(*args, **kwargs):
        found.add(row)
    return found


def solved(found, full=False, uncertainty=UNCERTAINTY, nominal=None, carried=None, curve=USUAL):
    model = Model.of(np.array([curve]), COLUMNS, full)
    start = np.zeros(FULL if full else MAIN)
    if nominal is not None:
        start[: len(nominal)] = nominal
    return solve(found.blocks(), found.sums(), model, start, uncertainty, carried)


def test_exact_rows_give_exact_parameters():
    found = solved(moments(400))
    assert found.mean[:4] == pytest.approx(TRUTH[:4], rel=1e-3)
    assert found.known.all()


def test_deviation_is_that_of_repeated_estimates():
    runs = [solved(moments(600, 0.5, seed)) for seed in range(40)]
    spread = np.std([run.mean[:4] for run in runs], axis=0)
    told = np.mean([np.sqrt(np.diag(run.covariance))[:4] for run in runs], axis=0)
    assert (told / spread > 0.8).all() and (told / spread < 1.5).all()


def test_noise_of_a_regressor_does_not_bias():
    runs = [solved(moments(600, 0.1, seed, regressor_noise=2.0)).mean[0] for seed in range(20)]
    # Least squares would find 0.5 * 9 / (9 + 4 / 2).
    assert np.mean(runs) == pytest.approx(0.5, abs=0.02)


def test_motion_that_drowns_in_noise_is_not_reliable():
    assert not solved(moments(600, 0.1, regressor_noise=30.0)).reliable[0]


def test_what_was_never_excited_keeps_its_nominal_value():
    found = Moments(1, COLUMNS, 600.0)
    for row in rows(300, 0.1):
        row.values[..., 0] = 0.0  # no acceleration, ever
        found.add(row)
    told = solved(found, nominal=[0.7])
    assert not told.known[0] and told.mean[0] == 0.7


def test_model_error_is_a_floor():
    floor = Uncertainty(timing=0.002, spread=np.zeros(1), onset=0.0, model=0.05, shared=NONE)
    found = solved(moments(3000, 0.01), uncertainty=floor)
    assert np.sqrt(np.diag(found.covariance))[:4] == pytest.approx(0.05 * abs(TRUTH[:4]), rel=0.1)


@pytest.mark.parametrize('tilt', [0.0, 0.4])
def test_full_model_tells_the_directions_apart(tilt):
    found = solved(moments(600, 0.1, tilt=tilt), full=True)
    std = np.sqrt(np.diag(found.covariance))
    assert found.mean[LEAN] == pytest.approx(tilt, abs=4 * std[LEAN])
    assert 0 < std[LEAN] < 0.05
    assert found.mean[1] == pytest.approx(TRUTH[1], abs=4 * std[1])


@pytest.mark.parametrize('speed', [0.035, 0.06, 0.09])
def test_stribeck_velocity_between_the_columns(speed):
    found = moments(4000, 0.05, rise=0.6, speed=speed)
    steep = steepest(found.sums(), 0)
    curve = int(steep.best[0])
    assert steep.sharp[0]
    assert abs(np.log(LIMIT * SLOW[curve] / speed)) < 0.4
    told = solved(found, curve=curve)
    std = np.sqrt(np.diag(told.covariance))
    assert told.mean[RISE] == pytest.approx(0.6, abs=max(4 * std[RISE], 0.06))
    estimate = LIMIT * SLOW[curve] * np.exp(told.mean[BEND] / told.mean[RISE])
    assert estimate == pytest.approx(speed, rel=0.1)
    assert told.mean[2] == pytest.approx(TRUTH[2], abs=max(4 * std[2], 0.02))


def test_friction_does_not_fall_below_coulombs_at_low_speed():
    """What pulls it there is a misfit, and Coulomb friction is not to pay for it."""
    told = solved(moments(2000, 0.05, rise=-0.3))
    assert told.mean[RISE] >= 0.0
    assert told.mean[RISE] < 0.05


def test_usual_column_stands_where_nothing_rises():
    assert steepest(moments(600, 0.3).sums(), 0).safe.tolist() == [USUAL]


@pytest.mark.parametrize(('rows', 'noise'), [(60, 0.3), (600, 0.6)])
def test_a_column_that_others_nearly_equal_is_not_sharp(rows, noise):
    assert not steepest(moments(rows, noise, rise=0.3).sums(), 0).sharp.any()


def test_merged_blocks_hold_the_same_sums():
    found = moments(5000)
    assert len(found) <= MOST_BLOCKS + RECENT
    assert found.sums().rows.sum() == 5000
    expected = sum(row.values[0, 0, 0, :, None] * row.values[0, 1, 0] for row in rows(5000))
    assert found.sums().cross[0] == pytest.approx(expected)


def test_newest_blocks_are_never_joined():
    found = moments(5000)
    assert (found.blocks(-RECENT, -1).rows.sum(axis=(1, 2)) <= 18).all()


def test_memory_drops_the_oldest_blocks():
    found = moments(5000, memory=10.0)
    assert found.sums().rows.sum() * 0.03 == pytest.approx(10.0, abs=0.6)


def test_what_does_not_move_is_not_forgotten():
    found = Moments(2, COLUMNS, 10.0)
    for row in rows(2000):
        both = np.repeat(row.values, 2, axis=2)
        moves = np.array([[True, row.stamp[0] < 5.0]])
        found.add(Rows(row.stamp, both, moves, np.ones((1, 2)), np.zeros((1, 2, 2))))
    first, second = found.sums().rows.sum(axis=1)
    assert first * 0.03 == pytest.approx(10.0, abs=0.6)
    assert second * 0.03 == pytest.approx(5.0, abs=0.1)


def test_rows_that_are_not_valid_count_for_nothing():
    found = Moments(1, COLUMNS, 600.0)
    for row in rows(50):
        found.add(row._replace(valid=np.array([[False]])))
    assert not any(part.any() for part in found.sums())


def test_what_is_carried_over_counts_like_data():
    few = moments(120, 0.5, seed=1)
    alone = solved(few)
    mean = np.zeros(MAIN)
    mean[:5] = TRUTH
    precision = np.zeros((MAIN, MAIN))
    precision[1, 1] = 1e6
    told = solved(few, carried=Carried(mean, precision))
    assert told.mean[1] == pytest.approx(TRUTH[1], abs=1e-3)
    assert np.sqrt(told.covariance[1, 1]) < 0.01 < np.sqrt(alone.covariance[1, 1])


def test_columns_that_are_next_to_nothing_do_no_harm():
    """A joint that is never slow has friction at low speed of 1e-200."""
    found = Moments(1, COLUMNS, 600.0)
    for row in rows(300, 0.1):
        row.values[..., CURVE:-2] *= 1e-200
        found.add(row)
    told = solved(found, full=True)
    assert np.isfinite(told.mean).all() and np.isfinite(told.covariance).all()
    assert told.mean[:4] == pytest.approx(TRUTH[:4], rel=0.1)


def test_what_is_not_valid_need_not_be_a_number():
    found = moments(300, 0.1)
    for row in rows(3):
        row.values[:] = np.nan
        found.add(row._replace(valid=np.array([[False]])))
    assert np.isfinite(solved(found).mean).all()


def test_noise_of_a_joint_that_hardly_moves_is_no_score():
    """Accelerations of it are noise; between twins these cancel, but no score is sure there."""
    model = Model.of(np.array([USUAL]), COLUMNS, False)
    whole = moments(2000, noise=0.3, regressor_noise=2.0).sums()
    found = fit(whole, model, np.zeros(MAIN), UNCERTAINTY)
    rng, ratios = np.random.default_rng(5), []
    for seed in range(200):
        creeping = Moments(1, COLUMNS, 600.0)
        for row in rows(9, noise=0.3, seed=seed):
            row.values[..., -1] -= TRUTH[0] * row.values[..., 0]
            row.values[..., 0] = 2.0 * rng.normal(size=(1, 2, 1))
            creeping.add(row)
        block = creeping.blocks()
        scores, information = found.scores(model.apply(block.cross), model.apply(block.own))
        ratios.append(float(scores[0, 0] ** 2 / information[0, 0]))
    assert max(ratios) < 25.0  # five standard deviations
    assert np.mean(ratios) < 2.0


def test_a_rise_at_another_speed_is_a_doubt_of_coulomb_friction():
    speeds, rise = LIMIT * SLOW[None], 0.4
    found = moments(2000, 0.02, rise=rise, speed=speeds[0, 7])

    def doubt(curve):
        sums = found.sums()
        return other_curves(sums, 0, np.array([curve]), speeds, speeds[:, 7])[0]

    wrong = solved(found).mean[2] - TRUTH[2]
    told = replace(UNCERTAINTY, curves=doubt(USUAL)[None])
    deviation = [
        np.sqrt(solved(found, uncertainty=u).covariance[2, 2]) for u in (UNCERTAINTY, told)
    ]
    assert wrong > 4.0 * deviation[0]
    assert wrong < 2.0 * deviation[1]
    assert abs(doubt(7)[2]) < 1e-3  # the model's own curve
    assert abs(doubt(6)[2]) < 1e-3  # or the one beside it
