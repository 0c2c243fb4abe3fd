"""Friction and delay of stiff drives whose effort jumps between its limits."""

import numpy as np
import pytest

from sim2real_capture.detectors_friction import FrictionResidual
from sim2real_capture.detectors_residual import DriveResidual
from sim2real_capture.signals import Sample
from sim2real_core.errors import InputError

MASS, VISCOUS, DRY, LIMIT = 2.0, 3.0, 1.0, 50.0
STIFFNESS, DAMPING = 4000.0, 100.0
TICK = 0.001


class Axes(list):
    """Axes side by side whose position loops saturate; friction or delay may change on the way."""

    def __init__(self, count, seed, *, dry=1.0, delay=0, rate=250, seconds=2.0, at=1.0):
        self.episodes = count
        rng = np.random.default_rng(seed)
        position, velocity, effort = np.zeros((3, count, 1))
        goal = command = np.zeros((count, 1))
        asked = []
        for i in range(round(seconds / TICK)):
            if i % 300 == 0:
                goal = rng.uniform(-0.3, 0.3, (count, 1))
            if i % 20 == 0:
                command = command + np.clip(goal - command, -0.01, 0.01)
            asked.append(command)
            late = delay if i * TICK >= at else 0
            pull = STIFFNESS * (asked[max(i - late, 0)] - position) - DAMPING * velocity
            effort = np.clip(pull, -LIMIT, LIMIT)
            friction = DRY * (dry if i * TICK >= at else 1.0)
            loss = friction * np.tanh(velocity / 1e-3) + VISCOUS * velocity
            velocity = velocity + TICK * (effort - loss) / MASS
            position = position + TICK * velocity
            if (i + 1) % round(1.0 / TICK / rate) == 0:
                noise = rng.normal(0.0, [[1e-6], [1e-4], [0.05]], (3, count))[..., None]
                q, v, e = np.stack([position, velocity, effort]) + noise
                self.append(Sample((i + 1) * TICK, q, command, q, v, e))


def friction():
    def inverse(position, velocity, acceleration):
        return MASS * acceleration + VISCOUS * velocity

    return FrictionResidual(['axis'], np.array([1.0]), inverse, time=0.25)


def taught(scorer, rate=250):
    scorer.fit([Axes(10, seed, rate=rate) for seed in range(4)], np.random.default_rng(0))
    return scorer


def highest(scorer, episodes, since=1.0):
    """Largest score of each episode from a time on."""
    scorer.reset()
    scores = [
        score
        for signal in episodes
        if (score := scorer.score(signal)) is not None and signal.stamp >= since
    ]
    return np.max(scores, axis=0)[..., 0]


@pytest.mark.parametrize('rate', [250, 1000])
def test_dry_friction_doubled_shows_though_it_is_two_percent_of_the_effort(rate):
    scorer = taught(friction(), rate)
    nominal = highest(scorer, Axes(40, 100, rate=rate))
    doubled = highest(scorer, Axes(40, 101, rate=rate, dry=2.0))
    assert np.abs([signal.effort for signal in Axes(2, 1)]).max() > 0.99 * LIMIT
    assert doubled.min() > 1.5 * nominal.max()
    weights = scorer.learned['weights'][0]
    assert weights[3] == pytest.approx(DRY, rel=0.25)  # efforts turn over unseen at 250 Hz


def test_noise_of_the_velocities_takes_nothing_off_what_is_learned():
    """Noise in accelerations of single intervals is as large as these: 0.7 of about 0.5 m/s^2."""
    rng, stamps = np.random.default_rng(5), np.arange(0.0, 3.0, 0.004)
    recording = Axes(20, 0, seconds=0.0)
    phase, pace = rng.uniform(0.0, 6.0, 20), rng.uniform(2.0, 4.0, 20)
    for stamp in stamps:
        angle = phase + pace * stamp
        v, a = 0.2 * np.sin(angle)[:, None], (0.2 * pace * np.cos(angle))[:, None]
        e = MASS * a + VISCOUS * v + DRY * np.tanh(v / 0.01) + rng.normal(0.0, 0.05, v.shape)
        q = v + rng.normal(0.0, 0.002, v.shape)
        recording.append(Sample(stamp, v, v, v, q, e))
    scorer = FrictionResidual(['axis'], np.array([1.0]), lambda q, v, a: MASS * a, time=0.25)
    scorer.fit([recording], rng)
    weights = scorer.learned['weights'][0]
    assert weights[0] + weights[1] / MASS == pytest.approx(1.0, abs=0.07)
    assert weights[2] == pytest.approx(VISCOUS, rel=0.05)
    assert weights[3] == pytest.approx(DRY, rel=0.05)


def test_scores_are_in_standard_deviations():
    nominal = np.array([highest(taught(friction()), Axes(40, seed)) for seed in (100, 102)])
    assert 0.5 < np.median(nominal) < 5.0  # the largest of about ten independent ones


def test_what_was_learned_is_loaded_and_must_fit():
    one, other = taught(friction()), friction()
    other.load({name: np.array(value) for name, value in one.learned.items()})
    episodes = Axes(3, 9)
    np.testing.assert_array_equal(highest(one, episodes), highest(other, episodes))
    with pytest.raises(InputError, match='calibrate anew'):
        other.load({'weights': np.zeros((2, 6)), 'variance': np.zeros((3, 2))})


def test_without_efforts_there_is_nothing_to_say_or_to_learn():
    bare = [Sample(0.01 * i, np.zeros(1), None, np.zeros(1), np.zeros(1)) for i in range(50)]
    scorer = taught(friction())
    assert [scorer.score(sample) for sample in bare] == [None] * 50
    silent = Axes(1, 0, seconds=0.0)
    silent.extend(bare)
    with pytest.raises(InputError, match='effort'):
        friction().fit([silent], np.random.default_rng(0))


def test_how_long_a_recording_must_be_is_told_in_seconds():
    short = Axes(1, 0, rate=1000, seconds=0.02)  # twenty samples
    with pytest.raises(InputError, match=r'over 0\.027 s'):
        friction().fit([short], np.random.default_rng(0))


def test_a_sum_begins_anew_after_samples_that_lack_something():
    scorer, episodes = taught(friction()), Axes(3, 9)
    highest(scorer, episodes)
    assert scorer.score(Sample(2.1, np.zeros(1))) is None
    again = [scorer.score(sample) for sample in episodes]
    early = [score is None for sample, score in zip(episodes, again) if sample.stamp < 0.25]
    assert all(early) and again[-1] is not None


def test_drives_that_saturate_are_learned_where_they_do_not():
    def made(limit):
        return DriveResidual(['axis'], 'position', np.array([limit]), [False], 0.05)

    known, unknown = taught(made(LIMIT)), taught(made(0.0))
    assert known.learned['weights'][0, 0] == pytest.approx(STIFFNESS, rel=0.1)
    assert known.learned['variance'][0] < 0.2 * unknown.learned['variance'][0]
    nominal, late = Axes(40, 100), Axes(40, 101, delay=30)
    assert highest(known, late).min() > highest(known, nominal).max()
