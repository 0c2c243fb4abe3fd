"""Which world comes next."""

import dataclasses

import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.records import Draw, Estimate, ParameterEstimate
from sim2real_randomizer.config import RandomizerConfig
from sim2real_randomizer.episodes import Episodes, answers, settled
from sim2real_randomizer.space import load_space

MASS, GAIN = 'link.gripper.mass', 'actuator.elbow.gain'
VISCOUS = 'joint.elbow.viscous_friction'
CONFIG = RandomizerConfig(seed=3, environment=2)
DRAW = Draw(1, 2, 3, {MASS: 2.0, GAIN: 1.1}, {}, 'space')


@pytest.fixture
def space():
    return load_space('arm6', load_profile('arm6'))


def test_numbers_and_keys(space):
    episodes = Episodes(space, first=7)
    assert episodes.next(CONFIG) == space.draw(3, 7, 2)
    assert episodes.next(RandomizerConfig(seed=4)) == space.draw(4, 8, 0)


def known(mean):
    return Estimate(0.0, {VISCOUS: ParameterEstimate(mean, 0.1, 'identified')})


def test_the_newest_estimate_narrows_the_prior(space):
    episodes = Episodes(space)
    config = dataclasses.replace(CONFIG, k_sigma=2.0, floor=0.0, shape='uniform')
    episodes.learn(known(5.0), config)
    episodes.learn(known(6.0), config)
    assert episodes.space.range(VISCOUS) == pytest.approx((5.8, 6.2))
    draw = episodes.next(config)
    assert 5.8 <= draw.values[VISCOUS] <= 6.2
    assert draw.space == episodes.space.content_hash != space.content_hash
    episodes.learn(Estimate(0.0, {}), config)
    assert episodes.space.content_hash == space.content_hash


def test_a_strange_estimate_changes_nothing(space):
    episodes = Episodes(space)
    with pytest.raises(InputError, match='j9'):
        episodes.learn(
            Estimate(0.0, {'joint.j9.armature': ParameterEstimate(1, 1, 'identified')}), CONFIG
        )
    assert episodes.space is space


def test_settled():
    answer = dataclasses.replace(DRAW, outcomes={MASS: 'verified', GAIN: 'applied'})
    assert settled(DRAW, answer) == answer
    other = dataclasses.replace(answer, values={MASS: 0.8})
    assert settled(DRAW, other) == dataclasses.replace(
        DRAW, outcomes={MASS: 'failed', GAIN: 'applied'}
    )
    assert settled(DRAW, None).outcomes == {MASS: 'failed', GAIN: 'failed'}


@pytest.mark.parametrize(
    ('change', 'same'),
    [
        ({'values': {}, 'outcomes': {MASS: 'failed'}}, True),
        ({'episode': 9}, False),
        ({'seed': 9}, False),
        ({'environment': 9}, False),
        ({'space': 'other'}, False),
    ],
)
def test_answers(change, same):
    assert answers(dataclasses.replace(DRAW, **change), DRAW) is same
