"""The simulator node over real topics."""

import json
import time

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu, JointState
from std_msgs.msg import Float64MultiArray, Header, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_core.errors import InputError, MissingError
from sim2real_core.messages import to_seconds
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, LATCHED, SENSOR_RELIABLE, sensor_qos
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.node import SimulatorNode
from sim2real_sim.rendering import find_backend
from test.scene import Scene

ARM6 = load_profile('arm6')
DEFAULT = ARM6.array('default_position')
LONG = 20.0  # s; far beyond what anything here needs


class World(Scene):
    """A simulator node in a thread, and a node that watches and commands it."""

    def __init__(self, command=Float64MultiArray, **parameters):
        sensors = sensor_qos(parameters.get('paced', False))
        super().__init__(SimulatorNode, command, sensors, **parameters)
        self.simulator = self.node
        self.clocks = self.hear(Clock, 'clock', COMMAND, [])

    def present(self):
        """Simulated time [s] and pose of a paused simulator (samples are best effort)."""
        assert self.simulator.paused
        return self.simulator._stepping.time * 1e-9, self.simulator._simulator.state()[0][0]

    def held(self):
        """Whether commands came and stopped."""
        commanded = self.simulator._simulator.commanded[0]
        return not np.isin(commanded, [DEFAULT, DEFAULT + 0.1]).any()


def stamps(messages):
    return np.array([to_seconds(m.header.stamp) for m in messages])


def test_what_it_says_of_its_robot():
    from tf2_msgs.msg import TFMessage

    with World() as world:
        moving = world.hear(TFMessage, 'tf', COMMAND, [])
        fixed = world.hear(TFMessage, 'tf_static', LATCHED, [])
        text = world.hear(String, 'robot_description', LATCHED, [])
        imu = world.hear(Imu, 'imu', sensor_qos(False), [])
        world.until(
            lambda: text and moving and fixed and imu and len(world.joints) > 20 and world.clocks,
            'everything is published',
        )
    assert text[0].data == ARM6.urdf.text
    joints = world.joints[-1]
    assert tuple(joints.name) == ARM6.joint_names
    assert len(joints.position) == len(joints.velocity) == len(joints.effort) == 6
    assert joints.effort[1] < -1.0  # the shoulder carries the arm
    nanoseconds = [m.header.stamp.nanosec for m in world.joints]
    assert all(n % 4_000_000 == 0 for n in nanoseconds)
    assert {(t.header.frame_id, t.child_frame_id) for t in fixed[0].transforms} == {
        ('flange', 'gripper'),
        ('gripper', 'tool0'),
    }
    frames = {t.child_frame_id: t.transform for t in moving[-1].transforms}
    assert set(frames) == {j.child for j in ARM6.joints}
    assert frames['forearm'].translation.z == pytest.approx(0.38)
    assert np.linalg.norm([imu[-1].linear_acceleration.x, imu[-1].linear_acceleration.z]) > 5


def test_it_runs_in_real_time_and_obeys():
    target = DEFAULT + 0.3 * np.eye(6)[0]
    with World() as world:
        world.connected()

        def reached():
            world.commands.publish(Float64MultiArray(data=list(target)))
            return bool(world.joints) and abs(world.joints[-1].position[0] - target[0]) < 0.02

        world.until(reached, 'the commanded pose')
        world.commands.publish(Float64MultiArray(data=[0.0, float('nan'), 0, 0, 0, 0]))
        world.commands.publish(Float64MultiArray(data=[0.0]))
        count = len(world.joints)
        world.until(lambda: len(world.joints) > count + 20, 'more samples')
    assert abs(world.joints[-1].position[0] - target[0]) < 0.05


def test_it_holds_when_commands_stop():
    with World() as world:
        world.connected()
        target = DEFAULT + 3.0 * np.eye(6)[0]
        world.commands.publish(Float64MultiArray(data=list(target)))

        def stands():
            last = [m.position[0] for m in world.joints[-100:]]
            return len(last) == 100 and last[-1] > 0.02 and max(last) - min(last) < 0.005

        world.until(stands, 'the arm stands')
    assert world.joints[-1].position[0] < 2.8


