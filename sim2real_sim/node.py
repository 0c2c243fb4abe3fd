"""The simulator node: one robot in the embedded simulator, on the topics of a real one."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header

from sim2real_core.messages import draw_to_message
from sim2real_core.node import Health, declare, executing
from sim2real_core.node import main as run
from sim2real_core.profile import load_profile
from sim2real_core.qos import COMMAND, RELIABLE
from sim2real_sim import draws, draws_ros
from sim2real_sim.config import SimulatorConfig
from sim2real_sim.conversions import CommandReader
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.publishers_ros import CameraPublisher, Publishers, await_consumers
from sim2real_sim.services_ros import serve
from sim2real_sim.stepping import CommandWatch, Lockstep, Stepping, clock_period

NS = 10**9
LONGEST_WAIT = 0.05  # s; whoever asks the process to end waits no longer than this
LONGEST_DEAF = 0.005  # s; an executor's look costs more than a step, so not at every one


class SimulatorNode(Node):
    """A simulated robot; see :class:`SimulatorConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('simulator', **options)
        config = self._config = declare(self, SimulatorConfig)
        profile = self._profile = load_profile(config.robot)
        simulator = self._simulator = MujocoSimulator(
            profile,
            seed=config.seed,
            contacts=config.contacts,
            imu=True,
            image_size=config.image_size,
        )
        for note in simulator.robot.notes:
            self.get_logger().warning(note)
        if config.parameters_file:
            draws.differ(simulator, config.parameters_file)
        period = round(NS / profile.rates.joint_state_rate)
        riders = {'tf': config.tf_rate, 'camera': config.camera_rate}
        self._stepping = Stepping(
            self._step_length(),
            {'joint_states': period, 'clock': clock_period(period)},
            {name: round(NS / rate) for name, rate in riders.items() if rate > 0},
            config.realtime_factor,
        )
        paced = (config.pace_consumers, config.pace_observers) if config.paced else ((), ())
        self._lockstep = Lockstep(paced[0], config.pace_timeout, paced[1])
        self._watch = CommandWatch(profile.command.timeout)
        self._reader = CommandReader(profile)
        self._stop = threading.Event()
        self._begins = True
        size = config.image_size
        camera = CameraPublisher(self, simulator, size, config.paced) if size else None
        self._outputs = Publishers(
            self, simulator, self._stepping, config.tf_rate > 0, self._lockstep, camera
        )
        self._to_applied = self.create_publisher(DiagnosticArray, '~/draw_applied', RELIABLE)
        self.create_subscription(DiagnosticArray, '~/draw', self._on_draw, RELIABLE)
        self._commands = self.create_subscription(
            self._reader.type, profile.command.topic, self._on_command, COMMAND
        )
        if config.paced:
            self.create_subscription(Header, 'pace', self._on_pace, RELIABLE)
        steps = max(1, round(profile.rates.control_period / simulator.timestep))
        serve(self, self, steps)
        self._health = Health(self, self._status)

    def _step_length(self) -> int:
        return round(float(self._simulator.get('world.timestep')[0]) * NS)

    # Control, called by the services

    @property
    def paused(self) -> bool:
        """Whether simulated time stands still."""
        return self._stepping.paused

    def reset_world(self, time: bool = True, state: bool = True) -> None:
        """Simulated time to zero, the robot to its default pose, or both."""
        if state:
            self._simulator.reset()
            self._watch.reset()
            self._stepping.mended(_now())
        if time or state:
            self._stepping.reset(_now(), 0 if time else None)
            self._outputs.publish()

    def pause(self, paused: bool) -> str:
        """Stop simulated time, or let it run; says why that cannot be."""
        if paused:
            self._catch_up()
            self._stepping.pause()
        elif not self._stepping.trouble:
            # Who is waited for may have been away meanwhile (a policy that changed its bundle).
            self._begins = self._config.paced and self.paused
            self._stepping.start(_now())
        return '' if paused else self._stepping.trouble

    def step_world(self, steps: int) -> str:
        """Take physics steps while paused; says why they were not all taken."""
        while steps > 0 and not self._stepping.trouble and not self._stop.is_set():
            taken = min(steps, self._stepping.to_next())
            self._take(taken)
            steps -= taken
        return self._stepping.trouble or ('asked to end' if steps > 0 else '')

    def quit(self) -> None:
        """End the process."""
        self._stop.set()

    # The loop

    def spin(self, stop: threading.Event) -> None:
        """Simulate, publish and answer until ``stop`` is set."""
        self._stop = stop
        heard = 0.0
        with executing(self) as executor:
            while not stop.is_set():
                if self._begins:
                    self._begin(executor)
                now = _now()
                wait = self._wait(now)
                if wait > 0 or now > heard + LONGEST_DEAF:
                    executor.spin_once(timeout_sec=min(wait, LONGEST_WAIT))
                    heard = _now()
                else:
                    self._take(self._stepping.steps(now))

    def _begin(self, executor: SingleThreadedExecutor) -> None:
        """Let time run, from a sample that everyone who is waited for hears."""
        self._begins = False
        topic, timeout = self._profile.topics.joint_states, self._config.start_timeout
        consumers = self._lockstep.keeper.consumers
        lost = await_consumers(
            self, executor, consumers, topic, self._commands, timeout, self._stop
        )
        if lost:
            self.get_logger().error(f'{", ".join(lost)} did not appear: begins without')
        self._stepping.reset(_now())
        self._outputs.publish()
        self._stepping.start(_now())

    def _wait(self, now: float) -> float:
        """Seconds until the next steps may be taken."""
        if not self.paused:
            waits, lost = self._lockstep.waits(now)
            for words in lost:
                self.get_logger().error(words)
            if waits:
                return LONGEST_WAIT
        if self._watch.expired(self._watched(now)):
            self._simulator.hold()
            self.get_logger().warning('commands stopped: holding')
        return self._stepping.wait(now)

    def _watched(self, now: float) -> float:
        """The time [s] by which commands stop: steady, but simulated in a paced run."""
        return self._stepping.time / NS if self._config.paced else now

    def _take(self, steps: int) -> None:
        """Take physics steps, then publish what is due."""
        if steps <= 0:
            return
        self._simulator.step(steps)
        self._stepping.advance(steps, _now())
        if self._simulator.diverged.any():
            self._stepping.interrupt('diverged')
            self.get_logger().error(f'the simulation {self._stepping.trouble}')
            return
        self._outputs.publish()

    def _catch_up(self) -> None:
        """Simulate up to now, so that what just arrived takes effect now."""
        if self._config.realtime_factor > 0 and not self._config.paced:
            self._take(self._stepping.steps(_now()))

    # Callbacks

    def _on_command(self, message: Any) -> None:
        self._lockstep.received += 1
        self._catch_up()
        command, fault = self._reader.read(message, self._simulator.commanded[0])
        if fault:
            self.get_logger().error(f'command ignored: {fault}', throttle_duration_sec=1.0)
            return
        self._simulator.command(command)
        self._watch.seen(self._watched(_now()))

    def _on_pace(self, message: Header) -> None:
        stamp = message.stamp.sec * NS + message.stamp.nanosec
        self._lockstep.keeper.acknowledge(message.frame_id, stamp)

    def _on_draw(self, message: DiagnosticArray) -> None:
        draw = draws_ros.heard(self, message)
        if draw is None:
            return
        self._catch_up()
        applied, trouble = draws.apply(self._simulator, draw)
        if trouble:
            self.get_logger().error(f'nothing of draw {draw.episode} was applied:\n{trouble}')
        self._stepping.step = self._step_length()
        self._to_applied.publish(draw_to_message(applied, self._stepping.time / NS, self._profile))

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        stepping = self._stepping
        values: dict[str, object] = dict(
            simulated=stepping.time / NS, realtime_factor=round(stepping.factor, 4)
        )
        if stepping.trouble:
            return DiagnosticStatus.ERROR, stepping.trouble, values
        if stepping.factor < 0.95 * self._config.realtime_factor and not self._config.paced:
            return DiagnosticStatus.WARN, 'slower than asked for', values
        return DiagnosticStatus.OK, 'paused' if stepping.paused else 'running', values

    def close(self) -> None:
        """Stop rendering and say goodbye."""
        self._outputs.close()
        self._health.close()


_now = time.monotonic


def main(args: list[str] | None = None) -> int:
    """Run the simulator node."""
    return run(SimulatorNode, args, spin=SimulatorNode.spin)


if __name__ == '__main__':
    sys.exit(main())
