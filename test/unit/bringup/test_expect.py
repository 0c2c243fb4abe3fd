"""Thresholds name what is violated."""

import pytest

from sim2real_bringup.expect import read_thresholds, violations
from sim2real_core.errors import InputError

FRICTION = 'joint.slider.coulomb_friction'
RESULT = {
    'final': {FRICTION: {'mean': 20.4, 'std': 0.1, 'status': 'identified'}},
    'timeline': [
        {'t': 1.0, 'estimates': {FRICTION: {'mean': 0.0, 'std': None, 'status': 'stale'}}},
        {'t': 2.0, 'estimates': {FRICTION: {'mean': 9.0, 'std': 5.0, 'status': 'not_identified'}}},
    ],
    'events': [{'t': 0.5}],
    'policy': {'commands': 7},
}


def check(tmp_path, *lines):
    file = tmp_path / 'thresholds.yaml'
    file.write_text('metrics:\n' + ''.join(f'  - {{{line}}}\n' for line in lines))
    return violations(RESULT, read_thresholds(file))


@pytest.mark.parametrize(
    'line, violated',
    [
        (f'metric: final/{FRICTION}/mean, value: 20.3, relative: 0.05', ''),
        (f'metric: final/{FRICTION}/mean, value: 19, relative: 0.05', '20.4, must be 18.05 to 19'),
        (f'metric: final/{FRICTION}/mean, value: -20, absolute: 0.5', 'must be -20.5 to -19.5'),
        (f'metric: final/{FRICTION}/mean, min: 21', 'must be at least 21'),
        (f'metric: final/{FRICTION}/std, max: 0.05', 'must be at most 0.05'),
        (f'metric: final/{FRICTION}/status, equals: identified', ''),
        (f'metric: final/{FRICTION}/status, equals: not_identified, at: 2', ''),
        (f'metric: final/{FRICTION}/status, equals: stale, at: 1.9', ''),
        (f'metric: final/{FRICTION}/status, equals: stale, at: 2.5', "'not_identified', must be"),
        (f'metric: final/{FRICTION}/status, equals: stale, at: 0.5', 'is not in the result'),
        (f'metric: final/{FRICTION}/status, min: 1', 'must be a number'),
        ('metric: final/joint.slider.armature/mean, min: 1', 'is not in the result'),
        (f'metric: final/{FRICTION}/std, max: 1, at: 1', 'std at 1 s = None, must be a number'),
        ('metric: events, max: 0', 'events = 1, must be at most 0'),
        ('metric: policy/commands, min: 7, max: 7', ''),
    ],
)
def test_violations(tmp_path, line, violated):
    found = check(tmp_path, line)
    assert len(found) == (1 if violated else 0)
    assert violated in ''.join(found)


def test_each_violated_metric_is_named(tmp_path):
    found = check(tmp_path, 'metric: events, max: 0', 'metric: policy/commands, max: 0')
    assert [line.split(' ')[0] for line in found] == ['events', 'policy/commands']


def test_every_fault_of_the_file_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        check(
            tmp_path,
            'metric: events',
            'metric: events, max: many',
            'metric: events, maximum: 1, min: 0',
            'metric: events, value: 1',
            'metric: events, min: 0, at: 1',
            'max: 1',
            'metric: events, equals: 1, max: 1',
            'metric: events, value: 1, relative: -1',
            'metric: samples, equals: ',
        )
    assert [fault.line for fault in caught.value.faults] == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_file_without_metrics_is_refused(tmp_path):
    file = tmp_path / 'thresholds.yaml'
    file.write_text('metric: []\n')
    with pytest.raises(InputError, match='list at least one metric'):
        read_thresholds(file)