def test_it_carries_its_weight_when_commands_stop():
    with World() as world:
        world.connected()
        world.commands.publish(Float64MultiArray(data=list(DEFAULT + 0.1)))
        world.until(lambda: world.held(), 'the arm is held')
        tool = world.simulator._simulator.link_position('tool0')[0]
        count = len(world.joints)
        world.until(lambda: len(world.joints) > count + 250, 'a second')
        assert np.linalg.norm(world.simulator._simulator.link_position('tool0')[0] - tool) < 0.01


def test_pause_step_and_reset():
    with World(realtime_factor=0.0) as world:
        assert not world.call(Trigger, 'step').success
        world.until(lambda: len(world.joints) > 5, 'samples')
        assert world.call(SetBool, 'pause', SetBool.Request(data=True)).success
        at, _ = world.present()
        assert world.call(Trigger, 'step').success
        assert world.present()[0] == pytest.approx(at + 0.02)
        assert world.call(Trigger, 'reset').success
        assert world.present()[0] == 0.0
        np.testing.assert_array_equal(world.present()[1], DEFAULT)
        world.until(lambda: world.clocks[-1].clock.nanosec == 0, 'the clock of time zero')
        world.joints.clear()
        world.call(SetBool, 'pause', SetBool.Request(data=False))
        # Samples of before the reset may still have been on their way.
        world.until(
            lambda: len(world.joints) > 5 and np.diff(stamps(world.joints)[-6:]).min() > 0.0,
            'time runs again',
        )
        assert stamps(world.joints)[-6] >= 0.0


def test_simulation_interfaces():
    interfaces = pytest.importorskip('simulation_interfaces.srv')
    messages = pytest.importorskip('simulation_interfaces.msg')
    ok, state = messages.Result.RESULT_OK, messages.SimulationState
    with World(realtime_factor=0.0) as world:
        features = world.call(interfaces.GetSimulatorFeatures, 'get_simulator_features').features
        assert messages.SimulatorFeatures.STEP_SIMULATION_MULTIPLE in features.features

        def now():
            return world.call(interfaces.GetSimulationState, 'get_simulation_state').state.state

        def go(wanted):
            request = interfaces.SetSimulationState.Request()
            request.state.state = wanted
            return world.call(
                interfaces.SetSimulationState, 'set_simulation_state', request
            ).result.result

        def reset(scope):
            request = interfaces.ResetSimulation.Request(scope=scope)
            answer = world.call(interfaces.ResetSimulation, 'reset_simulation', request)
            assert answer.result.result == ok
            return world.present()

        step = interfaces.StepSimulation.Request(steps=40)
        refused = world.call(interfaces.StepSimulation, 'step_simulation', step).result
        assert refused.result == messages.Result.RESULT_INCORRECT_STATE
        assert go(state.STATE_PLAYING) == 101
        assert go(state.STATE_PAUSED) == ok
        assert now() == state.STATE_PAUSED
        at, _ = world.present()
        done = world.call(interfaces.StepSimulation, 'step_simulation', step).result
        assert done.result == ok
        after, pose = world.present()
        assert after == pytest.approx(at + 0.04)
        # Time alone, then the robot alone.
        when, where = reset(interfaces.ResetSimulation.Request.SCOPE_TIME)
        assert when == 0.0
        np.testing.assert_array_equal(where, pose)
        world.call(interfaces.StepSimulation, 'step_simulation', step)
        when, where = reset(interfaces.ResetSimulation.Request.SCOPE_STATE)
        assert when == pytest.approx(0.04)
        np.testing.assert_array_equal(where, DEFAULT)
        assert go(state.STATE_STOPPED) == ok
        assert now() == state.STATE_STOPPED
        assert go(state.STATE_PLAYING) == ok
        assert now() == state.STATE_PLAYING
        assert go(state.STATE_QUITTING) == ok
        world.until(lambda: not world.thread.is_alive(), 'the end')


