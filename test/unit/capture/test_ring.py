"""The ring against a plain list that keeps everything."""

import numpy as np
import pytest

from sim2real_capture.ring import OVERHEAD, Record, Ring, SensorClock


def record(topic, stamp, size=10, fill=b'x'):
    return Record(topic, 'std_msgs/msg/String', stamp, fill * size)


@pytest.mark.parametrize('seed', range(8))
def test_bounds_and_windows_equal_those_of_a_plain_list(seed):
    rng = np.random.default_rng(seed)
    span, capacity = 1000, 40 * (OVERHEAD + 300)
    ring = Ring(span, capacity)
    everything, now, newest = [], 0, 0
    for i in range(600):
        now += int(rng.exponential(20))
        stamp = max(0, now - int(rng.integers(0, 5)))  # slightly out of order
        item = record('/a', stamp, int(rng.integers(0, 600)), bytes([i % 256]))
        ring.push(item)
        everything.append(item)
        newest = max(newest, stamp)
        kept = list(ring)
        assert kept == everything[len(everything) - len(kept) :]  # the newest, in order
        assert sum(len(r.data) + OVERHEAD for r in kept) == ring.size <= capacity
        assert not kept or kept[0].stamp >= newest - span
        dropped = everything[: len(everything) - len(kept)]
        if dropped and dropped[-1].stamp >= newest - span:
            # The last to go was young enough: only bytes can have driven it out.
            assert ring.size + len(dropped[-1].data) + OVERHEAD > capacity
        start = newest - int(rng.integers(0, span))
        want = sorted((r for r in kept if start <= r.stamp <= newest), key=lambda r: r.stamp)
        assert ring.window(start, newest) == want


def test_evicted_for_bytes_is_counted_and_for_age_is_not():
    ring = Ring(100, 2 * (OVERHEAD + 10))
    ring.push(record('/a', 0))
    ring.push(record('/a', 200))
    assert ring.evicted == 0
    ring.push(record('/a', 201))
    ring.push(record('/a', 202))
    assert (ring.evicted, len(ring)) == (1, 2)


def test_a_message_larger_than_the_ring_does_not_stay():
    ring = Ring(100, 1000, {'/map': 1})
    ring.push(record('/map', 5, 5000))
    assert len(ring) == 0 and ring.size == 0
    assert [r.stamp for r in ring.window(10, 20)] == [10]  # yet what it says still holds


def test_pinned_state_opens_the_window():
    ring = Ring(200, 10**6, {'/goal': 1, '/tf_static': 2})
    ring.push(record('/goal', 0, fill=b'1'))
    for fill in (b'a', b'b', b'c', b'b'):
        ring.push(record('/tf_static', 1, fill=fill))
    ring.push(record('/goal', 50, fill=b'2'))
    ring.push(record('/plain', 60))
    ring.push(record('/goal', 120, fill=b'3'))
    ring.push(record('/plain', 300))
    window = ring.window(100, 300)
    # What held at 100: the second goal; the last two different transforms; no plain messages.
    assert [(r.topic, r.stamp, r.data[:1]) for r in window] == [
        # What held at 100: the second goal, the last two different transforms, nothing plain.
        ('/goal', 100, b'2'),
        ('/tf_static', 100, b'c'),
        ('/tf_static', 100, b'b'),
        ('/goal', 120, b'3'),
        ('/plain', 300, b'x'),
    ]


def test_goal_inside_the_window_keeps_the_one_before():
    ring = Ring(1000, 10**6, {'/goal': 1})
    ring.push(record('/goal', 10, fill=b'1'))
    ring.push(record('/goal', 150, fill=b'2'))
    window = ring.window(100, 200)
    assert [(r.stamp, r.data[:1]) for r in window] == [(100, b'1'), (150, b'2')]


def test_clear_forgets_the_time_line_and_keeps_what_holds():
    ring = Ring(1000, 10**6, {'/goal': 1})
    ring.push(record('/goal', 500))
    ring.push(record('/plain', 600))
    ring.clear()
    ring.push(record('/plain', 3))
    assert [(r.topic, r.stamp) for r in ring.window(0, 10)] == [('/goal', 0), ('/plain', 3)]


@pytest.mark.parametrize(
    ('carry', 'now', 'want'), [(True, 1070, 570), (False, 1070, 500), (True, 900, 500)]
)
def test_sensor_clock_carries_the_sensors_stamps_on(carry, now, want):
    clock = SensorClock(carry)
    assert clock.at(42) == 42  # no sensor yet: ROS time
    assert not clock.sample(500, 1000)
    assert clock.at(now) == want


@pytest.mark.parametrize(('stamp', 'broken'), [(950, False), (5000, False), (899, True)])
def test_the_first_sensor_stamp_may_break_with_ros_time(stamp, broken):
    assert SensorClock(backward=100).sample(stamp, 1000) == broken


def test_sensor_clock_tells_late_from_backward():
    clock = SensorClock(backward=100)
    clock.sample(1000, 0)
    assert not clock.sample(950, 10)  # late
    assert clock.at(10) == 1010
    assert clock.sample(899, 20)
    assert clock.at(25) == 904


@pytest.mark.parametrize('seed', range(4))
def test_several_topics_share_the_bytes_and_each_keeps_its_budget(seed):
    """What is kept of each topic are its newest; the oldest of all go first."""
    rng = np.random.default_rng(seed)
    limits = {'/a': 20 * (OVERHEAD + 100), '/b': None, '/c': None}
    capacity = 60 * (OVERHEAD + 100)
    ring = Ring(2000, capacity, budget=limits.get)
    everything = {topic: [] for topic in limits}
    for now in range(600):
        topic = '/abc'[0] + rng.choice(['a', 'b', 'c'], p=[0.6, 0.3, 0.1])
        item = record(topic, now, int(rng.integers(0, 200)))
        ring.push(item)
        everything[topic].append(item)
        kept = {topic: [r for r in ring if r.topic == topic] for topic in limits}
        for topic, items in kept.items():
            assert items == everything[topic][len(everything[topic]) - len(items) :]
        assert sum(len(r.data) + OVERHEAD for r in ring) == ring.size <= capacity
        assert sum(len(r.data) + OVERHEAD for r in kept['/a']) <= limits['/a']
    newest_gone = {
        t: everything[t][len(everything[t]) - len(k) - 1].stamp for t, k in kept.items()
    }
    oldest = min(kept['/b'][0].stamp, kept['/c'][0].stamp)
    assert max(newest_gone['/b'], newest_gone['/c']) <= oldest + 50 and ring.evicted > 100
