"""Everything wired together, without ROS."""

import queue
from types import SimpleNamespace

import numpy as np
import pytest

from sim2real_capture.capture import Capture
from sim2real_capture.config import CaptureConfig
from sim2real_capture.library import list_clips, read_manifest
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.scores import score_topic
from sim2real_capture.signals import Sample
from sim2real_capture.uplink import Receipt
from sim2real_capture.writer import Failed, Sealed
from sim2real_core.errors import InputError
from sim2real_core.joint_states import UNSTAMPED
from sim2real_core.profile import load_profile

S = 10**9
PERIOD = 4_000_000
WAIT = 20.0


@pytest.fixture(scope='module')
def profile():
    """The six-axis arm."""
    return load_profile('arm6')


class Rig:
    """Feeds a capture at 250 Hz; ROS time differs from the sensor's by a year."""

    SKEW = 365 * 86400 * S

    def __init__(self, profile, folder, context, joint_state, **options):
        settings = {'before': 1.0, 'after': 0.5, 'folder': str(folder), **options}
        self.reports = queue.SimpleQueue()
        self.capture = Capture(
            CaptureConfig(**settings), profile, lambda: context, self.reports.put
        )
        self.profile = profile
        self.joint_state = joint_state
        self.clips = []

    def run(self, begin, end, *, error=0.0, source='applied', joint='elbow', measured=True):
        """Still commands; ``error``: how far the joint is off from the middle on."""
        home = self.profile.array('default_position')
        names = self.profile.joint_names
        for stamp in range(round(begin * S), round(end * S), PERIOD):
            now = stamp + self.SKEW
            position = home.copy()
            if stamp >= round((begin + end) / 2 * S):
                position[names.index(joint)] += error
            record = self.joint_state(stamp / S, **dict(zip(names, position)))
            record = record._replace(stamp=stamp)
            events = self.capture.sample(record, position if measured else None, now)
            self.clips += [(event, clip) for event, clip in events]
            if source and stamp % (20_000_000) == 0:
                self.capture.record('/policy/action_applied', record.type, record.data, now)
                self.capture.command(source, home, now)

    def report(self):
        """The next report, taken as the node would."""
        report = self.reports.get(timeout=WAIT)
        self.capture.take(report)
        return report


@pytest.fixture
def rig(profile, tmp_path, context, joint_state):
    """Makes rigs on one spool; closes them afterwards."""
    made = []

    def make(**options):
        made.append(Rig(profile, tmp_path / 'spool', context, joint_state, **options))
        return made[-1]

    yield make
    for one in made:
        assert one.capture.close(10.0)


def test_an_error_becomes_an_event_and_a_clip_with_both_windows(rig, joint_states_in):
    one = rig()
    one.run(100.0, 104.0, error=0.6)
    ((event, clip),) = one.clips
    assert (event.detector, event.detail) == ('tracking_error', 'elbow')
    assert 102.1 <= event.stamp < 102.5
    report = one.report()
    assert isinstance(report, Sealed) and report.folder.name == clip
    for topic in ('/joint_states', '/policy/action_applied'):
        # One time line, whatever ROS time says.
        time = joint_states_in(report.folder, topic).time
        assert time[[0, -1]] == pytest.approx([event.stamp - 1.0, event.stamp + 0.5], abs=0.021)
    assert len(joint_states_in(report.folder).time) == 376
    well, message, values = one.capture.status()
    assert well and message == 'watching' and values['clips'] == 1


@pytest.mark.parametrize(
    ('source', 'measured', 'events'),
    [('applied', True, 1), ('sent', True, 1), (None, True, 0), ('applied', False, 0)],
)
def test_what_is_compared(rig, source, measured, events):
    one = rig()
    one.run(0.0, 2.0, error=0.6, source=source, measured=measured)
    assert len(one.clips) == events
    assert (one.capture.ignored == 0) == measured


def test_what_was_applied_counts_rather_than_what_was_sent(rig):
    one = rig()
    elsewhere = one.profile.array('default_position') + 1.0
    for i in range(100):
        one.capture.command('sent', elsewhere, i * 20_000_000 + one.SKEW)
        one.run(i * 0.02, (i + 1) * 0.02)
    assert one.clips == []


