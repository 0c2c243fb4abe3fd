"""Sensors with hidden faults, as the embedded simulator makes them."""

import numpy as np
import pytest

from sim2real_sim.realism import Sensors
from sim2real_sysid.allan import allan_deviation, bias_instability, random_walk
from sim2real_sysid.sensor_report import stamp_figures
from sim2real_sysid.sensor_timing import delay, motion_jitter, smooth
from sim2real_sysid.sensors import Channel, assess, find_rest, quantization

PERIOD = 0.004
FAR = 4.0  # standard deviations


def readings(truth, duration=40.0, seed=0, zero=True, channels=3):
    """A channel whose sensor rests: three of a kind, read every 4 ms."""
    sensors = Sensors((1, channels))
    for name, value in truth.items():
        sensors.parameters[name][:] = value
    sensors.update(np.full((1, 1), PERIOD))
    rows = np.arange(1)
    sensors.reset(rows, np.zeros((1, channels)), np.array([seed], dtype=np.uint64))
    stamp = PERIOD * np.arange(1, int(duration / PERIOD) + 1)
    values = np.zeros((len(stamp), channels))
    for k, time in enumerate(stamp):
        sensors.record([np.zeros((1, channels))], time)
        values[k] = sensors.sample(rows)[0]
    return Channel('imu_gyro', stamp, values, 'rad/s', zero)


def rest(channel):
    return [slice(0, len(channel.stamp))]


def test_a_gyro():
    truth = dict(noise=0.02, bias=0.05, drift=0.006, correlation_time=0.5)
    channel = readings(truth, duration=20.0)
    found = assess(channel, rest(channel)).parameters
    for name, value in truth.items():
        assert found[name].status == 'identified', name
        assert abs(found[name].mean - value) < FAR * found[name].std, name
    assert found['noise'].std < 0.02 * truth['noise']
    assert found['drift'].std < 0.3 * truth['drift']
    for name in ('quantization', 'dropout', 'period'):
        assert found[name].mean == 0.0
        assert found[name].status == 'identified'


@pytest.mark.parametrize('step', [0.01, 0.04])
def test_steps(step):
    channel = readings(dict(noise=0.02, quantization=step), duration=8.0)
    found = assess(channel, rest(channel)).parameters
    assert found['quantization'].mean == pytest.approx(step, rel=1e-3)
    assert abs(found['noise'].mean - 0.02) < FAR * found['noise'].std
    assert found['dropout'].mean < 0.02


def test_noise_below_the_steps_is_not_identified():
    channel = readings(dict(noise=0.002, bias=0.013, quantization=0.02), duration=8.0)
    found = assess(channel, rest(channel)).parameters
    assert found['noise'].status == 'not_identified'


@pytest.mark.parametrize('truth', [dict(dropout=0.2), dict(dropout=0.2, quantization=0.02)])
def test_lost_readings(truth):
    channel = readings(dict(noise=0.02, **truth), duration=12.0, channels=1)
    found = assess(channel, rest(channel)).parameters
    assert found['dropout'].status == 'identified'
    assert abs(found['dropout'].mean - 0.2) < FAR * found['dropout'].std
    assert abs(found['noise'].mean - 0.02) < FAR * found['noise'].std
    assert found['drift'].mean < 0.005


@pytest.mark.parametrize('period', [0.02, 0.0093])
def test_a_slow_sensor(period):
    channel = readings(dict(noise=0.02, period=period), duration=8.0)
    found = assess(channel, rest(channel)).parameters
    assert found['period'].mean == pytest.approx(period, rel=0.01)
    assert found['dropout'].mean < 0.01
    assert abs(found['noise'].mean - 0.02) < FAR * found['noise'].std


def test_a_short_rest_says_nothing_of_drift():
    channel = readings(dict(noise=0.02, drift=0.01, correlation_time=20.0), duration=3.0)
    found = assess(channel, rest(channel)).parameters
    assert found['noise'].status == 'identified'
    assert found['correlation_time'].status == 'not_identified'
    nothing = assess(channel, []).parameters
    assert {nothing[name].status for name in ('noise', 'bias', 'drift')} == {'not_identified'}


def test_where_the_truth_is_not_known_there_is_no_bias():
    channel = readings(dict(noise=0.02, bias=0.05), duration=5.0, zero=False)
    assert assess(channel, rest(channel)).parameters['bias'].status == 'not_identified'


