"""What a person may do to a running policy: stop it, let it go on, lead it by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Bool, Float64
from std_srvs.srv import Trigger

from sim2real_core.command_messages_ros import CommandReader
from sim2real_core.errors import InputError
from sim2real_core.profile import RobotProfile
from sim2real_core.qos import COMMAND, RELIABLE
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.controller import Controller


class Operator:
    """Topics and services of a person, served by the node's executor.

    ``emergency_stop`` (Bool, true) and the service ``policy/stop`` stop until ``policy/reset``.
    Commands on ``policy/override``, of the robot's own type, are blended into the policy's with
    the weight last heard on ``policy/override_weight`` (Float64 from 0 to 1, at first 1).

    Args:
        node: whose topics and services they are.
        lock: held while the controller is spoken to.
    """

    def __init__(self, node: Node, lock: threading.Lock) -> None:
        self._node, self._lock = node, lock
        self._controller: Controller | None = None
        self._made: list[Any] = []
        node.create_service(Trigger, 'policy/stop', self._on_stop_asked)
        node.create_service(Trigger, 'policy/reset', self._on_reset)
        node.create_subscription(Bool, 'emergency_stop', self._on_stop, RELIABLE)

    def serve(
        self,
        controller: Controller,
        meta: BundleMetadata,
        profile: RobotProfile,
        active: Callable[[], bool],
    ) -> None:
        """Serve a configured policy.

        Args:
            controller: of the policy.
            meta: of the policy.
            profile: of the robot.
            active: whether the policy acts.
        """
        self._active = active
        self._reader = reader = CommandReader(profile)
        self._order = [profile.command_names.index(name) for name in meta.command_names]
        self._weight, self._manual = 1.0, np.zeros(len(self._order))
        create = self._node.create_subscription
        self._made = [
            create(reader.type, 'policy/override', self._on_override, COMMAND),
            create(Float64, 'policy/override_weight', self._on_weight, COMMAND),
        ]
        self._controller = controller

    def close(self) -> None:
        """Serve nobody any more."""
        self._controller = None
        for subscription in self._made:
            self._node.destroy_subscription(subscription)
        self._made = []

    def _on_stop(self, message: Bool) -> None:
        if message.data and self._controller is not None:
            with self._lock:
                self._controller.guard.stop('emergency stop')

    def _on_stop_asked(self, request: Any, response: Any) -> Any:
        self._on_stop(Bool(data=True))
        return self._answer(response, 'stopped')

    def _on_reset(self, request: Any, response: Any) -> Any:
        if self._controller is not None and self._active():
            with self._lock:
                self._controller.release()
        return self._answer(response, 'released')

    def _answer(self, response: Any, done: str) -> Any:
        response.success = self._controller is not None and self._active()
        response.message = done if response.success else 'the policy is not active'
        return response

    def _on_override(self, message: Any) -> None:
        command, fault = self._reader.read(message, self._manual)
        if fault:
            text = f'override ignored: {fault}'
            self._node.get_logger().error(text, throttle_duration_sec=1.0)
            return
        self._manual = command
        self._blend()

    def _on_weight(self, message: Float64) -> None:
        if not 0.0 <= message.data <= 1.0:
            text = f'weight {message.data} ignored: must be from 0 to 1'
            self._node.get_logger().error(text, throttle_duration_sec=1.0)
            return
        self._weight = message.data
        if self._weight == 0.0:  # else the next command brings it
            self._blend()

    def _blend(self) -> None:
        controller = self._controller
        if controller is None:
            return
        try:
            with self._lock:
                controller.guard.override(self._manual[self._order], self._weight)
        except InputError as error:
            self._node.get_logger().error(f'override ignored: {error}', throttle_duration_sec=1.0)
