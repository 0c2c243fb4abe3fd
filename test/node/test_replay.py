"""Bags played through the real nodes over ROS: nothing dropped, the same result each time."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Twist, Vector3
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sim2real_bringup import player
from sim2real_bringup.bags import BagWriter, open_bag, summary
from sim2real_bringup.launching import check_alone
from sim2real_bringup.testing import replay
from sim2real_core.errors import InputError, Sim2RealError
from sim2real_core.messages import to_time
from sim2real_core.profile import load_profile
from sim2real_core.qos import RELIABLE, SENSOR
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.observation import Term

GOLDEN = Path(__file__).parents[1] / 'golden'
LONG = 110.0  # s


def golden():
    """The generator of the golden bag."""
    spec = importlib.util.spec_from_file_location('make_slider', GOLDEN / 'make_slider.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_golden_bag_is_what_its_generator_makes(tmp_path):
    golden().make(tmp_path / 'slider')
    store = get_typestore(Stores.LATEST)
    series = []
    for bag in (GOLDEN / 'slider', tmp_path / 'slider'):
        with open_bag(bag) as opened:
            states = [store.deserialize_cdr(m.data, m.type) for m in opened.messages()]
        series.append(np.array([[s.position[0], s.effort[0]] for s in states]))
    np.testing.assert_allclose(*series, rtol=1e-6, atol=1e-9)


def test_golden(tmp_path):
    results = [
        replay(
            GOLDEN / 'slider',
            'slider',
            ['sysid'],
            expect=GOLDEN / 'slider.yaml',
            timeout=LONG,
            options=['--out', str(tmp_path / f'out{i}')],
        )
        for i in range(2)
    ]
    assert json.dumps(results[0]) == json.dumps(results[1])
    said = summary(tmp_path / 'out0')['topics']
    assert said['/sysid/estimate']['messages'] == len(results[0]['timeline'])
    assert said['/sysid/estimate']['latched']


def test_each_violated_threshold_is_named(tmp_path):
    thresholds = tmp_path / 'thresholds.yaml'
    thresholds.write_text(
        'metrics:\n  - {metric: samples, max: 99}\n  - {metric: events, min: 1}\n'
    )
    options = ['--duration', '0.4']
    with pytest.raises(AssertionError) as caught:
        replay(GOLDEN / 'slider', 'slider', expect=thresholds, timeout=LONG, options=options)
    message = str(caught.value)
    assert 'status 1' in message
    assert 'violated: samples = 100, must be at most 99' in message
    assert 'violated: events = 0, must be at least 1' in message


def test_a_consumer_that_does_not_keep_up_is_named():
    options = ['--param', 'sysid.paced=false', '--param', 'player.pace_timeout=0.5']
    with pytest.raises(AssertionError, match='sysid did not acknowledge the sample at 0 s'):
        replay(GOLDEN / 'slider', 'slider', timeout=LONG, options=options)


def test_real_time():
    options = ['--rate', '2', '--duration', '1', '--start', '2']
    result = replay(GOLDEN / 'slider', 'slider', timeout=LONG, options=options)
    assert (result['samples'], result['duration']) == (250, 0.996)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """A bag of a slider in a namespace, with goal, what was sent, and a jam after 2 s."""
    store = get_typestore(Stores.LATEST)
    types = store.types
    time_type, header = types['builtin_interfaces/msg/Time'], types['std_msgs/msg/Header']
    state_type = types['sensor_msgs/msg/JointState']
    point, turn, pose, goal = (
        types[f'geometry_msgs/msg/{n}'] for n in ('Point', 'Quaternion', 'Pose', 'PoseStamped')
    )
    path = tmp_path_factory.mktemp('bag') / 'recorded'
    topics = {
        '/left/joint_states': 'sensor_msgs/msg/JointState',
        '/left/policy/action_applied': 'sensor_msgs/msg/JointState',
        '/left/goal': 'geometry_msgs/msg/PoseStamped',
    }
    start = 1_700_000_000_000_000_000
    none = np.zeros(0)

    def put(bag, topic, time, message):
        bag.write(topic, time, bytes(store.serialize_cdr(message, topics[topic])))

    with BagWriter(path) as bag:
        for name, kind in topics.items():
            bag.topic(name, kind, latched=name.endswith('goal'))
        head = header(time_type(*divmod(start, 10**9)), 'base_link')
        put(bag, '/left/goal', start, goal(head, pose(point(0.1, 0.0, 0.0), turn(0, 0, 0, 1))))
        for k in range(1000):
            time = start + k * 4_000_000
            head = header(time_type(*divmod(time, 10**9)), '')
            command = 0.03 * np.sin(2 * np.pi * 0.5 * k / 250)
            position = command if k < 500 else 0.0  # it jams
            if k % 5 == 0:
                sent = state_type(head, ['slider'], np.array([command]), none, none)
                put(bag, '/left/policy/action_applied', time, sent)
            is_ = state_type(head, ['slider'], np.array([position]), np.zeros(1), np.zeros(1))
            put(bag, '/left/joint_states', time, is_)
    return path


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """A policy of random weights for the slider."""
    pytest.importorskip('onnx')
    from sim2real_policy.random_policy import random_policy

    profile = load_profile('slider')
    terms = [Term(kind='joint_position'), Term(kind='joint_velocity'), Term(kind='goal_error')]
    action = Action(meaning='position', scale=(0.1,), offset=(0.0,), clip=1.0)
    meta = BundleMetadata.for_robot(profile, terms, action, control_period=0.02)
    path = tmp_path_factory.mktemp('bundle') / 'random.onnx'
    random_policy(meta, path, np.random.default_rng(0))
    return path


def test_what_was_recorded_goes_through_capture(recorded):
    results = [replay(recorded, 'slider', ['capture'], timeout=LONG) for _ in range(2)]
    assert json.dumps(results[0]) == json.dumps(results[1])
    assert results[0]['samples'] == 1000
    event = results[0]['events'][0]
    assert event['detector'] == 'tracking_error' and 'slider' in event['detail']
    assert 2.0 < event['t'] < 3.0


@pytest.fixture(scope='module')
def twice(recorded, bundle, tmp_path_factory):
    """Results of two replays through all consumers at once, and the folder of what came out."""
    out = tmp_path_factory.mktemp('twice')
    nodes = ['policy', 'sysid', 'capture']
    options = ['--bundle', str(bundle), '--out']
    return [
        replay(recorded, 'slider', nodes, timeout=LONG, options=[*options, str(out / f'out{i}')])
        for i in range(2)
    ], out


def test_all_consumers_at_once_miss_nothing(twice):
    results, out = twice
    for i, result in enumerate(results):
        policy = result['policy']
        assert policy['commands'] == 200 and policy['compared'] == 200  # 4 s at 50 Hz
        assert policy['difference']['slider']['max'] > 0
        said = summary(out / f'out{i}')['topics']
        assert said['/policy/action_applied']['messages'] == 200
        assert said['/position_controller/commands']['messages'] == 200


def test_all_consumers_at_once_give_the_same_twice(twice):
    results, _ = twice
    assert json.dumps(results[0]) == json.dumps(results[1])


def test_what_was_latched_before_the_start_is_in_force(recorded, bundle):
    options = ['--bundle', str(bundle), '--start', '1', '--duration', '1']
    result = replay(recorded, 'slider', ['policy'], timeout=LONG, options=options)
    assert result['policy']['commands'] == 50  # without a goal the policy would wait


def test_up_replays_in_a_domain_of_its_own(tmp_path):
    """A robot in the domain of this test neither hears the replay nor disturbs it."""
    command = [sys.executable, '-m', 'sim2real_bringup.cli', 'up', 'replay', '--robot', 'slider']
    command += ['--nodes', 'sysid', '--bag', str(GOLDEN / 'slider')]
    command += ['--param', f'player.json={tmp_path / "result.json"}']
    heard = []
    rclpy.init()
    try:
        robot = rclpy.create_node('robot')
        robot.create_subscription(JointState, 'joint_states', heard.append, SENSOR)
        process = subprocess.Popen(command, cwd=GOLDEN.parents[1])
        while process.poll() is None:
            rclpy.spin_once(robot, timeout_sec=0.1)
        robot.destroy_node()
    finally:
        rclpy.shutdown()
    assert process.returncode == 0
    assert json.loads((tmp_path / 'result.json').read_text())['samples'] == 2000
    assert heard == []


def test_a_launched_replay_keeps_away_from_a_robot():
    slider = load_profile('slider')
    check_alone(slider, '/left', look=0.1)
    rclpy.init()
    try:
        robot = rclpy.create_node('robot', namespace='left')
        robot.create_publisher(JointState, 'joint_states', SENSOR)
        robot.create_subscription(Float64MultiArray, slider.command.topic, print, RELIABLE)
        with pytest.raises(Sim2RealError) as caught:
            check_alone(slider, '/left')
        check_alone(slider, '/right', look=0.1)
        robot.destroy_node()
    finally:
        rclpy.shutdown()
    assert 'publishes /left/joint_states' in str(caught.value)
    assert f'listens to /left/{slider.command.topic}' in str(caught.value)


def test_a_replay_does_not_wait_for_others_for_ever(monkeypatch):
    now = itertools.count(step=0.1)
    monkeypatch.setattr(player, 'time', SimpleNamespace(monotonic=lambda: next(now)))
    replaying = SimpleNamespace(_heard='/sysid/estimate', _changed=0.0)

    def somebody_talks(timeout):
        replaying._changed = next(now)
        return True

    with pytest.raises(Sim2RealError, match='/sysid/estimate does not end'):
        player.PlayerNode._wait_for_quiet(replaying, somebody_talks)
    assert player.PlayerNode._wait_for_quiet(replaying, lambda timeout: True)


@pytest.mark.parametrize(
    'name, space, refused, warned',
    [
        ('policy', '/', True, False),
        ('policy', '/other', False, False),
        ('visualizer', '/', False, False),
        ('_NODE_NAME_UNKNOWN_', '_NODE_NAMESPACE_UNKNOWN_', False, True),
        ('_CREATED_BY_BARE_DDS_APP_', '_CREATED_BY_BARE_DDS_APP_', False, True),
    ],
)
def test_only_what_the_policy_itself_listens_to_is_needed(name, space, refused, warned):
    listener, said = SimpleNamespace(node_name=name, node_namespace=space), []
    replaying = SimpleNamespace(
        _consumers={'policy'},
        _config=SimpleNamespace(bag='bag'),
        get_namespace=lambda: '/',
        get_topic_names_and_types=lambda: [('/odom', ['nav_msgs/msg/Odometry'])],
        count_publishers=lambda topic: 0,
        get_subscriptions_info_by_topic=lambda topic: [listener],
        get_logger=lambda: SimpleNamespace(warning=said.append),
    )
    lacks = 'holds no odom (nav_msgs/msg/Odometry)'
    if refused:
        with pytest.raises(InputError) as caught:
            player.PlayerNode._check_needs(replaying)
        assert f'{lacks}: the policy acts on it' in str(caught.value)
    else:
        player.PlayerNode._check_needs(replaying)
    assert [lacks in words for words in said] == [True] * warned


def rover_bag(path, policy, odometry=True):
    """A second of a rover, asked for 0.25 m/s, with odometry three times a joint state.

    ``policy`` says what was sent then, by the speed that the odometry said last.
    """
    stamp, kinds = 1_700_000_000_000_000_000, {}
    messages = []

    def note(topic, message):
        module = type(message).__module__.split('.')[0]
        kinds[topic] = f'{module}/msg/{type(message).__name__}'
        messages.append((topic, stamp, serialize_message(message)))

    speed = 0.0
    for k in range(100):
        if k % 20 == 0:  # else it is taken back
            note('/velocity_goal', Twist(linear=Vector3(x=0.25)))
        for _ in range(3):
            stamp += 3_000_000
            speed += 0.002
            moved = Odometry()
            moved.header.stamp = to_time(stamp * 1e-9)
            moved.twist.twist.linear.x = speed
            if odometry:
                note('/odom', moved)
        stamp += 1_000_000
        wheels = JointState(name=['left_wheel', 'right_wheel'], position=[0.0] * 2)
        wheels.velocity = wheels.effort = [0.0] * 2
        wheels.header.stamp = to_time(stamp * 1e-9)
        note('/joint_states', wheels)
        if k % 2 == 0:
            sent = JointState(name=['linear.x', 'angular.z'], velocity=[policy(speed), 0.0])
            sent.header.stamp = wheels.header.stamp
            note('/policy/action_applied', sent)
    with BagWriter(path) as bag:
        for topic, kind in kinds.items():
            bag.topic(topic, kind)
        for message in messages:
            bag.write(*message)
    return path


@pytest.fixture(scope='module')
def cruising(tmp_path_factory):
    """A rover's policy: forward at 0.1 m/s more than half of what the odometry says."""
    onnx = pytest.importorskip('onnx')
    from sim2real_policy.bundle import write_bundle
    from sim2real_policy.random_policy import random_policy

    terms = [Term(kind='base_linear_velocity'), Term(kind='velocity_command')]
    action = Action(meaning='twist', scale=(1.0, 1.0))
    meta = BundleMetadata.for_robot(load_profile('rover'), terms, action)
    path = tmp_path_factory.mktemp('rover') / 'cruising.onnx'
    model = onnx.load_from_string(random_policy(meta, path, np.random.default_rng(0), ()).model)
    weights = np.zeros((6, 2), np.float32)
    weights[meta.observation.labels.index('base_linear_velocity.x'), 0] = 0.5
    weights[meta.observation.labels.index('velocity_command.linear.x'), 0] = 0.4
    model.graph.initializer[0].raw_data = weights.tobytes()
    write_bundle(model.SerializeToString(), meta, path)
    return path


