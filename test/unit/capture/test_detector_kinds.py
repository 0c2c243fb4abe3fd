"""Each kind of detector on signals made by hand, and the file that names them."""

from dataclasses import dataclass

import numpy as np
import pytest

from sim2real_capture import decoding
from sim2real_capture.detectors import Alarm, Detector, Level
from sim2real_capture.detectors_file import build, read_detectors
from sim2real_capture.detectors_kinds import KINDS
from sim2real_capture.detectors_motion import EffortSpike, FrozenSensor, JointLimit, TipOver
from sim2real_capture.detectors_novelty import Distillation, Mahalanobis, Nearest
from sim2real_capture.detectors_reports import (
    Button,
    ExternalError,
    GuardInterventions,
    ParameterChange,
    PolicyFault,
    Silence,
)
from sim2real_capture.signals import (
    Ages,
    Changes,
    ImuSample,
    Press,
    Sample,
    Seen,
    Status,
    Statuses,
)
from sim2real_core.errors import InputError
from sim2real_core.files import names
from sim2real_core.profile import load_profile
from sim2real_core.records import Change


def fired(scorer, signals, threshold=0.5, **options):
    """Stamps and details of the events."""
    detector = Detector('it', scorer, threshold, **options)
    events = [event for signal in signals if (event := detector.update(signal))]
    return [(event.stamp, event.detail) for event in events]


def test_the_level_is_what_a_score_stayed_at_or_above():
    """Against the definition, on random stamps; and element by element."""
    rng = np.random.default_rng(3)
    stamps = np.cumsum(rng.choice([0.004, 0.01, 0.03], 400))
    scores = rng.uniform(0.0, 1.0, (400, 3))
    level = Level(0.1)
    found = np.array([level.update(t, s) for t, s in zip(stamps, scores)])
    for i, now in enumerate(stamps):
        before = np.flatnonzero(stamps <= now - 0.1 + 1e-9)
        want = scores[before[-1] : i + 1].min(axis=0) if before.size else -np.inf
        np.testing.assert_array_equal(found[i], np.broadcast_to(want, 3))


def test_many_robots_at_once_are_as_each_alone():
    rng = np.random.default_rng(4)
    scores = np.abs(rng.normal(size=(300, 5, 2)).cumsum(axis=0)) * 0.3
    together = Alarm(1.0, persistence=0.05)
    raised = np.array([together.update(0.01 * i, s) for i, s in enumerate(scores)])
    assert raised.any(axis=(0, 2)).all()
    for k in range(5):
        alone = Alarm(1.0, persistence=0.05)
        one = np.array([alone.update(0.01 * i, s) for i, s in enumerate(scores[:, k])])
        np.testing.assert_array_equal(raised[:, k], one)


def test_a_score_that_is_no_number_is_an_alarm():
    frozen = EffortSpike(['a'], np.array([1.0]), 0.1)
    signals = [Sample(0.01 * i, np.zeros(1), effort=np.array([e])) for i, e in
               enumerate([0.0, np.nan])]  # fmt: skip
    assert fired(frozen, signals) == [(0.01, 'a')]


def test_effort_spikes_count_and_slow_efforts_do_not():
    stamps = 0.01 * np.arange(300)
    slow = 20.0 * np.sin(2.0 * stamps)
    signals = [Sample(t, np.zeros(1), effort=np.array([e])) for t, e in zip(stamps, slow)]
    signals[200] = Sample(2.0, np.zeros(1), effort=np.array([slow[200] + 60.0]))
    found = fired(EffortSpike(['a'], np.array([100.0]), 0.1), signals)
    assert found == [(2.0, 'a')]


def test_a_sensor_that_repeats_itself_is_frozen():
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(100, 2))
    positions[50:, 1] = positions[50, 1]
    signals = [Sample(0.01 * i, p, position=p) for i, p in enumerate(positions)]
    ((stamp, joint),) = fired(FrozenSensor(['a', 'b']), signals, 0.1)
    assert joint == 'b' and stamp == pytest.approx(0.61)


def test_limits_count_from_the_margin_on_and_endless_joints_have_none():
    scorer = JointLimit(['a', 'b'], np.array([-1.0, -np.inf]), np.array([1.0, np.inf]), 0.1)
    for position, want in ((0.0, 0.0), (0.7, 0.0), (0.9, 0.5), (-1.0, 1.0), (1.2, 2.0)):
        at = np.array([position, 9.0])
        score = scorer.score(Sample(0.0, at, position=at))
        np.testing.assert_allclose(score, [want, 0.0], atol=1e-12)


