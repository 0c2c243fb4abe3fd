import numpy as np
import pytest

from sim2real_policy.latency import LatencyHistogram, Stages


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


def test_stages_take_apart_what_a_cycle_took():
    now = [10.0]
    stages = Stages(lambda: now[0])
    for _ in range(10):
        stages.begin(10.0)
        for moment in (10.001, 10.003, 10.0031):
            now[0] = moment
            stages.lap()
        now[0] = 10.01
        stages.close()
    report = stages.report()
    for name, lasts in (
        ('latency', 0.01),
        ('assemble', 0.001),
        ('infer', 0.002),
        ('guard', 0.0001),
        ('publish', 0.0069),
    ):
        assert report[f'{name}_p50 [s]'] == pytest.approx(lasts, rel=0.07)
        assert report[f'{name}_max [s]'] == pytest.approx(lasts, rel=1e-6)


def test_a_cycle_without_all_stages_counts_as_a_whole():
    stages = Stages(lambda: 2.0)
    stages.begin(1.5)
    stages.close()
    assert stages.total.longest == 0.5 and stages.of['infer'].count == 0
    stages.clear()
    assert stages.total.count == 0
