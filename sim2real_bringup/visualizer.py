"""The visualizer: what rviz shows beside the robot, on ``sim2real/markers``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pinocchio
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, PoseStamped, TransformStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA, String
from visualization_msgs.msg import Marker, MarkerArray

from sim2real_bringup import markers
from sim2real_bringup.config import VisualizerConfig
from sim2real_bringup.markers import Shape, Trail
from sim2real_capture.decoding import joint_values
from sim2real_core import node as core
from sim2real_core.kinematics import Kinematics
from sim2real_core.messages import estimate_from_message, to_seconds
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_core.qos import LATCHED, RELIABLE, SENSOR
from sim2real_core.records import Estimate
from sim2real_core.trajectory import read_trajectory
from sim2real_sysid.excitation_plot import tool_path

KINDS = {
    'sphere': Marker.SPHERE,
    'line': Marker.LINE_STRIP,
    'text': Marker.TEXT_VIEW_FACING,
}
TOOL_SIZE = 0.03  # of the robot's reach
TEXT_HEIGHT = 0.035  # of the robot's reach
LEAST_REACH = 0.2  # [m]


class VisualizerNode(Node):
    """Publishes markers. See :class:`VisualizerConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('visualizer', **options)
        self._config = config = core.declare(self, VisualizerConfig)
        self._profile = profile = load_profile(config.robot)
        self._kinematics = Kinematics(profile)
        default = profile.array('default_position')
        reach = float(np.linalg.norm(self._kinematics.position(default)))
        self._reach = max(reach, LEAST_REACH)
        self._measured, self._commanded = Trail(config.trail), Trail(config.trail)
        self._position: Any = None
        self._stamp: Any = None
        self._shown: Any = None  # stamp of what is in the trail and in tf
        self._goal: tuple[Any, str] | None = None
        self._estimate: Estimate | None = None
        self._to_markers = self.create_publisher(MarkerArray, 'sim2real/markers', RELIABLE)
        self._way = tool_way(config.trajectory, profile)
        self._to_tf: Any = None
        if config.robot_state:
            self._publish_robot()
        for kind, topic, take, qos in (
            (JointState, profile.topics.joint_states, self._on_joint_states, SENSOR),
            (JointState, 'policy/action_applied', self._on_action, RELIABLE),
            (PoseStamped, profile.topics.goal, self._on_goal, LATCHED),
            (DiagnosticArray, 'sysid/estimate', self._on_estimate, LATCHED),
        ):
            self.create_subscription(kind, topic, take, qos)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / config.rate, self._publish, clock=steady)
        self._health = core.Health(self)

    def _publish_robot(self) -> None:
        from tf2_msgs.msg import TFMessage

        self._to_tf = self.create_publisher(TFMessage, 'tf', RELIABLE)
        self._description = self.create_publisher(String, 'robot_description', LATCHED)
        self._description.publish(String(data=self._profile.urdf.text))

    def _on_joint_states(self, message: JointState) -> None:
        position = joint_values(message, self._profile.joint_names, 'position')
        if position is not None:
            self._position, self._stamp = position, message.header.stamp

    def _on_action(self, message: JointState) -> None:
        command = joint_values(message, self._profile.joint_names, 'position')
        if command is not None:  # a robot commanded otherwise has no commanded pose
            tool = self._kinematics.position(command)
            self._commanded.add(to_seconds(message.header.stamp), tool)

    def _on_goal(self, message: PoseStamped) -> None:
        point = message.pose.position
        frame = message.header.frame_id or self._profile.base_link
        self._goal = np.array([point.x, point.y, point.z]), frame

    def _on_estimate(self, message: DiagnosticArray) -> None:
        self._estimate = estimate_from_message(message)

    def _shapes(self) -> list[Shape]:
        base, size = self._profile.base_link, TOOL_SIZE * self._reach
        shapes = markers.tool('measured', self._measured, base, markers.MEASURED, size)
        shapes += markers.tool('commanded', self._commanded, base, markers.COMMANDED, size)
        if self._way is not None:
            shapes.append(markers.way(self._way, base, size / 4))
        if self._goal is not None:
            shapes.append(markers.target(self._goal[0], self._goal[1], 1.5 * size))
        if self._estimate is not None:
            corner = (0.0, 1.2 * self._reach, 1.5 * self._reach)
            height = TEXT_HEIGHT * self._reach
            most = self._config.estimates
            shapes += markers.estimates(self._estimate, base, corner, most, height)
        return shapes

    def _publish(self) -> None:
        if self._position is not None and self._stamp != self._shown:
            self._shown = self._stamp
            tool = self._kinematics.position(self._position)
            self._measured.add(to_seconds(self._stamp), tool)
            if self._to_tf is not None:
                self._publish_transforms()
        array = MarkerArray(markers=[_marker(shape) for shape in self._shapes()])
        if array.markers:
            self._to_markers.publish(array)

    def _publish_transforms(self) -> None:
        """Every link as seen from the base; joint states say nothing of more than that."""
        from tf2_msgs.msg import TFMessage

        transforms = []
        for link in self._profile.link_names:
            if link == self._profile.base_link:
                continue
            position, rotation = self._kinematics.pose(self._position, link)
            transform = TransformStamped(child_frame_id=link)
            transform.header.frame_id = self._profile.base_link
            transform.header.stamp = self._stamp
            put, turn = transform.transform.translation, transform.transform.rotation
            put.x, put.y, put.z = map(float, position)
            turn.x, turn.y, turn.z, turn.w = map(float, pinocchio.Quaternion(rotation).coeffs())
            transforms.append(transform)
        self._to_tf.publish(TFMessage(transforms=transforms))

    def close(self) -> None:
        """Say goodbye."""
        self._health.close()


def tool_way(file: str, profile: RobotProfile) -> Any:
    """The way (n, 3) of the tool along a trajectory [m]; None without a file."""
    return tool_path(profile, read_trajectory(file, profile)) if file else None


def _marker(shape: Shape) -> Marker:
    """A shape as a message. Its stamp is zero: rviz takes the newest transform."""
    marker = Marker(ns=shape.group, id=shape.number, type=KINDS[shape.kind], action=Marker.ADD)
    marker.header.frame_id = shape.frame
    marker.pose.orientation.w = 1.0
    pose, scale = marker.pose.position, marker.scale
    pose.x, pose.y, pose.z = map(float, shape.position)
    scale.x = scale.y = scale.z = float(shape.size)
    marker.color = ColorRGBA(**dict(zip('rgba', map(float, shape.colour))))
    marker.points = [Point(**dict(zip('xyz', map(float, point)))) for point in shape.points]
    marker.text = shape.text
    return marker


def main(args: list[str] | None = None) -> int:
    """Run the visualizer."""
    return core.main(VisualizerNode, args)


if __name__ == '__main__':
    sys.exit(main())
