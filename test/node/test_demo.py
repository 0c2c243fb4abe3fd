"""The whole loop over topics: bars of the demo, over surrogates that nobody tuned on."""

import numpy as np
import pytest

from sim2real_bringup.config import DemoConfig
from sim2real_bringup.demo import run_demo
from sim2real_bringup.report import write_report


def check(results, most_coverage):
    """The demo's bars, over several surrogates."""
    ratios = [r['gap']['ratio'] for r in results]
    assert all(r['nominal']['success_rate'] >= 0.9 for r in results)
    assert np.median([r['gap']['before']['median_excess'] for r in results]) > 0
    assert np.median(ratios) <= 0.5, ratios
    share = sum(r['identification']['sharp'] for r in results) / sum(
        r['identification']['excited'] for r in results
    )
    assert share >= 0.8
    intervals = sum(r['identification']['intervals'] for r in results)
    covered = sum(r['identification']['covered'] for r in results)
    assert intervals >= 20 * len(results)
    assert 0.88 <= covered / intervals <= most_coverage, f'{covered} of {intervals}'
    for result in results:
        fault = result['fault']
        assert fault['false_alarms'] == 0
        assert fault['caught'] and fault['delay'] <= 0.5
        assert fault['shipped'] and fault['replayed']


def run(seed, folder, **more):
    config = DemoConfig(surrogate_seed=seed, out=str(folder / str(seed)), **more)
    result = run_demo(config)
    page = write_report(result, folder / str(seed))
    assert page.read_text().count('<img') == 6
    return result.as_json()


@pytest.mark.timeout(1200)
def test_three_surrogates(tmp_path):
    """Shorter than the demo itself; a sample of 3 cannot show that intervals are too wide."""
    results = [run(seed, tmp_path, goals=8, iterations=30) for seed in (11, 12, 13)]
    check(results, most_coverage=1.0)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_surrogates(tmp_path):
    check([run(seed, tmp_path) for seed in range(21, 31)], most_coverage=0.99)
