"""What a policy hears beside joint states, from messages into a controller's arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import Image, Imu

from sim2real_core.messages import to_seconds
from sim2real_core.profile import RobotProfile
from sim2real_core.qos import COMMAND, LATCHED, sensor_qos
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.controller import Controller
from sim2real_policy.images import ImageInput, absurd
from sim2real_policy.loop_ros import FastLoop
from sim2real_policy.observation import TOPICS
from sim2real_policy.vectors import attitude, downward, xyz


class Inputs:
    """Subscribes to what a policy sees; what is not usable is said and left out.

    Args:
        node: whose subscriptions they are.
        loop: in whose thread messages are taken.
        controller: gets them.
        meta: of the policy: what it sees.
        profile: of the robot: on which topics.
        paced: no sensor sample may be lost.
    """

    def __init__(
        self,
        node: Node,
        loop: FastLoop,
        controller: Controller,
        meta: BundleMetadata,
        profile: RobotProfile,
        paced: bool,
    ) -> None:
        self._log = node.get_logger()
        self._controller, self._meta = controller, meta
        self._sees = meta.observation.inputs
        sensor = sensor_qos(paced)
        heard: dict[str, tuple[Any, Any, Callable[[Any, float], None], bool]] = {
            'goal': (PoseStamped, LATCHED, self._on_goal, True),
            'velocity_goal': (Twist, COMMAND, self._on_velocity_goal, True),
            'imu': (Imu, sensor, self._on_imu, False),
            'odometry': (Odometry, sensor, self._on_odometry, False),
        }
        wanted = {TOPICS[name] for name in self._sees if name in TOPICS}
        wanted |= {'goal'} if meta.goal.kind in ('tool_position', 'base_position') else set()
        topics = {name: getattr(profile.topics, name) for name in heard} | meta.observation.topics
        for name, (kind, qos, callback, events) in heard.items():
            if name in wanted:
                loop.subscribe(kind, topics[name], qos, callback, events=events, newest=True)
        for image in meta.images:
            take = partial(self._on_image, image)
            loop.subscribe(Image, image.topic, sensor, take, newest=True)

    def _on_goal(self, message: PoseStamped, noticed: float) -> None:
        goal, frame = xyz(message.pose.position), message.header.frame_id
        if frame == self._meta.goal.frame and self._controller.goal(goal):
            return
        right = f'give finite, sensible numbers in frame {self._meta.goal.frame}'
        text = f'goal {goal} in frame {frame!r} refused: {right}'
        self._log.error(text, throttle_duration_sec=1.0)

    def _on_velocity_goal(self, message: Twist, noticed: float) -> None:
        asked = np.array([message.linear.x, message.linear.y, message.angular.z])
        if not self._controller.velocity_goal(asked):
            text = f'velocity goal {asked} refused: give finite, sensible numbers'
            self._log.error(text, throttle_duration_sec=1.0)

    def _on_imu(self, message: Imu, noticed: float) -> None:
        values = {
            'angular_velocity': xyz(message.angular_velocity),
            'linear_acceleration': xyz(message.linear_acceleration),
        }
        turned = message.orientation
        if 'gravity' in self._sees:
            values['gravity'] = downward(turned)
        if 'orientation' in self._sees:
            values['orientation'] = attitude(turned)
        self._controller.sense('imu', to_seconds(message.header.stamp), values)

    def _on_odometry(self, message: Odometry, noticed: float) -> None:
        twist = message.twist.twist
        values = {
            'base_linear_velocity': xyz(twist.linear),
            'base_angular_velocity': xyz(twist.angular),
            'base_position': xyz(message.pose.pose.position),
        }
        self._controller.sense('odometry', to_seconds(message.header.stamp), values)

    def _on_image(self, image: ImageInput, message: Image, noticed: float) -> None:
        stamp, seen = to_seconds(message.header.stamp), image.usable(message)
        if self._controller.outdated(image.name, stamp):
            return
        if seen is None:
            size = message.height, message.width, message.encoding
            right = f'the policy sees {image.height} x {image.width} {image.encoding}'
            self._refuse(f'image {size} on {image.topic} refused: {right}')
        elif absurd(seen):
            self._refuse(f'image on {image.topic} refused: a pixel is not finite, or absurd')
        else:
            image.fill(seen, self._controller.images[image.name][0])
            self._controller.sense(image.name, stamp, {})

    def _refuse(self, text: str) -> None:
        self._log.error(text, throttle_duration_sec=1.0)
