"""The bridge node between a real gzserver and real topics; skipped where there is no Gazebo."""

import os
import signal
import socket
import threading
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger

from sim2real_core.errors import InputError, MissingError
from sim2real_core.messages import draw_from_message, draw_to_message, to_seconds
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, LATCHED, RELIABLE, SENSOR
from sim2real_core.records import Draw
from sim2real_sim.gazebo_classic import installation
from sim2real_sim.gazebo_classic.bridge import GazeboBridge
from sim2real_sim.gazebo_classic.server import Server
from sim2real_sim.gazebo_classic.world import ClassicWorld

try:
    installation.find()
except MissingError as error:
    pytest.skip(str(error), allow_module_level=True)

ARM6 = load_profile('arm6')
DEFAULT = ARM6.array('default_position')
LONG = 40.0  # s; far beyond what anything here needs
HEAVY = {'link.gripper.mass': 4.0, 'joint.elbow.viscous_friction': 3.0}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Scene:
    """A bridge in a thread, and a node that watches and commands its robot."""

    def __init__(self, port, **parameters):
        rclpy.init()
        self.port = port
        self.stop = threading.Event()
        self.watcher = rclpy.create_node('watcher')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.watcher)
        self.joints, self.applied, self.health = [], [], None
        self.hear(JointState, 'joint_states', SENSOR, self.joints)
        self.hear(DiagnosticArray, 'simulator/draw_applied', RELIABLE, self.applied)
        self.watcher.create_subscription(DiagnosticArray, '/diagnostics', self.on_health, RELIABLE)
        self.commands = self.watcher.create_publisher(
            Float64MultiArray, 'position_controller/commands', COMMAND
        )
        self.draws = self.watcher.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
        given = {'port': port, 'start_server': False, 'timeout': 4.0, **parameters}
        self.bridge = GazeboBridge(
            parameter_overrides=[Parameter(k, value=v) for k, v in given.items()]
        )
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.bridge.spin(self.stop)
        except BaseException as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(LONG)
        self.bridge.close()
        self.bridge.destroy_node()
        self.watcher.destroy_node()
        rclpy.shutdown()
        assert self.failure is None

    def hear(self, kind, topic, qos, into):
        self.watcher.create_subscription(kind, topic, into.append, qos)
        return into

    def on_health(self, message):
        for status in message.status:
            if status.name == '/simulator: health':
                self.health = status

    def until(self, condition, what):
        """Spin until the condition holds; gives its value."""
        deadline = time.monotonic() + LONG
        while not (value := condition()):
            assert self.failure is None
            assert time.monotonic() < deadline, f'not within {LONG} s: {what}'
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def said(self, level, words):
        """Wait until the bridge's health says so."""
        self.until(
            lambda: self.health and self.health.level == level and words in self.health.message,
            f'health: {words}',
        )

    def runs(self, samples=50):
        """Wait for fresh samples of a robot that is well."""
        self.joints.clear()
        self.until(lambda: len(self.joints) >= samples, 'joint states')
        self.said(DiagnosticStatus.OK, 'running')

    def call(self, kind, name, request=None):
        client = self.watcher.create_client(kind, f'simulator/{name}')
        self.until(client.service_is_ready, f'service {name}')
        future = client.call_async(request or kind.Request())
        self.until(future.done, f'answer of {name}')
        return future.result()

    def draw(self, values, episode=0):
        self.until(self.draws.get_subscription_count, 'the bridge')
        self.applied.clear()
        self.draws.publish(draw_to_message(Draw(episode, 0, values=values)))
        return self.answer()

    def answer(self):
        self.until(lambda: self.applied, 'draw_applied')
        return draw_from_message(self.applied[-1])

    def effort(self, joint):
        return self.joints[-1].effort[ARM6.joint_names.index(joint)]

    def rests(self):
        """Wait until the arm moves no more."""
        self.until(
            lambda: self.joints and np.abs(self.joints[-1].velocity).max() < 0.02, 'an arm at rest'
        )


