"""The relay node: sensors and drives with flaws between a robot or simulator and its policy."""

from __future__ import annotations

import array
import sys
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectoryPoint

from sim2real_core.command_messages_ros import FIELDS
from sim2real_core.errors import InputError
from sim2real_core.messages import draw_from_message, draw_to_message, to_seconds
from sim2real_core.node import Health, Pace, declare
from sim2real_core.node import main as run
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, RELIABLE, sensor_qos
from sim2real_core.records import Draw
from sim2real_sim import draws_ros
from sim2real_sim.config import RelayConfig
from sim2real_sim.conversions import CommandReader
from sim2real_sim.relay import Relay, answered, passed_on, refused


class RelayNode(Node):
    """Stands between a robot and its policy; see :class:`RelayConfig` for its parameters.

    What it does not change it passes on as the bytes that came.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('relay', **options)
        config = self._config = declare(self, RelayConfig)
        profile = self._profile = load_profile(config.robot)
        self._relay = Relay(profile, config.seed)
        self._reader = CommandReader(profile)
        self._present = np.zeros(len(profile.joints))
        self._template: Any = None
        self._asked: Draw | None = None
        self._fault = ''
        self._pace = Pace(self, config.paced)
        topics, sensors = profile.topics, sensor_qos(config.paced)
        command, behind = profile.command.topic, config.behind.rstrip('/')
        self._joints = self.create_publisher(JointState, topics.joint_states, sensors)
        self._imu = self.create_publisher(Imu, topics.imu, sensors)
        self._commands = self.create_publisher(self._reader.type, f'{behind}/{command}', COMMAND)
        for kind, topic, heard, qos in (
            (JointState, f'{behind}/{topics.joint_states}', self._on_joints, sensors),
            (Imu, f'{behind}/{topics.imu}', self._on_imu, sensors),
            (self._reader.type, command, self._on_command, COMMAND),
        ):
            self.create_subscription(kind, topic, heard, qos, raw=True)
        self._answers = self.create_publisher(DiagnosticArray, 'simulator/draw_applied', RELIABLE)
        self._asks = self.create_publisher(DiagnosticArray, f'{behind}/simulator/draw', RELIABLE)
        self.create_subscription(DiagnosticArray, 'simulator/draw', self._on_draw, RELIABLE)
        self.create_subscription(
            DiagnosticArray, f'{behind}/simulator/draw_applied', self._on_answer, RELIABLE
        )
        self._health = Health(self, self._status)

    def _on_joints(self, raw: bytes) -> None:
        relay, sent, stamp = self._relay, 0, None
        if relay.acts or relay.senses or self._config.paced:
            message = deserialize_message(raw, JointState)
            stamp = message.header.stamp
            arrays = message.name, message.position, message.velocity, message.effort
            if relay.acts or relay.senses:
                relay.advance(to_seconds(stamp), *arrays)
            if relay.acts and (told := relay.pending()) is not None:
                self._tell(told)
                sent = 1
            if relay.senses:
                read = (array.array('d', values) for values in relay.sense(*arrays))
                message.position, message.velocity, message.effort = read
                raw = message
        self._joints.publish(raw)
        if stamp is not None:
            self._pace.done(stamp, sent)

    def _on_imu(self, raw: bytes) -> None:
        if self._relay.senses_imu:
            message = deserialize_message(raw, Imu)
            turn, push = message.angular_velocity, message.linear_acceleration
            true = [turn.x, turn.y, turn.z, push.x, push.y, push.z]
            read = self._relay.sense_imu(to_seconds(message.header.stamp), true)
            turn.x, turn.y, turn.z, push.x, push.y, push.z = read
            raw = message
        self._imu.publish(raw)

    def _on_command(self, raw: bytes) -> None:
        if not self._relay.acts:
            self._commands.publish(raw)
            return
        message = deserialize_message(raw, self._reader.type)
        command, self._fault = self._reader.read(message, self._present)
        if self._fault:
            self.get_logger().error(f'command ignored: {self._fault}', throttle_duration_sec=1.0)
            return
        self._present, self._template = command, message
        self._tell(self._relay.command(command))

    def _tell(self, command: np.ndarray) -> None:
        """Command the robot, in a message like the last that came."""
        values, message = array.array('d', command), self._template
        if isinstance(message, Float64MultiArray):
            message.data = values
        else:
            field = FIELDS[self._profile.command.interface]
            after = message.points[0].time_from_start
            point = JointTrajectoryPoint(**{field: values}, time_from_start=after)
            message.joint_names, message.points = list(self._profile.joint_names), [point]
        self._commands.publish(message)

    def _on_draw(self, message: DiagnosticArray) -> None:
        draw = draws_ros.heard(self, message)
        if draw is None:
            return
        self._asked = None
        try:
            self._relay.check(draw.values)
        except InputError as error:
            self.get_logger().error(f'nothing of draw {draw.episode} was applied:\n{error}')
            self._answer(refused(draw))
            return
        if self._config.simulator:
            self._asked = draw
            self._asks.publish(draw_to_message(passed_on(draw, self._relay), self._now()))
        else:
            self._answer(answered(draw, None, self._relay))

    def _on_answer(self, message: DiagnosticArray) -> None:
        try:
            answer = draw_from_message(message)
        except InputError as error:
            self.get_logger().error(f'answer of the simulator ignored: {error}')
            return
        asked = self._asked
        if asked is not None and _key(answer) == _key(asked):
            self._asked = None
            self._answer(answered(asked, answer, self._relay))

    def _answer(self, draw: Draw) -> None:
        self._answers.publish(draw_to_message(draw, self._now(), self._profile))

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        relay = self._relay
        values: dict[str, object] = dict(
            commands=relay.acts, joint_states=relay.senses, imu=relay.senses_imu
        )
        if self._fault:
            return DiagnosticStatus.WARN, f'command ignored: {self._fault}', values
        if self._asked is not None:
            return DiagnosticStatus.OK, 'waiting for the simulator to apply a draw', values
        changes = relay.acts or relay.senses or relay.senses_imu
        return DiagnosticStatus.OK, 'changing' if changes else 'passing on', values

    def close(self) -> None:
        """Say goodbye."""
        self._health.close()


def _key(draw: Draw) -> tuple[int, int, int]:
    return draw.episode, draw.seed, draw.environment


def main(args: list[str] | None = None) -> int:
    """Run the relay node."""
    return run(RelayNode, args)


if __name__ == '__main__':
    sys.exit(main())
