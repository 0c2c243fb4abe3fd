"""The bridge node: a robot in Gazebo Classic, on the topics of a real one.

It needs no gazebo_ros: it speaks Gazebo's own transports. It has the name, the topics and the
services of the embedded simulator's node, so that whatever works with that works with this.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from sim2real_core.errors import InputError
from sim2real_core.messages import draw_to_message
from sim2real_core.node import Health, declare
from sim2real_core.node import main as run
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, RELIABLE
from sim2real_core.records import Draw
from sim2real_sim import draws_ros
from sim2real_sim.config import GazeboConfig
from sim2real_sim.conversions import CommandReader
from sim2real_sim.gazebo_classic.camera_ros import GazeboCamera
from sim2real_sim.gazebo_classic.keeper import Keeper, Place
from sim2real_sim.gazebo_classic.sampling import Sampler
from sim2real_sim.gazebo_classic.server import PORT, Server
from sim2real_sim.gazebo_classic.serving_ros import GazeboServices
from sim2real_sim.gazebo_classic.stream import StepStream
from sim2real_sim.gazebo_classic.world import ClassicWorld
from sim2real_sim.publishers_ros import Publishers
from sim2real_sim.services_ros import serve
from sim2real_sim.stepping import CommandWatch, clock_period
from sim2real_sim.world import WorldError

NS = 10**9
LOOK = 0.2  # [s] between looks after the world
WATCH = 0.02  # [s] between looks whether commands stopped
TURN = 0.001  # [s] a thread may take; with Python's own five, a thousand steps a second pile up
BEHIND = 50  # steps that may wait to be published; more are left out
TOO_SLOW = 'samples are left out: this machine is too slow; lower realtime_factor'


class GazeboBridge(Node):
    """A robot in Gazebo; see :class:`GazeboConfig` for its parameters.

    Attributes:
        keeper: keeps it there.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('simulator', **options)
        config = self._config = declare(self, GazeboConfig)
        profile = self._profile = load_profile(config.robot)
        period = round(NS / profile.rates.joint_state_rate)
        self._sampler = Sampler(
            {'joint_states': period, 'clock': clock_period(period)},
            {'tf': round(NS / config.tf_rate)} if config.tf_rate > 0 else {},
        )
        self._steps = StepStream(self._sampler.wants, BEHIND)
        self._left_out = 0  # as was said last
        server = None
        if config.start_server:
            server = Server(config.world, port=config.port or PORT, cameras=config.camera)
        place = Place.of(config)
        self.keeper = Keeper(
            profile, self._connect, self._steps.offer, place, server, config.realtime_factor
        )
        camera = GazeboCamera.beside(self, config, self.keeper) if config.camera else None
        self._watch, self._reader = CommandWatch(profile.command.timeout), CommandReader(profile)
        self._answered: tuple[Draw, Draw] | None = None
        self._stop = threading.Event()
        self._outputs = Publishers(
            self, self.keeper.reader, self._sampler, config.tf_rate > 0, view=camera
        )
        # What waits for Gazebo has a group of its own: commands and health go on meanwhile.
        slow, steady = MutuallyExclusiveCallbackGroup(), Clock(clock_type=ClockType.STEADY_TIME)
        self._to_applied = self.create_publisher(DiagnosticArray, '~/draw_applied', RELIABLE)
        self._slow, self._draws = slow, None
        self.create_subscription(
            self._reader.type, profile.command.topic, self._on_command, COMMAND
        )
        steps = max(1, round(profile.rates.control_period / profile.rates.timestep))
        serve(self, self, steps, slow)
        try:
            GazeboServices(self, self.keeper, slow)
        except ImportError:
            self.get_logger().info("gazebo_msgs is not installed: gazebo_ros's are not served")
        self.create_timer(LOOK, self._look_after, callback_group=slow, clock=steady)
        self.create_timer(WATCH, self._hold_if_silent, clock=steady)
        self._health = Health(self, self._status)

    def _connect(self) -> ClassicWorld:
        return ClassicWorld(self._config.host, self._config.port, self._config.timeout)

    # Control, called by the services

    @property
    def paused(self) -> bool:
        """Whether simulated time stands still."""
        return self.keeper.resting()

    def reset_world(self, time: bool = True, state: bool = True) -> None:
        """World and time back to the start, the robot in its default pose."""
        self.keeper.reset(world_time=time)
        self._watch.reset()

    def pause(self, paused: bool) -> str:
        """Let simulated time run, or stop it once what was until then is published."""
        self.keeper.pause(paused)
        if paused:
            self._steps.drain(self._config.timeout)
        return ''

    def step_world(self, steps: int) -> str:
        """Take physics steps while paused; what falls due on the way is published."""
        self.keeper.step(steps)
        return ''

    def quit(self) -> None:
        """End the process."""
        self._stop.set()

    # The threads: Gazebo's offers steps, one publishes them, the executor's do the rest.

    def spin(self, stop: threading.Event) -> None:
        """Publish and answer until ``stop`` is set."""
        self._stop = stop
        sys.setswitchinterval(TURN)
        # Kept: a gzserver that a thread of it started would end with the thread.
        executor = self._executor = MultiThreadedExecutor(num_threads=2)
        executor.add_node(self)
        publishes = threading.Thread(target=self._publish, daemon=True)
        publishes.start()
        try:
            while not stop.is_set():
                executor.spin_once(timeout_sec=LOOK)
        finally:
            self._steps.close()
            publishes.join()
            executor.remove_node(self)

    def _publish(self) -> None:
        name = self._profile.name
        for before, step in self._steps:
            state = step.state(name)
            if state is not None:
                past = before.state(name) if before and before.time < step.time else None
                self.keeper.reader.take(past, state)
                self._sampler.begin(step.time)
                self._outputs.publish()

    # Callbacks

    def _look_after(self) -> None:
        before = self.keeper.outcomes
        for note in self.keeper.check():
            self.get_logger().warning(note)
        if self.keeper.outcomes is not before and self._answered:
            self._answer(self._answered[0])  # it was applied again
        if self._draws is None and not self.keeper.trouble:  # none is asked for before
            self._draws = self.create_subscription(
                DiagnosticArray, '~/draw', self._on_draw, RELIABLE, callback_group=self._slow
            )

    def _hold_if_silent(self) -> None:
        if self._watch.expired(time.monotonic()):
            self.get_logger().warning('commands stopped: holding')
            with contextlib.suppress(WorldError):  # said by _look_after
                self.keeper.hold()

    def _on_command(self, message: Any) -> None:
        command, fault = self._reader.read(message, self.keeper.drives.commanded)
        if fault:
            self.get_logger().error(f'command ignored: {fault}', throttle_duration_sec=1.0)
            return
        self._watch.seen(time.monotonic())
        try:
            self.keeper.command(command)
        except WorldError as error:
            self.get_logger().error(f'command: {error}', throttle_duration_sec=1.0)

    def _on_draw(self, message: DiagnosticArray) -> None:
        draw = draws_ros.heard(self, message)
        if draw is None:
            return
        asked_again = self._answered is not None and draw == self._answered[0]
        if self._answered and asked_again and self.keeper.values == dict(draw.values):
            self._send(self._answered[1])
            return
        try:
            self.keeper.apply(draw.values)
        except (InputError, WorldError) as error:
            self.get_logger().error(f'nothing of draw {draw.episode} was applied:\n{error}')
            self._send(replace(draw, outcomes=dict.fromkeys(draw.values, 'failed')))
            return
        self._answer(draw)

    def _answer(self, draw: Draw) -> None:
        """Say what became of a draw, with the values that the engine has."""
        for trouble in self.keeper.troubles():
            self.get_logger().error(trouble)
        if draw.step and self.keeper.respawned():  # at the beginning of an episode it is usual
            anew = f'{self._profile.name} was spawned anew for {self.keeper.respawned()}'
            words = f'draw {draw.episode}, step {draw.step}: {anew}; it goes on where it was'
            self.get_logger().warning(words)
        values = {a: self.keeper.read_back(a) for a in draw.values}
        answer = replace(draw, values=values, outcomes=dict(self.keeper.outcomes))
        answer = replace(answer, tolerance=ClassicWorld.tolerance)
        self._answered = draw, answer
        self._send(answer)

    def _send(self, draw: Draw) -> None:
        self._to_applied.publish(draw_to_message(draw, max(0, self._sampler.time) / NS))

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        keeper = self.keeper
        values: dict[str, object] = {'simulated': self._sampler.time / NS}
        if keeper.trouble:
            return DiagnosticStatus.ERROR, keeper.trouble, values
        before, self._left_out = self._left_out, self._steps.left_out
        if self._left_out > before:
            return DiagnosticStatus.WARN, TOO_SLOW, {**values, 'left_out': self._left_out}
        if not keeper.resting():
            return DiagnosticStatus.OK, 'running', values
        if keeper.held:
            return DiagnosticStatus.OK, 'paused', values
        return DiagnosticStatus.WARN, 'paused, not by simulator/pause', values

    def close(self) -> None:
        """Let go of the world and say goodbye."""
        self.keeper.close()
        self._health.close()


def main(args: list[str] | None = None) -> int:
    """Run the bridge node."""
    return run(GazeboBridge, args, spin=GazeboBridge.spin)


if __name__ == '__main__':
    sys.exit(main())
