"""The relay node over real topics, alone and before the simulator node."""

import array
import threading
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sim2real_core.errors import InputError
from sim2real_core.messages import draw_from_message, draw_to_message
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, RELIABLE, sensor_qos
from sim2real_core.records import Draw
from sim2real_sim.config import RelayConfig
from sim2real_sim.relay_node import RelayNode

ARM6 = load_profile('arm6')
QUIET = {
    f'sensor.{j}_{m}.noise': 0.0
    for j in ARM6.joint_names
    for m in ('position', 'velocity', 'effort')
}
TOPIC = ARM6.command.topic
LONG = 20.0  # s


class Between:
    """A relay in a thread, and a node on both of its sides."""

    def __init__(self, namespace='', command=Float64MultiArray, simulator=None, **parameters):
        rclpy.init()
        self.watcher = rclpy.create_node('watcher', namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.watcher)
        self.stop = threading.Event()
        parameters['simulator'] = simulator is not None
        overrides = [Parameter(k, value=v) for k, v in parameters.items()]
        self.nodes = [RelayNode(namespace=namespace, parameter_overrides=overrides)]
        reliable = sensor_qos(parameters.get('paced', False))
        self.joints, self.commands, self.answers, self.paces, self.asked = [], [], [], [], []
        for kind, topic, into, qos in (
            (JointState, 'joint_states', self.joints, reliable),
            (command, f'raw/{TOPIC}', self.commands, COMMAND),
            (DiagnosticArray, 'simulator/draw_applied', self.answers, RELIABLE),
            (Header, 'pace', self.paces, RELIABLE),
        ):
            self.watcher.create_subscription(kind, topic, into.append, qos)
        self.from_robot = self.watcher.create_publisher(JointState, 'raw/joint_states', reliable)
        self.to_robot = self.watcher.create_publisher(command, TOPIC, COMMAND)
        self.draws = self.watcher.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
        if simulator:
            simulator(self)
        self.threads = [threading.Thread(target=self.run, args=(node,)) for node in self.nodes]

    def run(self, node):
        if hasattr(node, 'spin'):
            node.spin(self.stop)
            return
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not self.stop.is_set():
            executor.spin_once(timeout_sec=0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        for publisher in (self.from_robot, self.to_robot, self.draws):
            self.until(publisher.get_subscription_count, publisher.topic_name)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(LONG)
        for node in self.nodes:
            node.close()
            node.destroy_node()
        self.watcher.destroy_node()
        rclpy.shutdown()

    def until(self, condition, what):
        deadline = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < deadline, f'not within {LONG} s: {what}'
            self.executor.spin_once(timeout_sec=0.02)

    def passed(self, message, publisher, into):
        """What comes out on the other side (samples are best effort: said until heard)."""
        before, deadline = len(into), time.monotonic() + LONG
        while len(into) == before:
            assert time.monotonic() < deadline
            publisher.publish(message)
            for _ in range(10):
                self.executor.spin_once(timeout_sec=0.02)
        return into[-1]

    def draw(self, values, episode=0):
        before = len(self.answers)
        asked = Draw(episode=episode, seed=4, values=values)
        self.draws.publish(draw_to_message(asked))
        self.until(lambda: len(self.answers) > before, 'an answer')
        return draw_from_message(self.answers[-1])


def joint_state(nanoseconds=123456789, position=0.1):
    message = JointState(name=[*ARM6.joint_names, 'gripper'])
    message.header.stamp.sec, message.header.stamp.nanosec = 7, nanoseconds
    message.header.frame_id = 'somewhere'
    for field in ('position', 'velocity', 'effort'):
        setattr(message, field, array.array('d', [position + k / 3 for k in range(7)]))
    message.position[1] = -0.0
    return message


@pytest.mark.parametrize('namespace', ['', '/left'])
def test_zero_settings_pass_every_bit(namespace):
    with Between(namespace) as between:
        assert set(between.draw(QUIET).outcomes.values()) == {'verified'}
        sent = joint_state()
        found = between.passed(sent, between.from_robot, between.joints)
        assert serialize_message(found) == serialize_message(sent)
        command = Float64MultiArray(data=[0.1 + 0.2, -0.0, 1e300, 0.0, 1.0, 2.0])
        command.layout.data_offset = 3
        found = between.passed(command, between.to_robot, between.commands)
        assert serialize_message(found) == serialize_message(command)


def test_sensors_are_changed_by_name_and_stamps_stay():
    with Between() as between:
        between.draw({**QUIET, 'sensor.elbow_position.bias': 0.25})
        sent = joint_state()
        found = between.passed(sent, between.from_robot, between.joints)
    elbow = ARM6.joint_names.index('elbow')
    difference = np.array(found.position) - sent.position
    assert difference[elbow] == 0.25
    assert not np.delete(difference, elbow).any()
    assert (found.header, found.name, found.effort) == (sent.header, sent.name, sent.effort)


@pytest.mark.parametrize('kind', [Float64MultiArray, JointTrajectory])
def test_commands_lag_between_and_after_they_come(kind, tmp_path):
    robot = tmp_path / 'arm6.yaml'
    text = ARM6.path.read_text().replace('../../description/arm6/arm6.urdf', str(ARM6.urdf.path))
    name = {Float64MultiArray: 'std_msgs/msg/Float64MultiArray'}.get(
        kind, 'trajectory_msgs/msg/JointTrajectory'
    )
    text = '\n'.join(line for line in text.split('\n') if not line.startswith('  type:'))
    robot.write_text(text.replace('command:\n', f'command:\n  type: {name}\n', 1))
    values = [0.1 + k / 3 for k in range(6)]
    values[1] = 0.5
    with Between(command=kind, robot=str(robot), paced=True) as between:
        between.draw({**QUIET, 'actuator.elbow.time_constant': 0.01})
        elbow = ARM6.joint_names.index('elbow')
        for k in range(2):
            between.passed(joint_state(4_000_000 * k), between.from_robot, between.joints)
        command = kind()
        if kind is Float64MultiArray:
            command.data = values
        else:
            command.joint_names = list(ARM6.joint_names)
            command.points = [JointTrajectoryPoint(positions=values)]
            command.points[0].time_from_start.nanosec = 5

        def told(message):
            return message.data if kind is Float64MultiArray else message.points[0].positions

        first = between.passed(command, between.to_robot, between.commands)
        start = 0.1 + elbow / 3
        want = values[elbow] + 1.0
        values[elbow] = want
        if kind is Float64MultiArray:
            command.data = values
        else:
            assert first.points[0].time_from_start.nanosec == 5
            command.points = [JointTrajectoryPoint(positions=values)]
        assert told(first)[elbow] == pytest.approx(start)
        before = told(between.passed(command, between.to_robot, between.commands))[elbow]
        assert start < before < want
        heard = len(between.commands)
        for k in range(2, 40):
            between.passed(joint_state(4_000_000 * k), between.from_robot, between.joints)
        between.until(lambda: len(between.commands) > heard + 5, 'commands go on')
        assert told(between.commands[-1])[elbow] == pytest.approx(want, abs=1e-3)
        assert told(between.commands[-1])[0] == values[0]
        assert {p.frame_id for p in between.paces} == {'relay#0', 'relay#1'}


def test_a_draw_goes_on_to_the_simulator_and_comes_back_as_one_answer():
    from sim2real_sim.node import SimulatorNode

    def simulator(between):
        names = ('joint_states', 'imu', TOPIC)
        remaps = [f'{n}:=raw/{n}' for n in names]
        remaps += [f'~/{n}:=raw/simulator/{n}' for n in ('draw', 'draw_applied')]
        arguments = ['--ros-args', *(part for remap in remaps for part in ('-r', remap))]
        between.nodes.append(SimulatorNode(cli_args=arguments))

    with Between(simulator=simulator) as between:
        mine = {'actuator.elbow.delay': 0.01, 'sensor.elbow_position.bias': 100.0}
        theirs = {'link.gripper.mass': 1.5, 'actuator.elbow.gain': 0.9}
        between.until(between.nodes[0]._asks.get_subscription_count, 'the simulator')
        answer = between.draw({**QUIET, **mine, **theirs}, episode=7)
        assert answer.episode == 7
        assert set(answer.outcomes.values()) == {'verified'}
        assert {a: answer.values[a] for a in {**mine, **theirs}} == {**mine, **theirs}
        engine = between.nodes[1]._simulator
        assert engine.get('link.gripper.mass')[0] == 1.5
        assert engine.get('actuator.elbow.delay')[0] == 0.0  # not twice
        between.until(
            lambda: between.joints and between.joints[-1].position[2] > 90.0, 'a biased sample'
        )
        refused = between.draw({'link.gripper.mass': -1.0, 'actuator.elbow.delay': 0.02}, 8)
        assert set(refused.outcomes.values()) == {'failed'}
        refused = between.draw({'link.gripper.mass': 1.0, 'actuator.elbow.delay': -0.02}, 9)
        assert set(refused.outcomes.values()) == {'failed'}
        assert engine.get('link.gripper.mass')[0] == 1.5
        assert between.nodes[0]._relay.get('actuator.elbow.delay') == 0.01


def test_the_imu_passes_through():
    with Between() as between:
        heard = []
        between.watcher.create_subscription(Imu, 'imu', heard.append, sensor_qos(False))
        publisher = between.watcher.create_publisher(Imu, 'raw/imu', sensor_qos(False))
        sent = Imu()
        sent.angular_velocity.z, sent.orientation_covariance[0] = 0.3, -1.0
        assert between.passed(sent, publisher, heard) == sent
        if ARM6.imu_link:
            between.draw({**QUIET, 'sensor.imu_gyro.bias': 0.5})
            assert between.passed(sent, publisher, heard).angular_velocity.z == 0.8


@pytest.mark.parametrize('behind', ['', '/', '/raw'])
def test_the_sides_must_differ_by_name(behind):
    with pytest.raises(InputError, match='behind'):
        RelayConfig(behind=behind)
