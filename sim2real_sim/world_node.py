"""The draws node: a robot's drawn worlds in a Gazebo that others joined to ROS.

Where gazebo_ros or ros_gz publish joint states and take commands, this node puts the robot into
the world and applies draws, as the node ``simulator``, over their services.
"""

from __future__ import annotations

import math
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from sim2real_core.errors import Fault, InputError
from sim2real_core.messages import draw_to_message
from sim2real_core.node import Health, declare
from sim2real_core.node import main as run
from sim2real_core.profile import load_profile
from sim2real_core.qos import RELIABLE
from sim2real_core.records import Draw
from sim2real_sim import draws_ros, sdf
from sim2real_sim.config import WorldConfig
from sim2real_sim.world import World, WorldError

LOOK = 1.0  # [s] between looks after the world
PATIENCE = 1.0  # [s] with a call to Gazebo that is under way in the end
VERSIONS = {'gazebo_ros': '1.7', 'ros_gz': '1.11'}
"""Of SDF, that the Gazebo there reads."""


class WorldNode(Node):
    """Draws in a Gazebo; see :class:`WorldConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('simulator', **options)
        config = self._config = declare(self, WorldConfig)
        profile = load_profile(config.robot)
        self._name = profile.name
        self._sdf = _model(config.model_file) or sdf.from_profile(
            profile, VERSIONS[config.joined_by]
        )
        self._world: World | None = None
        self._draw: Draw | None = None
        self._trouble = 'not connected yet'
        self._stop = threading.Event()
        self._busy = threading.Lock()  # with the world; held by whoever speaks to it
        slow = MutuallyExclusiveCallbackGroup()  # health goes on while Gazebo is waited for
        self._to_applied = self.create_publisher(DiagnosticArray, '~/draw_applied', RELIABLE)
        self.create_subscription(
            DiagnosticArray, '~/draw', self._on_draw, RELIABLE, callback_group=slow
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK, self._look_after, callback_group=slow, clock=steady)
        self._health = Health(self, self._status)

    def spin(self, stop: threading.Event) -> None:
        """Look after the world and answer until ``stop`` is set."""
        executor = MultiThreadedExecutor(num_threads=2)
        executor.add_node(self)
        try:
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.2)
        finally:
            executor.remove_node(self)

    def _connect(self) -> World:
        if self._config.joined_by == 'gazebo_ros':
            from sim2real_sim.gazebo_classic.services_ros import ClassicServices

            config = self._config
            return ClassicServices(config.services, config.timeout, stop=self._stop)
        from sim2real_sim.gz.world import GzWorld

        return GzWorld(self._config.services, self._config.timeout)

    def _look_after(self) -> None:
        with self._busy:
            if not self._stop.is_set():
                self._restore()

    def _restore(self) -> None:
        """Have the robot in the world as it was drawn last."""
        try:
            if self._world is None:
                self._world = self._connect()
            elif not self._trouble and self._name in self._world.models():
                return
            self._world.spawn(self._name, self._sdf)
            self.get_logger().warning(f'{self._name} is put into the world')
            self._trouble = ''
            if self._draw is not None:
                self._apply(self._world, self._draw)
        except WorldError as error:
            self._lose(error)

    def _on_draw(self, message: DiagnosticArray) -> None:
        with self._busy:
            draw = None if self._stop.is_set() else draws_ros.heard(self, message)
            if draw is not None:
                self._answer(draw)

    def _answer(self, draw: Draw) -> None:
        try:
            if self._world is None or self._trouble:
                raise WorldError(self._trouble)
            self._apply(self._world, draw)
        except (InputError, WorldError) as error:
            self.get_logger().error(f'nothing of draw {draw.episode} was applied:\n{error}')
            self._send(replace(draw, outcomes=dict.fromkeys(draw.values, 'failed')))
            if isinstance(error, WorldError):
                self._lose(error)

    def _apply(self, world: World, draw: Draw) -> None:
        outcomes = world.apply(self._name, draw.values)
        self._draw = draw
        values = {}
        for address in draw.values:
            read = world.get(self._name, address) if outcomes[address] == 'verified' else None
            values[address] = math.nan if read is None else read
        answer = replace(draw, values=values, outcomes=outcomes, tolerance=world.tolerance)
        self._send(answer)

    def _lose(self, error: WorldError) -> None:
        """The world is not as it should be: the robot is put there anew, when that can be."""
        if str(error) != self._trouble and not self._stop.is_set():
            self.get_logger().error(str(error))
        self._trouble = str(error)

    def _send(self, draw: Draw) -> None:
        self._to_applied.publish(draw_to_message(draw, self.get_clock().now().nanoseconds * 1e-9))

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        if self._trouble:
            return DiagnosticStatus.ERROR, self._trouble, {}
        return DiagnosticStatus.OK, 'running', {}

    def close(self) -> None:
        """Let go of the world and say goodbye."""
        self._stop.set()
        # Callbacks go on in another thread and need what is closed here; who ends us waits less
        # long than Gazebo may take to answer.
        if self._busy.acquire(timeout=PATIENCE) and self._world is not None:
            self._world.close()
        self._health.close()


def _model(file: str) -> str:
    try:
        return Path(file).read_text(encoding='utf-8') if file else ''
    except OSError as error:
        raise InputError(Fault('model_file', file, f'give an SDF file ({error})')) from error


def main(args: list[str] | None = None) -> int:
    """Run the draws node."""
    return run(WorldNode, args, spin=WorldNode.spin)


if __name__ == '__main__':
    sys.exit(main())
