"""Simulated against steady time, all of it told from outside."""

import math

import pytest

from sim2real_sim.stepping import CATCH_UP, CommandWatch, Lockstep, Stepping, Ticker, clock_period

MS = 1_000_000


def stepping(factor=1.0, **riders):
    made = Stepping(MS, {'joint_states': 4 * MS}, riders, factor)
    made.start(10.0)
    made.due('joint_states')
    return made


def test_a_ticker_is_due_once_per_period():
    ticker = Ticker(5 * MS)
    due = [t for t in range(0, 40, 2) if ticker.due(t * MS)]
    assert due == [0, 6, 10, 16, 20, 26, 30, 36]


def test_real_time_waits_for_the_next_instant():
    made = stepping()
    assert made.wait(10.001) == pytest.approx(0.003)
    assert made.steps(10.001) == 1
    assert made.wait(10.0045) == 0.0
    assert made.steps(10.0045) == 4


def test_twice_as_fast():
    made = stepping(factor=2.0)
    assert made.wait(10.0) == pytest.approx(0.002)
    assert made.steps(10.002) == 4


def test_as_fast_as_possible_never_waits_and_stops_at_instants():
    made = stepping(factor=0.0)
    for now in (10.0, 10.0, 0.0):
        assert made.wait(now) == 0.0
        assert made.steps(now) == 4
        made.advance(4, now)
        assert made.due('joint_states')
    assert made.time == 12 * MS


def test_a_batch_never_passes_an_instant():
    made = Stepping(3 * MS, {'a': 4 * MS, 'b': 10 * MS}, {}, 0.0)
    times = []
    for _ in range(8):
        made.due('a'), made.due('b')
        made.advance(made.steps(0.0), 0.0)
        times.append(made.time // MS)
    # Each is the first step at or after an instant.
    assert times == [6, 9, 12, 18, 21, 24, 30, 33]


def test_riders_ride_along():
    made = Stepping(MS, {'joint_states': 4 * MS}, {'tf': 10 * MS}, 0.0)
    times = []
    for _ in range(8):
        if made.due('tf'):
            times.append(made.time // MS)
        made.due('joint_states')
        made.advance(made.steps(0.0), 0.0)
    assert times == [0, 12, 20]


def test_a_short_delay_is_made_up_for():
    made = stepping()
    now = 10.1
    total = 0
    while steps := made.steps(now):
        made.advance(steps, now)
        made.due('joint_states')
        total += steps
    assert total == 100


def test_a_long_delay_is_given_up():
    made = stepping()
    now, total = 15.0, 0
    while steps := made.steps(now):
        made.advance(steps, now)
        made.due('joint_states')
        total += steps
    assert total == round(CATCH_UP * 1000)
    assert made.wait(now) == pytest.approx(0.004)


def test_pause_and_go_on():
    made = stepping()
    made.paused = True
    assert math.isinf(made.wait(20.0))
    assert made.steps(20.0) == 0
    made.start(30.0)
    assert made.wait(30.0) == pytest.approx(0.004)


@pytest.mark.parametrize('paused', [False, True])
def test_what_interrupted_being_over_it_goes_on_as_before(paused):
    made = stepping()
    if paused:
        made.pause()
    made.interrupt('diverged')
    assert made.paused and made.trouble == 'diverged at 0.000 s; reset to go on'
    made.mended(now=12.0)
    assert (made.paused, made.trouble) == (paused, '')
    made.interrupt('diverged')
    made.pause()
    made.mended(now=13.0)
    assert made.paused


def test_reset_makes_everything_due():
    made = stepping()
    made.advance(6, 10.0)
    made.reset(11.0, 0)
    assert made.time == 0
    assert made.due('joint_states')
    made.advance(6, 11.0)
    made.reset(12.0)
    assert made.time == 6 * MS
    assert made.due('joint_states')
    assert made.to_next() == 2


def test_the_factor_is_measured():
    made = stepping()
    for k in range(1, 300):
        made.advance(4, 10.0 + 0.008 * k)
    assert made.factor == pytest.approx(0.5, rel=1e-6)


def test_commands_that_stop_are_noticed_once():
    watch = CommandWatch(0.25)
    assert not watch.expired(100.0)
    watch.seen(100.0)
    assert not watch.expired(100.25)
    assert watch.expired(100.26)
    assert not watch.expired(200.0)
    watch.seen(200.0)
    watch.reset()
    assert not watch.expired(300.0)


def test_lockstep_waits_for_acknowledgement_and_command():
    lockstep = Lockstep(['policy'], 1.0)
    lockstep.sent(4 * MS, 10.0)
    assert lockstep.waits(10.1) == (True, [])
    lockstep.keeper.acknowledge('policy#1', 4 * MS)
    assert lockstep.waits(10.2) == (True, [])
    lockstep.received += 1
    assert lockstep.waits(10.3) == (False, [])


def test_lockstep_gives_up_and_says_whom():
    lockstep = Lockstep(['policy', 'sysid'], 1.0)
    lockstep.sent(4 * MS, 10.0)
    lockstep.keeper.acknowledge('sysid#0', 4 * MS)
    waits, lost = lockstep.waits(11.1)
    assert not waits
    assert len(lost) == 1
    assert lost[0].startswith('policy')
    assert lockstep.waits(11.2) == (False, [])


def test_lockstep_forgives_lost_commands_once():
    lockstep = Lockstep(['policy'], 1.0)
    lockstep.sent(4 * MS, 10.0)
    lockstep.keeper.acknowledge('policy#3', 4 * MS)
    assert lockstep.waits(10.5)[0]
    waits, lost = lockstep.waits(11.5)
    assert not waits
    assert lost[0].startswith('3 commands')
    lockstep.sent(8 * MS, 12.0)
    lockstep.keeper.acknowledge('policy#1', 8 * MS)
    assert lockstep.waits(12.1) == (True, []), 'losses before do not count'
    lockstep.received += 1
    assert lockstep.waits(12.2) == (False, [])


def test_nobody_to_wait_for():
    lockstep = Lockstep((), 1.0)
    lockstep.sent(0, 0.0)
    assert lockstep.waits(0.1) == (False, [])


@pytest.mark.parametrize(
    ('rate', 'expected'),
    [(1000, 200), (500, 166.67), (250, 125), (200, 200), (100, 100), (10, 100)],
)
def test_the_clock_ticks_at_most_at_200_hz(rate, expected):
    period = clock_period(round(1e9 / rate))
    assert 1e9 / period == pytest.approx(expected, rel=1e-3)
