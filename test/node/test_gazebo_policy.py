"""The shipped policy, trained in MuJoCo, in a real gzserver; more goals: benchmarks/."""

import importlib.util
from pathlib import Path

import pytest

from sim2real_core.errors import MissingError
from sim2real_sim.gazebo_classic import installation
from test.gazebo import free_port

BENCHMARK = Path(__file__).resolve().parents[2] / 'benchmarks' / 'gazebo_policy.py'


@pytest.mark.timeout(300)
def test_the_shipped_policy_is_as_good_in_gazebo():
    try:
        installation.find()
    except MissingError as error:
        pytest.skip(str(error))
    spec = importlib.util.spec_from_file_location('gazebo_policy', BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    found = benchmark.measure(5, free_port())
    assert found['gazebo']['success_rate'] >= found['mujoco']['success_rate'] - 0.2
    assert found['ratio'] <= benchmark.BAR, found