def test_tipping_is_told_from_turning_about_the_vertical_and_from_shaking():
    def imu(stamp, rate, force):
        return ImuSample(stamp, np.array(rate), np.array(force))

    stamps = 0.01 * np.arange(500)
    turning = [imu(t, [0, 0, 3.0], [0, 0, 9.81]) for t in stamps]
    rng = np.random.default_rng(1)
    shaken = [imu(t, [0, 0, 0], rng.normal([0, 0, 9.81], 3.0)) for t in stamps]
    angle = np.clip(stamps - 2.0, 0.0, 1.5)
    tipping = [
        imu(t, [float(0 < a < 1.5), 0, 0], [0, 9.81 * np.sin(a), 9.81 * np.cos(a)])
        for t, a in zip(stamps, angle)
    ]
    assert fired(TipOver([0, 0, 1], 1.0), turning, 0.3) == []
    assert fired(TipOver([0, 0, 1], 1.0), shaken, 0.3) == []
    ((stamp, what),) = fired(TipOver([0, 0, 1], 1.0), tipping, 0.8)
    assert what == 'tilt' and stamp == pytest.approx(2.8, abs=0.1)


def health(stamp, level=0, message='active', name='/policy: health', **values):
    told = {key: str(value) for key, value in values.items()}
    return Statuses(stamp, (Status('other', 0), Status(name, level, message, told)))


def test_a_policy_that_waits_at_first_has_no_fault_and_one_that_stops_has():
    waits = [health(i, 2, 'holds, no joint state') for i in range(3)]
    assert fired(PolicyFault('policy: health'), waits) == []
    acts = [*waits, health(3), health(4, 2, 'holds, stale'), health(5, 2), health(6),
            health(7, latched=True)]  # fmt: skip
    assert fired(PolicyFault('policy: health'), acts) == [(4, 'holds, stale'), (7, 'active')]
    assert fired(PolicyFault('/mine/policy: health'), acts) == []


def test_the_guard_is_counted_within_its_window_and_a_new_policy_starts_at_nothing():
    counts = [5, 5, 6, 6, 6, 0, 0, 2]
    reports = [health(i, damp=n, hold=100) for i, n in enumerate(counts)]
    scorer = GuardInterventions('policy: health', ['damp', 'hold', 'unknown'], 1.0)
    assert fired(scorer, reports) == [(2, 'damp'), (7, 'damp')]


def test_errors_of_others_are_told_apart_by_name():
    def told(stamp, *levels):
        return Statuses(stamp, tuple(Status(f'd{i}', n, 'hot') for i, n in enumerate(levels)))

    reports = [told(0, 0, 1), told(1, 2, 0), told(2, 2, 2), told(3, 0, 2), told(4, 2, 2)]
    found = fired(ExternalError(), reports)
    assert found == [(1, 'd0: hot'), (2, 'd1: hot'), (4, 'd0: hot')]
    assert fired(ExternalError('d0'), reports) == [(2, 'd1: hot')]


def test_each_change_of_a_parameter_is_one_event():
    change = Change(3.0, 'joint.elbow.viscous_friction', 1.0, 2.0, -7.0)
    later = Change(5.0, 'link.gripper.mass', 1.0, 2.0, 9.0)
    reports = [Changes(1, ()), Changes(3, (change,)), Changes(4, (change,)),
               Changes(5, (change, later))]  # fmt: skip
    found = fired(ParameterChange(), reports)
    assert [stamp for stamp, _ in found] == [3, 5]
    assert 'elbow' in found[0][1] and 'mass' in found[1][1]


def test_silence_and_a_button():
    ages = [Ages(t, {'/a': t, '/b': 0.1}) for t in (0.2, 0.4, 0.6)]
    assert fired(Silence({'/a': 0.5, '/b': 0.5}), ages, 1.0) == [(0.6, '/a')]
    presses = [Press(t, 'stop', None, t in (2, 3, 5)) for t in range(7)]
    assert [t for t, _ in fired(Button('stop'), presses)] == [2, 5]
    assert fired(Button('joy'), presses) == []


@dataclass
class Joy:
    """As sensor_msgs/Joy."""

    buttons: list


@dataclass
class Bool:
    """As std_msgs/Bool."""

    data: bool


def test_each_button_is_heard_by_its_own_detector(tmp_path):
    (tmp_path / 'mine.yaml').write_text(
        'detectors:\n'
        '  first: {kind: button, topic: joy}\n'
        '  third: {kind: button, topic: joy, index: 2}\n'
        '  stop: {kind: button, topic: red}\n'
    )
    robot, resolve = load_profile('arm6'), '/dog/{}'.format
    made = build(read_detectors(tmp_path / 'mine.yaml'), robot, resolve=resolve)
    heard = decoding.decoders({Press}, made.entries, robot, resolve)
    said = [
        ('/dog/joy', Joy([0, 0, 0])), ('/dog/joy', Joy([1, 0, 0])), ('/dog/red', Bool(True)),
        ('/dog/joy', Joy([1, 0, 1])), ('/dog/red', Bool(True)), ('/dog/joy', Joy([0])),
        ('/dog/joy', Joy([])), ('/dog/red', Bool(False)), ('/dog/joy', Joy([0, 1, 1])),
    ]  # fmt: skip
    events = [
        (stamp, detector.name)
        for stamp, (topic, message) in enumerate(said)
        for signal in heard[topic].signals(message, float(stamp))
        for detector in made.active
        if detector.update(signal)
    ]
    assert events == [(1, 'first'), (2, 'stop'), (3, 'third')]