def test_a_command_the_robot_no_longer_heeds_is_none(rig):
    one = rig()
    one.run(0.0, 1.0)
    one.run(1.0, 1.0 + one.profile.command.timeout + 0.1, source=None)
    one.run(1.4, 4.0, error=0.6, source=None)
    assert one.clips == []


def test_an_unusable_command_is_counted(rig):
    one = rig()
    one.capture.command('sent', None, 0)
    assert one.capture.status()[2]['samples_ignored'] == 1


def test_a_reset_of_time_ends_the_clip_and_the_next_episode_has_its_own(rig, joint_states_in):
    one = rig()
    one.run(10.0, 11.0, error=0.6)
    one.run(0.0, 3.0, error=0.6)
    assert len({clip for _, clip in one.clips}) == 2
    first, second = one.report(), one.report()
    infos = {info.clip: info for info in list_clips(first.folder.parent)}
    assert infos[first.folder.name].end == 'clock went back'
    assert infos[second.folder.name].end == 'complete'
    assert joint_states_in(second.folder).time[-1] < 3.0


def test_a_person_may_ask_before_anything_is_heard(rig):
    one = rig()
    event, clip = one.capture.trigger('by hand', 7 * S)
    assert clip and (event.detector, event.stamp) == ('operator', 7.0)
    assert one.capture.status()[1].startswith(f'recording {clip}; ')
    one.capture.watch(8 * S)
    report = one.report()
    assert isinstance(report, Failed) and 'no message' in report.reason
    well, message, _ = one.capture.status()
    assert not well and 'no message' in message


