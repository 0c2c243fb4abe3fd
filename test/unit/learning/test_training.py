"""Training, export and evaluation on a small arm that learns within seconds."""

import numpy as np
import pytest
import torch

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_learning.reach import ReachTask, draw_goals, reach_metadata
from sim2real_learning.train import TrainConfig, load_checkpoint
from sim2real_learning.vector_env import ReachEnv
from sim2real_learning.workflow import evaluate_bundle, train_bundle
from sim2real_policy.bundle import load_bundle

SMALL = TrainConfig(iterations=2, environments=16, steps=8, threads=1, timestep=0.004)


@pytest.fixture(scope='module')
def arm6():
    return load_profile('arm6')


@pytest.fixture(scope='module')
def trained(arm6, tmp_path_factory):
    """A bundle after two iterations, and what training said."""
    out = tmp_path_factory.mktemp('trained') / 'small.onnx'
    return out, train_bundle(arm6, None, out, SMALL, seed=3)


def env(profile, count=8, worlds=None, seed=0):
    task = ReachTask()
    return ReachEnv(
        profile, reach_metadata(profile, task), task, worlds or {}, count, seed=seed,
        timestep=0.004,
    )  # fmt: skip


def test_a_goal_lasts_its_time_and_then_another_comes(arm6):
    one = env(arm6)
    goal = one.goal.copy()
    still = torch.zeros(8, 6)
    for step in range(int(one.max_episode_length)):
        np.testing.assert_array_equal(one.goal, goal)
        _, _, dones, extras = one.step(still)
        assert bool(dones.all()) == (step == one.max_episode_length - 1)
        assert extras['time_outs'] is dones
    assert not np.array_equal(one.goal, goal)


def test_zero_action_is_the_default_pose(arm6):
    one = env(arm6)
    for _ in range(100):
        one.advance(np.zeros((8, 6)))
    command = one.simulator.read().position
    # The drives are soft: gravity pulls the joints a little away from the commanded pose.
    np.testing.assert_allclose(command, np.tile(arm6.array('default_position'), (8, 1)), atol=0.2)


def test_worlds_differ_and_runs_repeat(arm6):
    mass = {'link.gripper.mass': np.linspace(0.8, 4.8, 8)}
    goals = draw_goals(arm6, ReachTask(), 9, np.random.default_rng(0))
    same_start = goals._replace(configuration=np.tile(goals.configuration[:1], (9, 1)))
    paths = []
    for _ in range(2):
        one = env(arm6, worlds=mass)
        one.reset_all(same_start)
        for _ in range(60):
            one.advance(np.zeros((8, 6)))
        paths.append(one.tool.copy())
    np.testing.assert_array_equal(*paths)
    height = paths[0][:, 2]
    assert (np.diff(height) < 0).all(), 'a heavier payload must pull the tool lower'


def test_bundle_says_where_it_comes_from(trained, arm6):
    path, said = trained
    meta = load_bundle(path).meta
    assert (meta.robot, meta.profile) == ('arm6', arm6.content_hash)
    assert said['parity'] < 1e-5
    assert len(said['rewards']) == SMALL.iterations
    assert path.with_suffix('.pt').is_file()


def test_training_repeats_bit_for_bit(trained, arm6, tmp_path):
    path, _ = trained
    train_bundle(arm6, None, tmp_path / 'again.onnx', SMALL, seed=3)
    assert (tmp_path / 'again.onnx').read_bytes() == path.read_bytes()


def test_fine_tuning_starts_where_the_checkpoint_ended(trained, arm6, tmp_path):
    path, _ = trained
    config = TrainConfig(**{**vars(SMALL), 'iterations': 1, 'learning_rate': 1e-7, 'noise': 0.05})
    train_bundle(arm6, None, tmp_path / 'tuned.onnx', config, start=path.with_suffix('.pt'))
    before = load_checkpoint(path.with_suffix('.pt'))['actor_state_dict']
    after = load_checkpoint(tmp_path / 'tuned.pt')['actor_state_dict']
    for name, value in before.items():
        if name.startswith('mlp'):
            torch.testing.assert_close(after[name], value, atol=1e-4, rtol=0.0)


def test_evaluation_repeats_and_counts_every_episode(trained, arm6):
    path, _ = trained
    first, second = (evaluate_bundle(path, arm6, None, 12, timestep=0.004) for _ in range(2))
    np.testing.assert_array_equal(first.error, second.error)
    assert len(first.error) == 12
    other = evaluate_bundle(path, arm6, None, 12, seed=1, timestep=0.004)
    assert not np.array_equal(first.error, other.error)


def test_a_bundle_of_another_robot_is_refused(trained, tmp_path):
    slider = load_profile('slider')
    with pytest.raises(InputError, match='no such joint'):
        evaluate_bundle(trained[0], slider, None, 1)
    with pytest.raises(InputError, match='episodes'):
        evaluate_bundle(trained[0], load_profile('arm6'), None, 0)
