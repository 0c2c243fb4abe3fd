"""What the policy node publishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sim2real_core.command_messages_ros import COMMANDS
from sim2real_core.profile import RobotProfile
from sim2real_core.qos import ANSWERS, COMMAND, RELIABLE
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.conversions import AppliedAction, ObservationMessage

Array = npt.NDArray[np.float64]


class Outputs:
    """Publishers of the commands to a robot, and of what tells others about them.

    In shadow nothing reaches the robot, and what would have is told on another topic.

    Args:
        node: whose publishers they are.
        meta: of the policy.
        profile: of the robot.
        paced: nothing may be lost.
        shadow: command nothing.
    """

    def __init__(
        self,
        node: Node,
        meta: BundleMetadata,
        profile: RobotProfile,
        paced: bool,
        shadow: bool = False,
    ) -> None:
        self._node = node
        names, drives = profile.command_names, profile.command.drives
        self._command = COMMANDS[profile.command.type](names, drives, meta.control_period)
        self._applied = AppliedAction(names, drives)
        self._observation = ObservationMessage(meta.observation.labels)
        create = node.create_publisher
        sent, told = (ANSWERS, ANSWERS) if paced else (COMMAND, RELIABLE)
        self._to_robot: Any = None
        if not shadow:
            self._to_robot = create(self._command.type, profile.command.topic, sent)
        topic = 'policy/action_shadow' if shadow else 'policy/action_applied'
        self._to_applied = create(JointState, topic, told)
        self._to_observation = create(Float64MultiArray, 'policy/observation', RELIABLE)

    def command(self, command: Array, stamp: Any) -> bool:
        """Command the robot (na,), and nothing else, because it is waiting.

        Args:
            command: in the robot's command order.
            stamp: of the sample that it answers.

        Returns:
            Whether the robot was commanded.
        """
        if self._to_robot is None:
            return False
        self._to_robot.publish(self._command.fill(command, stamp))
        return True

    def tell(
        self, command: Array, stamp: Any, observation: npt.NDArray[np.float32] | None
    ) -> None:
        """Tell what was sent, for the sample of this stamp, and what the policy saw."""
        self._to_applied.publish(self._applied.fill(command, stamp))
        if observation is not None:
            self._to_observation.publish(self._observation.fill(observation))

    def close(self) -> None:
        """Drop the publishers."""
        for publisher in (self._to_robot, self._to_applied, self._to_observation):
            if publisher is not None:
                self._node.destroy_publisher(publisher)
