"""Policies of a rover and a quadruped, from the embedded simulator's sensors to its motion."""

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, RELIABLE, SENSOR
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata, write_bundle
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy
from sim2real_sim.node import SimulatorNode
from test.watched import LONG, Watched, parameters

onnx = pytest.importorskip('onnx')
pytest.importorskip('mujoco')

TERMS = [
    Term(kind='projected_gravity'),
    Term(kind='base_linear_velocity'),
    Term(kind='base_angular_velocity'),
    Term(kind='base_position'),
    Term(kind='velocity_command'),
    Term(kind='joint_position'),
    Term(kind='joint_velocity'),
    Term(kind='previous_action'),
]


def following(profile, path):
    """A bundle that gives what ``velocity_command`` shows: the twist that was asked for."""
    meta = BundleMetadata.for_robot(profile, TERMS, Action(meaning='twist', scale=(1.0, 1.0)))
    made = random_policy(meta, path, np.random.default_rng(0), hidden=())
    model = onnx.load_from_string(made.model)
    weights = np.zeros((meta.observation.size, len(meta.command_names)), np.float32)
    for column, name in enumerate(meta.command_names):
        weights[meta.observation.labels.index(f'velocity_command.{name}'), column] = 1.0
    model.graph.initializer[0].raw_data = weights.tobytes()
    write_bundle(model.SerializeToString(), meta, path)
    return str(path)


def wavering(profile, path):
    """A bundle of random weights that moves the joints a little about the default pose."""
    action = Action(meaning='position', scale=(0.05,) * len(profile.joints), clip=1.0)
    meta = BundleMetadata.for_robot(profile, TERMS, action)
    random_policy(meta, path, np.random.default_rng(0))
    return str(path)


def embedded(robot):
    """The robot in MuJoCo."""
    return SimulatorNode(parameter_overrides=parameters(robot=robot, tf_rate=0.0))


class World(Watched):
    """A simulator and a policy in threads of their own, and a node that watches both."""

    def __init__(self, robot, bundle, simulate=embedded, **parameters):
        self.profile = load_profile(robot)
        self.body, self.applied, self.commands, self.seen = [], [], [], []
        command = TwistStamped if self.profile.twist else Float64MultiArray
        heard = (
            (Odometry, 'odom', SENSOR, self.body),
            (JointState, 'policy/action_applied', RELIABLE, self.applied),
            (JointState, 'policy/action_shadow', RELIABLE, self.applied),
            (command, self.profile.command.topic, COMMAND, self.commands),
            (Float64MultiArray, 'policy/observation', RELIABLE, self.seen),
        )
        given = dict(robot=robot, bundle=bundle, autostart=True, stale_after=1.0, **parameters)
        super().__init__(heard, lambda: simulate(robot), given)
        self.goals = self.listener.create_publisher(Twist, 'velocity_goal', COMMAND)

    def ask(self, forward, turn):
        goal = Twist()
        goal.linear.x, goal.angular.z = forward, turn
        self.goals.publish(goal)

    def observation(self):
        """The newest observation, by label."""
        message = self.seen[-1]
        return dict(zip(message.layout.dim[0].label.split(','), message.data))


