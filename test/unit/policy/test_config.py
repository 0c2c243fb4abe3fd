from dataclasses import replace

import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile_sections import GuardTimes
from sim2real_policy.config import PolicyConfig


def test_a_paced_policy_acts_on_stamps_only():
    with pytest.raises(InputError, match='must be sensor where paced is true'):
        PolicyConfig(paced=True, control='timer')
    assert PolicyConfig(paced=True).control == 'sensor'


def times(config):
    return tuple(getattr(config, name) for name in ('stale_after', 'hold_time', 'stop_time'))


def test_guard_times_are_those_of_the_profile_but_for_what_is_set(robot):
    cautious = replace(robot(), guard=GuardTimes(stale_after=0.2, hold_time=0.0, stop_time=3.0))
    assert times(PolicyConfig().on(robot())) == (0.1, 0.5, 60.0)
    assert times(PolicyConfig().on(cautious)) == (0.2, 0.0, 3.0)
    assert times(PolicyConfig(hold_time=2.0, shadow=True).on(cautious)) == (0.2, 2.0, 3.0)
    assert PolicyConfig(hold_time=2.0, shadow=True).on(cautious).shadow
    assert PolicyConfig().on(cautious).on(robot()) == PolicyConfig().on(cautious)


def test_guard_times_that_do_not_fit_are_named(robot):
    with pytest.raises(InputError, match='stop_time = 0.1: must be at least hold_time, 0.5 s'):
        PolicyConfig(stop_time=0.1).on(robot())
    with pytest.raises(InputError) as caught:
        PolicyConfig(hold_time=-0.5, damp_time=0.0)
    assert [fault.field for fault in caught.value.faults] == ['hold_time', 'damp_time']
    assert 'at least 0 s, or -1' in caught.value.faults[0].mend
