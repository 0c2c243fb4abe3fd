"""Capture and receiver over real topics: an error becomes an event, a clip, a shipped clip."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header, String
from std_srvs.srv import Trigger

from sim2real_capture.library import list_clips, show_clip
from sim2real_capture.node import CaptureNode
from sim2real_capture.receiver_node import ReceiverNode
from sim2real_core.errors import InputError
from sim2real_core.messages import (
    draw_to_message,
    estimate_to_message,
    event_from_message,
    to_seconds,
    to_time,
)
from sim2real_core.profile import load_profile
from sim2real_core.qos import ANSWERS, LATCHED, RELIABLE, SENSOR, SENSOR_RELIABLE
from sim2real_core.records import Draw, Estimate, ParameterEstimate

ARM6 = load_profile('arm6')
HOME = ARM6.array('default_position')
REPOSITORY = Path(__file__).parents[2]
LONG = 20.0  # s; far beyond what anything here needs


class Robot:
    """A robot that stands still at 250 Hz and a policy that tells it to, in one node."""

    def __init__(self, paced):
        self.node = rclpy.create_node('robot')
        make = self.node.create_publisher
        self.states = make(JointState, 'joint_states', SENSOR_RELIABLE if paced else SENSOR)
        self.applied = make(JointState, 'policy/action_applied', ANSWERS)
        self.commands = make(Float64MultiArray, ARM6.command.topic, ANSWERS)
        self.goal = make(PoseStamped, 'goal', LATCHED)
        self.description = make(String, 'robot_description', LATCHED)
        self.draw = make(DiagnosticArray, 'randomizer/draw', LATCHED)
        self.estimate = make(DiagnosticArray, 'sysid/estimate', LATCHED)
        self.diagnostics = make(DiagnosticArray, '/diagnostics', RELIABLE)
        self.acknowledged, self.events = set(), []
        subscribe = self.node.create_subscription
        subscribe(Header, 'pace', self.on_pace, ANSWERS)  # also those before it was connected
        subscribe(
            DiagnosticArray,
            'capture/events',
            lambda message: self.events.append(event_from_message(message)),
            RELIABLE,
        )
        self.trigger = self.node.create_client(Trigger, 'capture/trigger')

    def on_pace(self, message):
        if message.frame_id == 'capture#0':
            self.acknowledged.add(round(to_seconds(message.stamp), 3))

    def say(self, stamp, error=0.0):
        """One sample; every fifth is answered with a command, as applied and as sent."""
        position = HOME.copy()
        position[ARM6.joint_names.index('elbow')] += error
        state = JointState(name=list(reversed(ARM6.joint_names)), position=position[::-1].tolist())
        state.header.stamp = to_time(stamp)
        self.states.publish(state)
        if round(stamp / 0.004) % 5 == 0:
            applied = JointState(name=list(ARM6.joint_names), position=HOME.tolist())
            applied.header.stamp = to_time(stamp)
            self.applied.publish(applied)
            self.commands.publish(Float64MultiArray(data=HOME.tolist()))

    def run(self, begin, end, error_from=np.inf, error=0.6):
        """Samples in lockstep with the capture node."""
        for stamp in np.arange(begin, end, 0.004).round(3).tolist():
            self.say(stamp, error if stamp >= error_from else 0.0)
            wait_for(lambda stamp=stamp: stamp in self.acknowledged)


def connected(robot, capture):
    """Wait until samples, commands and events have somewhere to go."""
    wait_for(lambda: robot.states.get_subscription_count() == 1, 'samples')
    wait_for(lambda: robot.applied.get_subscription_count() == 1, 'commands')
    wait_for(lambda: capture._events.get_subscription_count() == 1, 'events')


def wait_for(condition, what='it'):
    """Wait until a condition holds; fails after a long time."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, f'waited too long for {what}'
        time.sleep(0.0005)


