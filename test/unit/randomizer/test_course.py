"""Worlds through their episodes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sim2real_core.profile import load_profile
from sim2real_randomizer.course import Course
from sim2real_randomizer.distributions import Beta, Categorical, LogUniform, Normal, Uniform
from sim2real_randomizer.expressions import parse
from sim2real_randomizer.joint import JointNormal, Member
from sim2real_randomizer.space import Space, Variation
from sim2real_randomizer.variation import When

ARM6 = load_profile('arm6')
MASS, COM, GAIN = 'link.gripper.mass', 'link.gripper.com.x', 'actuator.elbow.gain'
DELAY, STATIC = 'actuator.elbow.delay', 'joint.elbow.static_friction'
COULOMB, VISCOUS = 'joint.elbow.coulomb_friction', 'joint.elbow.viscous_friction'
TOGETHER = JointNormal('both', (GAIN, COM), (1.0, 0.0), ((0.01, 0.005), (0.005, 0.01)))
SPACE = Space(
    ARM6,
    {
        MASS: Variation(Uniform(1.0, 2.0)),
        DELAY: Variation(Beta(2.0, 5.0, 0.0, 0.01), when=When('interval', (0.3, 0.9))),
        COULOMB: Variation(Uniform(0.5, 2.0), 'scale', when=When('walk', (0.3,))),
        STATIC: Variation(Uniform(1.0, 3.0), 'scale', 'coulomb_friction', When('start')),
        VISCOUS: Variation(LogUniform(0.5, 2.0), 'scale', when=When('ornstein_uhlenbeck', (0.5,))),
        GAIN: Variation(Member(TOGETHER, GAIN), when=When('ornstein_uhlenbeck', (2.0,))),
        COM: Variation(Member(TOGETHER, COM), when=When('ornstein_uhlenbeck', (2.0,))),
        'joint.base.armature': Variation(Normal(1.0, 0.1), 'scale'),
    },
    None,
    {'breaks': parse(f'{STATIC} < 2.5 * {VISCOUS} * si(1, "rad/s")')},
    period=0.05,
)
MANY = np.arange(400)
BELL = Normal(5.0, 1.0)


def test_it_begins_with_the_draw_of_the_episode():
    course = Course(SPACE, 3, MANY, 7)
    drawn = SPACE.draw_many(3, 7, MANY)
    for address, values in drawn.items():
        np.testing.assert_array_equal(course.values[address], values)
    assert set(course.varying) == set(SPACE.addresses) - {MASS, 'joint.base.armature'}


def test_only_what_shall_change_changes_and_all_of_it():
    course = Course(SPACE, 3, MANY, 7)
    before = {a: v.copy() for a, v in course.values.items()}
    np.testing.assert_array_equal(course.advance(2.0), MANY)
    assert course.advance(2.04).size == 0
    for address, values in course.values.items():
        assert (values != before[address]).all() == (address in course.varying), address
        low, high = SPACE.range(address)
        assert values.min() >= low
        assert values.max() <= high
    assert (course.values[STATIC] < 2.5 * course.values[VISCOUS]).all()


@given(
    st.integers(0, 2**60),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.lists(st.floats(0.0, 3.0), max_size=5),
)
def test_a_world_depends_on_its_key_and_time_alone(seed, environment, episode, looks):
    """However often one looked, whoever else there is, whatever was before, in one go or not."""
    others = np.array([environment + 5, environment, 1])
    many = Course(SPACE, seed, others, 0)
    many.advance(1.7)
    many.restart(episode, [1])
    for time in sorted(looks):
        many.advance([0.1, time, 0.0])
    many.advance([4.0, 3.0, 3.0])
    one = Course(SPACE, seed, environment, episode)
    one.advance(3.0)
    assert one.steps.tolist() == [60]
    for address, values in many.values.items():
        assert values[1] == one.values[address][0], address


def test_who_else_varies_does_not_matter():
    alone = Space(ARM6, {VISCOUS: SPACE.variations[VISCOUS]}, period=0.05)
    with_others = Space(ARM6, SPACE.variations, period=0.05)
    courses = [Course(space, 1, MANY, 2) for space in (alone, with_others)]
    for course in courses:
        course.advance(1.0)
    np.testing.assert_array_equal(*(course.values[VISCOUS] for course in courses))


@pytest.mark.parametrize(
    'when',
    [When('walk', (0.5,)), When('ornstein_uhlenbeck', (0.7,)), When('interval', (0.2, 0.4))],
)
@pytest.mark.parametrize(
    ('distribution', 'law'),
    [
        (Uniform(1.0, 3.0), stats.uniform(1, 2)),
        (Beta(2.0, 5.0), stats.beta(2, 5)),
        (Normal(2.0, 0.1), stats.norm(2, 0.1)),
    ],
)
def test_the_distribution_stays(when, distribution, law):
    space = Space(ARM6, {MASS: Variation(distribution, when=when)})
    course = Course(space, 5, np.arange(4000), 0)
    course.advance(3.0)
    assert stats.kstest(course.values[MASS], law.cdf).pvalue > 1e-3


def followed(when, seconds, period=0.1, distribution=BELL):
    """Values (steps, n) of a course."""
    space = Space(ARM6, {MASS: Variation(distribution, when=when)}, period=period)
    course = Course(space, 5, np.arange(3000), 0)
    seen = [course.values[MASS].copy()]
    for step in range(1, round(seconds / period) + 1):
        course.advance(step * period)
        seen.append(course.values[MASS].copy())
    return np.array(seen)


@pytest.mark.parametrize('period', [0.05, 0.5])
def test_ornstein_uhlenbeck_forgets_with_its_time_constant(period):
    seen = followed(When('ornstein_uhlenbeck', (1.3,)), 2.0, period)
    for step in range(len(seen)):
        expected = np.exp(-step * period / 1.3)
        assert np.corrcoef(seen[0], seen[step])[0, 1] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize('period', [0.05, 0.25])
def test_a_walk_spreads_with_the_root_of_time(period):
    seen = followed(When('walk', (0.02,)), 1.0, period, Uniform(1.0, 11.0))
    inside = (seen[0] > 3.0) & (seen[0] < 9.0)  # no end is near
    moved = (seen[-1] - seen[0])[inside]
    assert moved.std() == pytest.approx(0.02 * 10.0, rel=0.06)
    assert abs(moved.mean()) < 0.02
    assert stats.kstest(moved / moved.std(), 'norm').pvalue > 1e-3


def test_intervals_are_as_long_as_they_shall_be():
    seen = followed(When('interval', (0.5, 1.5)), 20.0, 0.01)[:, :200]
    lengths = [np.diff(np.flatnonzero(np.diff(column))) * 0.01 for column in seen.T]
    lengths = np.concatenate(lengths)
    assert lengths.min() >= 0.5 - 0.011
    assert lengths.max() <= 1.5 + 0.011
    assert lengths.mean() == pytest.approx(1.0, abs=0.02)
    first = (seen[1:] != seen[:-1]).argmax(axis=0) * 0.01
    assert first.min() >= 0.48


def test_a_choice_wanders_too():
    seen = followed(When('walk', (0.3,)), 5.0, distribution=Categorical((1.0, 2.0, 4.0)))
    assert set(np.unique(seen)) == {1.0, 2.0, 4.0}
    jumps = np.abs(np.diff(np.searchsorted([1.0, 2.0, 4.0], seen), axis=0))
    assert 0.0 < (jumps > 0).mean() < 0.5


def test_a_constraint_holds_at_every_step():
    two = {
        COULOMB: Variation(Uniform(1.0, 2.0), when=When('walk', (1.0,))),
        STATIC: Variation(Uniform(1.0, 2.0), when=When('ornstein_uhlenbeck', (0.3,))),
    }
    space = Space(ARM6, two, None, {'breaks': parse(f'{STATIC} > {COULOMB}')})
    course = Course(space, 0, MANY, 0)
    for step in range(50):
        course.advance(step * space.period)
        assert (course.values[STATIC] > course.values[COULOMB]).all()


def test_what_does_not_vary_within_never_changes():
    space = Space(ARM6, {MASS: Variation(Uniform(1.0, 2.0))})
    course = Course(space, 0, MANY, 0)
    assert course.varying == ()
    assert course.advance(1e6).size == 0
