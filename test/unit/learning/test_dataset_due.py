"""When it is time to train again."""

from dataclasses import dataclass, field, replace

import pytest

from sim2real_core.errors import InputError
from sim2real_learning.dataset_due import DueConfig, drift, due, new_failures
from sim2real_learning.failures import Failure

FRICTION, MASS = 'joint.elbow.viscous_friction', 'link.gripper.mass'


def failure(clip, severity=2.0, label='', **estimate):
    known = {a: {'mean': m, 'std': 0.1, 'status': 'identified'} for a, m in estimate.items()}
    return Failure(clip, '', label, ('tracking_error',), (), severity, {}, None, known)


@dataclass
class Trained:
    """What is asked of a data set."""

    cases: list = field(default_factory=list)
    robot: str = 'arm6'
    repeats: tuple = ()


def rules(failures, known=None, **config):
    return [reason.rule for reason in due(failures, known, DueConfig(**config))]


def test_enough_new_failures():
    failures = [failure(f'c{k}') for k in range(6)]
    assert rules(failures, count=6) == ['count'] and rules(failures, count=7) == []
    trained = Trained([failure('c0'), failure('c1')])
    assert rules(failures, trained, count=5) == [] and rules(failures, trained, count=4) == [
        'count'
    ]


def test_what_was_no_failure_does_not_count():
    some = [failure('a', label='false alarm', severity=99.0), failure('b', label='duplicate')]
    assert new_failures(some, None) == [] and rules(some, count=1) == []


def test_failures_of_another_robot_in_the_same_store_are_no_reason():
    ours, theirs = replace(failure('a'), robot='arm6'), replace(failure('b'), robot='rover')
    silent = failure('c')  # a clip that does not say whose it is
    assert new_failures([ours, theirs, silent], Trained()) == [ours, silent]
    assert new_failures([ours, theirs], None) == [ours, theirs]


def test_what_repeats_a_case_is_not_new():
    trained = Trained([failure('a')], repeats=('b', 'c'))
    assert rules([failure(clip) for clip in 'abc'], trained, count=1) == []
    assert rules([failure(clip) for clip in 'abcd'], trained, count=1) == ['count']


def test_one_that_is_bad_enough():
    (reason,) = due([failure('a'), failure('b', severity=7.0)], None, DueConfig())
    assert (reason.rule, reason.what, reason.value, reason.limit) == ('severity', 'b', 7.0, 5.0)
    assert rules([failure('a', severity=float('nan'))]) == []


def test_a_robot_that_has_changed():
    trained = Trained(
        [failure(f'o{k}', **{FRICTION: 1.0 + 0.01 * k, MASS: 1.0}) for k in range(5)]
    )
    new = [failure(f'n{k}', **{FRICTION: 2.0, MASS: 1.1}) for k in range(3)]
    (reason,) = due(new, trained, DueConfig())
    assert (reason.rule, reason.what) == ('drift', FRICTION)
    assert reason.value == pytest.approx(0.98 / (0.1 * 2**0.5))
    assert rules(new[:2], trained) == []  # too few to say so
    assert rules(new, None) == []


def test_what_was_not_identified_has_not_moved():
    known = [{FRICTION: {'mean': 1.0, 'std': 0.1, 'status': 'identified'}}] * 3
    lost = [{FRICTION: {'mean': 9.0, 'std': None, 'status': 'not_identified'}}] * 3
    assert drift(lost, known) == {} == drift(known, [])
    assert drift(known, known) == {FRICTION: 0.0}


def test_settings_are_checked():
    with pytest.raises(InputError):
        DueConfig(count=0)
