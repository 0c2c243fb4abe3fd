"""What a replay gives, as JSON."""

import json
import math

import numpy as np

from sim2real_bringup.result import Result
from sim2real_core.records import Change, Estimate, Event, ParameterEstimate

START = 1_700_000_000_000_000_000


def test_contract():
    address = 'joint.slider.armature'
    result = Result(START, elements=('slider',), samples=3, last=START + 2_000_000_000)
    for t, std in ((0.5, math.inf), (2.0, 0.25)):
        known = ParameterEstimate(95.0, std, 'identified', 'kg')
        result.estimates.append(Estimate(START * 1e-9 + t, {address: known}))
    for clip in ('', 'c1'):  # as it happens, and once more when its clip was written
        stamp = START * 1e-9 + 1.0
        result.add_event(Event(stamp, 'tracking_error', 0.3, 0.2, clip, 'slider'))
    data = result.as_json()
    assert data['final'] == {address: {'mean': 95.0, 'std': 0.25, 'status': 'identified'}}
    assert [round(entry['t'], 6) for entry in data['timeline']] == [0.5, 2.0]
    assert data['timeline'][0]['estimates'][address]['std'] is None
    assert [event['detail'] for event in data['events']] == ['slider']
    assert 'clip' not in data['events'][0]  # its id tells when it was written
    assert (data['samples'], data['duration']) == (3, 2.0)
    json.dumps(data, allow_nan=False)


def test_what_the_policy_did_is_compared_stamp_by_stamp():
    result = Result(0, elements=('a', 'b'))
    result.actions = {1: np.array([1.0, 0.0]), 2: np.array([1.0, 3.0]), 3: np.zeros(2)}
    result.recorded = {1: np.array([1.0, 0.0]), 2: np.array([0.0, -1.0]), 9: np.zeros(2)}
    assert result.as_json()['policy'] == {
        'commands': 3,
        'compared': 2,
        'difference': {
            'a': {'rms': math.sqrt(0.5), 'max': 1.0},
            'b': {'rms': math.sqrt(8.0), 'max': 4.0},
        },
    }


def test_every_change_is_told_once():
    result = Result(START)
    wear = Change(START * 1e-9 + 1.5, 'joint.a.viscous_friction', 1.0, 1.6, 9.0)
    fault = Change(START * 1e-9 + 4.5, 'joint.b.effort_offset', 0.0, 2.0, 12.0)
    for t, changes in ((1.0, ()), (2.0, (wear,)), (5.0, (wear, fault)), (6.0, (fault,))):
        result.estimates.append(Estimate(START * 1e-9 + t, {}, changes=changes))
    told = result.as_json()['changes']
    assert [(round(c['t'], 6), c['address']) for c in told] == [
        (1.5, 'joint.a.viscous_friction'),
        (4.5, 'joint.b.effort_offset'),
    ]
    assert (told[0]['before'], told[0]['after'], told[0]['score']) == (1.0, 1.6, 9.0)
    assert Result(0).as_json()['changes'] == []


def test_nothing_came_out():
    data = Result(0).as_json()
    assert (data['final'], data['timeline'], data['events']) == ({}, [], [])
    assert data['policy'] == {'commands': 0, 'compared': 0, 'difference': {}}
