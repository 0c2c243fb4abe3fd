import numpy as np
import pytest

from sim2real_sysid.blocks import MOST_BLOCKS, Blocks
from sim2real_sysid.windows import Windows

TRUTH = np.array([2.0, -1.0])


def filled(rows=400, noise=0.1, blur=0.0, seed=0, twins=False):
    """Blocks of two joints with rows y = 2 a - b, whose regressors are seen with some blur."""
    rng = np.random.default_rng(seed)
    blocks = Blocks(2, 3, 0.5, 600.0)
    for k in range(rows):
        true = rng.normal(size=(2, 2))
        y = true @ TRUTH + noise * rng.normal(size=2)
        if blocks.due(0.1 * k):
            blocks.open(0.1 * k)
        seen = [np.column_stack([true + blur * rng.normal(size=(2, 2)), y]) for _ in range(2)]
        common = np.zeros((2, 3, 3))
        if not twins:
            seen[1] = seen[0]
            common[:, :2, :2] = blur**2 * np.eye(2)
        blocks.add(seen[0], seen[1], np.ones(2), common)
    return blocks


def solved(blocks):
    return blocks.solve(np.zeros((2, 2)), np.full((2, 2), 100.0))


def test_coefficients_and_what_is_left():
    fit = solved(filled())
    assert fit.mean == pytest.approx(np.tile(TRUTH, (2, 1)), abs=0.03)
    assert fit.residual == pytest.approx([0.1, 0.1], rel=0.15)
    assert fit.blocks.tolist() == [80, 80]


def test_deviations_are_those_of_repeated_trials():
    errors, stated = [], []
    for seed in range(60):
        fit = solved(filled(150, noise=0.5, seed=seed))
        errors.append(fit.mean - TRUTH)
        stated.append(np.diagonal(fit.covariance, axis1=1, axis2=2))
    assert np.sqrt(np.mean(stated)) == pytest.approx(np.std(errors), rel=0.2)


@pytest.mark.parametrize('twins', [False, True])
def test_noise_of_regressors_does_not_make_them_small(twins):
    """It is taken off where it is known, and twins do not share it."""
    fit = solved(filled(4000, blur=0.5, twins=twins))
    assert fit.mean == pytest.approx(np.tile(TRUTH, (2, 1)), abs=0.1)


def test_columns_of_noise_for_the_most_part_still_count():
    """Seven tenths of their power are noise here."""
    fit = solved(filled(4000, blur=1.5))
    assert fit.mean == pytest.approx(np.tile(TRUTH, (2, 1)), abs=0.4)
    deviation = np.sqrt(np.diagonal(fit.covariance, axis1=1, axis2=2))
    assert (deviation > 0.03).all() and (deviation < 0.3).all()


def test_instruments_know_more_of_a_regressor_that_is_mostly_noise():
    """Both are right in the mean; the noise that is taken off makes the one uncertain."""
    rng, noise, errors = np.random.default_rng(3), 1.5, {'own': [], 'instrument': []}
    common = np.zeros((1, 3, 3))
    for _ in range(40):
        fits = {name: Blocks(1, 3, 1.0, 600.0) for name in errors}
        for k in range(60):
            for each in fits.values():
                each.open(float(k))
            for _ in range(40):
                clear = rng.normal(size=2)
                row = np.append(clear, clear @ TRUTH + 2.0 * rng.normal())[None]
                instrument = row + 0.1 * rng.normal() * np.array([[0.0, 1.0, 0.0]])
                row = row + noise * rng.normal() * np.array([[0.0, 1.0, 0.0]])
                own = common.copy()
                own[0, 1, 1] = noise**2
                fits['own'].add(row, row, np.ones(1), own)
                fits['instrument'].add(instrument, row, np.ones(1), common)
        for name, each in fits.items():
            fit = each.solve(np.zeros((1, 2)), np.full((1, 2), 100.0))
            error = fit.mean[0] - TRUTH
            errors[name].append([error[1], error[1] / np.sqrt(fit.covariance[0, 1, 1])])
    own, instrument = (np.array(errors[name]) for name in ('own', 'instrument'))
    assert abs(instrument[:, 0].mean()) < 3.0 * instrument[:, 0].std() / 40**0.5
    assert instrument[:, 0].std() < 0.8 * own[:, 0].std()
    assert 0.7 < instrument[:, 1].std() < 1.4


