"""The policy node over real topics: transitions, faults of its input, and how it stops."""

import array
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sim2real_core.command_messages_ros import TrajectoryCommand
from sim2real_core.errors import InputError
from sim2real_core.messages import to_seconds, to_time
from sim2real_core.pacing import parse
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, LATCHED, RELIABLE, SENSOR_RELIABLE
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata, write_bundle
from sim2real_policy.conversions import (
    AppliedAction,
    JointStateReader,
    ObservationMessage,
)
from sim2real_policy.images import ImageInput
from sim2real_policy.loop_ros import FastLoop
from sim2real_policy.node import PolicyNode
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy

onnx = pytest.importorskip('onnx')

ARM6 = load_profile('arm6')
START = ARM6.array('default_position')
ROOT = Path(__file__).resolve().parents[2]
LONG = 20.0  # s; far beyond what anything here needs


def write(path, bias=0.0, aimed=False, space=''):
    """A bundle whose network gives about ``bias`` for everything it sees (0.01 rad a step)."""
    terms = [Term(kind='joint_position'), Term(kind='joint_velocity')]
    if aimed:
        terms.append(Term(kind='goal_position'))
    action = Action(meaning='delta', scale=(0.01,) * len(ARM6.joints))
    meta = BundleMetadata.for_robot(ARM6, terms, action, space=space)
    made = random_policy(meta, path, np.random.default_rng(0), hidden=(4,), gain=1e-9)
    model = onnx.load_from_string(made.model)
    last = next(w for w in model.graph.initializer if w.name == 'b1')
    last.raw_data = np.full(len(ARM6.joints), bias, np.float32).tobytes()
    write_bundle(model.SerializeToString(), meta, path)
    return str(path)


class World:
    """A policy node in a thread, and a node that is its robot and its operator."""

    def __init__(self, command=Float64MultiArray, **parameters):
        rclpy.init()
        self.stop = threading.Event()
        self.robot = rclpy.create_node('robot')
        self.commands, self.applied, self.seen, self.paces = [], [], [], []
        self.health = None
        self.hear(command, ARM6.command.topic, COMMAND, self.commands)
        self.hear(JointState, 'policy/action_applied', RELIABLE, self.applied)
        self.hear(Float64MultiArray, 'policy/observation', RELIABLE, self.seen)
        self.hear(Header, 'pace', RELIABLE, self.paces)
        self.robot.create_subscription(DiagnosticArray, '/diagnostics', self.on_health, RELIABLE)
        self.sensor = self.robot.create_publisher(JointState, 'joint_states', SENSOR_RELIABLE)
        self.goals = self.robot.create_publisher(PoseStamped, 'goal', LATCHED)
        self.failure = None
        self.policy = PolicyNode(
            parameter_overrides=[Parameter(k, value=v) for k, v in parameters.items()]
        )
        self.stamp = 100.0
        self.threads = [
            threading.Thread(target=self.spin, args=(node,)) for node in (self.robot, self.policy)
        ]
        for thread in self.threads:
            thread.start()

    def hear(self, kind, topic, qos, into):
        self.robot.create_subscription(kind, topic, into.append, qos)

    def on_health(self, message):
        for status in message.status:
            if status.name == '/policy: health':
                self.health = status

    def spin(self, node):
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            while not self.stop.is_set():
                executor.spin_once(timeout_sec=0.05)
        except BaseException as error:
            self.failure = error
        executor.remove_node(node)

    @staticmethod
    def until(condition, seconds=LONG):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            time.sleep(0.005)

    def call(self, kind, name, request):
        client = self.robot.create_client(kind, name)
        assert client.wait_for_service(LONG)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def change(self, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'policy/change_state', request).success

    def state(self):
        return self.call(GetState, 'policy/get_state', GetState.Request()).current_state.label

    def set(self, name, text):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[ParameterMessage(name=name, value=value)])
        return self.call(SetParameters, 'policy/set_parameters', request).results[0]

    def connect(self):
        """Wait until the policy listens to the sensors and we to its commands."""
        self.until(lambda: self.sensor.get_subscription_count() > 0)
        self.until(lambda: self.robot.count_publishers(ARM6.command.topic) > 0)
        time.sleep(0.2)  # the matching of best-effort readers is not acknowledged
        # Whoever runs a robot by hand in this very domain is seen here, not in strange figures.
        assert self.robot.count_publishers('joint_states') == 1, 'another robot in this domain'

    def sample(self, position=START, names=ARM6.joint_names, step=0.02):
        self.stamp += step
        message = JointState(name=list(names), position=[float(p) for p in position])
        message.velocity = [0.0] * len(names)
        message.header.stamp = to_time(self.stamp)
        self.sensor.publish(message)

    def ask(self, **given):
        """Send samples until one is answered with a command, which is returned."""
        before = len(self.applied)
        deadline = time.monotonic() + LONG
        while len(self.applied) == before:
            assert time.monotonic() < deadline, 'no command came'
            self.sample(**given)
            time.sleep(0.02)
        return np.array(self.applied[-1].position)

    def settle(self):
        """What was sent since the start, (n, nj), once the newest command itself has arrived.

        Commands are kept one deep, so a busy machine may skip some of them; what is told of them
        is not skipped.
        """
        self.until(lambda: self.commands and self.commands[-1].data == self.applied[-1].position)
        return np.array([applied.position for applied in self.applied])

    def status(self, condition, feed=None):
        """The node's health once it is so; ``feed``: samples to send while waiting."""
        deadline = time.monotonic() + LONG
        while (health := self.health) is None or not condition(health):
            assert time.monotonic() < deadline, f'its health stays {health}'
            time.sleep(0.02)
            if feed is not None:
                self.sample(**feed)
        return health

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(LONG)
        self.policy.close()
        for node in (self.policy, self.robot):
            node.destroy_node()
        rclpy.shutdown()


