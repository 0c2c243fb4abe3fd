"""Worlds that change while environments live in them."""

import json

import numpy as np
import pytest
import torch

from sim2real_bringup.cli import main
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_learning.reach import ReachTask, reach_metadata
from sim2real_learning.train import TrainConfig, load_checkpoint
from sim2real_learning.vector_env import ReachEnv
from sim2real_learning.workflow import evaluate_bundle, train_bundle
from sim2real_learning.worlds import Worlds, in_turn, read_worlds
from sim2real_randomizer.config import CurriculumConfig
from sim2real_randomizer.course import Course
from sim2real_randomizer.distributions import Uniform
from sim2real_randomizer.space import Space, Variation, load_space
from sim2real_randomizer.variation import Growth, When

ARM6 = load_profile('arm6')
MASS, VISCOUS, DELAY = (
    'link.gripper.mass', 'joint.elbow.viscous_friction', 'actuator.elbow.delay'
)  # fmt: skip
WANDERING = Space(
    ARM6,
    {
        VISCOUS: Variation(Uniform(0.5, 2.0), 'scale', when=When('walk', (0.5,))),
        DELAY: Variation(Uniform(0.0, 0.01)),
    },
)
GROWING = Space(
    ARM6,
    {
        MASS: Variation(Uniform(0.5, 3.0), grow=Growth(0.8, 0.8, delta=0.5)),
        DELAY: Variation(Uniform(0.0, 0.01), grow=Growth(0.0, 0.0, episodes=4)),
    },
    curriculum=CurriculumConfig(share=1.0, queue=2, fall=0.2, rise=0.8),
)


def env(worlds, count=8):
    task = ReachTask(duration=0.4, settle=0.1)
    metadata = reach_metadata(ARM6, task)
    return ReachEnv(ARM6, metadata, task, worlds, count, timestep=0.004)


def test_worlds_of_a_plain_space_are_drawn_once():
    space = load_space('arm6', ARM6)
    worlds = Worlds(space, 8, 3, 5)
    assert not worlds.alive
    for address, values in space.draw_many(3, 5, np.arange(8)).items():
        np.testing.assert_array_equal(worlds.values[address], values)
    assert worlds.advance(10.0).size == 0
    assert worlds.end(np.arange(8), np.ones(8)).size == 0
    assert (Worlds(None, 8, 3).values, worlds.state()) == ({}, {})


def test_what_varies_within_an_episode_reaches_the_engine():
    one = env(Worlds(WANDERING, 8, 3))
    course = Course(WANDERING, 3, np.arange(8), 0)
    steps = int(one.max_episode_length)
    for step in range(1, steps + 1):
        one.advance(np.zeros((8, 6)))
        course.advance(step * one.period)
        np.testing.assert_allclose(one.simulator.get(VISCOUS), course.values[VISCOUS])
        np.testing.assert_allclose(one.simulator.get(DELAY), course.values[DELAY])
    assert course.steps.min() >= 3


def test_the_next_goal_is_the_next_episode():
    one = env(Worlds(WANDERING, 8, 3))
    for _ in range(int(one.max_episode_length)):
        one.step(torch.zeros(8, 6))
    expected = WANDERING.draw_many(3, 1, np.arange(8))
    np.testing.assert_allclose(one.simulator.get(VISCOUS), expected[VISCOUS])
    np.testing.assert_allclose(one.simulator.get(DELAY), expected[DELAY])


def test_ranges_grow_with_the_scores():
    worlds = Worlds(GROWING, 8, 3, grows=True)
    assert (worlds.values[MASS] == 0.8).all()
    assert (worlds.values[DELAY] == 0.0).all()
    everyone = np.arange(8)
    for episode in range(1, 8):
        assert worlds.end(everyone, np.ones(8)).size == 8
        assert worlds.values[DELAY].max() <= 0.01 * min(episode / 4, 1)
    assert worlds.values[DELAY].max() > 0.005
    assert set(worlds.values[MASS]) == {0.5, 3.0}, 'all at the ends'
    state = worlds.state()
    assert state['ranges'] == {MASS: [0.5, 3.0]}
    resumed = Worlds(GROWING, 8, 3, grows=True, state=json.loads(json.dumps(state)))
    worlds.end(everyone, np.ones(8))
    for address, values in worlds.values.items():
        np.testing.assert_array_equal(resumed.values[address], values)
    whole = Worlds(GROWING, 8, 3)
    assert len(set(whole.values[MASS])) == 8
    assert not whole.alive
    assert Worlds(WANDERING, 8, 3, grows=True, state=state).state() == {}


def test_training_in_them_and_going_on(tmp_path):
    small = TrainConfig(iterations=2, environments=8, steps=30, threads=1, timestep=0.004)
    first, then = tmp_path / 'first.onnx', tmp_path / 'then.onnx'
    train_bundle(ARM6, GROWING, first, small)
    begun = load_checkpoint(first.with_suffix('.pt'))['curriculum']
    assert begun['space'] == GROWING.content_hash
    train_bundle(ARM6, GROWING, then, small, start=first.with_suffix('.pt'))
    on = load_checkpoint(then.with_suffix('.pt'))['curriculum']
    assert on['episode'] >= begun['episode']
    evaluate_bundle(then, ARM6, WANDERING, 2)
    worlds = {MASS: np.array([1.0, 2.0])}
    train_bundle(ARM6, None, tmp_path / 'heavy.onnx', small, worlds=worlds)
    weighed = load_checkpoint(tmp_path / 'heavy.pt')['actor_state_dict']
    train_bundle(ARM6, None, tmp_path / 'light.onnx', small)
    light = load_checkpoint(tmp_path / 'light.pt')['actor_state_dict']
    assert any(not torch.equal(weighed[key], light[key]) for key in light)
    heavy = evaluate_bundle(then, ARM6, None, 3, worlds=worlds).summary()
    assert heavy != evaluate_bundle(then, ARM6, None, 3).summary()
    file, out = tmp_path / 'worlds.json', tmp_path / 'figures.json'
    file.write_text(json.dumps({'values': {MASS: [1.0, 2.0]}}))
    command = ['evaluate', '--bundle', str(then), '--robot', 'arm6', '--episodes', '3']
    assert main([*command, '--worlds', str(file), '--json', str(out)]) == 0
    assert json.loads(out.read_text())['task_error'] == heavy['task_error']


def test_worlds_from_a_file(tmp_path):
    path = tmp_path / 'worlds.json'
    path.write_text(json.dumps({'values': {MASS: [1.0, 2.0], VISCOUS: [3.0, 4.0]}}))
    worlds = in_turn(read_worlds(path, ARM6), 5)
    assert worlds[MASS].tolist() == [1.0, 2.0, 1.0, 2.0, 1.0]
    path.write_text(json.dumps({'values': {MASS: 1.5}}))
    assert in_turn(read_worlds(path, ARM6), 2)[MASS].tolist() == [1.5, 1.5]


@pytest.mark.parametrize(
    ('text', 'field'),
    [
        ('{}', 'worlds'),
        ('{"values": {"link.gripper.mass": -1}}', MASS),
        ('{"values": {"link.gripper.mass": [NaN]}}', MASS),
        ('{"values": {"link.gripper.mass": "x"}}', MASS),
        ('{"values": {"link.griper.mass": 1}}', 'address'),
        ('{"values": {"link.gripper.mass": [1], "link.tool0.mass": [1, 2]}}', 'values'),
    ],
)
def test_faults_of_a_worlds_file(tmp_path, text, field):
    path = tmp_path / 'worlds.json'
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_worlds(path, ARM6)
    assert [fault.field for fault in error.value.faults] == [field]