@pytest.mark.parametrize(
    'scorer', [Mahalanobis(), Nearest(5, 500), Distillation(128)], ids=lambda s: type(s).__name__
)
def test_novelty_grows_with_the_distance_from_what_was_seen(scorer):
    """Observations on a curved band: one off it is new although each element is usual."""
    rng = np.random.default_rng(5)

    def band(count, away=0.0):
        t = rng.uniform(-1.0, 1.0, count)
        return np.stack([t, t + away + 0.02 * rng.normal(size=count), np.full(count, 3.0)], 1)

    assert scorer.score(Seen(0.0, band(1)[0])) is None  # it has learned nothing
    taught = Several([Seen(float(i), row) for i, row in enumerate(band(2000))])
    scorer.fit([taught], rng)
    usual = scorer.score(Seen(0.0, band(500)))[:, 0]
    for away in (0.5, 1.0):
        new = scorer.score(Seen(0.0, band(500, away)))[:, 0]
        assert np.median(new) > np.quantile(usual, 0.99)
    again = type(scorer).__new__(type(scorer))
    again.__dict__.update(scorer.__dict__)
    again.load({key: np.array(value.tolist()) for key, value in scorer.learned.items()})
    row = band(1)[0]
    assert again.score(Seen(0.0, row)) == scorer.score(Seen(0.0, row))
    assert scorer.score(Seen(0.0, np.zeros(7))) is None  # of another policy


class Several(list):
    """A recording."""

    episodes = 1


@pytest.mark.parametrize('robot', names('robots'))
@pytest.mark.parametrize('file', names('detectors'))
def test_shipped_files_fit_every_robot(file, robot):
    profile = load_profile(robot)
    made = build(read_detectors(file), profile)
    learning = {'dynamics_residual', 'slow_dynamics_residual', 'drive_residual', 'mahalanobis',
                'friction_residual', 'nearest', 'distillation', 'frozen_sensor'}  # fmt: skip
    assert set(made.dormant) == (learning if file == 'all' else set())
    assert 'tracking_error' in [d.name for d in made.active]


def test_every_kind_is_shown_in_the_file_of_all():
    shown = {entry.kind for entry in read_detectors('all')}
    assert set(KINDS) - shown == {'tip_over'}


def test_every_fault_of_a_file_is_named_with_its_line(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(
        'detectors:\n'
        '  tracking_error: {persistence: -1, lagg: 3}\n'
        '  Bad Name: {}\n'
        '  collision: {kind: sixth_sense}\n'
        '  silence: {}\n'
        'more: 1\n'
    )
    with pytest.raises(InputError) as caught:
        read_detectors(path)
    said = str(caught.value)
    for words in (':2: detectors.tracking_error.lagg', 'Bad Name', 'sixth_sense', 'silence.topics',
                  ':6: more'):  # fmt: skip
        assert words in said


@pytest.mark.parametrize(
    ('line', 'said'),
    [
        ('tracking_error: {threshold: [0.1, 0.2]}', 'tracking_error.threshold'),
        ('tracking_error: {lag: [0.1, 0.2]}', 'tracking_error.lag'),
    ],
)
def test_settings_that_do_not_fit_the_robot(tmp_path, line, said):
    path = tmp_path / 'mine.yaml'
    path.write_text(f'detectors:\n  {line}\n')
    with pytest.raises(InputError, match=said):
        build(read_detectors(path), load_profile('arm6'))


def test_given_thresholds_replace_what_the_profile_suggests(tmp_path):
    path, profile = tmp_path / 'mine.yaml', load_profile('arm6')
    suggested = build(read_detectors('default'), profile).active[0].threshold
    path.write_text('detectors: {tracking_error: {threshold: [0, 0.3, 0, 0, 0, 0.2]}}\n')
    given = build(read_detectors(path), profile).active[0].threshold
    np.testing.assert_array_equal(given[[1, 5]], [0.3, 0.2])
    np.testing.assert_array_equal(given[[0, 2]], suggested[[0, 2]])
    path.write_text('detectors: {tracking_error: {threshold: 0.7}}\n')
    assert (build(read_detectors(path), profile).active[0].threshold == 0.7).all()


def test_a_joint_whose_limits_nobody_gives_is_named(tmp_path):
    from dataclasses import replace

    profile = load_profile('arm6')
    command = replace(profile.command, interface='velocity')
    joints = [replace(j, velocity=np.inf) if j.name == 'elbow' else j for j in profile.joints]
    other = replace(profile, command=command, joints=tuple(joints))
    with pytest.raises(InputError, match='threshold.*elbow has no velocity limit') as caught:
        build(read_detectors('default'), other)
    assert len(caught.value.faults) == 1
    path = tmp_path / 'mine.yaml'
    path.write_text('detectors: {tracking_error: {threshold: 0.5}}\n')
    assert (build(read_detectors(path), other).active[0].threshold == 0.5).all()
