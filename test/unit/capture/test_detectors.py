"""The tracking error detector on a soft servo under gravity, and on tables of errors."""

import math

import numpy as np
import pytest

from sim2real_capture.detectors import Detector
from sim2real_capture.detectors_tracking import TrackingError, default_lag, default_threshold
from sim2real_capture.signals import Sample
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile

PERIOD = 0.004


def pendulum(seconds, seed, fault_at=math.inf, gain=0.2):
    """One joint with a soft position servo that swings a weight; targets jump every 3 s.

    A servo of 1000 N*m/rad and 90 N*m*s/rad, 1.5 kg*m^2, a load of 40 N*m at the horizontal,
    10 ms of delay, 1 N*m of dry friction; commands at 50 Hz, rate-limited to 2 rad/s.

    Returns:
        Stamps (n,), commands (n, 1), measured positions (n, 1).
    """
    rng = np.random.default_rng(seed)
    position, velocity, command, target = 0.4, 0.0, 0.4, 0.4
    waiting = [command] * 5
    rows = []
    step = 0.002
    for i in range(int(seconds / step)):
        now = i * step
        if i % 1500 == 0:
            target = rng.uniform(-0.9, 0.9)
        if i % 10 == 0:
            wanted = target + 0.3 * (target - position)
            command += min(max(wanted - command, -0.04), 0.04)
        waiting.append(command)
        effort = 1000.0 * (waiting.pop(0) - position) - 90.0 * velocity
        effort *= gain if now >= fault_at else 1.0
        friction = min(max(velocity / 0.01, -1.0), 1.0)
        velocity += step * (effort - 40.0 * math.cos(position) - friction) / 1.5
        position += step * velocity
        if i % 2 == 0:
            rows.append((now, command, position))
    table = np.array(rows)
    table[:, 2] += rng.normal(0, 5e-4, len(table))
    return table[:, 0], table[:, 1:2], table[:, 2:3]


@pytest.fixture(scope='module')
def threshold():
    """Half above the largest score of a minute of nominal motion."""
    return 1.5 * scores(detector(1.0), *pendulum(60.0, seed=1)).max()


def detector(threshold, persistence=0.1, rearm=0.5, **options):
    scorer = TrackingError(['swing'], **options)
    return Detector('tracking_error', scorer, threshold, persistence=persistence, rearm=rearm)


def scores(detector, stamps, commands, measured):
    """Of a recording, (n,)."""
    samples = zip(stamps, measured, commands)
    return np.array([detector.scorer.score(Sample(*sample))[0] for sample in samples])


def feed(detector, stamps, commands, measured):
    """All events of a recording."""
    events = [detector.update(Sample(t, q, u)) for t, u, q in zip(stamps, commands, measured)]
    return [event for event in events if event is not None]


def test_minutes_of_nominal_motion_raise_no_alarm(threshold):
    assert feed(detector(threshold), *pendulum(180.0, seed=2)) == []


@pytest.mark.parametrize('seed', range(6))
def test_a_lost_gain_is_caught_within_half_a_second(threshold, seed):
    fault_at = 5.0 + 0.43 * seed
    events = feed(detector(threshold), *pendulum(fault_at + 0.5, seed + 10, fault_at))
    assert [event.detail for event in events] == ['swing']
    assert fault_at < events[0].stamp < fault_at + 0.5
    assert events[0].detector == 'tracking_error'
    assert events[0].score > events[0].threshold == threshold


def test_the_plain_error_of_nominal_motion_is_far_above_the_threshold(threshold):
    # Else the test above would hold for a detector that merely subtracts.
    _, commands, measured = pendulum(60.0, seed=1)
    assert np.abs(commands - measured).max() > 3 * threshold


def constant(seconds, *errors):
    """A still command of 0 and a joint that jumps away from it: (from, error) pairs."""
    stamps = np.arange(0.0, seconds, PERIOD)
    measured = np.zeros((len(stamps), 1))
    for since, error in errors:
        measured[stamps >= since] = error
    return stamps, np.zeros_like(measured), measured


@pytest.mark.parametrize(
    ('errors', 'alarms'),
    [
        ([(1.0, 0.05)], 0),  # below the threshold
        ([(1.0, 0.2)], 1),
        ([(1.0, -0.2)], 1),
        ([(1.0, 0.2), (1.09, 0.0)], 0),  # not for long enough
        ([(1.0, 0.2), (1.15, 0.0)], 1),
        ([(1.0, 0.2), (1.05, 0.0), (1.06, 0.2), (1.11, 0.0)], 0),  # the clock starts anew
        ([(1.0, 0.2), (1.2, 0.095), (1.3, 0.2)], 1),  # between re-arming and threshold
        ([(1.0, 0.2), (1.2, 0.0), (1.3, 0.2)], 2),
    ],
)
def test_threshold_persistence_and_rearming(errors, alarms):
    events = feed(
        detector(0.1, persistence=0.1, rearm=0.5, settling=100.0), *constant(3.0, *errors)
    )
    assert len(events) == alarms