@pytest.fixture
def world(tmp_path):
    """Spins nodes, each in a thread of its own; closes them afterwards."""
    rclpy.init()
    stop, running = threading.Event(), []

    def spin(node):
        executor = SingleThreadedExecutor()
        executor.add_node(node)

        def go():
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.1)

        thread = threading.Thread(target=go)
        thread.start()
        running.append((node, thread))
        return node

    def start(kind, **parameters):
        if kind is Robot:
            robot = Robot(parameters['paced'])
            spin(robot.node)
            return robot
        if kind is CaptureNode:
            defaults = {'folder': str(tmp_path / 'spool'), 'before': 1.0, 'after': 0.5}
            parameters = {**defaults, **parameters}
        given = [Parameter(name, value=value) for name, value in parameters.items()]
        return spin(kind(parameter_overrides=given))

    yield start
    stop.set()
    for node, thread in running:
        thread.join(LONG)
        if hasattr(node, 'close'):
            node.close()
        node.destroy_node()
    rclpy.shutdown()


def test_an_error_becomes_an_event_a_clip_and_a_shipped_clip(world, tmp_path, joint_states_in):
    receiver = world(ReceiverNode, folder=str(tmp_path / 'library'), port=0)
    robot = world(Robot, paced=True)
    robot.goal.publish(PoseStamped())
    robot.description.publish(String(data=ARM6.urdf.text))
    robot.draw.publish(draw_to_message(Draw(3, 7, values={'link.gripper.mass': 1 / 3})))
    estimate = {'joint.elbow.armature': ParameterEstimate(0.5, 0.01, 'identified')}
    robot.estimate.publish(estimate_to_message(Estimate(1.0, estimate)))
    capture = world(CaptureNode, paced=True, receiver=receiver.server.url)
    told = [KeyValue(key='bundle', value='p.onnx'), KeyValue(key='content_hash', value='b1')]
    health = DiagnosticStatus(name='/policy: health', values=told)

    def told_the_bundle():
        robot.diagnostics.publish(DiagnosticArray(status=[health]))  # as often as a node does
        time.sleep(0.02)
        return capture._bundle == 'b1'

    wait_for(told_the_bundle)
    once = {'/goal', '/robot_description', '/randomizer/draw', '/sysid/estimate'}
    wait_for(lambda: once <= {record.topic for record in list(capture.capture.ring)}, once)
    wait_for(lambda: len(capture._latest) == 2)
    connected(robot, capture)

    robot.run(100.0, 104.0, error_from=102.0)
    wait_for(lambda: len(robot.events) == 2, 'detection and sealing')
    detected, sealed = robot.events
    assert (detected.detector, detected.detail, detected.clip) == ('tracking_error', 'elbow', '')
    assert 102.0 < detected.stamp < 102.5 and detected.score > detected.threshold
    assert (sealed.stamp, sealed.score) == (detected.stamp, detected.score)

    # The clip: both windows, everything that was in force, everything that was published once.
    clip = tmp_path / 'spool' / sealed.clip
    shown = show_clip(clip)
    assert (shown['end'], shown['dropped'], shown['bundle']) == ('complete', 0, 'b1')
    assert (shown['profile'], shown['profile_hash']) == ('arm6', ARM6.content_hash)
    assert shown['draw']['values'] == {'link.gripper.mass': 1 / 3}
    assert shown['estimate']['joint.elbow.armature']['mean'] == 0.5
    assert {
        '/joint_states', '/policy/action_applied', f'/{ARM6.command.topic}', '/goal',
        '/robot_description', '/randomizer/draw', '/sysid/estimate',
    } <= set(shown['topics'])  # fmt: skip
    assert all(topic['defined'] for topic in shown['topics'].values())
    states = joint_states_in(clip)
    np.testing.assert_allclose(states.time[[0, -1]], [detected.stamp - 1.0, detected.stamp + 0.5])
    assert len(states.time) == 376  # none lost
    elbow = states.position['elbow'] - HOME[ARM6.joint_names.index('elbow')]
    np.testing.assert_allclose(elbow, np.where(states.time < 102.0, 0.0, 0.6))

    # Shipped: verified over there, listed with the same hash.
    wait_for(lambda: list_clips(tmp_path / 'library'), 'shipping')
    with urllib.request.urlopen(receiver.server.url + '/clips', timeout=LONG) as answer:
        (listed,) = json.load(answer)
    assert listed['clip'] == sealed.clip
    assert (
        listed['sha256']
        == show_clip(tmp_path / 'library' / sealed.clip)['files'][f'{sealed.clip}_0.mcap'][
            'sha256'
        ]
    )
    wait_for(lambda: list_clips(tmp_path / 'spool')[0].shipped == receiver.server.url)


