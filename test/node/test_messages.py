"""Records survive the way through a message, bit for bit."""

import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message, serialize_message

from sim2real_core.errors import InputError
from sim2real_core.messages import (
    draw_from_message,
    draw_to_message,
    estimate_from_message,
    estimate_to_message,
    event_from_message,
    event_to_message,
)
from sim2real_core.profile import load_profile
from sim2real_core.records import Change, Draw, Estimate, Event, ParameterEstimate

AWKWARD = [1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 0.1 + 0.2, math.pi * 1e-17]


def over_the_wire(message):
    return deserialize_message(serialize_message(message), DiagnosticArray)


def test_draw():
    values = {f'joint.j{i}.effort_offset': v for i, v in enumerate(AWKWARD)}
    draw = Draw(3, 2**62, 17, values, {next(iter(values)): 'verified'}, 'space', 'profile')
    back = draw_from_message(over_the_wire(draw_to_message(draw, stamp=1.5)))
    assert back == draw
    assert [math.copysign(1, v) for v in back.values.values()] == [
        math.copysign(1, v) for v in AWKWARD
    ]


def test_units_are_those_of_the_robot():
    draw = Draw(0, 0, values={'joint.slider.armature': 90.0, 'joint.nobody.armature': 1.0})
    message = draw_to_message(draw, profile=load_profile('slider'))
    units = [p.value for s in message.status[1:] for p in s.values if p.key == 'unit']
    assert units == ['kg', 'kg*m^2']


def test_estimate():
    parameters = {
        'joint.a.armature': ParameterEstimate(1 / 3, 1e-3 / 7, 'identified', 'kg*m^2'),
        'joint.the elbow.armature': ParameterEstimate(0.2, 0.1, 'identified', 'kg*m^2'),
        'joint.a.viscous_friction': ParameterEstimate(0.1, math.inf, 'not_identified', 'x'),
        'joint.a.effort_offset': ParameterEstimate(
            0.0,
            9.0,
            'not_identified',
            'N*m',
            ('joint.a.coulomb_friction', 'joint.the elbow.armature'),
        ),
    }
    covariance = np.array([[1 / 7, 1e-9], [1e-9, 0.3]])
    order = ('joint.the elbow.armature', 'joint.a.armature')
    changes = (Change(12.0 + 1e-7, 'joint.a.armature', 1 / 3, 0.1 + 0.2, 7.1),)
    estimate = Estimate(12.25 + 1e-7, parameters, order, covariance, changes)
    back = estimate_from_message(over_the_wire(estimate_to_message(estimate)))
    assert back.stamp == estimate.stamp
    assert back.parameters == parameters
    assert back.order == estimate.order
    assert back.changes == changes
    np.testing.assert_array_equal(back.covariance, covariance)


def test_confounded_is_there_only_when_there_is_any():
    known = ParameterEstimate(0.1, 0.01, 'identified')
    tied = ParameterEstimate(0.0, math.inf, 'not_identified', '', ('b',))
    data = Estimate(0.0, {'a': known, 'b': tied}).as_json()
    assert data == {
        'a': {'mean': 0.1, 'std': 0.01, 'status': 'identified'},
        'b': {'mean': 0.0, 'std': None, 'status': 'not_identified', 'confounded': ['b']},
    }
    # An estimate without any reads as before: the key is optional on the wire.
    rows = estimate_to_message(Estimate(0.0, {'a': known})).status[1].values
    assert [pair.key for pair in rows] == ['mean', 'std', 'status', 'unit']


def test_event():
    event = Event(1.1, 'tracking_error', 1 / 3, 0.2, 'clip-1', 'elbow: soft')
    assert event_from_message(over_the_wire(event_to_message(event))) == event


def test_another_record_is_refused():
    with pytest.raises(InputError, match='__draw__'):
        draw_from_message(event_to_message(Event(0.0, 'd', 0.0, 0.0)))


def test_another_schema_is_refused():
    message = event_to_message(Event(0.0, 'd', 0.0, 0.0))
    next(pair for pair in message.status[0].values if pair.key == 'schema').value = '99'
    with pytest.raises(InputError, match='schema 1'):
        event_from_message(message)


def test_a_broken_record_is_refused():
    message = event_to_message(Event(0.0, 'd', 0.0, 0.0))
    message.status[0].values = [p for p in message.status[0].values if p.key != 'score']
    with pytest.raises(InputError, match='not a whole record'):
        event_from_message(message)
