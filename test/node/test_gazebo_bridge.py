"""The bridge node between a real gzserver and real topics; skipped where there is no Gazebo."""

import os
import signal
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, Imu
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger

from sim2real_core.errors import InputError, MissingError
from sim2real_core.messages import to_seconds
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, LATCHED, SENSOR
from sim2real_sim.gazebo_classic import installation
from sim2real_sim.gazebo_classic.bridge import GazeboBridge
from sim2real_sim.gazebo_classic.server import Server
from sim2real_sim.gazebo_classic.world import ClassicWorld
from test.gazebo import free_port
from test.scene import Scene

try:
    installation.find()
except MissingError as error:
    pytest.skip(str(error), allow_module_level=True)

ARM6 = load_profile('arm6')
DEFAULT = ARM6.array('default_position')
LONG = Scene.LONG
RATE = round(ARM6.rates.joint_state_rate)
HEAVY = {'link.gripper.mass': 4.0, 'joint.elbow.viscous_friction': 3.0}


class Robot(Scene):
    """A bridge in a thread, and a node that watches and commands its robot."""

    def __init__(self, port, **parameters):
        slowly = {'realtime_factor': 0.5}  # busy machines still publish every sample
        given = {'port': port, 'start_server': False, 'timeout': 4.0, **slowly, **parameters}
        super().__init__(GazeboBridge, **given)
        self.port = port

    def said(self, level, words):
        """Wait until the bridge's health says so."""

        def says():
            said = [s for m in self.health for s in m.status if s.name == '/simulator: health']
            del self.health[:-10]
            return said and said[-1].level == level and words in said[-1].message

        self.until(says, f'health: {words}')

    def runs(self, samples=50):
        """Wait for fresh samples of a robot that is well."""
        self.joints.clear()
        self.until(lambda: len(self.joints) >= samples, 'joint states')
        self.said(DiagnosticStatus.OK, 'running')

    def effort(self, joint):
        return self.joints[-1].effort[ARM6.joint_names.index(joint)]

    def rests(self):
        """Wait until the arm has not moved for a quarter of a simulated second."""
        self.joints.clear()
        self.until(
            lambda: (
                len(self.joints) >= RATE // 4
                and np.abs([joint.velocity for joint in self.joints[-RATE // 4 :]]).max() < 0.02
            ),
            'an arm at rest',
        )


def test_a_gzserver_of_its_own_is_started_anew_and_its_camera_sees_the_robot():
    from tf2_msgs.msg import TFMessage

    small = {'camera': True, 'camera_width': 160, 'camera_height': 120}
    with Robot(free_port(), start_server=True, **small) as scene:
        infos = scene.hear(CameraInfo, 'camera/camera_info', SENSOR, [])
        pictures = scene.hear(Image, 'camera/image_raw', SENSOR, [])
        frames = scene.hear(TFMessage, 'tf', COMMAND, [])
        scene.until(lambda: len(pictures) > 2 and infos and frames, 'pictures')
        scene.node.keeper._server.process.kill()
        scene.said(DiagnosticStatus.ERROR, 'ended')
        scene.runs()
        assert scene.node.keeper._server.process.poll() is None
        pictures.clear()
        scene.until(lambda: len(pictures) > 2, 'pictures of the next one')
    pixels = np.frombuffer(pictures[-1].data, np.uint8).reshape(120, 160, 3).astype(int)
    assert (infos[-1].width, infos[-1].height) == (160, 120)
    middle, corner = pixels[40:80, 60:100], pixels[:20, :20]
    assert middle.std() > 2.0 * corner.std() + 5.0  # the robot is before an even background
    (view,) = (t for t in frames[-1].transforms if t.child_frame_id == 'camera')
    assert view.header.frame_id == ARM6.urdf.root
    place, turn = view.transform.translation, view.transform.rotation
    along = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).apply([0.0, 0.0, 1.0])
    there = np.array([place.x, place.y, place.z])
    aside = there - (there @ along) * along  # where the line of sight passes the root
    assert there @ along < -0.5 and np.linalg.norm(aside) < 0.6


def test_no_such_world_ends_it():
    rclpy.init()
    try:
        with pytest.raises(InputError, match='world'):
            GazeboBridge(parameter_overrides=[Parameter('world', value='nowhere.world')])
    finally:
        rclpy.shutdown()


@pytest.fixture(scope='module')
def lab():
    """A gzserver and a bridge beside it; what comes before has servers of its own."""
    with Server('worlds/empty.world', port=free_port()) as server, Robot(server.port) as scene:
        yield server, scene


@pytest.fixture
def server(lab):
    return lab[0]


@pytest.fixture
def scene(lab):
    """A robot that is well, as its file says and in its default pose."""
    scene = lab[1]
    scene.runs(10)
    if scene.node.keeper.values:
        scene.draw()
    assert scene.call(Trigger, 'reset').success
    scene.runs(10)
    scene.applied.clear()
    return scene


def test_what_it_says_of_its_robot(scene):
    from tf2_msgs.msg import TFMessage

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


def test_time_is_paused_stepped_and_reset(scene):
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


def test_a_machine_that_is_too_slow_is_said(scene):
    stream = scene.node._steps
    most, stream._most = stream._most, 0
    scene.said(DiagnosticStatus.WARN, 'lower realtime_factor')
    stream._most, left_out = most, stream.left_out
    assert left_out > 0
    scene.said(DiagnosticStatus.OK, 'running')


def test_commands_are_followed_and_their_end_is_noticed(scene):
    scene.runs()
    target = DEFAULT + np.array([0.3, 0.0, 0.0, 0.2, 0.0, 0.0])
    deadline = time.monotonic() + LONG
    while abs(scene.joints[-1].position[0] - 0.3) > 0.03:
        assert time.monotonic() < deadline
        scene.commands.publish(Float64MultiArray(data=list(target)))
        scene.executor.spin_once(timeout_sec=0.02)
    scene.until(lambda: scene.node._watch._last is None, 'the end of commands is noticed')
    scene.rests()
    there = np.array(scene.joints[-1].position)
    scene.runs(250)
    assert np.abs(np.array(scene.joints[-1].position) - there).max() < 0.01


def test_a_draw_is_applied_and_has_its_effect(scene):
    scene.runs()
    scene.rests()
    before = scene.effort('shoulder')
    answer = scene.draw(values=HEAVY)
    assert answer.outcomes == dict.fromkeys(HEAVY, 'verified')
    assert dict(answer.values) == pytest.approx(HEAVY)
    scene.runs()
    scene.rests()
    assert scene.effort('shoulder') < before - 5.0  # it carries more
    wrong = scene.draw(values={'link.gripper.mass': -1.0}, episode=1)
    assert wrong.outcomes == {'link.gripper.mass': 'failed'}
    assert scene.draw(episode=2).outcomes == {}
    scene.runs()
    scene.rests()
    assert scene.effort('shoulder') == pytest.approx(before, abs=4.0)  # it sticks


def test_a_respawn_within_an_episode_is_said_and_goes_on_where_it_was(scene):
    said = scene.hear(Log, '/rosout', LATCHED, [])
    scene.draw(values=HEAVY, episode=3)
    target = DEFAULT + np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    scene.joints.clear()
    scene.until(lambda: scene.joints, 'joint states')

    def on_its_way():
        scene.commands.publish(Float64MultiArray(data=list(target)))
        return scene.joints[-1].position[0] > 0.05

    scene.until(on_its_way, 'a moving arm')
    before = scene.joints[-1]
    stiffer = {**HEAVY, 'joint.elbow.viscous_friction': 4.0}
    assert set(scene.draw(values=stiffer, episode=3, step=1).outcomes.values()) == {'verified'}
    count, start = len(scene.joints), to_seconds(before.header.stamp)
    scene.until(lambda: len(scene.joints) > count + 25, 'joint states of the new one')
    later = [m for m in scene.joints if start < to_seconds(m.header.stamp) < start + 1.0]
    heard = [before, *later]  # not each of the 250 samples a simulated second
    moved = np.diff([m.position[0] for m in heard])
    passed = np.diff([to_seconds(m.header.stamp) for m in heard])
    assert np.abs(moved / passed).max() < 12.5  # [rad/s]: no jump
    words = 'step 1: arm6 was spawned anew for joint.elbow.viscous_friction'
    scene.until(lambda: any(words in m.msg for m in said), 'it is said')
    heavier = {**stiffer, 'link.gripper.mass': 4.5}
    assert set(scene.draw(values=heavier, episode=3, step=2).outcomes.values()) == {'verified'}
    assert scene.node.keeper.respawned() == ''  # a mass changes without


def test_a_killed_gzserver_is_said_and_its_successor_is_the_drawn_world(server, scene):
    scene.runs()
    assert set(scene.draw(values=HEAVY, episode=3).outcomes.values()) == {'verified'}
    scene.applied.clear()
    server.process.kill()
    scene.said(DiagnosticStatus.ERROR, str(server.port))
    lost = scene.draw(values={'link.gripper.mass': 2.0}, episode=4)
    assert lost.outcomes == {'link.gripper.mass': 'failed'}
    scene.applied.clear()
    server.start()
    again = scene.answer()
    assert again.episode == 3 and dict(again.values) == pytest.approx(HEAVY)
    assert set(again.outcomes.values()) == {'verified'}
    scene.runs()


def test_a_model_deleted_by_hand_is_put_back_as_it_was_drawn(scene):
    scene.runs()
    scene.draw(values=HEAVY)
    scene.applied.clear()
    hand = ClassicWorld(port=scene.port)
    hand.delete('arm6')
    hand.close()
    again = scene.answer()
    assert dict(again.values) == pytest.approx(HEAVY)
    assert set(again.outcomes.values()) == {'verified'}
    scene.runs()


def test_a_world_paused_by_others_is_said(scene):
    scene.runs()
    hand = ClassicWorld(port=scene.port)
    hand.pause(True)
    scene.said(DiagnosticStatus.WARN, 'paused, not by')
    assert set(scene.draw(values=HEAVY).outcomes.values()) == {'verified'}
    scene.said(DiagnosticStatus.WARN, 'paused, not by')  # the draw did not let it run
    hand.pause(False)
    hand.close()
    scene.runs()


def test_a_stuck_gzserver_is_said_and_keeps_nobody_waiting(server, scene):
    scene.runs()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        scene.said(DiagnosticStatus.ERROR, 'said nothing')
        assert scene.draw(values=HEAVY).outcomes == dict.fromkeys(HEAVY, 'failed')
        assert not scene.call(Trigger, 'reset').success
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    scene.runs()
    assert set(scene.draw(values=HEAVY).outcomes.values()) == {'verified'}