def test_a_clip_ends_when_time_stands_still(rig, monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr('sim2real_capture.capture.time.monotonic', lambda: moment[0])
    one = rig(paced=True)
    one.run(0.0, 1.0)
    one.capture.trigger('by hand', 0)
    one.capture.watch(0)
    moment[0] += 4.0
    one.capture.watch(0)
    assert one.capture.recorder.clip
    moment[0] += 2.0
    one.capture.watch(0)
    assert not one.capture.recorder.clip
    assert list_clips(one.report().folder.parent)[0].end == 'time stood still'


def test_no_room_is_said(rig):
    one = rig(ring_bytes=1 << 20, clip_bytes=1 << 20, spool_bytes=1 << 20)
    one.run(0.0, 1.0)
    assert one.capture.trigger('by hand', one.SKEW + S)[1]
    one.capture.recorder.finish('complete')
    one.report()
    clip = one.capture.trigger('by hand', one.SKEW + S)[1]
    report = one.report()
    assert (report.clip, one.capture.recorder.clip) == (
        clip,
        '',
    ) and 'spool_bytes' in report.reason
    well, message, values = one.capture.status()
    assert not well and 'no room' in message and values['clips_failed'] == 1


def test_sealed_clips_are_shipped(rig, tmp_path):
    server = ReceiverServer(tmp_path / 'library')
    try:
        one = rig(receiver=server.url)
        one.run(0.0, 3.0, error=0.6)
        reports = [one.report(), one.report()]
        assert [type(r) for r in reports] == [Sealed, Receipt]
        (arrived,) = list_clips(tmp_path / 'library')
        (kept,) = list_clips(tmp_path / 'spool')
        assert arrived.sha256 == kept.sha256 and kept.shipped == server.url
        assert one.capture.status()[2]['clips_shipped'] == 1
    finally:
        assert server.close(10.0)


def test_a_dead_writer_is_not_survived(rig):
    one = rig()
    with pytest.raises(ZeroDivisionError):
        one.capture.take(Failed('', 'died', ZeroDivisionError()))


def test_in_a_paced_run_it_does_not_matter_whether_command_or_sample_is_taken_first(rig):
    """A policy answers a sample while this process may not have taken it yet."""
    seen = {'sample': [], 'command': []}
    for first, samples in seen.items():
        one = rig(paced=True)
        one.capture.detectors = [
            SimpleNamespace(
                update=samples.append, score=np.zeros(0), scorer=SimpleNamespace(takes=Sample)
            )
        ]
        for k in range(1, 8):
            stamp, values = k * PERIOD, one.profile.array('default_position') + k
            for step in ('sample', 'command') if first == 'sample' else ('command', 'sample'):
                if step == 'sample':
                    record = one.joint_state(stamp / S)._replace(stamp=stamp)
                    one.capture.sample(record, values, stamp)
                elif k % 2:
                    one.capture.command('sent', values, stamp)
                    one.capture.command('applied', values, stamp, stamp)
    commands = [[s.command for s in samples] for samples in seen.values()]
    assert [run[0] for run in commands] == [None, None]
    for one, other in zip(*(run[1:] for run in commands)):
        np.testing.assert_array_equal(one, other)


def test_what_keeps_it_from_watching_is_said(rig):
    """Sample by sample: no joint states, none usable, no command, then all it needs."""
    one = rig()

    def said():
        well, message, _ = one.capture.status()
        assert well == (message == 'watching')
        return message

    assert 'no joint states' in said()
    one.capture.sample(one.joint_state(1.0), None, S, 'joint states lack elbow')
    assert 'blind: joint states lack elbow' in said()
    one.run(1.1, 1.2, source=None)
    assert 'no command' in said() and one.profile.command.topic in said()
    one.run(1.2, 1.3)
    assert said() == 'watching'


def test_joint_states_without_a_stamp_are_recorded_and_named_as_the_cause(rig, joint_states_in):
    one = rig()
    home = one.profile.array('default_position')
    for k in range(100):
        record = one.joint_state(0.0, **dict(zip(one.profile.joint_names, home)))
        one.capture.sample(record, home + 1.0 * (k > 50), 7 * S + k * PERIOD)
        one.capture.command('sent', home, 7 * S + k * PERIOD)
    assert one.clips == [] and UNSTAMPED in one.capture.status()[1]
    one.capture.trigger('by hand', 8 * S)
    one.capture.recorder.finish('complete')
    times = joint_states_in(one.report().folder).time
    np.testing.assert_allclose(np.diff(times), PERIOD / S)  # on the clock of receipt


def test_a_folder_that_is_a_file_is_bad_input(profile, tmp_path, context):
    (tmp_path / 'spool').write_text('')
    with pytest.raises(InputError, match='folder = .*spool'):
        Capture(CaptureConfig(folder=str(tmp_path / 'spool')), profile, lambda: context, print)


def test_silence_of_joint_states_and_of_commands(rig, tmp_path, joint_state):
    (tmp_path / 'mine.yaml').write_text(
        f'detectors: {{silence: {{topics: [{joint_state(0.0).topic}, /policy/action_applied], '
        'longest: [0.3, 0.3]}}\n'
    )
    made = rig(detectors=str(tmp_path / 'mine.yaml'))

    def watched(stamp):
        return [event.detail for event, _ in made.capture.watch(round(stamp * S) + made.SKEW)]

    assert watched(0.0) == []
    for begin in np.arange(0.0, 2.0, 0.25):
        made.run(begin, begin + 0.25)
        assert watched(begin + 0.25) == []
    made.run(2.0, 2.5, source='')
    assert watched(2.5) == ['/policy/action_applied']
    assert watched(3.0) == [joint_state(0.0).topic]
    made.run(3.0, 3.1)
    assert watched(3.1) == []
    made.run(1.0, 1.1)  # time went back, by more than a pause
    assert watched(1.1) == []
    assert watched(1.6) == [f'{joint_state(0.0).topic} /policy/action_applied']


DETECTOR = 'tracking_error'


def test_what_is_excluded_is_in_no_clip_and_still_watched(rig, tmp_path, joint_state):
    states = joint_state(0.0).topic
    (tmp_path / 'rules.yaml').write_text(
        f'topics: {{"{states}": {{exclude: true}}, "policy/*": {{exclude: true}}}}\n'
    )
    made = rig(rules=str(tmp_path / 'rules.yaml'))
    made.run(0.0, 2.0)
    made.run(2.0, 4.0, error=0.6)
    assert [event.detector for event, _ in made.clips] == [DETECTOR]
    made.run(4.0, 4.6, error=0.6)
    topics = set(read_manifest(made.report().folder)['topics'])
    assert topics == {record.topic for record in made.capture.ring} == {score_topic(DETECTOR)}
