import numpy as np
import pytest

from sim2real_sysid.filters import ORDER, LagCascade, TwinFilter


def run(twins, stamps, samples):
    """Stamps and outputs (n, 4, 2, channels) of all samples, given one by one."""
    found = [twins.push(stamp[None], sample[None]) for stamp, sample in zip(stamps, samples)]
    return tuple(np.concatenate(part) for part in zip(*found))


def test_bandwidth_is_where_the_amplitude_falls_by_3_db():
    cascade = LagCascade(8.0, 1)
    response = 1 / abs(1 + 2j * np.pi * 8.0 / cascade.pole) ** ORDER
    assert response == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize(('jitter', 'error'), [(0.0, 1e-3), (0.45, 2e-2)])
def test_sine_comes_out_as_the_theory_says(jitter, error):
    rng = np.random.default_rng(0)
    stamps = (np.arange(800) + jitter * rng.uniform(-1, 1, 800)) * 0.004
    w = 2 * np.pi * 1.5
    twins = TwinFilter(8.0, 1)
    at, out = run(twins, stamps, np.sin(w * stamps)[:, None])
    lag = (1 + 1j * w / twins.cascade.pole) ** -ORDER
    steady = at > 0.5
    for k in range(3):
        expected = ((1j * w) ** k * lag * np.exp(1j * w * at[steady])).imag
        for twin in range(2):
            assert out[steady, k, twin, 0] == pytest.approx(expected, abs=error * w**k)


def test_third_derivative_of_both_together():
    stamps, w = np.arange(800) * 0.004, 2 * np.pi * 1.5
    twins = TwinFilter(8.0, 1)
    at, out = run(twins, stamps, np.sin(w * stamps)[:, None])
    lag = (1 + 1j * w / twins.cascade.pole) ** -ORDER
    steady = at > 0.5
    expected = ((1j * w) ** 3 * lag * np.exp(1j * w * at[steady])).imag
    assert out[steady, 3, :, 0].mean(axis=1) == pytest.approx(expected, abs=5e-3 * w**3)


def test_what_is_linear_between_signals_stays_so():
    stamps = np.cumsum(np.random.default_rng(1).uniform(0.001, 0.009, 500))
    signal = np.sin(stamps) + np.sin(7 * stamps)
    _, out = run(TwinFilter(8.0, 2), stamps, np.stack([signal, 3 * signal - 2], axis=1))
    assert out[:, 0, :, 1] == pytest.approx(3 * out[:, 0, :, 0] - 2, abs=1e-9)


def test_noise_of_the_twins_is_independent():
    noise = np.random.default_rng(2).normal(size=(40000, 1))
    _, out = TwinFilter(8.0, 1, interval=0.08).push(np.arange(40000) * 0.004, noise)
    one, other = out[25:, 2, 0, 0], out[25:, 2, 1, 0]
    assert len(one) > 1900
    power = 0.5 * (one @ one + other @ other)
    assert abs(one @ other) < 0.1 * power
    assert power > 1.0


def test_constant_passes_at_rest_from_the_start():
    twins = TwinFilter(8.0, 1)
    _, out = run(twins, np.arange(10) * 0.01, np.full((10, 1), 4.0))
    assert out[:, 0] == pytest.approx(4.0)
    assert np.abs(out[:, 1:]).max() < 1e-6


def test_restart_forgets():
    twins = TwinFilter(8.0, 1)
    run(twins, np.arange(200) * 0.01, np.full((200, 1), 4.0))
    twins.restart()
    _, out = run(twins, np.arange(10) * 0.01, np.full((10, 1), -1.0))
    assert twins.begun == 0.0
    assert out[:, 0] == pytest.approx(-1.0)


@pytest.mark.parametrize('interval', [0.0, 0.02])
def test_runs_of_samples_give_what_single_ones_do(interval):
    rng = np.random.default_rng(3)
    stamps, samples = np.cumsum(rng.uniform(0.001, 0.009, 300)), rng.normal(size=(300, 3))
    at, out = run(TwinFilter(8.0, 3, interval), stamps, samples)
    assert (np.diff(at) > interval - 1e-5).all() and at[-1] > stamps[-1] - 0.01 - interval
    runs, found, begin = TwinFilter(8.0, 3, interval), [], 0
    while begin < len(stamps):
        end = begin + rng.integers(1, 40)
        found.append(runs.push(stamps[begin:end], samples[begin:end]))
        begin = end
    times, outputs = (np.concatenate(part) for part in zip(*found))
    assert times == pytest.approx(at)
    assert outputs == pytest.approx(out, rel=1e-6, abs=1e-6)