def test_a_draw_is_answered_with_what_the_engine_has():
    with World() as world:
        answer = world.draw(
            episode=7,
            seed=3,
            space='abc',
            values={'link.gripper.mass': 1.7, 'surface.floor.restitution': 0.3},
        )
        assert (answer.episode, answer.seed, answer.space) == (7, 3, 'abc')
        assert answer.outcomes == {
            'link.gripper.mass': 'verified',
            'surface.floor.restitution': 'unsupported',
        }
        assert answer.values['link.gripper.mass'] == 1.7
        assert np.isnan(answer.values['surface.floor.restitution'])
        # Whole or not at all.
        answer = world.draw(values={'link.gripper.mass': 1.2, 'joint.elbow.armature': -1.0})
        assert set(answer.outcomes.values()) == {'failed'}
        assert answer.values == {
            'link.gripper.mass': 1.7,
            'joint.elbow.armature': ARM6.joint('elbow').armature,
        }
        # A draw is the whole difference from the nominal robot.
        answer = world.draw(values={'joint.elbow.armature': 0.6})
        assert world.simulator._simulator.get('link.gripper.mass')[0] == 0.8


def test_a_surrogate_keeps_its_secrets(tmp_path):
    hidden = {'link.gripper.mass': 2.0, 'joint.elbow.coulomb_friction': 7.0}
    path = tmp_path / 'hidden.json'
    path.write_text(json.dumps({'values': hidden}))
    with World(parameters_file=str(path)) as world:
        answer = world.draw(values={'joint.elbow.armature': 0.6})
        assert set(answer.values) == {'joint.elbow.armature'}
        simulator = world.simulator._simulator
        assert simulator.get('link.gripper.mass')[0] == 2.0
        assert simulator.get('joint.elbow.coulomb_friction')[0] == 7.0


@pytest.mark.parametrize(
    ('content', 'mend'),
    [
        ('{"link.gripper.mass": "heavy"}', 'JSON'),
        ('{"link.gripper.mass": -1, "joint.elbow.colour": 1}', 'joint.elbow.colour'),
        ('{"surface.floor.restitution": 0.1}', 'unsupported'),
    ],
)
def test_a_bad_parameters_file_is_named(tmp_path, content, mend):
    path = tmp_path / 'hidden.json'
    path.write_text(content)
    rclpy.init()
    try:
        with pytest.raises(InputError, match=mend) as caught:
            SimulatorNode(parameter_overrides=[Parameter('parameters_file', value=str(path))])
        assert str(path) in str(caught.value)
    finally:
        rclpy.shutdown()


def test_bad_parameters_are_all_named():
    given = {'realtime_factor': -1.0, 'seed': 'one', 'camera_rate': 5}
    rclpy.init()
    try:
        with pytest.raises(InputError) as caught:
            SimulatorNode(parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])
    finally:
        rclpy.shutdown()
    faults = {fault.field for fault in caught.value.faults}
    assert faults == {'realtime_factor', 'seed'}


def test_a_trajectory_commands_the_joints_it_names(tmp_path):
    profile = tmp_path / 'arm.yaml'
    text = ARM6.path.read_text().replace('../../description', str(ARM6.urdf.path.parent.parent))
    profile.write_text(
        text.replace('std_msgs/msg/Float64MultiArray', 'trajectory_msgs/msg/JointTrajectory')
    )
    with World(JointTrajectory, robot=str(profile)) as world:
        world.connected()
        point = JointTrajectoryPoint(positions=[0.4, 0.3])
        message = JointTrajectory(joint_names=['flange_roll', 'base'], points=[point])

        def reached():
            world.commands.publish(message)
            last = world.joints[-1] if world.joints else None
            return last and abs(last.position[5] - 0.4) < 0.1 and abs(last.position[0] - 0.3) < 0.1

        world.until(reached, 'the commanded joints')
    assert world.joints[-1].position[3] == pytest.approx(DEFAULT[3], abs=0.1)


