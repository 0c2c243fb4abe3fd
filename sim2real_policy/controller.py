"""One control cycle: sample in, command out. Knows neither ROS nor a clock.

The caller writes a sample into ``inputs`` and calls :meth:`Controller.sample`; when that says
that a command is due, :meth:`Controller.act` makes it. :meth:`Controller.watch` makes the
commands when no samples come any more. Times called ``stamp`` come with the samples, times called
``now`` from a steady clock of the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim2real_core.joint_states import UNSTAMPED, is_late
from sim2real_core.profile import RobotProfile
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import BundleMetadata, check_robot
from sim2real_policy.config import PolicyConfig, check_rates
from sim2real_policy.guard import Guard
from sim2real_policy.observation import INPUT_SIZES, Assembler
from sim2real_policy.runtime import Runtime

Array = npt.NDArray[np.float64]

NO_SAMPLE = 'no joint state of this robot yet'
NO_GOAL = 'no goal yet'
LATCHED = 'the policy gave an action that is not finite: stopped until reset'


class Controller:
    """Runs a policy on one robot.

    Args:
        meta: the policy's metadata.
        profile: the robot.
        runtime: gives its actions.
        config: times, and whether samples or a timer set the pace.
        tool: gives the tool position (3,) in the base frame [m] for joint positions (nj,) in the
            policy's order; needed only when the policy sees it.

    Raises:
        InputError: the robot cannot run this policy; every reason.

    Attributes:
        inputs: (1, nj) or (1, 3) arrays by name (see ``observation.KINDS``), to be filled by the
            caller in the policy's joint order: ``position``, ``velocity``, ``effort``; IMU and
            goal through :meth:`imu` and :meth:`goal`.
        command: (nj,) what was sent last, in the robot's command order.
        observation: (size,) float32, what the policy saw last.
        fault: why it holds; ``''`` when it acts.
        warning: what else a person should know; ``''`` when nothing.
        decided: whether the last command came from the policy, with a new observation.
        missed: control periods that passed without a command since the last reset.
        guard: its limits and counts.
    """

    def __init__(
        self,
        meta: BundleMetadata,
        profile: RobotProfile,
        runtime: Runtime,
        config: PolicyConfig,
        tool: Callable[[Array], Array] | None = None,
    ) -> None:
        self._meta = meta
        self._runtime = runtime
        self._config = config
        self._tool = tool if 'tool' in meta.observation.inputs else None
        check_rates(config, profile.rates)
        self.warning = ''
        if meta.profile not in ('', profile.content_hash):
            self.warning = f'the bundle was trained with another version of profile {profile.name}'
        interface = profile.command.interface
        self._by_effort = interface == 'effort'
        self.guard = Guard(
            check_robot(meta, profile),
            interface=interface,
            period=meta.control_period,
            hold_time=config.hold_time,
            damp_time=config.damp_time,
            continuous=[profile.joint(name).type == 'continuous' for name in meta.joints],
        )
        joints = len(meta.joints)
        self._position = np.zeros(joints)  # newest finite one
        self.inputs = {name: np.zeros((1, size or joints)) for name, size in INPUT_SIZES.items()}
        default = np.array(meta.default_position)
        self._assembler = Assembler(
            meta.observation, default, position_command=interface == 'position'
        )
        self._action = ActionMap(meta.action, default)
        self._normalizer = None
        if meta.normalizer is not None:
            self._normalizer = np.array(meta.normalizer.mean), np.array(meta.normalizer.std)
        self._order = [meta.joints.index(name) for name in profile.joint_names]
        self._measured = [
            self.inputs[name]
            for name in ('position', 'velocity', 'effort')
            if name == 'position' or name in self.required
        ]
        self._imu = bool({'angular_velocity', 'linear_acceleration'} & meta.observation.inputs)
        self._slack = 0.5 / profile.rates.joint_state_rate
        self.command = np.zeros(joints)
        self.observation = self._assembler.values[0]
        self._has_goal = meta.goal.kind == 'none'
        self.reset()

    @property
    def required(self) -> set[str]:
        """Which of position, velocity and effort a sample must have."""
        always = {'position', 'velocity'} if self._by_effort else {'position'}
        return ({'velocity', 'effort'} & self._meta.observation.inputs) | always

    @property
    def ready(self) -> bool:
        """Whether a usable sample came since the last reset: before it nothing can be sent."""
        return self._good > -math.inf

    @property
    def due(self) -> float:
        """Stamp [s] of the first sample that may be answered with a command; 0 when not known."""
        return self._due - self._slack if math.isfinite(self._due) else 0.0

    def reset(self) -> None:
        """Forget histories and the state of motion; the next usable sample starts afresh."""
        self._stamp = -math.inf  # of the newest sample
        self._good = -math.inf  # stamp of the newest usable one
        self._heard = -math.inf  # steady time when the newest came
        self._imu_stamp = -math.inf
        self._due = -math.inf  # stamp at which the next command is due
        self._next = -math.inf  # steady time at which the next command without a sample is due
        self._forget()
        self.decided = False
        self.missed = 0
        self.fault = NO_SAMPLE

    def release(self) -> None:
        """Let the policy act again after an action that was not finite."""
        self.guard.release()
        self._forget()

    def _forget(self) -> None:
        """What comes next does not follow what was."""
        self._assembler.reset()
        self._runtime.reset()
        self.inputs['action'][:] = 0.0

    def goal(self, position: Array) -> bool:
        """A new goal (3,), in the frame the bundle names [m]; False when it is not finite."""
        if not math.isfinite(position.sum()):
            return False
        self.inputs['goal'][0] = position
        self._has_goal = True
        return True

    def imu(self, stamp: float, angular_velocity: Array, linear_acceleration: Array) -> None:
        """A new IMU sample: (3,) [rad/s], (3,) [m/s^2]."""
        if math.isfinite(angular_velocity.sum() + linear_acceleration.sum()):
            self.inputs['angular_velocity'][0] = angular_velocity
            self.inputs['linear_acceleration'][0] = linear_acceleration
            self._imu_stamp = stamp

    def newer(self, stamp: float) -> bool:
        """Whether a sample of this stamp [s] tells anything; ask before filling ``inputs``.

        Standing still, or barely going backward as among several publishers, it does not.
        """
        if not is_late(stamp, self._stamp):
            return True
        if stamp == self._stamp == 0.0:
            self.fault = UNSTAMPED
        return False

    def sample(self, stamp: float, now: float, fault: str = '') -> bool:
        """Take note of the sample in ``inputs``.

        Args:
            stamp: when it was measured [s], :meth:`newer`. Going backward means another run:
                everything starts afresh.
            now: steady time [s].
            fault: why it cannot be used, if so.

        Returns:
            Whether a command is due: a control period after the last, give or take half a sample.
        """
        if not self.newer(stamp):
            return False
        if stamp < self._stamp:
            self.reset()
        self._stamp, self._heard = stamp, now
        self.fault = fault or self._unusable()
        position = self.inputs['position'][0]
        if math.isfinite(position.sum()):
            self._position[:] = position
        if not self.fault:
            if not self.ready:
                self.guard.reset(position)
            elif self.guard.damping:  # the robot was let go of, and may be anywhere
                self.guard.resume(position)
                self._runtime.reset()
            if stamp - self._good > self._config.stale_after:
                self._assembler.reset()  # its histories have a hole
                self._runtime.reset()
            self._good = stamp
        due = self.ready and stamp >= self._due - self._slack
        if self._config.control == 'timer' or not due:
            return False
        self._advance(stamp)
        return True

    def _advance(self, stamp: float) -> None:
        """Set when the next command is due, on the grid of control periods where possible."""
        period = self._meta.control_period
        late = stamp - self._due
        if late < period - self._slack:
            self._due += period
            return
        if math.isfinite(late):
            self.missed += int((late + self._slack) / period)
        self._due = stamp + period

    def _unusable(self) -> str:
        for values in self._measured:
            if not math.isfinite(values.sum()):
                return 'a joint state is not finite'
        if self._imu and not self._stamp - self._imu_stamp <= self._config.stale_after:
            return 'no recent, finite IMU sample'
        return ''

    def act(self) -> Array:
        """The command for the newest sample: ``command``."""
        inputs, guard = self.inputs, self.guard
        position = inputs['position'][0]
        self.decided = False
        if self.fault and self.fault != NO_GOAL:
            guard.stale(self._stamp - self._good - self._config.stale_after, self._position)
            return self._sent()
        if not self._has_goal:
            self.fault = NO_GOAL
            guard.hold()
            return self._sent()
        self.fault = ''
        if self._tool is not None:
            inputs['tool'][0] = self._tool(position)
        inputs['command'][0] = guard.command
        observation = self._assembler.update(inputs)
        if self._normalizer is not None:
            mean, std = self._normalizer
            observation = ((observation - mean) / std).astype(np.float32)
        action = self._runtime.infer(observation)[0].astype(np.float64)
        if math.isfinite(action.sum()):  # else the guard shall see it as it is
            action = self._action.limited(action)
        order = self._action.order(action, guard.command)
        guard.apply(order, position, inputs['velocity'][0])
        if guard.latched:
            self.fault = LATCHED
        else:
            inputs['action'][0] = action
        self.decided = True
        return self._sent()

    def watch(self, now: float) -> bool:
        """Make the command that is due without a sample, if one is; see :meth:`deadline`.

        With a timer, that is every command.
        """
        if now < self.deadline():
            return False
        period = self._meta.control_period
        age = now - self._heard
        stale = age > self._config.stale_after
        if now - self._next < period:
            self._next += period
        else:
            if self._config.control == 'timer' and math.isfinite(self._next):
                self.missed += int((now - self._next) / period)
            self._next = now + period
        if not stale:
            self.act()
            return True
        if self.fault != UNSTAMPED:
            self.fault = f'no new joint state for {age:.1f} s'
        self.decided = False
        bad = age + self._stamp - self._good - self._config.stale_after
        self.guard.stale(bad, self._position)
        self._sent()
        return True

    def deadline(self) -> float:
        """Steady time at which :meth:`watch` has something to do; infinite when never."""
        if self._config.paced or not self.ready:
            return math.inf
        if self._config.control == 'timer':
            return self._next
        # Never again before stale_after has passed since the newest sample.
        return max(self._next, self._heard + self._config.stale_after + 1e-6)

    def stop(self) -> bool:
        """Make the next command of a stop; whether it still changes anything."""
        before = self.command.copy()
        if self._by_effort:  # an effort that is kept would go on pushing
            self.guard.stale(math.inf, self._position)
        else:
            self.guard.hold()
        return bool(np.abs(self._sent() - before).max() > 1e-6)

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        return {
            'warning': self.warning,
            'deadline_misses': self.missed,
            'latched': self.guard.latched,
            **self.guard.counts,
            **self._runtime.report(),
        }

    def _sent(self) -> Array:
        self.command[:] = self.guard.command[self._order]
        return self.command


def tool_position(meta: BundleMetadata, profile: RobotProfile) -> Callable[[Array], Array] | None:
    """The ``tool`` of a :class:`Controller`, where the policy sees one.

    Raises:
        MissingError: pinocchio is not installed.
    """
    if 'tool' not in meta.observation.inputs:
        return None
    from sim2real_core.kinematics import Kinematics

    kinematics = Kinematics(profile)
    order = [meta.joints.index(name) for name in profile.joint_names]
    link = meta.observation.tool_link or None
    return lambda position: kinematics.position(position[order], link)
