"""Steps on their way from the thread that hears them to the one that publishes them."""

import threading
from types import SimpleNamespace

import pytest

from sim2real_sim.gazebo_classic.stream import StepStream


def steps(*times):
    return [SimpleNamespace(time=time) for time in times]


@pytest.fixture
def stream():
    stream = StepStream(wants=lambda time: time % 4 == 0, most=3)
    yield stream
    stream.close()


def test_chosen_steps_come_in_order_each_with_the_one_before_it(stream):
    came = []
    for step in steps(3, 4, 5, 8):
        stream.offer(step)
    reader = threading.Thread(target=lambda: [came.append(pair) for pair in stream])
    reader.start()
    assert stream.drain(5.0)
    stream.close()
    reader.join(5.0)
    assert not reader.is_alive()
    assert [(before.time, step.time) for before, step in came] == [(3, 4), (5, 8)]


def test_more_than_may_wait_are_left_out_and_counted(stream):
    for step in steps(0, 4, 8, 12, 13, 16):
        stream.offer(step)
    assert stream.left_out == 2
    pairs = iter(stream)
    assert [next(pairs)[1].time for _ in range(3)] == [0, 4, 8]


def test_what_is_in_hand_counts_as_not_yet_published(stream):
    for step in steps(0, 4):
        stream.offer(step)
    assert not stream.drain(0.01)
    pairs = iter(stream)
    next(pairs), next(pairs)
    assert not stream.drain(0.01)
    waiting = threading.Thread(target=lambda: next(pairs, None))
    waiting.start()
    assert stream.drain(5.0)
    stream.close()
    waiting.join(5.0)
    assert not waiting.is_alive()