def test_a_rover_is_replayed_on_its_odometry_and_goals(cruising, tmp_path):
    """What its policy sends is to the digit what it must, at the odometry that came last."""
    limit = 0.02 * 2.0  # of a period; it starts at rest
    bag = rover_bag(tmp_path / 'rover', lambda speed: 0.5 * speed + 0.1)
    options = ['--bundle', str(cruising)]
    policy = replay(bag, 'rover', ['policy'], timeout=LONG, options=options)['policy']
    assert policy['commands'] == policy['compared'] == 50
    assert policy['difference']['angular.z']['max'] == 0.0
    most = policy['difference']['linear.x']
    first = 0.5 * 0.006 + 0.1 - limit
    assert most['max'] == pytest.approx(first, abs=1e-6), 'only while it speeds up'
    left = np.array([first, first - limit + 0.5 * 0.012])
    assert most['rms'] == pytest.approx(np.sqrt((left**2).sum() / 50), abs=1e-6)


def test_a_bag_without_what_the_policy_acts_on_is_named(cruising, tmp_path):
    bag = rover_bag(tmp_path / 'rover', lambda speed: 0.0, odometry=False)
    with pytest.raises(AssertionError) as caught:
        replay(bag, 'rover', ['policy'], timeout=LONG, options=['--bundle', str(cruising)])
    assert 'holds no odom (nav_msgs/msg/Odometry): the policy acts on it' in str(caught.value)
    assert 'status 2' in str(caught.value)
