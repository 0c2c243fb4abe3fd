"""Training, export and evaluation on a small arm that learns within seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_core.profile import load_profile
from sim2real_learning.config import FINE_TUNING, ReachTask, TrainConfig
from sim2real_learning.reach import draw_goals, reach_metadata
from sim2real_learning.train import load_checkpoint
from sim2real_learning.vector_env import ReachEnv
from sim2real_learning.workflow import evaluate_bundle, task_of, train_bundle
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata, Normalizer, load_bundle
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy

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


def test_bundle_says_what_was_seen_in_training(trained, arm6, tmp_path):
    path, _ = trained
    seen = load_bundle(path).meta.training_range
    width = np.subtract(seen.high, seen.low)
    assert (width > 0.1).all() and np.isfinite(width).all()
    start = path.with_suffix('.pt')
    config = TrainConfig(**{**vars(SMALL), 'iterations': 1})
    train_bundle(arm6, None, tmp_path / 'tuned.onnx', config, start=start, seed=9)
    wider = load_bundle(tmp_path / 'tuned.onnx').meta.training_range
    assert (np.array(wider.low) <= seen.low).all() and (np.array(wider.high) >= seen.high).all()
    assert wider != seen


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


@pytest.mark.parametrize('period', [0.03, 0.01, 0.05, 0.005, 0.002, 0.02])
def test_a_control_period_is_simulated_whole(arm6, period):
    task = ReachTask()
    metadata = replace(reach_metadata(arm6, task), control_period=period)
    one = ReachEnv(arm6, metadata, task, {}, 2, timestep=0.004)
    assert one.simulator.timestep <= 0.004
    one.advance(np.zeros((2, 6)))
    one.advance(np.zeros((2, 6)))
    np.testing.assert_allclose(one.reading.time, 2 * period, rtol=1e-9)
    assert one.max_episode_length * period == pytest.approx(task.duration, abs=period / 2)


def test_the_task_of_a_policy_is_remembered(arm6, tmp_path):
    small = TrainConfig(**{**vars(SMALL), 'iterations': 1})
    path = tmp_path / 'one.onnx'
    train_bundle(arm6, None, path, small, task={'duration': 1.0, 'reach': 0.2})
    changed = {'duration': 1.0, 'settle': 0.5, 'tolerance': 0.02, 'reach': 0.2, 'clearance': 0.1}
    assert load_bundle(path).meta.training['task'] == changed
    assert len(evaluate_bundle(path, arm6, None, 2, timestep=0.004).tool) == 50  # of 20 ms
    asked = evaluate_bundle(path, arm6, None, 2, timestep=0.004, task={'duration': 0.6})
    assert len(asked.tool) == 30
    train_bundle(
        arm6, None, tmp_path / 'two.onnx', small, start=path.with_suffix('.pt'),
        task={'tolerance': 0.03},
    )  # fmt: skip
    tuned = load_bundle(tmp_path / 'two.onnx').meta.training['task']
    assert tuned == {**changed, 'tolerance': 0.03}
    assert task_of(load_bundle(find('policies', 'arm6', '.onnx')).meta) == ReachTask()


def test_fine_tuning_must_change_the_policy():
    with pytest.raises(InputError, match='more than the 5 that fit the critic'):
        TrainConfig(**{**FINE_TUNING, 'iterations': 5})


def test_what_is_no_checkpoint_is_named(tmp_path):
    torch.save({'metadata': {}}, tmp_path / 'other.pt')
    (tmp_path / 'text.pt').write_text('# hello')
    for name, said in (('none.pt', 'No such file'), ('text.pt', ''), ('other.pt', 'it lacks')):
        with pytest.raises(InputError, match=rf'{name}.*sim2real train.*{said}'):
            load_checkpoint(tmp_path / name)


def policy(arm6, path, terms, **more):
    action = Action(meaning='position', scale=(0.1,) * 6)
    meta = BundleMetadata.for_robot(arm6, terms, action, control_period=0.02, **more)
    random_policy(meta, path, np.random.default_rng(0))
    return path


def test_a_policy_that_sees_more_than_is_simulated_is_refused(arm6, tmp_path):
    with_imu = load_profile('arm6')
    object.__setattr__(with_imu, 'imu_link', with_imu.tool_link)
    terms = [Term(kind='joint_position'), Term(kind='imu_angular_velocity')]
    path = policy(arm6, tmp_path / 'imu.onnx', terms)
    with pytest.raises(InputError, match=r"bundle.observation = 'angular_velocity'"):
        evaluate_bundle(path, with_imu, None, 2)


def test_evaluation_normalizes_as_the_robot_does(arm6, tmp_path):
    terms = [Term(kind='joint_position')]
    scaled = [Term(kind='joint_position', scale=5.0)]
    normal = Normalizer(mean=(0.0,) * 6, std=(0.2,) * 6)
    paths = [
        policy(arm6, tmp_path / 'plain.onnx', scaled),
        policy(arm6, tmp_path / 'normal.onnx', terms, normalizer=normal),
    ]
    plain, normalized = (evaluate_bundle(p, arm6, None, 2, timestep=0.004) for p in paths)
    np.testing.assert_allclose(normalized.error, plain.error, atol=1e-6)
    other = policy(arm6, tmp_path / 'other.onnx', terms)
    other = evaluate_bundle(other, arm6, None, 2, timestep=0.004)
    assert np.abs(other.error - plain.error).max() > 1e-4


def test_a_bundle_of_another_robot_is_refused(trained, tmp_path):
    slider = load_profile('slider')
    with pytest.raises(InputError, match='no such joint'):
        evaluate_bundle(trained[0], slider, None, 1)
    with pytest.raises(InputError, match='episodes'):
        evaluate_bundle(trained[0], load_profile('arm6'), None, 0)


def test_training_sees_the_effort_rate_that_the_guard_keeps(arm6):
    command = replace(arm6.command, interface='effort')
    joints = tuple(replace(joint, effort_rate=10.0) for joint in arm6.joints)
    slow = replace(arm6, command=command, joints=joints)
    terms = [Term(kind='joint_position'), Term(kind='goal_error')]
    meta = BundleMetadata.for_robot(slow, terms, Action(meaning='effort', scale=(5.0,) * 6))
    one = ReachEnv(slow, meta, ReachTask(), {}, 2, timestep=0.004)
    for step in range(1, 4):
        one.advance(np.ones((2, 6)))
        np.testing.assert_allclose(one._limiter.command, 10.0 * one.period * step)