def test_a_steady_sag_is_learned_and_a_robot_found_sagging_is_no_alarm():
    sagging = constant(10.0, (0.0, -0.2))
    assert feed(detector(0.1), *sagging) == []
    assert scores(detector(0.1), *sagging)[-1] < 0.01


def test_the_worst_joint_is_scored_and_all_are_named():
    scorer = TrackingError(['a', 'b', 'c'])
    both = Detector('tracking_error', scorer, [0.1, 0.1, 0.5], persistence=0.05)
    events = []
    for i in range(200):
        jump = np.array([0.2, 0.3, 0.4]) * (i >= 100)
        event = both.update(Sample(i * PERIOD, jump, np.zeros(3)))
        events += [event] if event else []
    assert len(events) == 1
    assert events[0].detail == 'a b'
    assert events[0].score == pytest.approx(0.3, rel=0.2)
    assert events[0].threshold == 0.1


def test_a_clock_that_goes_back_starts_anew():
    one = detector(0.1, settling=100.0)
    feed(one, *constant(1.0))
    # Half the persistence before, half of it after: neither is enough, nor are both together.
    stamps, commands, error = np.arange(0, 0.06, PERIOD), np.zeros((15, 1)), np.full((15, 1), 0.2)
    assert feed(one, 1.0 + stamps, commands, error) == []
    assert feed(one, stamps, commands, error) == []
    assert one._stamp == pytest.approx(0.056)


def test_late_and_repeated_samples_change_nothing():
    plain, disturbed = detector(0.1), detector(0.1)
    for i in range(50):
        sample = Sample(i * PERIOD, np.array([0.01 * i]), np.zeros(1))
        assert plain.update(sample) == disturbed.update(sample)
        late = Sample(i * PERIOD - 0.02, np.array([9.0]), np.zeros(1))
        assert disturbed.update(late) is None and disturbed.update(sample) is None
    following = Sample(50 * PERIOD, np.array([0.5]), np.zeros(1))
    assert plain.scorer.score(following) == disturbed.scorer.score(following)


def test_without_a_command_there_is_nothing_to_track():
    one = detector(0.1)
    stamps, commands, measured = constant(1.0, (0.5, 0.3))
    for t, u, q in zip(stamps, commands, measured):
        assert one.update(Sample(t, q, u if t < 0.45 else None)) is None


@pytest.mark.parametrize('wrap', ['neither', 'measured', 'both'])
def test_angles_that_wrap_are_no_error(threshold, wrap):
    """A wheel that follows its command for two turns, then slips."""
    stamps = np.arange(0.0, 15.0, PERIOD)
    command = 1.0 * stamps
    measured = np.maximum(command - 0.1, 0.0) - 1.0 * np.clip(stamps - 14.0, 0.0, 0.5)

    def shown(angle, wrapped):
        return ((angle + np.pi) % (2 * np.pi) - np.pi if wrapped else angle)[:, None]

    wheel = detector(threshold, continuous=[True])
    commands = shown(command, wrap == 'both')
    events = feed(wheel, stamps, commands, shown(measured, wrap != 'neither'))
    assert len(events) == 1 and 14.0 < events[0].stamp < 14.8


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'threshold': [0.1, 0.2, 0.3]}, 'threshold'),
        ({'threshold': 0.0}, 'threshold'),
        ({'threshold': np.nan}, 'threshold'),
        ({'threshold': 0.1, 'persistence': -0.1}, 'persistence'),
        ({'threshold': 0.1, 'rearm': 1.5}, 'rearm'),
        ({'threshold': 0.0, 'rearm': 0.0, 'persistence': -1}, 'threshold(.|\n)*pers(.|\n)*rearm'),
    ],
)
def test_settings_are_checked(options, said):
    with pytest.raises(InputError, match=said):
        Detector('tracking_error', TrackingError(['a', 'b']), **options)


@pytest.mark.parametrize(
    ('options', 'said'),
    [({'lag': np.nan}, 'lag'), ({'lag': [1, 2, 3]}, 'lag'), ({'settling': np.inf}, 'settling')],
)
def test_settings_of_the_tracking_error_are_checked(options, said):
    with pytest.raises(InputError, match=said):
        TrackingError(['a', 'b'], **options)


@pytest.mark.parametrize('robot', ['arm6', 'slider'])
def test_every_profile_suggests_settings(robot):
    profile = load_profile(robot)
    for values in (default_lag(profile), default_threshold(profile)):
        assert values.shape == (len(profile.joints),)
        assert (values > 0).all() and np.isfinite(values).all()
