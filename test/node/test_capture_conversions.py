"""What capture reads out of messages, whole or not."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_capture.conversions import (
    bundle_of,
    draw_json,
    estimate_json,
    message_class,
)
from sim2real_capture.decoding import command_values, joint_values, missing_values
from sim2real_core.messages import draw_to_message, estimate_to_message
from sim2real_core.records import Draw, Estimate, ParameterEstimate

NAMES = ('a', 'b')
POINT = JointTrajectoryPoint(positions=[2.0, 1.0], velocities=[4.0, 3.0])


@pytest.mark.parametrize(
    ('message', 'field', 'want'),
    [
        (JointState(name=['b', 'x', 'a'], position=[2.0, 9.0, 1.0]), 'position', [1.0, 2.0]),
        (JointState(name=['a', 'b'], velocity=[3.0, 4.0]), 'velocity', [3.0, 4.0]),
        (JointState(name=['a', 'b'], position=[3.0, 4.0]), 'effort', None),
        (JointState(name=['a'], position=[3.0]), 'position', None),
        (JointState(name=['a', 'b'], position=[3.0]), 'position', None),
        (JointState(name=['a', 'b'], position=[3.0, float('nan')]), 'position', None),
        (JointState(), 'position', None),
    ],
)
def test_joint_values(message, field, want):
    np.testing.assert_equal(joint_values(message, NAMES, field), want)


@pytest.mark.parametrize(
    ('message', 'said'),
    [
        (JointState(name=['b', 'x'], velocity=[2.0, 9.0]), 'lack a'),
        (JointState(name=['a', 'b'], position=[3.0, 4.0]), '0 of 2 velocity values'),
        (JointState(name=['a', 'b'], velocity=[3.0, float('nan')]), 'velocity is not finite'),
    ],
)
def test_what_is_missing_is_named(message, said):
    assert joint_values(message, NAMES, 'velocity') is None
    assert said in missing_values(message, NAMES, 'velocity')


@pytest.mark.parametrize(
    ('message', 'interface', 'want'),
    [
        (Float64MultiArray(data=[1.0, 2.0]), 'position', [1.0, 2.0]),
        (Float64MultiArray(data=[1.0]), 'position', None),
        (Float64MultiArray(data=[1.0, float('inf')]), 'effort', None),
        (JointTrajectory(joint_names=['b', 'a'], points=[POINT]), 'position', [1.0, 2.0]),
        (JointTrajectory(joint_names=['b', 'a'], points=[POINT]), 'velocity', [3.0, 4.0]),
        (JointTrajectory(joint_names=['b', 'a'], points=[POINT]), 'effort', None),
        (JointTrajectory(joint_names=['a'], points=[POINT]), 'position', None),
        (JointTrajectory(joint_names=['a', 'b']), 'position', None),
    ],
)
def test_command_values(message, interface, want):
    np.testing.assert_equal(command_values(message, NAMES, interface), want)


def test_the_bundle_is_that_of_the_policy_beside_it():
    def health(name, **values):
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        return DiagnosticStatus(name=name, values=pairs)

    told = DiagnosticArray(
        status=[
            health('/b/policy: health', content_hash='of b'),
            health('/a/sysid: health', content_hash='no bundle'),
            health('/a/policy: health', commands='3', content_hash='of a'),
            health('/policy: health', content_hash='of no namespace'),
        ]
    )
    assert bundle_of(told, '/a') == 'of a'
    assert bundle_of(told, '/') == 'of no namespace'
    assert bundle_of(told, '/c') == ''
    assert bundle_of(DiagnosticArray(status=[health('/policy: health')]), '/') == ''


def test_records_as_json():
    draw = draw_json(draw_to_message(Draw(3, 7, values={'link.gripper.mass': 1 / 3})))
    assert draw['values'] == {'link.gripper.mass': 1 / 3}
    known = {'joint.a.armature': ParameterEstimate(0.5, 0.1, 'identified')}
    estimate = estimate_json(estimate_to_message(Estimate(1.0, known)))
    assert estimate['joint.a.armature']['mean'] == 0.5
    assert '__draw__' in draw_json(DiagnosticArray())['error']
    assert '__estimate__' in estimate_json(DiagnosticArray())['error']


def test_message_classes():
    assert message_class('sensor_msgs/msg/JointState') is JointState
    assert message_class('no_such_msgs/msg/Thing') is None
    assert message_class('sensor_msgs/msg/NoSuchThing') is None