def test_best_effort_sensors_and_an_operator(world, tmp_path, joint_states_in):
    robot = world(Robot, paced=False)
    capture = world(CaptureNode)
    connected(robot, capture)
    assert robot.trigger.wait_for_service(LONG)
    stop = threading.Event()

    def publish():
        stamp = 0.0
        while not stop.is_set():
            robot.say(stamp)
            stamp = round(stamp + 0.004, 3)
            time.sleep(0.004)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        wait_for(lambda: len(capture.capture.ring) > 100)
        answer = robot.trigger.call(Trigger.Request(), LONG)
        assert answer.success
        wait_for(lambda: len(robot.events) == 2, 'sealing')
    finally:
        stop.set()
        thread.join()
    assert [event.detector for event in robot.events] == ['operator', 'operator']
    (info,) = list_clips(tmp_path / 'spool')
    assert info.clip == answer.message == robot.events[1].clip
    assert info.end == 'complete' and info.shipped == ''
    # Stamped by the sensor, which knows nothing of the year.
    assert joint_states_in(info.path).time[-1] < 1000.0


def test_a_command_that_is_slower_than_the_next_joint_state_is_waited_for(world):
    robot = world(Robot, paced=True)
    capture = world(CaptureNode, paced=True, commander='policy')
    pace = robot.node.create_publisher(Header, 'pace', ANSWERS)
    wait_for(lambda: robot.states.get_subscription_count() == 1)
    wait_for(lambda: pace.get_subscription_count() == 2)
    wait_for(lambda: robot.node.count_publishers('pace') == 2)
    robot.say(0.004)
    wait_for(lambda: 0.004 in robot.acknowledged)
    pace.publish(Header(stamp=to_time(0.004), frame_id='policy#1'))
    robot.say(0.008)
    time.sleep(0.2)
    assert 0.008 not in robot.acknowledged
    applied = JointState(name=list(ARM6.joint_names), position=HOME.tolist())
    applied.header.stamp = to_time(0.004)
    robot.applied.publish(applied)
    wait_for(lambda: 0.008 in robot.acknowledged)
    assert capture.capture.status()[0]


def test_a_volatile_publisher_of_a_latched_topic_is_heard_too(world):
    robot = world(Robot, paced=True)
    robot.goal.publish(PoseStamped())
    capture = world(CaptureNode, paced=True)
    wait_for(lambda: any(r.topic == '/goal' for r in list(capture.capture.ring)))
    second = robot.node.create_publisher(PoseStamped, 'goal', RELIABLE)
    wait_for(lambda: second.get_subscription_count() == 1)
    before = len(capture.capture.ring)
    second.publish(PoseStamped())
    wait_for(lambda: len(capture.capture.ring) > before)
    assert capture.capture.ring.pinned['/goal'] == 1


