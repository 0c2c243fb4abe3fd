"""The curves of scores that clips carry."""

import queue
import struct

import numpy as np
import pytest

from sim2real_capture.capture import Capture
from sim2real_capture.config import CaptureConfig
from sim2real_capture.detectors import Detector
from sim2real_capture.library import list_clips, read_manifest
from sim2real_capture.scores import TYPE, ScoreCurve, encode, score_topic, share_of
from sim2real_capture.series import read_motion
from sim2real_capture.signals import Ages
from sim2real_core.profile import load_profile

S = 10**9


def test_a_message_is_what_ros_would_send(store):
    message = store.deserialize_cdr(encode(-1.5), TYPE)
    assert message.data == -1.5
    assert encode(-1.5) == bytes(store.serialize_cdr(message, TYPE))


def test_topics_are_names_that_ros_takes():
    assert score_topic('tracking_error') == 'capture/scores/tracking_error'
    assert score_topic('out-of distribution é') == 'capture/scores/out_of_distribution__'


def test_no_peak_is_lost_and_an_event_is_where_it_was():
    """Of two joints with thresholds of their own, at 1 kHz."""
    curve, told = ScoreCurve('/scores', np.array([2.0, 1.0])), []
    for i in range(100):
        score = np.array([1.8 if i == 33 else 0.2, 2.0 if i == 71 else 0.05])
        record = curve.add(score, i * S // 1000, raised=i == 71)
        if record is not None:
            told.append((record.stamp * 1000 // S, struct.unpack('<4xd', record.data)[0]))
    assert told == [(0, 0.1), (20, 0.1), (40, 0.9), (60, 0.1), (71, 2.0), (91, 0.1)]


def test_a_signal_that_told_nothing_is_no_score():
    curve = ScoreCurve('/scores', np.array(1.0))
    assert curve.add(np.zeros(0), 0, False) is None
    assert curve.add(np.array([0.5]), 1, False) is not None
    assert curve.add(np.zeros(0), S, False) is None
    assert curve.add(np.array([0.5, 0.7]), S, False) is not None  # elements may be added


def test_a_clock_that_went_back_does_not_silence_a_curve():
    curve = ScoreCurve('/scores', np.array(1.0))
    assert curve.add(np.array([0.5]), 100 * S, False) is not None
    assert curve.add(np.array([0.5]), 3 * S, False).stamp == 3 * S


class Given:
    """Scores as they are handed in."""

    takes, elements = Ages, ('a', 'b')

    def score(self, signal):
        return signal.ages

    def reset(self):
        """It has no history."""


@pytest.mark.parametrize(
    ('score', 'threshold', 'share'),
    [
        ([1.0, 3.0], 2.0, 1.5),
        ([1.0, 3.0], [1.0, 6.0], 1.0),
        ([np.nan, 0.0], 1.0, np.inf),  # what is no number is the worst
        ([np.inf, 0.5], [np.inf, 1.0], 0.5),  # and what is never reached is not
        ([np.inf, np.inf], np.inf, 0.0),
    ],
)
def test_the_share_of_a_score(score, threshold, share):
    detector = Detector('d', Given(), threshold)
    detector.update(Ages(1.0, np.array(score)))
    assert share_of(detector.score, detector.threshold) == share
    detector.update(Ages(2.0, None))
    assert detector.score.size == 0


@pytest.fixture
def clip_of(tmp_path, context, joint_state):
    """Runs a capture of the arm whose elbow does not follow from 2 s on; gives its clip."""
    profile = load_profile('arm6')

    def make(**options):
        spool = tmp_path / 'spool'
        config = CaptureConfig(before=1.0, after=0.5, folder=str(spool), **options)
        reports = queue.SimpleQueue()
        capture = Capture(config, profile, lambda: context, reports.put, lambda t: f'/arm/{t}')
        home, names = profile.array('default_position'), profile.joint_names
        for stamp in range(0, 4 * S, 4_000_000):
            position = home.copy()
            position[names.index('elbow')] += 0.6 * (stamp >= 2 * S)
            capture.command('applied', home, stamp)
            record = joint_state(stamp / S, **dict(zip(names, position)))
            capture.sample(record._replace(stamp=stamp), position, stamp)
        reports.get(timeout=20.0)
        assert capture.close(10.0)
        return list_clips(spool)[0].path

    return make


def test_a_clip_has_the_curves_of_its_seconds(clip_of):
    folder = clip_of()
    (event,) = read_manifest(folder)['events']
    scores = read_motion(folder).scores
    assert 'tracking_error' in scores
    times, shares = scores['tracking_error'].T
    begin, end = event['stamp'] - 1.0, event['stamp'] + 0.5
    assert times[[0, -1]] == pytest.approx([begin, end], abs=0.021)
    assert np.diff(times).max() < 0.025
    assert (shares[times < 1.99] < 1.0).all()
    at = int(np.argmin(abs(times - event['stamp'])))
    assert times[at] == pytest.approx(event['stamp'], abs=1e-6)
    assert shares[at] == pytest.approx(event['score'] / event['threshold']) and shares[at] > 1.0


def test_a_rule_keeps_curves_out(clip_of, tmp_path):
    rules = tmp_path / 'rules.yaml'
    rules.write_text('topics:\n  "/arm/capture/scores/*": {exclude: true}\n')
    folder = clip_of(rules=str(rules))
    assert read_motion(folder).scores == {}