def test_nothing_known_leaves_the_prior():
    blocks = Blocks(1, 3, 0.5, 600.0)
    blocks.open(0.0)
    fit = blocks.solve(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    assert fit.mean[0] == pytest.approx([1.0, 2.0])
    assert np.sqrt(np.diag(fit.covariance[0])) == pytest.approx([3.0, 4.0])


def test_all_in_one_block_is_not_certain():
    rng = np.random.default_rng(0)
    blocks = Blocks(1, 3, 10.0, 600.0)
    blocks.open(0.0)
    for _ in range(50):
        a = rng.normal(size=2)
        row = np.append(a, a @ TRUTH)[None]
        blocks.add(row, row, np.ones(1))
    fit = blocks.solve(np.zeros((1, 2)), np.full((1, 2), 100.0))
    assert fit.mean[0] == pytest.approx(TRUTH, rel=1e-3)
    assert np.sqrt(fit.covariance[0, 0, 0]) > 0.5


def test_long_times_and_forgotten_joints():
    blocks = filled(1500)
    assert len(blocks.count) <= MOST_BLOCKS
    blocks.clear(np.array([True, False]))
    fit = solved(blocks)
    assert fit.blocks[0] == 0 and fit.blocks[1] > 40
    assert fit.mean[1] == pytest.approx(TRUTH, abs=0.02)


def test_windows_see_motion_at_uneven_times():
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.uniform(0.002, 0.006, 1000))
    position = np.stack([np.sin(3.0 * stamps), stamps**2], axis=1)
    windows, rows = Windows(2), []
    windows.open(0.004)
    for k in range(0, 1000, 7):
        part = slice(k, k + 7)
        rows.append(windows.push(stamps[part], position[part], position[part]))
    rows = [row for row in rows if row is not None]
    at = np.concatenate([row.stamps for row in rows])
    assert np.isin(at, stamps).all()
    assert np.diff(at).max() < 0.05
    velocity = np.concatenate([row.velocity for row in rows])
    assert velocity == pytest.approx(np.stack([3.0 * np.cos(3.0 * at), 2.0 * at], 1), abs=1e-3)
    acceleration = np.concatenate([row.acceleration for row in rows])
    assert acceleration[:, 1] == pytest.approx(np.full(len(at), 2.0), abs=1e-6)
    assert np.concatenate([row.effort for row in rows])[:, 0] == pytest.approx(np.sin(3.0 * at))


def test_windows_tell_what_a_chord_would_be_off_by():
    stamps = 0.004 * np.arange(200)
    position = np.stack([stamps**3, stamps**2], axis=1)
    windows = Windows(2)
    windows.open(0.004)
    rows = windows.push(stamps, position, position)
    half_chord = 0.1 * 8 * 0.004  # s, of windows of four samples on each side
    off = np.tile([half_chord**2, 0.0], (len(rows.stamps), 1))
    assert rows.chord == pytest.approx(off, abs=1e-9)


@pytest.mark.parametrize(('rate', 'spacing'), [(50, 0.02), (250, 0.004), (1000, 0.008)])
def test_sparse_samples_make_a_row_each(rate, spacing):
    stamps = np.arange(400) / rate
    windows = Windows(1)
    windows.open(1 / rate)
    rows = windows.push(stamps, stamps[:, None] ** 2, stamps[:, None])
    assert np.diff(rows.stamps).mean() == pytest.approx(spacing, rel=0.15)
    assert rows.acceleration == pytest.approx(2.0, abs=1e-4)
    assert rows.smooth == pytest.approx(2.0, abs=1e-4)


def test_smooth_accelerations_are_less_noisy_and_those_of_states_less_off():
    stamps, rng, rate = 0.004 * np.arange(2000), np.random.default_rng(0), 2.0 * np.pi * 20.0
    position = -np.sin(rate * stamps)[:, None] / rate**2
    windows, noisy = Windows(1), Windows(1)
    windows.open(0.004)
    noisy.open(0.004)
    rows = windows.push(stamps, position, position)
    truth = np.sin(rate * rows.stamps)[:, None]
    assert np.std(rows.acceleration - truth) < 0.01
    assert np.std(rows.smooth - truth) > 0.1
    noise = 1e-4 * rng.normal(size=(2000, 1))
    rows = noisy.push(stamps, noise, noise)
    assert np.std(rows.smooth) < 0.2 * np.std(rows.acceleration)
    variances = np.stack([rows.acceleration, rows.smooth]).var(axis=(1, 2)) / 1e-8
    assert variances == pytest.approx(rows.covariance[0, [2, 4], [2, 4]], rel=0.15)


def test_windows_tell_the_noise_of_encoders():
    rng = np.random.default_rng(0)
    stamps = 0.004 * np.arange(3000)
    position = np.sin(stamps)[:, None] + 1e-4 * rng.normal(size=(3000, 1))
    windows = Windows(1)
    windows.open(0.004)
    rows = windows.push(stamps, position, position)
    assert np.sqrt(rows.left.mean()) == pytest.approx(1e-4, rel=0.1)
    error = rows.velocity[:, 0] - np.cos(rows.stamps)
    assert np.std(error) == pytest.approx(1e-4 * np.sqrt(rows.covariance[:, 1, 1].mean()), rel=0.1)


def test_no_window_across_a_gap():
    stamps = np.concatenate([0.004 * np.arange(100), 2.0 + 0.004 * np.arange(100)])
    windows = Windows(1)
    windows.open(0.004)
    rows = windows.push(stamps, stamps[:, None], stamps[:, None])
    inside = (rows.stamps > 0.381) & (rows.stamps < 2.015)  # four samples on each side
    assert not inside.any()
    assert len(rows.stamps) > 40