class Consumer:
    """A paced policy: commands for a while, acknowledges every sample."""

    def __init__(self, world, commands, acknowledges=lambda count: True):
        self.seen, self.sent = [], 0
        self._world, self._commands, self._acknowledges = world, commands, acknowledges
        self.node = rclpy.create_node('policy')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.pace = self.node.create_publisher(Header, 'pace', LATCHED)
        self.command = self.node.create_publisher(
            Float64MultiArray, 'position_controller/commands', COMMAND
        )
        self.node.create_subscription(JointState, 'joint_states', self.on, SENSOR_RELIABLE)

    def on(self, message):
        count, answers = len(self.seen), 0
        self.seen.append(message)
        if count % 5 == 0 and count < self._commands:
            target = DEFAULT + 0.3 * np.sin(0.1 * count + np.arange(6))
            self.command.publish(Float64MultiArray(data=list(target)))
            self.sent += 1
            answers = 1
        if self._acknowledges(count):
            stamp = message.header.stamp
            self.pace.publish(Header(stamp=stamp, frame_id=f'policy#{answers}'))

    def until(self, count):
        deadline = time.monotonic() + LONG
        while len(self.seen) < count:
            assert self._world.failure is None
            assert time.monotonic() < deadline, f'{len(self.seen)} of {count} samples'
            self.executor.spin_once(timeout_sec=0.05)

    def positions(self):
        return np.array([m.position for m in self.seen])


def paced_run(count, commands, **more):
    world = World(realtime_factor=0.0, paced=True, pace_consumers=['policy'], **more)
    acknowledges = world.__dict__.pop('acknowledges', lambda count: True)
    consumer = Consumer(world, commands, acknowledges)
    with world:
        consumer.until(count)
        consumer.node.destroy_node()
    return consumer


def test_a_paced_run_loses_nothing_and_repeats_bit_for_bit():
    first, second = (paced_run(120, commands=200) for _ in range(2))
    for run in (first, second):
        np.testing.assert_allclose(stamps(run.seen)[:120], 0.004 * np.arange(120), atol=1e-9)
    assert (first.positions()[:120] == second.positions()[:120]).all()
    # The same as the simulator in this process, commanded at the same instants.
    simulator = MujocoSimulator(ARM6, imu=True)
    expected = []
    for count in range(120):
        if count:
            simulator.step(4)
        expected.append(simulator.read().position[0])
        if count % 5 == 0:
            simulator.command(DEFAULT + 0.3 * np.sin(0.1 * count + np.arange(6)))
    assert (first.positions()[:120] == np.array(expected)).all()


def test_a_paced_run_holds_by_simulated_time():
    run = paced_run(220, commands=1)
    positions = run.positions()[:220]
    # The only command came at time zero; 0.25 s later the arm stays where it is.
    assert np.abs(positions[-1] - positions[-20]).max() < 0.01
    simulator = MujocoSimulator(ARM6, imu=True)
    simulator.command(DEFAULT + 0.3 * np.sin(np.arange(6)))
    simulator.step(252)
    simulator.hold()
    simulator.step(4 * 219 - 252)
    np.testing.assert_allclose(positions[219], simulator.state()[0][0], atol=1e-3)


def test_a_paced_run_begins_where_connections_cannot_be_counted(monkeypatch):
    monkeypatch.delattr(Subscription, 'get_publisher_count')  # as in rclpy 3 (Humble)
    run = paced_run(20, commands=10)
    np.testing.assert_allclose(stamps(run.seen)[:20], 0.004 * np.arange(20), atol=1e-9)


def test_a_consumer_that_falls_silent_is_given_up():
    world = World(realtime_factor=0.0, paced=True, pace_consumers=['policy'], pace_timeout=0.3)
    consumer = Consumer(world, commands=0, acknowledges=lambda count: count < 10)
    with world:
        began = time.monotonic()
        consumer.until(30)
        consumer.node.destroy_node()
    assert time.monotonic() - began > 0.3


def test_consumers_that_never_appear_do_not_stop_it():
    with World(
        realtime_factor=0.0, paced=True, pace_consumers=['ghost'], start_timeout=0.2,
        pace_timeout=0.2,
    ) as world:  # fmt: skip
        world.until(lambda: len(world.joints) > 10, 'samples')
        assert world.simulator._lockstep.keeper.late == {'ghost'}


WILD = {'world.timestep': 0.1}
for name in ARM6.joint_names:
    WILD |= {f'actuator.{name}.gain': 10.0, f'actuator.{name}.saturation': 1e6}


