"""What the policy node publishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sim2real_core.profile import RobotProfile
from sim2real_core.qos import ANSWERS, COMMAND, RELIABLE
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.conversions import COMMANDS, AppliedAction, ObservationMessage

Array = npt.NDArray[np.float64]


class Outputs:
    """Publishers of the commands to a robot, and of what tells others about them.

    Args:
        node: whose publishers they are.
        meta: of the policy.
        profile: of the robot.
        paced: nothing may be lost.
    """

    def __init__(
        self, node: Node, meta: BundleMetadata, profile: RobotProfile, paced: bool
    ) -> None:
        self._node = node
        joints, interface = profile.joint_names, profile.command.interface
        self._command = COMMANDS[profile.command.type](joints, interface, meta.control_period)
        self._applied = AppliedAction(joints, interface)
        self._observation = ObservationMessage(meta.observation.labels)
        create = node.create_publisher
        sent, told = (ANSWERS, ANSWERS) if paced else (COMMAND, RELIABLE)
        self._to_robot = create(self._command.type, profile.command.topic, sent)
        self._to_applied = create(JointState, 'policy/action_applied', told)
        self._to_observation = create(Float64MultiArray, 'policy/observation', RELIABLE)

    def command(self, command: Array) -> None:
        """Command the robot (nj,); nothing else, because it is waiting."""
        self._to_robot.publish(self._command.fill(command))

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
            self._node.destroy_publisher(publisher)
