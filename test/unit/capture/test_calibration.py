"""Conformal thresholds keep what they state, on scores of any kind and on a simulated arm."""

import json

import numpy as np
import pytest

from sim2real_capture.calibration import calibrate, conformal_rank, load_calibration
from sim2real_capture.detection import Rate, Trial, evaluate
from sim2real_capture.detectors_file import build, read_detectors
from sim2real_capture.signals import Sample, Seen
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from test.episodes import episodes


@pytest.mark.parametrize(
    ('count', 'alpha', 'rank'), [(19, 0.05, 19), (1000, 0.05, 951), (39, 0.05, 38), (99, 0.01, 99)]
)
def test_the_rank_is_that_of_split_conformal_prediction(count, alpha, rank):
    assert conformal_rank(count, alpha) == rank


@pytest.mark.parametrize(('count', 'alpha'), [(18, 0.05), (98, 0.01), (0, 0.5), (9, 0.0)])
def test_too_few_episodes_are_refused(count, alpha):
    with pytest.raises(InputError, match='episodes|alpha'):
        conformal_rank(count, alpha)


@pytest.mark.parametrize(
    ('rate', 'low', 'high'),
    [(Rate(0, 10), 0.0, 0.3085), (Rate(5, 10), 0.1871, 0.8129), (Rate(20, 400), 0.0308, 0.0762)],
)
def test_intervals_are_those_of_clopper_and_pearson(rate, low, high):
    assert rate.interval == pytest.approx((low, high), abs=1e-4)


class Walks(list):
    """Episodes of tracking errors and observations with heavy tails, side by side."""

    def __init__(self, count, rng, jump=0.0):
        self.episodes = count
        scale = np.exp(rng.normal(0.0, 0.5, (count, 1)))  # some episodes are wilder than others
        position = np.zeros((count, 1))
        for i in range(60):
            position = 0.9 * position + 0.01 * scale * rng.standard_t(3, (count, 1))
            seen = np.concatenate([position, rng.normal(size=(count, 2))], axis=1)
            stamp, off = 0.02 * i, jump * (i >= 30)
            super().append(Seen(stamp, seen))
            at = position + off
            super().append(Sample(stamp, at, np.zeros((count, 1)), at))


@pytest.fixture(scope='module')
def slider():
    return load_profile('slider')


def chosen(*kept):
    return [entry for entry in read_detectors('all') if entry.name in kept]


def test_fresh_episodes_raise_as_many_alarms_as_stated_by_all_detectors_together(slider):
    """Mean over calibrations, as that is what is promised: 3 detectors, 10 % together."""
    entries, rates = chosen('tracking_error', 'mahalanobis', 'frozen_sensor'), []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        taught = [Walks(10, rng) for _ in range(20)]
        found, skipped = calibrate(entries, slider, taught, 0.1, rng)
        assert found.episodes == 120 and not skipped
        made = build(entries, slider, found)
        rates.append(evaluate(made.active, [Walks(500, rng)]).false_alarms.value)
    # Of one: between 0.1 - 1/121 and 0.1; the mean of 8 strays by 0.0105 (beta and binomial).
    assert 0.06 < np.mean(rates) < 0.135


def test_a_calibration_is_kept_as_it_is(slider, tmp_path):
    rng = np.random.default_rng(0)
    entries = chosen('tracking_error', 'mahalanobis', 'nearest')
    found, _ = calibrate(entries, slider, [Walks(10, rng) for _ in range(20)], 0.1, rng)
    found.save(tmp_path / 'thresholds.json')
    again = load_calibration(tmp_path / 'thresholds.json')
    fresh = [Walks(200, rng)]
    one, other = (
        evaluate(build(entries, slider, c).active, fresh).as_json() for c in (found, again)
    )
    assert one == other and one['false_alarms']['count'] > 0
    assert (again.alpha, again.episodes, again.profile) == (0.1, 120, slider.content_hash)
    with pytest.raises(InputError, match='another robot'):
        build(entries, load_profile('arm6'), again)


@pytest.mark.parametrize('text', ['', '[]', '{"schema": 9}', '{"schema": 1}'])
def test_what_is_no_thresholds_file_is_refused(tmp_path, text):
    (tmp_path / 'it.json').write_text(text)
    with pytest.raises(InputError, match='thresholds = .*it.json'):
        load_calibration(tmp_path / 'it.json')


def test_what_the_recordings_do_not_hold_is_not_calibrated(slider):
    rng = np.random.default_rng(0)
    entries = chosen('tracking_error', 'imu_shock', 'drive_residual')
    found, skipped = calibrate(entries, slider, [Walks(10, rng) for _ in range(10)], 0.1, rng)
    assert set(found.detectors) == {'tracking_error'}
    assert set(skipped) == {'imu_shock', 'drive_residual'}
    with pytest.raises(InputError, match='none of them'):
        calibrate(entries[1:], slider, [Walks(10, rng) for _ in range(10)], 0.1, rng)


def test_detections_count_from_the_moment_that_the_fault_is_there(slider):
    rng = np.random.default_rng(1)
    entries = chosen('tracking_error')
    found, _ = calibrate(entries, slider, [Walks(10, rng) for _ in range(20)], 0.05, rng)
    detectors = build(entries, slider, found).active
    jumped = Walks(50, rng, jump=5.0)
    for at, within, want in ((0.6, 0.5, 50), (0.6, 0.05, 0), (0.1, 0.3, 0)):
        moment = np.full(50, at)
        trial = Trial(jumped, 'jump', 5.0, moment, moment)
        detection = evaluate(detectors, [], [trial], within=within).detections['jump', 5.0]
        assert abs(detection.rate.count - want) <= 5
    assert json.dumps(evaluate(detectors, [], [trial]).as_json())


def test_faults_of_a_simulated_arm_are_caught(tmp_path):
    """The bar in small; the soak test has it whole."""
    profile = load_profile('arm6')
    entries = chosen('tracking_error', 'dynamics_residual', 'drive_residual', 'frozen_sensor')
    options = dict(policy='arm6', timestep=0.004, duration=2.0)
    nominal = [episodes(profile, 10, seed, **options) for seed in range(14)]
    found, _ = calibrate(entries, profile, nominal, 0.05, np.random.default_rng(0))
    detectors = build(entries, profile, found).active
    fresh = [episodes(profile, 60, 100, **options)]
    trials = [
        episodes(profile, 24, 200 + i, fault=fault, **options)[1]
        for i, fault in enumerate((('payload', 0.6), ('friction', 3.0), ('frozen', 1.0)))
    ]
    done = evaluate(detectors, fresh, trials)
    assert done.false_alarms.interval[0] < 0.05 < done.false_alarms.interval[1]
    for (fault, _), detection in done.detections.items():
        assert detection.rate.value >= 0.9, fault
