"""One control cycle: sample in, command out. Knows neither ROS nor a clock.

The caller writes a sample into ``inputs`` and calls :meth:`Controller.sample`; when that says
that a command is due, :meth:`Controller.act` makes it. :meth:`Controller.watch` makes the
commands when no samples come any more. Times called ``stamp`` come with the samples, times called
``now`` from a steady clock of the caller.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Sim2RealError
from sim2real_core.joint_states import UNSTAMPED, is_late, shortest
from sim2real_core.profile import RobotProfile
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig, check_rates
from sim2real_policy.controller_parts import input_arrays, make_guard, source_names
from sim2real_policy.guard_about import about_guard
from sim2real_policy.guard_input import Plausibility, absurd
from sim2real_policy.guard_limits import Limits
from sim2real_policy.latency import Stages
from sim2real_policy.observation import Assembler
from sim2real_policy.ramp import Ramp
from sim2real_policy.runtime import Runtime

Array = npt.NDArray[np.float64]

NO_SAMPLE = 'no joint state of this robot yet'
NO_GOAL = 'no goal yet'
STARTING = 'moves to the start pose'
OVERFLOW = 'the observation is not finite: a goal, a sensor or an action is absurdly large'
UNTIL_RESET = 'stopped until reset'
HARMLESS = ('', NO_GOAL, STARTING)
"""Reasons to hold that are no faults."""
NEAR = 0.1
"""Where every joint is within this of the start pose, it is not moved there [rad or m]."""
SLOW = 1.25
"""Samples further apart than so many control periods come too slowly."""
SETTLING = 0.05
"""Share of a new interval between samples in their mean."""


class Controller:
    """Runs a policy on one robot.

    Args:
        meta: the policy's metadata.
        profile: the robot.
        runtime: gives its actions.
        config: times, and whether samples or a timer set the pace.
        tool: gives the tool position (3,) in the base frame [m] for joint positions (nj,) in the
            policy's order; needed only when the policy sees it.
        clock: the caller's steady clock, for the durations in ``stages``.

    Raises:
        InputError: the robot cannot run this policy; every reason.

    Attributes:
        inputs: arrays by name (see ``observation.KINDS``): (1, nj) ``position``, ``velocity`` and
            ``effort``, to be filled by the caller in the policy's joint order; the others come
            through :meth:`sense`, :meth:`goal` and :meth:`velocity_goal`.
        images: (1, ...) arrays by the name of the model's input, as :meth:`sense`.
        command: (na,) what was sent last, in the robot's command order.
        observation: (size,) float32, what the policy saw last.
        fault: why it holds; ``''`` when it acts. It stays what the last command made of it.
        unusable: why the newest joint state is of no use; ``''`` when it is.
        warning: what else a person should know; ``''`` when nothing.
        decided: whether the last command came from the policy, with a new observation.
        made: commands made, sent or (in shadow) not.
        missed: control periods that passed without a command since the last reset.
        restarts: how often time went backward.
        guard: its limits and counts.
        stages: how long what took.
    """

    def __init__(
        self,
        meta: BundleMetadata,
        profile: RobotProfile,
        runtime: Runtime,
        config: PolicyConfig,
        tool: Callable[[Array], Array] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._meta = meta
        self._runtime = runtime
        self._config = config = config.on(profile)
        self._tool = tool if 'tool' in meta.observation.inputs else None
        check_rates(config, profile.rates)
        self.warning = ''
        if meta.profile not in ('', profile.content_hash):
            self.warning = f'the bundle was trained with another version of profile {profile.name}'
        interface = profile.command.interface
        self._continuous = np.array([profile.joint(n).type == 'continuous' for n in meta.joints])
        self._by_effort = interface == 'effort'
        self._by_position = interface == 'position'
        self.guard = make_guard(meta, profile, config)
        self._about_guard = about_guard(meta, profile, config)
        self._position = np.zeros(len(meta.joints))  # newest usable one
        self.inputs = input_arrays(meta)
        self.images = {i.name: np.zeros((1, *i.shape), np.float32) for i in meta.images}
        self._default = default = np.array(meta.default_position)
        self._assembler = Assembler(meta.observation, default, position_command=self._by_position)
        self._action = ActionMap(meta.action, default)
        self._normalizer = None
        if meta.normalizer is not None:
            self._normalizer = np.array(meta.normalizer.mean), np.array(meta.normalizer.std)
        order = [meta.command_names.index(name) for name in profile.command_names]
        self._order = slice(None) if order == sorted(order) else order
        self._measured = [n for n in ('position', 'velocity', 'effort') if n in self.required]
        self._plausible = Plausibility(meta.joints, Limits.of(profile, meta.joints))
        self.sources = tuple(source_names(meta))
        self._slack = 0.5 / profile.rates.joint_state_rate
        self._ramp: Ramp | None = None
        self._starts = False
        self._speed = profile.array('velocity')[
            [profile.joint_names.index(name) for name in meta.joints]
        ]
        self.stages = Stages(clock)
        self.command = np.zeros(len(meta.command_names))
        self.observation = self._assembler.values[0]
        self._has_goal = meta.goal.kind in ('none', 'base_velocity')
        self.restarts = self.made = 0
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
        self._sensed = dict.fromkeys(self.sources, -math.inf)  # stamps of the other sensors
        self._doubted = dict.fromkeys(self.sources, '')  # why their newest was not taken
        self.inputs['velocity_goal'][:] = 0.0
        self._asked = math.inf  # stamp when the velocity goal is taken back
        self._refused = 0  # samples in a row that told nothing new
        self._interval = 0.0  # between samples [s], mean
        self._due = -math.inf  # stamp at which the next command is due
        self._next = -math.inf  # steady time at which the next command without a sample is due
        self._forget()
        self.decided = False
        self.missed = 0
        self.fault = self.unusable = NO_SAMPLE

    def start(self) -> None:
        """Start afresh; a position interface first moves slowly to the default pose."""
        self.reset()
        self.release()
        config = self._config
        self._starts = self._by_position and config.start_speed > 0 and not config.trajectory

    def release(self) -> None:
        """Let the policy act again after a stop."""
        self.guard.release()
        self._forget()

    def _forget(self) -> None:
        """What comes next does not follow what was."""
        self._assembler.reset()
        self._runtime.reset()
        self.inputs['action'][:] = 0.0

    def goal(self, position: Array) -> bool:
        """A new goal (3,), in the frame the bundle names [m]; False when that is no goal."""
        if absurd({'goal': position}):
            return False
        self.inputs['goal'][0] = position
        self._has_goal = True
        return True

    def velocity_goal(self, twist: Array) -> bool:
        """A new velocity goal (3,): linear.x, linear.y, angular.z; False when that is none.

        It must be repeated within ``goal_time``, counted in the stamps of samples.
        """
        if absurd({'velocity_goal': twist}):
            return False
        self.inputs['velocity_goal'][0] = twist
        ready = math.isfinite(self._stamp)
        self._asked = self._stamp + self._config.goal_time if ready else math.inf
        return True

    def outdated(self, source: str, stamp: float) -> bool:
        """Whether a sample of a source, of this stamp [s], is late and tells nothing."""
        return is_late(stamp, self._sensed[source])

    def sense(self, source: str, stamp: float, values: Mapping[str, Array]) -> None:
        """A sample of another sensor; without usable ones the last ages until that is noticed.

        One that is :meth:`outdated` is left out.

        Args:
            source: one of ``sources``.
            stamp: when it was measured [s].
            values: for ``inputs``, by name; none for an image, which is in ``images`` already.
        """
        if self.outdated(source, stamp):
            return
        self._doubted[source] = absurd(values)
        if not self._doubted[source]:
            for name, value in values.items():
                self.inputs[name][0] = value
            self._sensed[source] = stamp

    def newer(self, stamp: float) -> bool:
        """Whether a sample of this stamp [s] tells anything; ask before filling ``inputs``.

        Standing still, or barely going backward as among several publishers, it does not.
        """
        if not is_late(stamp, self._stamp):
            self._refused = 0
            return True
        self._refused += 1
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
            self.restarts += 1
        if self._heard > -math.inf:
            gap = stamp - self._stamp
            self._interval += SETTLING * (gap - self._interval) if self._interval else gap
        if self._asked == math.inf:
            self._asked = stamp + self._config.goal_time
        self._stamp, self._heard = stamp, now
        position = self.inputs['position'][0]
        fault = fault or self._plausible.fault(self.inputs, self._measured)
        if not fault:  # else damping would lead to where the robot cannot be
            self._position[:] = position
        self.unusable = fault or self._why_unheard()
        if self.unusable:
            self.fault = self.unusable  # else it stays what the last command made of it
        else:
            if not self.ready:
                self.guard.reset(position)
                self._ramp = self._way(position) if self._starts else None
                self._starts = False
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

    def _way(self, position: Array) -> Ramp | None:
        """The way from here to the start pose; None when it is near."""
        way = shortest(self._default - position, self._continuous)
        if np.abs(way).max() <= NEAR:
            return None
        self._ramped = 0.0
        return Ramp(position, way, self._speed, self._config.start_speed)

    def _why_unheard(self) -> str:
        for source, stamp in self._sensed.items():
            age = self._stamp - stamp
            if not age <= self._config.stale_after:
                doubt = self._doubted[source]
                return f'no recent, usable {source} sample' + (f': {doubt}' if doubt else '')
            if age < -self._config.stale_after:  # it would look fresh for ever
                return f'{source} samples are stamped {-age:.3g} s ahead of the joint states'
        return ''

    def act(self) -> Array:
        """The command for the newest sample: ``command``."""
        inputs, guard, lap = self.inputs, self.guard, self.stages.lap
        position = inputs['position'][0]
        self.decided = False
        if self.unusable:
            self.fault = self.unusable
            guard.stale(self._stamp - self._good - self._config.stale_after, self._position)
            return self._sent()
        if self._ramp is not None:
            return self._approach(self._ramp, position)
        if not self._has_goal:
            self.fault = NO_GOAL
            guard.hold()
            return self._sent()
        self.fault = ''
        if self._stamp > self._asked:
            inputs['velocity_goal'][0] = 0.0
        if self._tool is not None:
            inputs['tool'][0] = self._tool(position)
        # A robot that somebody else commands is where it is, not where we would have it.
        before = position if self._config.shadow and self._by_position else guard.command
        inputs['command'][0] = before
        observation = self._assembler.update(inputs)
        if not _is_finite(observation[0]):
            self.fault = OVERFLOW
            self._forget()  # nor shall its histories keep it, or the action before
            guard.hold()
            return self._sent()
        guard.see(observation[0])
        if self._normalizer is not None:
            mean, std = self._normalizer
            observation = ((observation - mean) / std).astype(np.float32)
        lap()
        try:
            action = self._infer(observation)[0].astype(np.float64)
        except Sim2RealError as error:  # a GPU that failed, say
            guard.stop(f'the runtime failed ({error})')
            guard.hold()
            return self._sent()
        lap()
        if _is_finite(action):  # else the guard shall see it as it is
            action = self._action.limited(action)
        order = self._action.order(action, before)
        guard.apply(order, position, inputs['velocity'][0])
        if not guard.stopped:
            inputs['action'][0] = action
        lap()
        self.decided = True
        return self._sent()

    def rehearse(self) -> None:
        """Do, without effect, what takes long when the processor did other things meanwhile."""
        if self._tool is not None:
            self._tool(self._position)
        with contextlib.suppress(Sim2RealError):  # the next step will say it
            self._runtime.rehearse()

    def _infer(self, observation: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        if self.images:
            return self._runtime.infer(observation, self.images)
        return self._runtime.infer(observation)

    def _approach(self, ramp: Ramp, position: Array) -> Array:
        """The next step to the start pose."""
        self.fault = STARTING
        self._ramped += self._meta.control_period
        order = ramp.at(self._ramped).position
        self.guard.apply(order, position, self.inputs['velocity'][0])
        if self._ramped >= ramp.lasts:
            self._ramp = None
            self._forget()
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
        self.stages.begin(now)
        if not stale:
            self.act()
            return True
        if self.fault != UNSTAMPED:
            self.fault = f'no new joint state for {age:.1f} s'
            if self._refused:
                self.fault = f'the clock of the joint states stands still at {self._stamp:g} s'
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
        self.guard.let_go()
        return bool(np.abs(self._sent() - before).max() > 1e-6)

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        ages = {f'age_{name} [s]': self._stamp - stamp for name, stamp in self._sensed.items()}
        return {
            'warning': self.warning,
            'shadow': self._config.shadow,
            **self._about_guard,
            'commands_made': self.made,
            'deadline_misses': self.missed,
            'restarts': self.restarts,
            'joint_state_rate [Hz]': 1.0 / self._interval if self._interval > 0 else 0.0,
            **ages,
            'latched': self.guard.latched,
            'stopped': self.guard.stopped,
            'interventions': ', '.join(self.guard.reasons),
            **self.guard.counts,
            **self.stages.report(),
            **self._runtime.report(),
        }

    @property
    def doubt(self) -> str:
        """What should not be, though it acts; ``''`` when nothing."""
        period = self._meta.control_period
        if self._interval > SLOW * period:
            rate = 1.0 / self._interval
            return f'joint states come at {rate:.3g} Hz only; one each {period:g} s is needed'
        return ''

    def _sent(self) -> Array:
        self.made += 1
        if self.guard.stopped:
            self.fault = f'{self.guard.stopped}: {UNTIL_RESET}'
        self.command[:] = self.guard.command[self._order]
        return self.command


def _is_finite(values: npt.NDArray[Any]) -> bool:
    """Whether numbers (n,) are finite, and so small that the sum of their squares is.

    ``vdot`` is twice as fast as ``isfinite``, and without a word about what overflows.
    """
    return math.isfinite(np.vdot(values, values))