def test_a_killed_node_loses_at_most_the_last_instant(world, tmp_path, joint_states_in):
    robot = world(Robot, paced=True)
    script = 'import sys; from sim2real_capture.node import main; sys.exit(main())'
    folder = tmp_path / 'spool'
    parameters = f'folder:={folder} paced:=true before:=1.0 after:=100.0 longest:=200.0'.split()
    options = [word for parameter in parameters for word in ('-p', parameter)]
    process = subprocess.Popen(
        [sys.executable, '-c', script, '--ros-args', *options],
        env={**os.environ, 'PYTHONPATH': f'{REPOSITORY}:{os.environ.get("PYTHONPATH", "")}'},
    )
    try:
        wait_for(lambda: robot.states.get_subscription_count() == 1, 'the node')
        wait_for(lambda: robot.applied.get_subscription_count() == 1)
        robot.run(50.0, 53.0, error_from=52.0)
        wait_for(lambda: robot.events, 'detection')
        # The journal grows while the clip is open.
        journal = next(folder.glob('*.part/journal.mcap'))
        size = journal.stat().st_size
        robot.run(53.0, 53.4)
        wait_for(lambda: journal.stat().st_size > size, 'the journal')
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(LONG)
    assert list_clips(folder) == []
    world(CaptureNode)
    wait_for(lambda: list_clips(folder), 'recovery')
    (info,) = list_clips(folder)
    assert info.end == 'recovered' and info.detectors == ('tracking_error',)
    assert show_clip(info.path)['profile'] == 'arm6'
    times = joint_states_in(info.path).time
    assert times[0] == pytest.approx(robot.events[0].stamp - 1.0)
    assert times[-1] > 53.0
    np.testing.assert_allclose(np.diff(times), 0.004)


def test_settings_that_do_not_fit_are_refused(world):
    with pytest.raises(InputError, match='longest'):
        world(CaptureNode, after=100.0)
    with pytest.raises(InputError, match='thresholds'):
        world(CaptureNode, thresholds='nowhere.json')
    with pytest.raises(InputError, match='detectors'):
        world(CaptureNode, detectors='nothing')


def test_a_button_an_error_a_silence_and_a_rule(world, tmp_path):
    """Detectors of a file of one's own, over real topics; what is excluded is not recorded."""
    from sensor_msgs.msg import Joy

    (tmp_path / 'mine.yaml').write_text(
        'detectors:\n'
        '  stop: {kind: button, topic: joy, index: 2}\n'
        '  external_error: {}\n'
        '  silence: {topics: [gripper], longest: [0.6]}\n'
    )
    (tmp_path / 'rules.yaml').write_text('topics:\n  goal: {exclude: true}\n')
    robot = world(Robot, paced=False)
    robot.goal.publish(PoseStamped())
    make = robot.node.create_publisher
    joy, gripper = make(Joy, 'joy', RELIABLE), make(String, 'gripper', RELIABLE)
    capture = world(
        CaptureNode, detectors=str(tmp_path / 'mine.yaml'), rules=str(tmp_path / 'rules.yaml')
    )
    wait_for(lambda: not {'/joy', '/gripper', '/diagnostics'} & set(capture._topics.waiting))
    wait_for(lambda: joy.get_subscription_count() and gripper.get_subscription_count())
    wait_for(lambda: robot.diagnostics.get_subscription_count() == 2)  # peers and the record
    connected(robot, capture)
    robot.say(1.0)

    def told(detector):
        return [e.detail for e in robot.events if e.detector == detector and not e.clip]

    def said(detector):
        """What its events say, while the gripper is not silent."""
        gripper.publish(String())
        time.sleep(0.05)
        return told(detector)

    joy.publish(Joy(buttons=[1, 1, 0]))
    joy.publish(Joy(buttons=[0, 0, 1]))
    wait_for(lambda: said('stop') == ['button'], 'the button')
    hot = DiagnosticStatus(name='motor 3', level=DiagnosticStatus.ERROR, message='hot')
    robot.diagnostics.publish(DiagnosticArray(status=[hot]))
    wait_for(lambda: said('external_error') == ['motor 3: hot'], 'the error')
    before = len(said('silence'))
    wait_for(lambda: len(told('silence')) > before, 'the silence')
    silences = len(told('silence'))
    time.sleep(1.2)
    assert len(told('silence')) == silences, 'said once'
    wait_for(lambda: list_clips(tmp_path / 'spool'), 'sealing')
    topics = set(show_clip(list_clips(tmp_path / 'spool')[0].path)['topics'])
    assert '/joy' in topics and '/goal' not in topics
