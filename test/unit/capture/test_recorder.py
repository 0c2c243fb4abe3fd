"""Windows of clips: pre-roll, post-roll, merging, limits. Times in seconds for reading."""

import pytest

from sim2real_capture.recorder import Recorder
from sim2real_capture.ring import Record, Ring
from sim2real_core.records import Event

S = 10**9


class Clips:
    """A sink that keeps everything."""

    def __init__(self):
        self.made = {}
        self.open = None

    def start(self, clip, event, records):
        self.open = self.made[clip] = {
            'stamps': [r.stamp / S for r in records],
            'events': [event],
            'end': None,
        }

    def write(self, record):
        assert self.open['end'] is None
        self.open['stamps'].append(record.stamp / S)

    def event(self, event):
        self.open['events'].append(event)

    def finish(self, reason):
        self.open['end'] = reason


def run(triggers, *, until=30, sink=None, longest=60, clip_bytes=10**9, rate=1):
    """One message a second (of 100 bytes), triggers right after that of their second."""
    sink = sink or Clips()
    names = iter('abcdefgh')
    recorder = Recorder(
        Ring(5 * S, 10**9),
        sink,
        before=5 * S,
        after=3 * S,
        longest=longest * S,
        clip_bytes=clip_bytes,
        name_clip=lambda event: next(names),
    )
    for i in range(until * rate):
        t = i / rate
        recorder.push(Record('/a', 'std_msgs/msg/String', round(t * S), b'x' * 100))
        if t in triggers:
            recorder.trigger(Event(t, 'd', 1.0, 0.5), round(t * S))
    return sink.made, recorder


@pytest.mark.parametrize(
    ('triggers', 'clips'),
    [
        ([10], [(5, 13)]),
        ([2], [(0, 5)]),  # less history than asked for
        ([10, 12], [(5, 15)]),  # merged
        ([10, 13], [(5, 16)]),  # at the very end of the window: merged
        ([10, 14], [(5, 13), (9, 17)]),  # just after a window: with its full pre-roll
        ([10, 11, 12, 25], [(5, 15), (20, 28)]),
        ([], []),
    ],
)
def test_windows(triggers, clips):
    made, _ = run(triggers)
    assert [clip['stamps'] for clip in made.values()] == [
        list(map(float, range(first, last + 1))) for first, last in clips
    ]
    assert [clip['end'] for clip in made.values()] == ['complete'] * len(clips)
    assert [e.stamp for clip in made.values() for e in clip['events']] == triggers


def test_endless_triggers_make_clips_of_bounded_length():
    made, _ = run(list(range(6, 30)), longest=10)
    assert all(c['stamps'][-1] - c['stamps'][0] <= 10 for c in made.values())
    assert sum(len(c['events']) for c in made.values()) == 24
    assert len(made) > 1


def test_a_clip_ends_at_its_bytes_and_the_next_trigger_makes_another():
    made, _ = run([10, 12], clip_bytes=700)
    assert made['a']['stamps'] == [5, 6, 7, 8, 9, 10, 11]
    assert made['a']['end'] == 'clip_bytes reached'
    assert made['b']['stamps'] == [7, 8, 9, 10, 11, 12, 13]


def test_a_clock_that_goes_back_ends_the_clip_and_empties_the_ring():
    sink = Clips()
    recorder = Recorder(
        Ring(5 * S, 10**9), sink, before=5 * S, after=3 * S, longest=60 * S, clip_bytes=10**9,
        name_clip=lambda event: f'clip{len(sink.made)}',
    )  # fmt: skip

    def push(t):
        recorder.push(Record('/a', 'std_msgs/msg/String', t * S, b''))

    for t in (100, 101):
        push(t)
    recorder.trigger(Event(101.0, 'd', 1.0, 0.5), 101 * S)
    recorder.clock_went_back()
    for t in (0, 1):
        push(t)
    recorder.trigger(Event(1.0, 'd', 1.0, 0.5), 1 * S)
    recorder.advance(4 * S)
    assert recorder.clip == 'clip1'
    recorder.advance(4 * S + 1)
    assert recorder.clip == ''
    assert [(clip['stamps'], clip['end']) for clip in sink.made.values()] == [
        ([100, 101], 'clock went back'),
        ([0, 1], 'complete'),
    ]


def test_a_late_message_from_before_the_window_is_left_out():
    sink = Clips()
    recorder = Recorder(
        Ring(1 * S, 10**9), sink, before=1 * S, after=3 * S, longest=60 * S, clip_bytes=10**9,
        name_clip=lambda event: 'clip',
    )  # fmt: skip
    for t in (8.5, 9.5, 10.0):
        recorder.push(Record('/a', 'std_msgs/msg/String', round(t * S), b''))
    recorder.trigger(Event(10.0, 'd', 1.0, 0.5), 10 * S)
    for t in (8.9, 9.9, 11.0):
        recorder.push(Record('/a', 'std_msgs/msg/String', round(t * S), b''))
    assert sink.made['clip']['stamps'] == [9.5, 10.0, 9.9, 11.0]
