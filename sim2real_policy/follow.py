"""Follows a trajectory instead of running a network: another source of actions.

What sees observations and gives actions is a :class:`sim2real_policy.runtime.Runtime`; the
controller, its guard and its watchdogs cannot tell a trajectory from a network. It moves slowly
to the start, runs so many periods, and stays in the pose it ends in. It counts control periods,
not seconds: while the guard holds the robot, the trajectory waits. After a reset, hence after
any longer hole in the samples and wherever the robot was let go of, it moves slowly to the start
again and repeats the period that it was in.

========  ===============================================================================
position  the motion, and ahead of it by what the robot's own position loop lags behind:
          ``(effort + damping velocity) / stiffness``, where the profile has its gains
velocity  the motion's velocity, ahead of it by what the robot's own velocity loop lags behind,
          ``effort / damping``, plus :data:`CORRECTION` times the distance to the motion
effort    the motion's effort, plus the profile's ``stiffness`` and ``damping`` times the
          distance to it and its rate
========  ===============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim2real_core.dynamics import InverseDynamics, Loop
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.joint_states import shortest
from sim2real_core.profile import RobotProfile
from sim2real_core.trajectory import Motion, Trajectory
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.observation import Term
from sim2real_policy.ramp import Ramp
from sim2real_policy.runtime import NOTHING

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]

CORRECTION = 2.0
"""Of a velocity interface: speed per distance to the motion [1/s]."""
SLOWLY = 0.1
"""Share of the speed limits at which the start is approached."""
SEES = {
    'position': ('joint_command',),
    'velocity': ('joint_position',),
    'effort': ('joint_position', 'joint_velocity'),
}
"""Command interface -> terms of what is seen."""


def describe(profile: RobotProfile) -> BundleMetadata:
    """What the controller must know to run a trajectory: actions are orders, as they are."""
    interface = profile.command.interface
    shift = profile.array('default_position') if interface == 'position' else 0.0
    joints = len(profile.joints)
    action = Action(
        meaning=interface, scale=(1.0,) * joints, offset=tuple(np.zeros(joints) - shift)
    )
    terms = [Term(kind=kind) for kind in SEES[interface]]
    return BundleMetadata.for_robot(profile, terms, action)


class TrajectoryRuntime:
    """Gives the orders of a trajectory. See the module's text.

    Args:
        trajectory: of this robot.
        profile: the robot.
        periods: how many to run; 0 for as many as the trajectory says.

    Raises:
        InputError: an effort interface, but no gains to follow with; or a robot whose joints
            nobody commands.
        MissingError: pinocchio is not installed.
    """

    name = 'trajectory'

    def __init__(self, trajectory: Trajectory, profile: RobotProfile, periods: int = 0) -> None:
        self._trajectory = trajectory
        self._interface = profile.command.interface
        self._stiffness, self._damping = profile.array('stiffness'), profile.array('damping')
        if self._interface not in SEES:
            mend = f'must be one of {", ".join(SEES)}: a trajectory moves joints'
            raise InputError(Fault('command.interface', self._interface, mend, str(profile.path)))
        if self._interface == 'effort':
            _check_gains(profile)
        self._default = profile.array('default_position')
        self._continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
        self._limit = profile.array('velocity')
        self._dynamics, self._loop = InverseDynamics(profile), Loop.of(profile)
        self._step = profile.rates.control_period
        self._length = 1.0 / trajectory.base_frequency
        self._periods = periods or trajectory.periods
        self._time = 0.0  # of the motion [s]
        self._begin = trajectory.at(0.0)
        self.reset()

    def reset(self) -> None:
        """Move slowly to the start next, then repeat the period that was not finished."""
        self._time = self._length * min(self.finished, self._periods)
        self._ramp: Ramp | None = None
        self._approached = 0.0  # time since the approach began [s]

    @property
    def finished(self) -> int:
        """Periods that are done."""
        return int(self._time / self._length + 1e-9)

    def infer(self, observation: Array32, others: Mapping[str, Array32] = NOTHING) -> Array:
        """The next order (1, nj) for what is seen (1, d); one call is one control period."""
        seen = observation[0].astype(np.float64).reshape(-1, len(self._default))
        here = seen[0] + self._default  # commanded or measured
        if self._ramp is None:
            self._ramp = self._leave(here)
        if self._approached < self._ramp.lasts:
            self._approached += self._step
            motion = self._ramp.at(self._approached)
        else:
            motion = self._run()
        if self._interface == 'position':
            return motion.position[None]
        off = shortest(motion.position - here, self._continuous)
        if self._interface == 'velocity':
            return (self._commanded(motion) + CORRECTION * off)[None]
        effort = self._dynamics.efforts(*motion) + self._stiffness * off
        return (effort + self._damping * (motion.velocity - seen[1]))[None]

    def _leave(self, here: Array) -> Ramp:
        """Begin the approach from where the robot is."""
        goal = self._ordered(self._begin).position
        turns = np.where(self._continuous, np.round((here - goal) / (2.0 * math.pi)), 0.0)
        self._turned = 2.0 * math.pi * turns
        return Ramp(here, goal + self._turned - here, self._limit, SLOWLY)

    def _run(self) -> Motion:
        """The motion; at its end the pose it ended in."""
        self._time = min(self._time + self._step, self._length * self._periods)
        done = self.finished >= self._periods
        motion = self._ordered(self._begin if done else self._trajectory.at(self._time))
        return motion._replace(position=motion.position + self._turned)

    def _ordered(self, motion: Motion) -> Motion:
        """With the positions that a position loop must be told."""
        if self._interface != 'position':
            return motion
        return motion._replace(position=self._commanded(motion))

    def _commanded(self, motion: Motion) -> Array:
        """What the robot's own loop must be told for a motion (nj,)."""
        effort = self._dynamics.efforts(*motion)
        return self._loop.command(motion.position, motion.velocity, effort)

    def rehearse(self) -> None:
        """Nothing: where it is on its way is what a step changes."""

    def close(self) -> None:
        """Nothing to free."""

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        if self.finished >= self._periods:
            state = 'done'
        elif self._ramp is None or self._approached < self._ramp.lasts:
            state = 'approaches the start'
        else:
            state = f'period {self.finished + 1} of {self._periods}'
        return {'motion': state, 'motion_time [s]': round(self._time, 6)}


def _check_gains(profile: RobotProfile) -> None:
    """By effort a robot follows nothing without gains."""
    faults = Faults(str(profile.path))
    for joint in profile.joints:
        for gain in ('stiffness', 'damping'):
            value = getattr(joint, gain)
            if not value > 0:
                mend = 'an effort interface follows a trajectory with this gain: give it'
                faults.add(f'joints.{joint.name}.{gain}', value, mend)
    faults.check()
