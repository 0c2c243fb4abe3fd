import numpy as np
import pytest

from sim2real_policy.latency import LatencyHistogram


def test_quantiles_are_never_too_small_and_at_most_six_percent_too_large():
    histogram = LatencyHistogram()
    durations = np.random.default_rng(0).lognormal(-8.0, 1.0, 2000)
    for duration in durations:
        histogram.add(duration)
    for q in (0.5, 0.99):
        exact = np.sort(durations)[int(np.ceil(q * len(durations))) - 1]
        assert exact <= histogram.quantile(q) <= 1.06 * exact
    assert histogram.quantile(1.0) == histogram.longest == durations.max()


@pytest.mark.parametrize('duration', [0.0, 1e-9, 1e-6, 9.99, 1e3])
def test_takes_any_duration(duration):
    histogram = LatencyHistogram()
    assert histogram.quantile(0.5) == 0.0
    histogram.add(duration)
    assert histogram.count == 1
    assert histogram.report()['latency_max [s]'] == duration
    histogram.clear()
    assert histogram.count == 0