@pytest.mark.parametrize('paused', [False, True])
def test_after_a_divergence_a_reset_goes_on_as_before(paused):
    with World(realtime_factor=0.0) as world:
        world.call(SetBool, 'pause', SetBool.Request(data=True))
        world.draw(values=WILD)
        if paused:
            while (answer := world.call(Trigger, 'step')).success:
                pass
            assert 'diverged' in answer.message
        else:
            world.call(SetBool, 'pause', SetBool.Request(data=False))
            world.until(lambda: world.simulator.paused, 'divergence')
        for service, kind, request in (
            ('step', Trigger, Trigger.Request()),
            ('pause', SetBool, SetBool.Request(data=False)),
        ):
            answer = world.call(kind, service, request)
            assert (answer.success, 'diverged' in answer.message) == (False, True)
        interfaces = pytest.importorskip('simulation_interfaces.srv')
        step = interfaces.StepSimulation.Request(steps=1)
        result = world.call(interfaces.StepSimulation, 'step_simulation', step).result
        assert result.result != result.RESULT_OK and 'diverged' in result.error_message
        play = interfaces.SetSimulationState.Request()
        play.state.state = play.state.STATE_PLAYING
        result = world.call(interfaces.SetSimulationState, 'set_simulation_state', play).result
        assert result.result != result.RESULT_OK and 'diverged' in result.error_message
        world.draw(values={})
        assert world.call(Trigger, 'reset').success
        assert world.simulator.paused is paused


def test_endless_steps_end_with_the_node():
    interfaces = pytest.importorskip('simulation_interfaces.srv')
    with World(realtime_factor=0.0) as world:
        world.call(SetBool, 'pause', SetBool.Request(data=True))
        client = world.watcher.create_client(
            interfaces.StepSimulation, 'simulator/step_simulation'
        )
        world.until(client.service_is_ready, 'service')
        client.call_async(interfaces.StepSimulation.Request(steps=2**63))
        world.until(lambda: world.simulator._stepping.time > 10**9, 'steps')
        world.stop.set()
        world.until(lambda: not world.thread.is_alive(), 'the end')
        assert world.failure is None


def test_a_diverging_world_stops_and_says_so():
    with World(realtime_factor=0.0) as world:
        world.draw(values=WILD)
        world.until(
            lambda: any('diverged' in s.message for m in world.health for s in m.status),
            'the report',
        )
        assert world.simulator.paused


def test_pictures():
    from tf2_msgs.msg import TFMessage

    try:
        find_backend()
    except MissingError as error:
        pytest.skip(str(error))
    with World(camera=True, camera_width=64, camera_height=48) as world:
        images = world.hear(Image, 'camera/image_raw', sensor_qos(False), [])
        infos = world.hear(CameraInfo, 'camera/camera_info', sensor_qos(False), [])
        frames = world.hear(TFMessage, 'tf', COMMAND, [])
        world.until(lambda: images and infos and frames, 'a picture')
    placed = {t.child_frame_id: t for t in frames[-1].transforms}[images[0].header.frame_id]
    assert placed.header.frame_id == ARM6.urdf.root
    # The camera looks at the robot: the view along z meets its middle, and y is down.
    at, turn = placed.transform.translation, placed.transform.rotation
    x, y, z, w = turn.x, turn.y, turn.z, turn.w
    view = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    down = [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)]
    there = np.array([at.x, at.y, at.z])
    distance = -(there @ view)
    assert np.linalg.norm(there + distance * np.array(view)) < 0.8
    assert distance > 1 and down[2] < -0.5
    pixels = np.frombuffer(images[0].data, dtype=np.uint8).reshape(48, 64, 3)
    assert pixels.std() > 10
    assert infos[0].k[2] == 32 and infos[0].k[0] == infos[0].k[4]


def test_a_paced_run_goes_on_after_a_pause_with_who_is_there():
    world = World(realtime_factor=0.0, paced=True, pace_consumers=['policy'])
    consumer = Consumer(world, commands=0)
    with world:
        consumer.until(20)
        world.call(SetBool, 'pause', SetBool.Request(data=True))
        consumer.node.destroy_node()
        at, _ = world.present()
        other = Consumer(world, commands=0)
        world.call(SetBool, 'pause', SetBool.Request(data=False))
        other.until(20)
        other.node.destroy_node()
    times = stamps(other.seen)[:20]
    np.testing.assert_allclose(times, at + 0.004 * np.arange(20), atol=1e-9)
