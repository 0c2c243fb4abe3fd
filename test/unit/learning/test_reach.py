import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import load_profile
from sim2real_learning.config import ReachTask
from sim2real_learning.reach import draw_goals, reach_metadata, reward


@pytest.fixture(scope='module')
def arm6():
    return load_profile('arm6')


def test_goals_can_be_reached(arm6):
    """Each goal is where an independent forward kinematics puts its configuration's tool."""
    goals = draw_goals(arm6, ReachTask(), 40, np.random.default_rng(3))
    kinematics = Kinematics(arm6)
    for configuration, position in zip(goals.configuration, goals.position):
        np.testing.assert_allclose(kinematics.position(configuration), position, atol=1e-6)
        assert (arm6.array('lower') <= configuration).all()
        assert (configuration <= arm6.array('upper')).all()
    assert (goals.position[:, 2] >= ReachTask().clearance).all()


def test_the_same_generator_gives_the_same_goals(arm6):
    first, second = (draw_goals(arm6, ReachTask(), 8, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.position, second.position)
    other = draw_goals(arm6, ReachTask(), 8, np.random.default_rng(6))
    assert not np.array_equal(first.position, other.position)


def test_an_impossible_clearance_is_named(arm6):
    with pytest.raises(InputError, match='clearance'):
        draw_goals(arm6, ReachTask(clearance=5.0), 8, np.random.default_rng(0))


def test_metadata_scales_what_the_policy_sees_to_about_one(arm6):
    metadata = reach_metadata(arm6, ReachTask())
    goals = draw_goals(arm6, ReachTask(), 500, np.random.default_rng(1))
    goal = next(t for t in metadata.observation.terms if t.kind == 'goal_position')
    seen = (goals.position - goal.offset) * goal.scale
    assert np.abs(seen.mean(axis=0)).max() < 0.3
    assert 0.3 < np.abs(seen).mean() < 1.5
    assert metadata.joints == arm6.joint_names


def test_reward_prefers_nearer_stiller_and_smoother():
    still = np.zeros((1, 3))

    def value(distance=0.05, change=still, velocity=still):
        return float(reward(np.array([distance]), change, velocity)[0])

    distances = [0.5, 0.2, 0.05, 0.02, 0.01, 0.002, 0.0]
    values = [value(d) for d in distances]
    assert values == sorted(values)
    assert value(change=still + 0.5) < value()
    assert value(velocity=still + 0.5) < value()
