"""The visualizer over real topics."""

import itertools
import math
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from sim2real_bringup.visualizer import VisualizerNode
from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.messages import estimate_to_message, to_time
from sim2real_core.profile import load_profile
from sim2real_core.qos import LATCHED, RELIABLE, SENSOR
from sim2real_core.records import Estimate, ParameterEstimate

ARM6 = load_profile('arm6')
HOME = ARM6.array('default_position')
LONG = 20.0  # s; far beyond what anything here needs


@pytest.fixture
def show():
    """Runs a visualizer; returns (its markers, transforms, descriptions) once done says so."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    robot = rclpy.create_node('robot')
    executor.add_node(robot)
    made = []

    def run(say, done, **parameters):
        markers, transforms, descriptions = {}, {}, []

        def on_markers(message):
            markers.update({(m.ns, m.id): m for m in message.markers})

        def on_transforms(message):
            transforms.update({t.child_frame_id: t for t in message.transforms})

        robot.create_subscription(MarkerArray, 'sim2real/markers', on_markers, RELIABLE)
        robot.create_subscription(TFMessage, 'tf', on_transforms, RELIABLE)
        robot.create_subscription(String, 'robot_description', descriptions.append, LATCHED)
        given = {'rate': 50.0, **parameters}
        node = VisualizerNode(
            parameter_overrides=[Parameter(k, value=v) for k, v in given.items()]
        )
        made.append(node)
        executor.add_node(node)
        deadline = time.monotonic() + LONG
        while not done(markers, transforms, descriptions):
            assert time.monotonic() < deadline, (sorted(markers), sorted(transforms))
            say()
            executor.spin_once(timeout_sec=0.02)
        return markers, transforms, descriptions

    run.robot = robot
    yield run
    for node in made:
        executor.remove_node(node)
        node.close()
        node.destroy_node()
    executor.remove_node(robot)
    robot.destroy_node()
    rclpy.shutdown()


def state(position, stamp, order=1):
    names = list(ARM6.joint_names)[::order]
    message = JointState(name=names, position=[float(q) for q in position[::order]])
    message.header.stamp = to_time(stamp)
    return message


def test_everything_is_shown(show):
    publish = {
        'joint_states': show.robot.create_publisher(JointState, 'joint_states', SENSOR),
        'action': show.robot.create_publisher(JointState, 'policy/action_applied', RELIABLE),
        'goal': show.robot.create_publisher(PoseStamped, 'goal', LATCHED),
        'estimate': show.robot.create_publisher(DiagnosticArray, 'sysid/estimate', LATCHED),
    }
    goal = PoseStamped()
    goal.header.frame_id = 'base_link'
    goal.pose.position.x, goal.pose.position.z = 0.5, 0.25
    known = {
        'joint.elbow.viscous_friction': ParameterEstimate(1.2, 0.05, 'identified', 'N*m*s/rad'),
        'joint.wrist.armature': ParameterEstimate(0.1, math.inf, 'not_identified', 'kg*m^2'),
    }
    publish['goal'].publish(goal)
    publish['estimate'].publish(estimate_to_message(Estimate(1.0, known)))
    commanded = HOME + 0.1
    stamps = iter(np.arange(1.0, 100.0, 0.02))

    def say():
        stamp = float(next(stamps))
        publish['joint_states'].publish(state(HOME, stamp, order=-1))
        publish['action'].publish(state(commanded, stamp))

    groups = {'measured', 'commanded', 'measured trail', 'commanded trail', 'target', 'estimates'}
    markers, transforms, _ = show(say, lambda m, t, d: {ns for ns, _ in m} == groups)
    kinematics = Kinematics(ARM6)
    for group, joints in (('measured', HOME), ('commanded', commanded)):
        at = markers[group, 0].pose.position
        np.testing.assert_allclose((at.x, at.y, at.z), kinematics.position(joints), atol=1e-9)
        assert markers[group, 0].header.frame_id == 'base_link'
        assert len(markers[f'{group} trail', 0].points) > 1
    at = markers['target', 0].pose.position
    assert (at.x, at.y, at.z) == (0.5, 0.0, 0.25)
    texts = [markers['estimates', i].text for i in range(2)]
    assert texts == [
        'joint.elbow.viscous_friction 1.200 ± 0.05 N*m*s/rad',
        'joint.wrist.armature unknown',
    ]
    assert transforms == {}


def test_the_robot_itself_on_request(show):
    publisher = show.robot.create_publisher(JointState, 'joint_states', SENSOR)
    links = set(ARM6.link_names) - {ARM6.base_link}
    _, transforms, descriptions = show(
        lambda: publisher.publish(state(HOME, 1.0)),
        lambda m, t, d: set(t) == links and d,
        robot_state=True,
    )
    assert descriptions[0].data == ARM6.urdf.text
    position, rotation = Kinematics(ARM6).pose(HOME)
    tool = transforms[ARM6.tool_link].transform
    at, turn = tool.translation, tool.rotation
    np.testing.assert_allclose((at.x, at.y, at.z), position, atol=1e-9)
    w, x, y, z = turn.w, turn.x, turn.y, turn.z
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    np.testing.assert_allclose(first, rotation[:, 0], atol=1e-9)


def test_a_joint_missing_shows_nothing_wrong(show):
    publisher = show.robot.create_publisher(JointState, 'joint_states', SENSOR)
    goals = show.robot.create_publisher(PoseStamped, 'goal', LATCHED)
    goals.publish(PoseStamped())
    partial = state(HOME, 1.0)
    partial.name, partial.position = partial.name[1:], partial.position[1:]
    said = itertools.count()

    def say():
        next(said)
        publisher.publish(partial)

    markers, _, _ = show(say, lambda m, t, d: m and next(said) > 60)
    assert {ns for ns, _ in markers} == {'target'}
    assert markers['target', 0].header.frame_id == ARM6.base_link


def test_an_unknown_robot_is_named(show):
    with pytest.raises(InputError, match='nobody'):
        show(lambda: None, lambda *_: True, robot='nobody')


def test_a_standing_robot_is_sent_once(show):
    publisher = show.robot.create_publisher(JointState, 'joint_states', SENSOR)
    rounds, sent = [], []
    show.robot.create_subscription(MarkerArray, 'sim2real/markers', rounds.append, RELIABLE)
    show.robot.create_subscription(TFMessage, 'tf', sent.append, RELIABLE)

    def say():
        publisher.publish(state(HOME, 5.0))

    show(say, lambda *_: len(rounds) >= 10 and sent, robot_state=True)
    assert len(sent) == 1