def test_allan_deviation_of_white_noise_and_of_a_random_walk():
    rng = np.random.default_rng(0)
    white = 0.3 * rng.normal(size=(20000, 1))
    curve = allan_deviation([white], 0.01)
    np.testing.assert_allclose(curve.deviation[0], 0.3, rtol=0.02)
    near = np.abs(curve.deviation - 0.3 / np.sqrt(curve.tau / 0.01)) < FAR * curve.std
    assert near.mean() > 0.9
    assert bias_instability(curve)[1] == np.inf
    walk = np.cumsum(0.05 * np.sqrt(0.01) * rng.normal(size=(20000, 1)), axis=0)
    value, std = random_walk(allan_deviation([walk], 0.01))
    assert abs(value - 0.05) < FAR * std
    assert random_walk(curve)[1] == np.inf


def test_allan_deviation_does_not_go_across_breaks():
    rng = np.random.default_rng(1)
    pieces = [rng.normal(size=(3000, 2)) + level for level in (0.0, 100.0)]
    curve = allan_deviation(pieces, 0.01)
    assert curve.deviation.max() < 1.1


def test_rest_is_found_between_moves():
    rng = np.random.default_rng(0)
    stamp = PERIOD * np.arange(5000)
    moving = (stamp > 6.0) & (stamp < 12.0)
    position = np.where(moving, 0.3 * (1.0 - np.cos(2.0 * (stamp - 6.0))), 0.0)
    position[stamp >= 12.0] = position[np.flatnonzero(moving)[-1]]
    noisy = position[:, None] + 1e-4 * rng.normal(size=(5000, 1))
    for signal in (noisy, np.round(noisy / 1e-3) * 1e-3, position[:, None]):
        first, second = find_rest(stamp, signal, np.array([2.0]))
        assert 5.0 < stamp[first.stop] <= 6.0
        assert 12.0 <= stamp[second.start] < 13.0
    assert find_rest(stamp[:8], noisy[:8], np.array([2.0])) == []


@pytest.mark.parametrize('late', [0.0, 0.0063, -0.011])
def test_delay_finer_than_a_sample(late):
    rng = np.random.default_rng(0)
    stamp = PERIOD * np.arange(4000)

    def motion(t):
        return np.sin(2.1 * t) + 0.4 * np.sin(7.7 * t + 1.0)

    terms = smooth(motion(stamp)[:, None], 0, PERIOD)
    signal = smooth(
        (2.0 * motion(stamp - late) + 0.05 * rng.normal(size=4000))[:, None], 0, PERIOD
    )
    found, std = delay(stamp, signal[:, 0], terms)
    assert abs(found - late) < FAR * std < 0.002


def test_delay_of_what_does_not_move_or_follow():
    rng = np.random.default_rng(0)
    stamp = PERIOD * np.arange(4000)
    terms = np.sin(3.0 * stamp)[:, None]
    assert delay(stamp, np.zeros(4000), terms)[1] == np.inf
    assert delay(stamp, smooth(rng.normal(size=(4000, 1)), 0, PERIOD)[:, 0], terms)[1] == np.inf


@pytest.mark.parametrize('width', [0.0, 0.002])
def test_jitter_shows_in_motion(width):
    rng = np.random.default_rng(0)
    stamp = PERIOD * np.arange(8000)
    seen = stamp - width * rng.random(8000)
    values = np.sin(seen)[:, None] + 1e-4 * rng.normal(size=(8000, 1))
    found, std = motion_jitter(stamp, values, 1e-8)
    assert abs(found - width) < max(FAR * std, 2e-4)
    assert not width or std < 0.2 * width


def test_quantization_without_levels():
    assert quantization(np.zeros((100, 1)))[1] == np.inf
    rng = np.random.default_rng(0)
    assert quantization(rng.normal(size=(1000, 1)))[0] == 0.0


def test_stamps_of_a_topic():
    rng = np.random.default_rng(0)
    stamp = 0.01 * np.arange(2000) + 1e-3 * rng.normal(size=2000)
    stamp = np.sort(stamp)[rng.random(2000) > 0.2]
    found = stamp_figures(stamp, stamp + 0.02)
    assert found['rate'] == pytest.approx(100.0, rel=0.05)
    assert found['dropped'] == pytest.approx(0.2, abs=0.04)
    assert found['latency'] == pytest.approx(0.02)
    assert stamp_figures(stamp, stamp + 1e9)['latency'] is None