@pytest.fixture
def world():
    """Makes a World."""
    made = []

    def make(*args, **kwargs):
        made.append(World(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_rover_drives_where_it_is_asked_to_and_stops_when_nobody_asks(world, tmp_path):
    made = world('rover', following(load_profile('rover'), tmp_path / 'rover.onnx'))
    made.until(
        lambda: made.body and made.body[-1].pose.pose.position.x > 0.1, lambda: made.ask(0.5, 0.0)
    )
    made.until(lambda: made.body[-1].twist.twist.angular.z > 0.3, lambda: made.ask(0.2, 0.8))
    assert list(made.applied[-1].name) == ['linear.x', 'angular.z']
    sent = np.array([applied.velocity for applied in made.applied])
    assert (np.abs(sent) <= [1.0 + 1e-9, 2.0 + 1e-9]).all()
    assert (np.abs(np.diff(sent, axis=0)) <= 0.02 * np.array([2.0, 6.0]) + 1e-9).all()
    seen = made.observation()
    assert seen['velocity_command.linear.x'] == pytest.approx(0.2, abs=1e-6)
    assert seen['projected_gravity.z'] == pytest.approx(-1.0, abs=0.05)
    assert seen['base_position.x'] > 0.05
    # Nobody asks any more: the goal is taken back after goal_time.
    made.until(
        lambda: abs(made.applied[-1].velocity[0]) + abs(made.applied[-1].velocity[1]) < 1e-6
    )
    made.until(lambda: abs(made.body[-1].twist.twist.linear.x) < 0.01)
    assert made.commands[-1].header.stamp.sec + made.commands[-1].header.stamp.nanosec > 0


def test_a_quadruped_stands_under_a_random_policy(world, tmp_path):
    made = world('quadruped', wavering(load_profile('quadruped'), tmp_path / 'legs.onnx'))
    made.until(lambda: len(made.applied) > 100)
    profile, sent = made.profile, np.array([applied.position for applied in made.applied])
    assert (sent >= profile.array('lower')).all() and (sent <= profile.array('upper')).all()
    assert np.ptp(sent, axis=0).max() > 1e-3, 'the policy moves it'
    assert made.body[-1].pose.pose.position.z > 0.2, 'it did not fall'
    assert made.observation()['projected_gravity.z'] < -0.95


def test_in_shadow_the_rover_stays_though_everything_runs(world, tmp_path):
    bundle = following(load_profile('rover'), tmp_path / 'rover.onnx')
    made = world('rover', bundle, shadow=True)
    made.until(
        lambda: made.applied and made.applied[-1].velocity[0] > 0.49, lambda: made.ask(0.5, 0.0)
    )
    assert made.seen and made.commands == []
    assert abs(made.body[-1].pose.pose.position.x) < 0.01


def test_a_person_stops_the_rover_and_lets_it_go_on(world, tmp_path):
    made = world('rover', following(load_profile('rover'), tmp_path / 'rover.onnx'))
    ask = lambda: made.ask(0.5, 0.0)  # noqa: E731

    def call(name):
        client = made.listener.create_client(Trigger, name)
        assert client.wait_for_service(LONG)
        future = client.call_async(Trigger.Request())
        made.until(future.done, ask)
        return future.result().success

    fast = lambda: made.applied and made.applied[-1].velocity[0] > 0.49  # noqa: E731
    made.until(fast, ask)
    assert call('policy/stop')
    made.until(lambda: made.applied[-1].velocity[0] == 0.0, ask)
    count = len(made.applied)
    made.until(lambda: len(made.applied) > count + 10, ask)
    assert all(applied.velocity[0] == 0.0 for applied in made.applied[count:])
    assert call('policy/reset')
    made.until(fast, ask)


def test_a_person_leads_the_rover_by_hand(world, tmp_path):
    """With the whole weight the person drives alone; with none the policy does again."""
    from std_msgs.msg import Float64

    made = world('rover', following(load_profile('rover'), tmp_path / 'rover.onnx'))
    lead = made.listener.create_publisher(TwistStamped, 'policy/override', COMMAND)
    weight = made.listener.create_publisher(Float64, 'policy/override_weight', COMMAND)

    def push(share):
        made.ask(0.4, 0.0)
        message = TwistStamped()
        message.twist.linear.x = -0.2
        weight.publish(Float64(data=share))
        lead.publish(message)

    def sent(speed):
        return made.applied and made.applied[-1].velocity[0] == pytest.approx(speed, abs=1e-6)

    made.until(lambda: sent(0.4), lambda: made.ask(0.4, 0.0))
    made.until(lambda: sent(-0.2), lambda: push(1.0))
    made.until(lambda: sent(0.1), lambda: push(0.5))
    made.until(lambda: sent(0.4), lambda: push(0.0))
    assert made.policy._controller.guard.counts['override'] > 0


def test_a_rover_is_captured_too():
    """Its twists are compared with what the wheels do."""
    from sim2real_capture.node import CaptureNode

    rclpy.init()
    try:
        node = CaptureNode(parameter_overrides=[Parameter('robot', value='rover')])
        given, command = [], TwistStamped()
        node.capture.command = lambda source, values, *_: given.append(values)
        command.twist.linear.x, command.twist.angular.z = 0.5, 1.0
        kind = 'geometry_msgs/msg/TwistStamped'
        node._on_command('sent', 'cmd_vel', kind, serialize_message(command))
        applied = JointState(name=['linear.x', 'angular.z'], velocity=[0.5, 1.0])
        data = serialize_message(applied)
        node._on_command('applied', 'policy/action_applied', 'sensor_msgs/msg/JointState', data)
        np.testing.assert_allclose(given, [[3.0, 7.0]] * 2)
        node.close()
        node.destroy_node()
    finally:
        rclpy.shutdown()