@pytest.fixture(scope='module')
def port():
    with Server('worlds/empty.world', port=free_port()) as server:
        yield server.port


@pytest.fixture
def server():
    with Server('worlds/empty.world', port=free_port()) as server:
        yield server


def test_what_it_says_of_its_robot(port):
    from tf2_msgs.msg import TFMessage

    with Scene(port) as scene:
        moving = scene.hear(TFMessage, 'tf', COMMAND, [])
        fixed = scene.hear(TFMessage, 'tf_static', LATCHED, [])
        text = scene.hear(String, 'robot_description', LATCHED, [])
        imu = scene.hear(Imu, 'imu', SENSOR, [])
        clocks = scene.hear(Clock, 'clock', COMMAND, [])
        scene.until(lambda: text and moving and fixed and imu and clocks, 'everything')
        scene.runs(100)
        scene.rests()
        stamps = np.array([to_seconds(m.header.stamp) for m in scene.joints])
        said = scene.joints[-1]
        down = imu[-1].linear_acceleration
    assert text[0].data == ARM6.urdf.text
    assert tuple(said.name) == ARM6.joint_names
    assert np.abs(np.array(said.position) - DEFAULT).max() < 0.01  # held, with its weight carried
    assert scene.effort('shoulder') < -10.0
    assert all(m.header.stamp.nanosec % 4_000_000 == 0 for m in scene.joints[1:])
    assert np.median(np.diff(stamps)) == pytest.approx(0.004)
    assert np.linalg.norm([down.x, down.y, down.z]) == pytest.approx(9.8, abs=0.3)
    transforms = [*moving[-1].transforms, *fixed[0].transforms]
    pairs = {(t.header.frame_id, t.child_frame_id) for t in transforms}
    assert pairs == {(joint.parent, joint.child) for joint in ARM6.urdf.joints.values()}
    lifted = next(t for t in transforms if t.child_frame_id == 'tool0').transform.translation
    assert (lifted.x, lifted.y, lifted.z) == pytest.approx((0.0, 0.0, 0.08), abs=1e-6)


def test_time_is_paused_stepped_and_reset(port):
    with Scene(port) as scene:
        scene.runs()
        assert not scene.call(Trigger, 'step').success
        assert scene.call(SetBool, 'pause', SetBool.Request(data=True)).success
        scene.said(DiagnosticStatus.OK, 'paused')
        assert scene.call(Trigger, 'step').success
        assert scene.call(Trigger, 'reset').success
        scene.joints.clear()
        assert scene.call(SetBool, 'pause', SetBool.Request(data=False)).success
        scene.until(lambda: scene.joints, 'joint states')
        assert to_seconds(scene.joints[0].header.stamp) < 1.0
        assert np.abs(np.array(scene.joints[0].position) - DEFAULT).max() < 0.01


def test_commands_are_followed_and_their_end_is_noticed(port):
    with Scene(port) as scene:
        scene.runs()
        target = DEFAULT + np.array([0.3, 0.0, 0.0, 0.2, 0.0, 0.0])
        deadline = time.monotonic() + LONG
        while abs(scene.joints[-1].position[0] - 0.3) > 0.03:
            assert time.monotonic() < deadline
            scene.commands.publish(Float64MultiArray(data=list(target)))
            scene.executor.spin_once(timeout_sec=0.02)
        scene.until(lambda: scene.bridge._watch._last is None, 'the end of commands is noticed')
        scene.rests()
        there = np.array(scene.joints[-1].position)
        scene.runs(250)
        assert np.abs(np.array(scene.joints[-1].position) - there).max() < 0.01


def test_a_draw_is_applied_and_has_its_effect(port):
    with Scene(port) as scene:
        scene.runs()
        scene.rests()
        before = scene.effort('shoulder')
        answer = scene.draw(HEAVY)
        assert answer.outcomes == dict.fromkeys(HEAVY, 'verified')
        assert dict(answer.values) == pytest.approx(HEAVY)
        scene.runs()
        scene.rests()
        assert scene.effort('shoulder') < before - 5.0  # it carries more
        wrong = scene.draw({'link.gripper.mass': -1.0}, episode=1)
        assert wrong.outcomes == {'link.gripper.mass': 'failed'}
        assert scene.draw({}, episode=2).outcomes == {}
        scene.runs()
        scene.rests()
        assert scene.effort('shoulder') == pytest.approx(before, abs=4.0)  # it sticks


