"""Automatic domain randomization."""

import json

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_randomizer.config import CurriculumConfig
from sim2real_randomizer.course import Course
from sim2real_randomizer.curriculum import NONE, Curriculum
from sim2real_randomizer.distributions import LogUniform, Uniform
from sim2real_randomizer.space import Space, Variation
from sim2real_randomizer.variation import Growth

ARM6 = load_profile('arm6')
MASS, GAIN, VISCOUS = 'link.gripper.mass', 'actuator.elbow.gain', 'joint.elbow.viscous_friction'
SPACE = Space(
    ARM6,
    {
        MASS: Variation(Uniform(1.0, 3.0), grow=Growth(1.9, 2.1, delta=0.25)),
        VISCOUS: Variation(LogUniform(0.5, 2.0), 'scale', grow=Growth(1.0, 1.0, delta=0.1)),
        GAIN: Variation(Uniform(0.9, 1.1), 'scale'),
    },
    curriculum=CurriculumConfig(share=0.5, queue=10, fall=0.3, rise=0.7),
)
MANY = np.arange(4000)


def drawn(curriculum, episode=0):
    ends = curriculum.ends(0, episode, MANY)
    course = Course(curriculum.space, 0, MANY, episode)
    course.restart(episode, pinned=curriculum.pinned(ends))
    return ends, course.values


def rounds(curriculum, score, count=1):
    """``score`` of (ends, values) for many episodes."""
    for episode in range(count):
        ends, values = drawn(curriculum, episode)
        curriculum.report(ends, score(ends, values))


def test_a_share_of_the_worlds_lies_at_the_ends():
    ends, values = drawn(Curriculum(SPACE))
    assert (ends == NONE).mean() == pytest.approx(0.5, abs=0.03)
    for index, (address, end) in enumerate(
        [(MASS, 1.9), (MASS, 2.1), (VISCOUS, None), (VISCOUS, None)]
    ):
        here = ends == index
        assert here.mean() == pytest.approx(0.125, abs=0.02)
        if end:
            assert (values[address][here] == end).all()
    free = values[MASS][ends == NONE]
    assert 1.9 < free.min() < free.max() < 2.1
    # Who lies at an end of one range has everything else as it would have been.
    course = Course(Curriculum(SPACE).space, 0, MANY, 0)
    np.testing.assert_array_equal(values[GAIN], course.values[GAIN])
    np.testing.assert_array_equal(values[MASS][ends == NONE], course.values[MASS][ends == NONE])


def test_ranges_grow_to_the_whole_and_no_further():
    curriculum = Curriculum(SPACE)
    rounds(curriculum, lambda ends, values: np.ones(len(ends)))
    assert curriculum.ranges[MASS] == pytest.approx([1.65, 2.35]), 'one step, however many scores'
    rounds(curriculum, lambda ends, values: np.ones(len(ends)), 12)
    assert curriculum.ranges == {MASS: [1.0, 3.0], VISCOUS: [0.5, 2.0]}
    assert curriculum.space.range(MASS) == (1.0, 3.0)
    rounds(curriculum, lambda ends, values: np.zeros(len(ends)), 12)
    assert curriculum.ranges == {MASS: [1.9, 2.1], VISCOUS: [1.0, 1.0]}


def test_an_end_stays_where_the_policy_stops_coping():
    """A policy that copes with up to 2.6 kg and with any friction."""
    curriculum = Curriculum(SPACE)
    rounds(curriculum, lambda ends, values: values[MASS] <= 2.6, 15)
    low, high = curriculum.ranges[MASS]
    assert low == 1.0
    assert 2.6 - 0.25 <= high <= 2.6 + 0.25
    assert curriculum.ranges[VISCOUS] == [0.5, 2.0]


def test_in_between_nothing_moves():
    curriculum = Curriculum(SPACE)
    assert not curriculum.report(np.full(1000, 1), np.full(1000, 0.5))
    assert not curriculum.report(np.full(1000, NONE), np.ones(1000))
    assert curriculum.ranges[MASS] == [1.9, 2.1]
    assert curriculum.report(np.full(10, 1), np.full(10, 0.9))
    assert curriculum.ranges[MASS] == [1.9, 2.35]


def test_worlds_of_before_a_move_do_not_count():
    curriculum = Curriculum(SPACE)
    ends, _ = drawn(curriculum)
    assert curriculum.report(ends, np.ones(len(ends)))
    ranges = {address: list(ends) for address, ends in curriculum.ranges.items()}
    assert not curriculum.report(ends, np.ones(len(ends)))
    assert curriculum.ranges == ranges


def test_resumed_exactly():
    def score(ends, values):
        return np.sin(1000.0 * values[GAIN] + values[MASS]) > 0.0

    through = Curriculum(SPACE)
    rounds(through, score)
    ends, _ = drawn(through, 5)
    through.report(ends[ends % 4 == 0][:7], np.linspace(0.1, 0.9, 7))
    saved = json.loads(json.dumps(through.state()))
    resumed = Curriculum(SPACE, saved)
    assert resumed.state() == through.state()
    assert any(saved['scores'].values()), 'queues are part of it'
    for curriculum in (through, resumed):
        rounds(curriculum, score)
    assert resumed.state() == through.state() != saved
    assert resumed.space.content_hash == through.space.content_hash


@pytest.mark.parametrize(
    ('change', 'field'),
    [
        ({'space': 'other'}, 'curriculum.space'),
        ({'ranges': {VISCOUS: [1.0, 1.0]}}, f'curriculum.{MASS}'),
        ({'ranges': {MASS: [3.0, 1.0], VISCOUS: [1.0, 1.0]}}, f'curriculum.{MASS}'),
        ({'scores': {}}, f'curriculum.{MASS}'),
        ({'moves': {}}, f'curriculum.{MASS}'),
    ],
)
def test_a_wrong_state(change, field):
    with pytest.raises(InputError) as error:
        Curriculum(SPACE, {**Curriculum(SPACE).state(), **change})
    assert error.value.faults[0].field == field


def test_nothing_grows():
    curriculum = Curriculum(Space(ARM6, {GAIN: SPACE.variations[GAIN]}))
    ends, _ = drawn(curriculum)
    assert (ends == NONE).all()
    assert curriculum.pinned(ends) == {}
