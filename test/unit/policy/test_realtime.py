"""What the system gives a control loop, and what it says when it does not."""

import os
import threading

import pytest

from sim2real_policy.realtime import freeze_garbage, lock_memory, numbers, pin, schedule


def test_lists_of_processors():
    assert numbers('2,4-6') == {2, 4, 5, 6}
    assert numbers(' 0 ') == {0}
    for wrong in ('', 'a', '1-', '-1', '1,,2', '2.5'):
        with pytest.raises(ValueError):
            numbers(wrong)


def test_nothing_is_done_that_was_not_asked_for():
    me = threading.get_native_id()
    before = os.sched_getaffinity(me), os.sched_getscheduler(me)
    assert (schedule(me, 0), pin(me, ''), lock_memory(False)) == ('off', 'off', 'off')
    assert (os.sched_getaffinity(me), os.sched_getscheduler(me)) == before


def test_a_thread_is_pinned_and_its_neighbours_are_not():
    allowed = os.sched_getaffinity(0)
    one = min(allowed)
    said, got = [], []

    def work():
        said.append(pin(threading.get_native_id(), str(one)))
        got.append(os.sched_getaffinity(threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [f'processors {one}'] and got == [{one}]
    assert os.sched_getaffinity(0) == allowed


def test_what_cannot_be_had_is_said_with_the_reason():
    me = threading.get_native_id()
    assert pin(me, 'first').startswith('refused: ')
    assert 'this process may use' in pin(me, '1000-1010')
    said = schedule(me, 1)
    if said == 'SCHED_FIFO 1':  # this user may
        assert os.sched_getscheduler(me) == os.SCHED_FIFO
        os.sched_setscheduler(me, os.SCHED_OTHER, os.sched_param(0))
    else:
        assert said.startswith('refused: ') and 'rtprio' in said


def test_garbage_that_is_frozen_is_counted():
    import gc

    try:
        count = int(freeze_garbage().split()[0])
        assert count == gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