def test_a_killed_gzserver_is_said_and_its_successor_is_the_drawn_world(server):
    with Scene(server.port) as scene:
        scene.runs()
        assert set(scene.draw(HEAVY, episode=3).outcomes.values()) == {'verified'}
        scene.applied.clear()
        server.process.kill()
        scene.said(DiagnosticStatus.ERROR, str(server.port))
        lost = scene.draw({'link.gripper.mass': 2.0}, episode=4)
        assert lost.outcomes == {'link.gripper.mass': 'failed'}
        scene.applied.clear()
        server.start()
        again = scene.answer()
        assert again.episode == 3 and dict(again.values) == pytest.approx(HEAVY)
        assert set(again.outcomes.values()) == {'verified'}
        scene.runs()


def test_a_model_deleted_by_hand_is_put_back_as_it_was_drawn(port):
    with Scene(port) as scene:
        scene.runs()
        scene.draw(HEAVY)
        scene.applied.clear()
        hand = ClassicWorld(port=port)
        hand.delete('arm6')
        hand.close()
        again = scene.answer()
        assert dict(again.values) == pytest.approx(HEAVY)
        assert set(again.outcomes.values()) == {'verified'}
        scene.runs()


def test_a_world_paused_by_others_is_said(port):
    with Scene(port) as scene:
        scene.runs()
        hand = ClassicWorld(port=port)
        hand.pause(True)
        scene.said(DiagnosticStatus.WARN, 'paused, not by')
        assert set(scene.draw(HEAVY).outcomes.values()) == {'verified'}
        scene.said(DiagnosticStatus.WARN, 'paused, not by')  # the draw did not let it run
        hand.pause(False)
        hand.close()
        scene.runs()


def test_a_stuck_gzserver_is_said_and_keeps_nobody_waiting(server):
    with Scene(server.port) as scene:
        scene.runs()
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            scene.said(DiagnosticStatus.ERROR, 'said nothing')
            assert scene.draw(HEAVY).outcomes == dict.fromkeys(HEAVY, 'failed')
            assert not scene.call(Trigger, 'reset').success
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        scene.runs()
        assert set(scene.draw(HEAVY).outcomes.values()) == {'verified'}


def test_a_gzserver_of_its_own_is_started_anew():
    with Scene(free_port(), start_server=True) as scene:
        scene.runs()
        scene.bridge.keeper._server.process.kill()
        scene.said(DiagnosticStatus.ERROR, 'ended')
        scene.runs()
        assert scene.bridge.keeper._server.process.poll() is None


def test_its_camera_sees_the_robot():
    pictures = []
    small = {'camera': True, 'camera_width': 160, 'camera_height': 120}
    with Scene(free_port(), start_server=True, **small) as scene:
        infos = scene.hear(CameraInfo, 'camera/camera_info', SENSOR, [])
        scene.hear(Image, 'camera/image_raw', SENSOR, pictures)
        scene.until(lambda: len(pictures) > 3 and infos, 'pictures')
    pixels = np.frombuffer(pictures[-1].data, np.uint8).reshape(120, 160, 3).astype(int)
    assert (infos[-1].width, infos[-1].height) == (160, 120)
    middle, corner = pixels[40:80, 60:100], pixels[:20, :20]
    assert middle.std() > 2.0 * corner.std() + 5.0  # the robot is before an even background


def test_no_such_world_ends_it():
    rclpy.init()
    try:
        with pytest.raises(InputError, match='world'):
            GazeboBridge(parameter_overrides=[Parameter('world', value='nowhere.world')])
    finally:
        rclpy.shutdown()
