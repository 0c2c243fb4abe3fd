"""The policy node: a lifecycle node around :class:`sim2real_policy.controller.Controller`."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import JointState

from sim2real_core import node as core
from sim2real_core.errors import Sim2RealError
from sim2real_core.messages import to_seconds
from sim2real_core.profile import load_profile
from sim2real_core.qos import sensor_qos
from sim2real_policy import realtime
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import HARMLESS, Controller
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.conversions import JointStateReader
from sim2real_policy.decoding_ros import JointStateDecoder
from sim2real_policy.inputs_ros import Inputs
from sim2real_policy.latency import LatencyHistogram
from sim2real_policy.lifecycle_ros import ManagedNode
from sim2real_policy.loop_ros import FastLoop
from sim2real_policy.operator_ros import Operator
from sim2real_policy.outputs_ros import Outputs
from sim2real_policy.rehearsal import Rehearsal
from sim2real_policy.source import load_source

DONE, REFUSED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
STOP_WITHIN = 2.0  # [s] a stop that takes longer is cut short


class PolicyNode(ManagedNode):
    """Runs a bundle, or a trajectory, on the robot of a profile; see ``PolicyConfig``.

    Everything between a joint state and its command happens in the thread of a
    :class:`FastLoop`; the node's executor serves the rest. ``_lock`` is held by either.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('policy', **kwargs)
        self._lock = threading.Lock()
        self._state = 'unconfigured'
        self._error: BaseException | None = None
        self._alarm = self.create_guard_condition(self._raise)
        self._loop: FastLoop | None = None
        self._sent, self._age = 0, LatencyHistogram()
        self._help: dict[str, object] = {}
        self._config = core.declare(self, PolicyConfig)
        self.add_on_set_parameters_callback(self._may_set)
        self._pace = core.Pace(self, self._config.paced)
        self._health = core.Health(self, self._status)
        self._operator = Operator(self, self._lock)
        if self._config.autostart:
            for transition in (self.trigger_configure, self.trigger_activate):
                if transition() != DONE:
                    raise self._error or RuntimeError(f'{transition.__name__} failed')

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load what acts, check it against the robot, warm it up, connect the topics."""
        try:
            self._configure()
        except Exception as error:  # rclpy would drop any that leaves this method
            told = error if isinstance(error, Sim2RealError) else traceback.format_exc()
            self._error = error
            self.get_logger().error(f'cannot be configured:\n{told}')
            self._disconnect()
            return REFUSED
        self._state = 'inactive'
        return DONE

    def _configure(self) -> None:
        config = self._config = core.read(self, PolicyConfig)
        profile = load_profile(config.robot)
        self._source = source = load_source(config, profile)
        self._meta = meta = source.meta
        tool = tool_position(meta, profile)
        self._controller = controller = Controller(
            meta, profile, source.runtime, config, tool, time.monotonic
        )
        self._rehearsal = Rehearsal(controller.rehearse, time.monotonic)
        if controller.warning:
            self.get_logger().warning(controller.warning)
        inputs = {name: controller.inputs[name] for name in controller.required}
        self._reader = JointStateReader(meta.joints, inputs)
        self._outputs = Outputs(self, meta, profile, config.paced, config.shadow)
        self._stamp: Any = None
        self._simulated = self.get_parameter('use_sim_time').value
        loop = self._loop = FastLoop(
            self,
            deadline=self._deadline,
            overdue=self._on_overdue,
            lock=self._lock,
            failed=self._on_failed,
        )
        # What a command depends on is taken before the sample that asks for the command.
        Inputs(self, loop, controller, meta, profile, config.paced)
        sensor = sensor_qos(config.paced)
        topic = meta.observation.topics.get('joint_states', profile.topics.joint_states)
        decode = JointStateDecoder()
        loop.subscribe(JointState, topic, sensor, self._on_sample, decode=decode)
        loop.start()
        self._operator.serve(controller, meta, profile, lambda: self._state == 'active')
        self._help = realtime.arrange(config, loop.thread)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start afresh with the next joint state."""
        self._help['garbage'] = realtime.freeze_garbage()
        with self._lock:
            self._controller.start()
            self._controller.stages.clear()
            self._age.clear()
            self._state = 'active'
        return DONE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the robot to rest, then fall silent."""
        period = self._meta.control_period
        until = time.monotonic() + STOP_WITHIN
        with self._lock:
            self._state = 'inactive'
            moving = self._controller.ready
            while moving:
                moving = self._controller.stop() and time.monotonic() < until
                self._send()
                if moving:
                    time.sleep(period)
        return DONE

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the topics."""
        self._disconnect()
        self._state = 'unconfigured'
        return DONE

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivate and cleanup, as far as needed."""
        if self._state == 'active':
            self.on_deactivate(state)
        return self.on_cleanup(state)

    def _disconnect(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None
            self._operator.close()
            self._outputs.close()
            self._source.runtime.close()

    def close(self) -> None:
        """Stop the robot and say goodbye."""
        if self._state == 'active':
            self.trigger_deactivate()
        self._disconnect()
        self._health.close()

    # In the thread of the loop

    def _on_sample(self, message: JointState, noticed: float) -> None:
        stamp, before, controller = message.header.stamp, self._sent, self._controller
        if self._state == 'active' and controller.newer(to_seconds(stamp)):
            fault = self._reader.read(message)
            if fault is not None:  # else it is about another robot's joints
                self._stamp = stamp
                if controller.sample(to_seconds(stamp), noticed, fault):
                    controller.stages.begin(noticed)
                    controller.act()
                    self._send(noticed)
                    controller.guard.prepare()
                    if not self._config.paced:  # else nobody waits
                        self._rehearsal.cycle(noticed)
        free = controller.due if self._state == 'active' else 0.0
        self._pace.done(stamp, self._sent - before, free)

    def _deadline(self) -> float:
        active = self._state == 'active'
        return min(self._controller.deadline(), self._rehearsal.due) if active else float('inf')

    def _on_overdue(self) -> None:
        now, timed = time.monotonic(), self._config.control == 'timer'
        if self._state == 'active' and self._controller.watch(now):
            self._send(now if timed else None)  # else there is no sample that it answers
        self._rehearsal.watch(now)

    def _send(self, noticed: float | None = None) -> None:
        """Publish the command, and only then what tells about it."""
        controller, outputs = self._controller, self._outputs
        self._sent += outputs.command(controller.command, self._stamp)
        if noticed is not None:
            controller.stages.close()
            if not self._simulated:
                self._age.add(time.time() - to_seconds(self._stamp))
        seen = controller.observation if controller.decided else None
        outputs.tell(controller.command, self._stamp, seen)

    def _on_failed(self, error: BaseException) -> None:
        self._error = error
        self._alarm.trigger()

    # In the executor's thread

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _may_set(self, parameters: list[Any]) -> SetParametersResult:
        if self._state == 'active' and any(hasattr(self._config, p.name) for p in parameters):
            return SetParametersResult(successful=False, reason='deactivate the policy first')
        return SetParametersResult(successful=True)

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        if self._state == 'unconfigured':
            return DiagnosticStatus.OK, self._state, {}
        controller, active = self._controller, self._state == 'active'
        fault, doubt = (controller.fault, controller.doubt) if active else ('', '')
        level = DiagnosticStatus.WARN if doubt else DiagnosticStatus.OK
        if fault not in HARMLESS:
            level = DiagnosticStatus.ERROR
        values = {
            **self._source.about,
            'control_period [s]': self._meta.control_period,
            'commands': self._sent,
            'unreadable_messages': self._loop.unreadable if self._loop else 0,
            **self._help,
            **self._age.report('input_age'),
            **controller.report(),
        }
        said = '; '.join(([f'holds, {fault}'] if fault else []) + ([doubt] if doubt else []))
        return level, f'{self._state}: {said}' if said else self._state, values


def main(args: list[str] | None = None) -> int:
    """Run the policy node."""
    # While a joint state waits, the executor's thread may not keep the interpreter for the 5 ms
    # that are the default.
    sys.setswitchinterval(2e-4)
    return core.main(PolicyNode, args)


if __name__ == '__main__':
    sys.exit(main())
