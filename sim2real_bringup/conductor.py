"""Leads a robot (or a surrogate) through an experiment over topics, and records what it did.

The conductor gives goals, changes the policy's bundle through its lifecycle, asks the simulator
for draws and listens to estimates and events. It is a paced consumer: the simulator waits for it,
so that a goal always comes at the same sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from sim2real_core.errors import Sim2RealError
from sim2real_core.executor_ros import KeptExecutor
from sim2real_core.kinematics import Kinematics
from sim2real_core.messages import (
    draw_from_message,
    draw_to_message,
    estimate_from_message,
    event_from_message,
    to_seconds,
)
from sim2real_core.node import Pace
from sim2real_core.profile import RobotProfile
from sim2real_core.qos import LATCHED, RELIABLE, sensor_qos
from sim2real_core.records import Draw, Estimate, Event

Array = npt.NDArray[np.float64]
NAME = 'conductor'
ANSWER = 10.0
"""Longest wait for a service or a first message [s]."""
STALLED = 20.0
"""Without a joint state for this long, by a steady clock, the robot counts as stalled [s]."""
AHEAD = 40
"""Samples that a paced simulator may be ahead while there is nothing to do; 100 are kept."""


@dataclass
class Recording:
    """What the robot did. Rows are joint state samples.

    Attributes:
        stamps: (n,) [s].
        position: (n, nj) as measured.
        command: (n, nj) the newest applied command at each sample.
        started: (goals,) row at which each goal was given.
    """

    stamps: list[float] = field(default_factory=list)
    position: list[Array] = field(default_factory=list)
    command: list[Array] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def arrays(self) -> tuple[Array, Array, Array]:
        """Stamps (n,), positions (n, nj), commands (n, nj)."""
        return np.array(self.stamps), np.array(self.position), np.array(self.command)


class Conductor(Node):
    """Speaks to the nodes of one namespace.

    Args:
        profile: the robot.
        paced: whether the simulator waits for it; else it hears what gets through.
        options: of the node, e.g. ``namespace``.
    """

    def __init__(self, profile: RobotProfile, paced: bool = True, **options: Any) -> None:
        super().__init__(NAME, **options)
        self.profile = profile
        self.kinematics = Kinematics(profile)
        self.estimate: Estimate | None = None
        self.estimates: list[Estimate] = []
        self.events: list[Event] = []
        self.applied: list[Draw] = []
        self._recording: Recording | None = None
        self._on_sample: Callable[[float], None] = lambda stamp: None
        self._command = profile.array('default_position')
        self._heard = time.monotonic()
        self.samples = 0
        self._order: list[int] = []
        self._names: list[str] = []
        self._pace = Pace(self, paced)
        self._due = 0.0  # stamp [s] before which it does nothing
        self._ahead = AHEAD / profile.rates.joint_state_rate
        self._goal = self.create_publisher(PoseStamped, profile.topics.goal, LATCHED)
        self._draw = self.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
        for kind, topic, callback, qos in (
            (JointState, profile.topics.joint_states, self._on_joint_states, sensor_qos(paced)),
            (JointState, 'policy/action_applied', self._on_action, RELIABLE),
            (DiagnosticArray, 'sysid/estimate', self._on_estimate, LATCHED),
            (DiagnosticArray, 'capture/events', self._on_event, RELIABLE),
            (DiagnosticArray, 'simulator/draw_applied', self._on_applied, RELIABLE),
        ):
            self.create_subscription(kind, topic, callback, qos)
        self._callers = {
            name: self.create_client(kind, name)
            for name, kind in (
                ('simulator/pause', SetBool),
                ('simulator/reset', Trigger),
                ('policy/change_state', ChangeState),
                ('policy/set_parameters', SetParameters),
            )
        }
        self._spinner = KeptExecutor(self)

    def _on_joint_states(self, message: JointState) -> None:
        if message.name != self._names:
            self._names = list(message.name)
            self._order = [self._names.index(name) for name in self.profile.joint_names]
        self._heard = time.monotonic()
        self.samples += 1
        if self._recording is not None:
            position = np.asarray(message.position)[self._order]
            self._recording.stamps.append(to_seconds(message.header.stamp))
            self._recording.position.append(position)
            self._recording.command.append(self._command)
        stamp = to_seconds(message.header.stamp)
        self._on_sample(stamp)
        self._pace.done(message.header.stamp, free=min(self._due, stamp + self._ahead))

    def _on_action(self, message: JointState) -> None:
        values = dict(zip(message.name, message.position))
        if all(name in values for name in self.profile.joint_names):
            self._command = np.array([values[name] for name in self.profile.joint_names])

    def _on_estimate(self, message: DiagnosticArray) -> None:
        self.estimate = estimate_from_message(message)
        self.estimates.append(self.estimate)

    def _on_event(self, message: DiagnosticArray) -> None:
        self.events.append(event_from_message(message))

    def _on_applied(self, message: DiagnosticArray) -> None:
        self.applied.append(draw_from_message(message))

    def wait(self, until: Callable[[], bool], what: str, timeout: float | None = ANSWER) -> None:
        """Spin until a condition holds.

        Args:
            until: the condition.
            what: for the error.
            timeout: longest wait [s]; None waits for as long as joint states keep coming.

        Raises:
            Sim2RealError: it did not hold in time; names what was waited for.
        """
        begun = self._heard = time.monotonic()
        while not until():
            now = time.monotonic()
            if timeout is not None and now - begun > timeout:
                raise Sim2RealError(f'{what}: no answer within {timeout:g} s')
            if timeout is None and now - self._heard > STALLED:
                raise Sim2RealError(f'{what}: no joint state for {STALLED:g} s')
            self._spinner.spin_once(timeout_sec=0.05)

    def call(self, name: str, request: Any) -> Any:
        """Call a service and return its response.

        Raises:
            Sim2RealError: nobody serves it, or no answer came in time.
        """
        client = self._callers[name]
        self.wait(client.service_is_ready, f'service {name}', 3 * ANSWER)
        future = client.call_async(request)
        self.wait(future.done, f'service {name}', 3 * ANSWER)
        return future.result()

    def pause(self, paused: bool) -> None:
        """Stop or go on with simulated time."""
        self.call('simulator/pause', SetBool.Request(data=paused))

    def reset(self) -> None:
        """Put the simulated robot back to its start; time begins anew."""
        response = self.call('simulator/reset', Trigger.Request())
        if not response.success:
            raise Sim2RealError(f'simulator/reset: {response.message}')

    def load(self, bundle: str) -> None:
        """Have the policy run another bundle."""
        self._transition(Transition.TRANSITION_DEACTIVATE)
        self._transition(Transition.TRANSITION_CLEANUP)
        parameter = Parameter('bundle', value=bundle).to_parameter_msg()
        (result,) = self.call(
            'policy/set_parameters', SetParameters.Request(parameters=[parameter])
        ).results
        if not result.successful:
            raise Sim2RealError(f'policy refuses bundle {bundle}: {result.reason}')
        self._transition(Transition.TRANSITION_CONFIGURE)
        self._transition(Transition.TRANSITION_ACTIVATE)

    def _transition(self, number: int) -> None:
        request = ChangeState.Request(transition=Transition(id=number))
        if not self.call('policy/change_state', request).success:
            raise Sim2RealError(f'policy refuses lifecycle transition {number}; see its log')

    def give(self, goal: Array) -> None:
        """Publish a goal (3,) [m] in the base frame."""
        message = PoseStamped()
        message.header.frame_id = self.profile.base_link
        point = message.pose.position
        point.x, point.y, point.z = (float(v) for v in goal)
        message.pose.orientation.w = 1.0
        self._goal.publish(message)

    def request(self, draw: Draw) -> None:
        """Ask the simulator for a draw; its answer is appended to ``applied``."""
        self._draw.publish(draw_to_message(draw, profile=self.profile))

    def draw(self, draw: Draw) -> Draw:
        """Ask the simulator for a draw and return what it made of it."""
        before = len(self.applied)
        self.request(draw)
        self.wait(lambda: len(self.applied) > before, 'simulator/draw_applied')
        return self.applied[-1]

    def run_goals(
        self,
        goals: Array,
        duration: float,
        progress: Callable[[int], None] | None = None,
        after: tuple[float, Callable[[float], None]] | None = None,
    ) -> Recording:
        """Lead the robot through a chain of goals.

        Args:
            goals: (n, 3) [m].
            duration: time for each [s of the joint states].
            progress: called with the number of each goal as it is given.
            after: (time since the first goal [s], what to do then with the stamp), once.

        Returns:
            Samples from the first goal on.
        """
        recording = Recording()
        done: list[bool] = []
        state = {'next': 0.0, 'first': 0.0}
        pending = [] if after is None else [after]

        def on_sample(stamp: float) -> None:
            given = len(recording.started)
            if given == 0:
                state['first'] = state['next'] = stamp
            if pending and stamp - state['first'] >= pending[0][0]:
                pending.pop()[1](stamp)
            self._due = min([state['next'], *(state['first'] + since for since, _ in pending)])
            if stamp < state['next'] - 1e-6:
                return
            self._due = 0.0
            if given == len(goals):
                done.append(True)
                self._on_sample = lambda stamp: None
                return
            recording.started.append(max(len(recording.stamps) - 1, 0))
            state['next'] += duration
            self.give(goals[given])
            if progress is not None:
                progress(given)

        self._recording, self._on_sample = recording, on_sample
        try:
            self.wait(lambda: bool(done), 'the chain of goals', None)
        finally:
            self._recording, self._on_sample, self._due = None, lambda stamp: None, 0.0
        return recording

    def tool_path(self, recording: Recording, duration: float) -> Array:
        """Measured tool positions (steps, goals, 3) [m] of a recorded chain.

        A sample that was lost is the one before it.
        """
        stamps, position, _ = recording.arrays()
        rate = self.profile.rates.joint_state_rate
        tool = np.array([self.kinematics.position(q) for q in position])
        since = np.arange(round(duration * rate)) / rate
        rows = [
            np.searchsorted(stamps, stamps[row] + since + 0.1 / rate) - 1
            for row in recording.started
        ]
        return np.stack([tool[row] for row in rows], axis=1)

    def close(self) -> None:
        """Leave the graph."""
        self._spinner.remove_node(self)
        self._spinner.shutdown()
        self.destroy_node()