def values(status):
    return {value.key: value.value for value in status.values}


@pytest.fixture
def world():
    """Makes a World with the given parameters."""
    made = []

    def make(**parameters):
        made.append(World(**parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert one.failure is None


@pytest.fixture
def running(world, tmp_path):
    """Makes a World whose policy is active."""

    def make(bias=0.0, aimed=False, **parameters):
        bundle = write(tmp_path / 'policy.onnx', bias, aimed)
        made = world(bundle=bundle, autostart=True, **parameters)
        made.connect()
        return made

    return make


def test_transitions(world, tmp_path):
    """Configure, activate, deactivate, clean up, another bundle, once more, shut down."""
    first = write(tmp_path / 'first.onnx', bias=1.0)
    second = write(tmp_path / 'second.onnx', bias=-1.0, space='other')
    made = world(bundle=first)
    assert made.state() == 'unconfigured'
    assert made.change(Transition.TRANSITION_CONFIGURE)
    made.connect()
    for _ in range(5):
        made.sample()
    time.sleep(0.1)
    assert made.commands == []
    assert made.change(Transition.TRANSITION_ACTIVATE) and made.state() == 'active'
    assert (made.ask() > START).all()
    assert not made.set('bundle', second).successful
    for _ in range(5):
        made.ask()
    assert made.change(Transition.TRANSITION_DEACTIVATE) and made.state() == 'inactive'
    time.sleep(0.1)
    # It stopped by itself: the last two commands are the same, and no more come.
    sent = made.settle()
    np.testing.assert_allclose(sent[-1], sent[-2], atol=1e-5)
    assert (sent[-1] > sent[0]).all()
    count = len(made.applied)
    for _ in range(5):
        made.sample()
        time.sleep(0.02)
    assert len(made.applied) == count
    assert made.set('bundle', second).successful
    assert made.change(Transition.TRANSITION_CLEANUP)
    assert made.change(Transition.TRANSITION_CONFIGURE)
    assert made.change(Transition.TRANSITION_ACTIVATE)
    made.connect()
    assert (made.ask() < START).all()
    assert made.status(lambda s: values(s).get('bundle') == second, feed={})
    assert made.change(Transition.TRANSITION_ACTIVE_SHUTDOWN) and made.state() == 'finalized'


def test_a_wrong_bundle_does_not_configure(world, tmp_path):
    made = world(bundle=str(tmp_path / 'absent.onnx'))
    assert not made.change(Transition.TRANSITION_CONFIGURE)
    assert made.state() == 'unconfigured'
    assert made.set('bundle', write(tmp_path / 'there.onnx')).successful
    assert made.change(Transition.TRANSITION_CONFIGURE)


def test_a_transition_that_does_not_fit_is_refused_and_changes_nothing(world, tmp_path):
    made = world(bundle=write(tmp_path / 'p.onnx'))
    assert not made.change(Transition.TRANSITION_ACTIVATE)
    assert not made.change(99)
    assert made.state() == 'unconfigured'
    assert made.change(Transition.TRANSITION_CONFIGURE) and made.state() == 'inactive'
    assert not made.change(Transition.TRANSITION_CONFIGURE) and made.state() == 'inactive'


def test_acts_and_tells(running):
    made = running(bias=1.0, aimed=True)
    made.ask()
    assert made.seen == []
    status = made.status(lambda s: 'goal' in s.message, feed={})
    assert status.level == DiagnosticStatus.OK and status.message == 'active: holds, no goal yet'
    goal = PoseStamped()
    goal.header.frame_id = 'somewhere'
    made.goals.publish(goal)
    time.sleep(0.1)
    np.testing.assert_allclose(made.ask(), START, atol=1e-9)
    goal.header.frame_id = ARM6.base_link
    goal.pose.position.x = 0.5
    made.goals.publish(goal)
    made.until(lambda: made.ask()[0] > START[0])
    stamps = [to_seconds(applied.header.stamp) for applied in made.applied]
    assert np.allclose(np.diff(stamps), 0.02, atol=0.021) and stamps[-1] <= made.stamp + 1e-6
    assert list(made.applied[-1].name) == list(ARM6.joint_names)
    made.until(lambda: made.seen)
    labels = made.seen[-1].layout.dim[0].label.split(',')
    assert len(labels) == len(made.seen[-1].data) == made.seen[-1].layout.dim[0].size
    assert made.seen[-1].data[labels.index('goal_position.x')] == 0.5
    assert (made.settle()[-1] > START).all()
    report = values(made.status(lambda s: s.message == 'active', feed={}))
    assert float(report['latency_p50 [s]']) <= float(report['latency_p99 [s]'])
    assert 0.0 < float(report['latency_p99 [s]']) <= float(report['latency_max [s]'])


def test_joints_are_matched_by_name(running):
    made = running()
    order = [3, 0, 5, 1, 4, 2]
    measured = START + 0.01 * np.arange(6)
    names = [ARM6.joint_names[i] for i in order]
    sent = made.ask(position=measured[order], names=names)
    np.testing.assert_allclose(sent, measured, atol=1e-7)
    more = ['gripper', *names]
    made.until(lambda: made.seen)
    made.ask(position=[9.0, *measured[order]], names=more)
    made.until(lambda: made.seen)
    np.testing.assert_allclose(made.seen[-1].data[:6], measured - START, atol=1e-6)


@pytest.mark.parametrize(
    ('bad', 'said'),
    [
        ({'position': START[1:], 'names': ARM6.joint_names[1:]}, 'lacks base'),
        ({'position': START[1:]}, 'has 5 of 6 position'),
        ({'position': [float('nan'), *START[1:]]}, 'not finite'),
        ({'names': ['base'] * 2 + list(ARM6.joint_names[1:-1])}, 'lacks flange_roll'),
    ],
)
def test_an_unusable_joint_state_holds_and_is_reported(running, bad, said):
    made = running(bias=1.0)
    made.ask()
    held = made.ask(**bad)
    for _ in range(10):
        held = made.ask(**bad)
    np.testing.assert_allclose(made.ask(**bad), held, atol=1e-9)
    status = made.status(lambda s: int(values(s).get('hold', 0)) > 10, feed=bad)
    assert status.level == DiagnosticStatus.ERROR and said in status.message
    made.until(lambda: made.ask()[0] > held[0])
    made.status(lambda s: s.message == 'active', feed={})


def test_a_gripper_on_the_same_topic_disturbs_nothing(running):
    """Its joint states follow the arm's at once, stamped a little earlier."""
    made = running(bias=1.0, stale_after=10.0)
    gripper = made.robot.create_publisher(JointState, 'joint_states', SENSOR_RELIABLE)
    made.until(lambda: gripper.get_subscription_count() > 0)
    made.ask()
    publish = made.sensor.publish

    def publish_both(message):
        publish(message)
        for _ in range(2):
            other = JointState(name=['finger'], position=[0.1])
            other.header.stamp = to_time(made.stamp - 1e-3)
            gripper.publish(other)

    made.sensor = SimpleNamespace(publish=publish_both)
    first = made.ask()
    sent = np.array([made.ask() for _ in range(10)])
    assert (np.diff(sent[:, 0]) > 0).all() and sent[0, 0] > first[0]
    assert values(made.status(lambda s: s.message == 'active', feed={}))['hold'] == '0'


def test_a_dead_sensor_holds_then_damps(running):
    made = running(bias=1.0, stale_after=0.1, hold_time=1.0, damp_time=0.05)
    for _ in range(20):
        made.ask()  # the command runs ahead of the arm, which stands still
    assert (made.settle()[-1] > START + 0.01).all()
    count = len(made.applied)
    made.until(lambda: len(made.applied) >= count + 5)
    assert (np.array(made.applied[count + 4].position) > START + 0.01).all()
    status = made.status(lambda s: 'no new joint state' in s.message)
    assert status.level == DiagnosticStatus.ERROR
    made.until(lambda: np.allclose(made.applied[-1].position, START, atol=1e-3))
    assert int(values(made.status(lambda s: values(s)['damp'] != '0'))['hold']) > 0
    before = len(made.applied)
    made.until(lambda: len(made.applied) >= before + 5)  # and it goes on saying so
    assert made.ask()[0] > START[0] - 0.01
    made.until(lambda: made.ask()[0] > START[0])


def test_stamps_that_go_backward_start_afresh(running):
    made = running(bias=1.0)
    for _ in range(10):
        made.ask()
    made.stamp = 5.0
    moved = START + 0.2
    sent = made.ask(position=moved)
    np.testing.assert_allclose(sent, moved, atol=0.02)
    assert to_seconds(made.applied[-1].header.stamp) == pytest.approx(made.stamp, abs=0.5)


def test_a_non_finite_action_latches_until_reset(running):
    made = running(bias=float('nan'))
    for _ in range(3):
        np.testing.assert_allclose(made.ask(), START, atol=1e-9)
    status = made.status(lambda s: 'not finite' in s.message, feed={})
    assert values(status)['latched'] == 'True'
    before = int(values(status)['non_finite'])
    assert before > 0
    assert made.call(Trigger, 'policy/reset', Trigger.Request()).success
    made.status(lambda s: int(values(s)['non_finite']) > before, feed={})
    assert made.change(Transition.TRANSITION_DEACTIVATE)
    assert not made.call(Trigger, 'policy/reset', Trigger.Request()).success


def test_paced_acknowledges_each_sample_that_it_answers(running):
    """Samples come at twice the control rate: every second one asks for a command."""
    made = running(bias=1.0, paced=True)
    made.until(lambda: made.robot.count_publishers('pace') == 1)
    while len(made.paces) < 10:
        seen = len(made.paces)
        made.sample(step=0.01)
        made.until(lambda: len(made.paces) > seen)  # noqa: B023
        made.sample(step=0.01)
    assert [parse(pace.frame_id)[:2] for pace in made.paces] == [('policy', 1)] * 10
    stamps = np.array([to_seconds(pace.stamp) for pace in made.paces])
    np.testing.assert_allclose(stamps, 100.0 + 0.02 * np.arange(10) + 0.01, atol=1e-6)
    free = np.array([parse(pace.frame_id)[2] for pace in made.paces]) * 1e-9 - stamps
    assert np.all((free > 0.01) & (free < 0.02)), 'until half a sample before the next'
    made.until(lambda: len(made.applied) == 10)
    time.sleep(0.3)  # longer than stale_after: a paced policy does nothing by itself
    assert len(made.applied) == 10


def test_a_timer_repeats_the_newest_sample(running):
    made = running(control='timer', stale_after=5.0)
    made.sample()
    made.until(lambda: len(made.applied) > 10)
    assert len({to_seconds(applied.header.stamp) for applied in made.applied}) == 1


def seeing(path):
    """A bundle whose network moves every joint by what its camera sees in one pixel."""
    from onnx import TensorProto, helper, numpy_helper

    count, size = len(ARM6.joints), (2, 3)
    nodes = [
        helper.make_node('Slice', ['camera', 'begin', 'end'], ['pixel']),
        helper.make_node('Reshape', ['pixel', 'shape'], ['value']),
        helper.make_node('Mul', ['observation', 'zero'], ['none']),
        helper.make_node('Add', ['none', 'value'], ['action']),
    ]
    weights = [
        numpy_helper.from_array(np.array([0, 0, 1, 2]), 'begin'),
        numpy_helper.from_array(np.array([1, 1, 2, 3]), 'end'),
        numpy_helper.from_array(np.array([1, 1]), 'shape'),
        numpy_helper.from_array(np.zeros(1, np.float32), 'zero'),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ('observation', [1, count]),
            ('camera', [1, 1, *size]),
            ('action', [1, count]),
        )
    ]
    graph = helper.make_graph(nodes, 'seeing', ends[:2], ends[2:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    image = ImageInput(
        name='camera', topic='eye', height=2, width=3, encoding='mono8', scale=1 / 255
    )
    action = Action(meaning='delta', scale=(0.01,) * count)
    meta = BundleMetadata.for_robot(ARM6, [Term(kind='joint_position')], action, images=(image,))
    write_bundle(model.SerializeToString(), meta, path)
    return str(path)


def test_images_are_seen(world, tmp_path):
    made = world(bundle=seeing(tmp_path / 'seeing.onnx'), autostart=True)
    made.connect()
    eye = made.robot.create_publisher(Image, 'eye', SENSOR_RELIABLE)
    made.until(lambda: eye.get_subscription_count() > 0)
    status = made.status(lambda s: 'camera' in s.message, feed={})
    assert status.level == DiagnosticStatus.ERROR and made.applied == []

    def show(value, width=3):
        message = Image(height=2, width=width, step=width, encoding='mono8')
        message.data = array.array('B', [0] * (2 * width - 1) + [value])
        message.header.stamp = to_time(made.stamp + 0.02)
        eye.publish(message)

    made.until(lambda: show(255) or made.sample() or made.applied)
    made.until(lambda: show(255) or made.ask()[0] > START[0] + 0.01)
    before = made.ask()
    made.until(lambda: show(0) or abs(made.ask() - made.ask()).max() < 1e-9)
    assert (made.ask() >= before - 1e-9).all(), 'a black pixel moves nothing'
    report = made.status(lambda s: show(0) or s.message == 'active', feed={})
    assert float(values(report)['age_camera [s]']) < 0.2
    for _ in range(20):  # of another size: as if there were none
        show(255, width=4)
        made.ask()
    made.status(lambda s: 'camera' in s.message, feed={})


def test_trajectories_to_a_robot_that_wants_them(world, tmp_path):
    path = tmp_path / 'arm.yaml'
    text = (ROOT / 'config/robots/arm6.yaml').read_text()
    text = text.replace('std_msgs/msg/Float64MultiArray', 'trajectory_msgs/msg/JointTrajectory')
    path.write_text(text.replace('../../description', str(ROOT / 'description')))
    bundle = write(tmp_path / 'policy.onnx', bias=1.0)
    made = world(command=JointTrajectory, robot=str(path), bundle=bundle, autostart=True)
    made.connect()
    sent = made.ask()
    made.until(lambda: made.commands)
    assert list(made.commands[-1].joint_names) == list(ARM6.joint_names)
    (point,) = made.commands[-1].points
    np.testing.assert_array_equal(point.positions, sent)
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 20_000_000)


def test_autostart_with_a_wrong_bundle_raises(tmp_path):
    rclpy.init()
    try:
        overrides = {'bundle': str(tmp_path / 'absent.onnx'), 'autostart': True}
        with pytest.raises(InputError, match=r'absent\.onnx'):
            PolicyNode(parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()])
    finally:
        rclpy.shutdown()


def run_node(*parameters):
    arguments = [piece for parameter in parameters for piece in ('-p', parameter)]
    return subprocess.Popen(
        [sys.executable, '-m', 'sim2real_policy.node', '--ros-args', *arguments],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_exit_status_of_a_wrong_bundle(tmp_path):
    process = run_node(f'bundle:={tmp_path}/absent.onnx', 'autostart:=true')
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert 'absent.onnx' in said


def test_a_terminated_process_stops_the_robot_first(world, tmp_path):
    made = world()  # its own policy stays unconfigured
    process = run_node(f'bundle:={write(tmp_path / "p.onnx", bias=1.0)}', 'autostart:=true')
    try:
        made.connect()
        for _ in range(10):
            made.ask()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        sent = made.settle()
        np.testing.assert_allclose(sent[-1], sent[-2], atol=1e-5)
    finally:
        process.kill()
        process.wait()


def test_nothing_of_a_policy_that_ended_is_seen_by_others(tmp_path):
    given = {'bundle': write(tmp_path / 'p.onnx'), 'autostart': True}
    context = rclpy.Context()
    rclpy.init()
    rclpy.init(context=context)
    other = rclpy.create_node('other', context=context)
    try:
        node = PolicyNode(parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])
        World.until(lambda: other.count_publishers('policy/transition_event') == 1)
        node.close()
        node.destroy_node()
        World.until(lambda: other.count_publishers('policy/transition_event') == 0)
        assert other.count_publishers('policy/transition_event') == 0
    finally:
        other.destroy_node()
        rclpy.shutdown(context=context)
        rclpy.shutdown()


def test_a_crash_of_the_control_cycle_ends_the_node(running):
    made = running()

    def crash(*_):
        raise ValueError('in the control cycle')

    made.policy._controller.sample = crash
    made.until(lambda: made.sample() or made.failure)
    assert str(made.failure) == 'in the control cycle'
    made.failure = None


def test_the_loop_reports_what_a_callback_raises():
    rclpy.init()
    node = rclpy.create_node('looping')
    errors = []

    def callback(message, noticed):
        raise ValueError('from the callback')

    loop = FastLoop(
        node,
        deadline=lambda: float('inf'),
        overdue=lambda: None,
        lock=threading.Lock(),
        failed=errors.append,
    )
    try:
        loop.subscribe(Header, 'topic', COMMAND, callback)
        loop.start()
        publisher = node.create_publisher(Header, 'topic', COMMAND)
        World.until(lambda: publisher.get_subscription_count() > 0)
        World.until(lambda: publisher.publish(Header()) or errors)
        assert str(errors[0]) == 'from the callback'
    finally:
        loop.close()
        node.destroy_node()
        rclpy.shutdown()


def test_reading_joint_states():
    into = {'position': np.zeros((1, 2)), 'effort': np.zeros((1, 2))}
    reader = JointStateReader(('a', 'b'), into)
    message = JointState(name=['b', 'x', 'a'], position=[1.0, 2.0, 3.0], effort=[4.0, 5.0, 6.0])
    assert reader.read(message) == ''
    np.testing.assert_array_equal(into['position'], [[3.0, 1.0]])
    np.testing.assert_array_equal(into['effort'], [[6.0, 4.0]])
    assert 'twice' in reader.read(JointState(name=['a', 'b', 'a'], position=[0.0] * 3))
    assert 'lacks b' in reader.read(JointState(name=['a']))
    for other in (['gripper'], []):  # of another publisher
        assert reader.read(JointState(name=other, position=[0.0] * len(other))) is None
    assert reader.read(message) == ''
    message.effort = []
    assert '0 of 3 effort' in reader.read(message)


def test_messages_that_go_out():
    applied = AppliedAction(('a', 'b'), 'effort').fill(np.array([1.0, 2.0]), to_time(3.5))
    assert list(applied.effort) == [1.0, 2.0] and len(applied.position) == 0
    assert to_seconds(applied.header.stamp) == 3.5
    trajectory = TrajectoryCommand(('a',), 'velocity', 1.25).fill(np.array([7.0]))
    assert list(trajectory.points[0].velocities) == [7.0]
    assert trajectory.points[0].time_from_start.sec == 1
    observation = ObservationMessage(('x', 'y')).fill(np.array([1.0, 0.1], np.float32))
    assert list(observation.data) == [1.0, float(np.float32(0.1))]
