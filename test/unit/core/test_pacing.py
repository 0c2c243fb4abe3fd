"""The producer waits for its consumers, and never for a dead one."""

import pytest

from sim2real_core.errors import InputError
from sim2real_core.pacing import PaceKeeper, parse


def test_waits_for_every_consumer():
    keeper = PaceKeeper(['policy', 'sysid'], timeout=2.0)
    assert keeper.waiting(0.0) == set()
    keeper.sent(4, now=0.0)
    assert keeper.waiting(0.1) == {'policy', 'sysid'}
    keeper.acknowledge('sysid#0', 4)
    assert keeper.waiting(0.1) == {'policy'}
    keeper.acknowledge('policy#7', 4)
    assert keeper.waiting(0.1) == set()
    assert keeper.commands == {'policy': 7, 'sysid': 0}
    keeper.sent(8, now=0.2)
    keeper.acknowledge('policy#5', 4)
    assert keeper.commands == {'policy': 0, 'sysid': 0}, 'an older answer is none to this sample'


def test_an_older_acknowledgement_does_not_count():
    keeper = PaceKeeper(['policy'], timeout=2.0)
    keeper.sent(4, now=0.0)
    keeper.acknowledge('policy#1', 0)
    assert keeper.waiting(0.1) == {'policy'}


def test_the_same_stamp_again_needs_a_new_acknowledgement():
    keeper = PaceKeeper(['policy'], timeout=2.0)
    keeper.sent(4, now=0.0)
    keeper.acknowledge('policy#1', 4)
    keeper.sent(4, now=0.1)
    assert keeper.waiting(0.2) == {'policy'}


def test_a_late_consumer_is_let_go_until_it_acknowledges():
    keeper = PaceKeeper(['policy', 'sysid'], timeout=2.0)
    keeper.sent(4, now=0.0)
    keeper.acknowledge('sysid#0', 4)
    assert keeper.waiting(2.1) == set()
    assert keeper.late == {'policy'}
    keeper.sent(8, now=2.2)
    assert keeper.waiting(2.3) == {'sysid'}
    keeper.acknowledge('policy#1', 4)
    assert keeper.late == set()
    assert keeper.waiting(2.3) == {'policy', 'sysid'}


def test_one_that_is_free_is_not_waited_for():
    keeper = PaceKeeper(['policy'], timeout=2.0)
    keeper.sent(4, now=0.0)
    keeper.acknowledge('policy#1#12', 4)
    keeper.sent(8, now=0.1)
    assert keeper.waiting(0.1) == set() and keeper.commands == {'policy': 0}
    keeper.sent(12, now=0.2)
    assert keeper.waiting(0.2) == {'policy'}
    keeper.acknowledge('policy#1', 12)
    keeper.sent(16, now=0.3)
    assert keeper.waiting(0.3) == {'policy'}, 'it has not said so again'


def test_nobody_is_free_after_time_jumped_back():
    keeper = PaceKeeper(['policy'], timeout=2.0)
    keeper.sent(4, now=0.0)
    keeper.acknowledge('policy#0#12', 4)
    keeper.sent(0, now=0.1)
    assert keeper.waiting(0.1) == {'policy'}
    keeper.acknowledge('policy#0#12', 4)  # of before, and slow
    assert keeper.waiting(0.1) == {'policy'}
    keeper.acknowledge('policy#0#12', 0)
    keeper.sent(4, now=0.2)
    assert keeper.waiting(0.2) == set()


def test_acknowledgements_are_parsed():
    assert parse('policy#2#12') == ('policy', 2, 12)
    assert parse('sysid#0') == ('sysid', 0, 0)
    assert parse('odd#x#-3#4') == ('odd', 0, 0)
    assert parse('') == ('', 0, 0)


def test_strangers_do_not_count():
    keeper = PaceKeeper(['policy'], timeout=2.0)
    keeper.sent(4, now=0.0)
    keeper.acknowledge('stranger#1', 4)
    assert keeper.waiting(0.1) == {'policy'}


def test_names_are_checked():
    with pytest.raises(InputError, match='name each consumer once'):
        PaceKeeper(['policy', 'policy', ''], timeout=2.0)


def test_an_observer_may_be_behind_but_not_too_far():
    keeper = PaceKeeper(['policy'], timeout=2.0, observers=['sysid'])
    for stamp in range(1, PaceKeeper.LAG + 3):
        keeper.sent(stamp, now=0.0)
        keeper.acknowledge('policy#1', stamp)
        if stamp == 2:
            keeper.acknowledge('sysid#0', stamp)
    assert keeper.waiting(0.1) == {'sysid'}, 'it has heard of sample 2 only'
    keeper.acknowledge('sysid#0', 3)
    assert keeper.waiting(0.1) == set()


def test_an_observer_that_never_appears_is_given_up():
    keeper = PaceKeeper(['policy'], timeout=2.0, observers=['sysid'])
    for stamp in range(PaceKeeper.LAG):
        keeper.sent(stamp, now=0.0)
        keeper.acknowledge('policy#1', stamp)
    assert keeper.waiting(0.1) == {'sysid'}
    assert keeper.waiting(2.1) == set()
    assert keeper.late == {'sysid'}
