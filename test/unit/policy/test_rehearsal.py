import numpy as np
import pytest

from sim2real_policy.rehearsal import LEAD, LEAST, Rehearsal


class Counted:
    def __init__(self):
        self.times = 0
        self.lasts = self.clock = 0.0
        self.rehearsal = Rehearsal(self.rehearse, lambda: self.clock)

    def rehearse(self):
        self.times += 1
        self.clock += self.lasts


def test_once_before_each_expected_cycle_and_never_early():
    counted, rng = Counted(), np.random.default_rng(0)
    rehearsal, now = counted.rehearsal, 100.0
    for cycle in range(200):
        rehearsal.cycle(now)
        ahead = 0.02 + rng.uniform(-2e-4, 2e-4)
        for moment in np.linspace(now, now + ahead, 50):
            before = counted.times
            rehearsal.watch(moment)
            if counted.times > before:
                assert now + 0.02 - 2 * LEAD < moment < now + ahead
        now += ahead
        assert counted.times == cycle


def test_follows_another_rhythm_at_once():
    counted = Counted()
    for now in (0.0, 0.02, 0.04, 5.0, 5.1, 5.2):
        counted.rehearsal.cycle(now)
    assert counted.rehearsal.due == pytest.approx(5.3 - LEAD)


def test_fast_cycles_are_not_rehearsed():
    counted = Counted()
    for now in np.arange(100) * 0.5 * LEAST:
        counted.rehearsal.cycle(now)
        counted.rehearsal.watch(now + 0.5 * LEAST)
    assert counted.times == 0


def test_a_network_that_takes_long_is_soon_left_alone():
    """A rehearsal that still goes on when the cycle begins would delay it."""
    counted = Counted()
    for cycle in range(50):
        counted.lasts = 8e-3 if cycle >= 20 or cycle == 10 else 1e-4  # one slow one is a chance
        counted.rehearsal.cycle(0.02 * cycle)
        counted.rehearsal.watch(0.02 * cycle + 0.0195)
    assert counted.times == 19 + 3
