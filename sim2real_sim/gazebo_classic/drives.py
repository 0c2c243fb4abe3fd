"""A robot's drives: what a command means to the engine, and the effort that follows from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import parse_address
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import RobotProfile
from sim2real_sim.gazebo_classic.joints import Drive

Array = npt.NDArray[np.float64]
BRAKE = 10.0  # [rad/s] natural frequency of what holds a joint that has no position loop


class Drives:
    """The drives of a robot, in command order.

    A robot that is commanded by position has its own position loop. One commanded by velocity or
    effort is held by a critically damped one while it has no command, as by a brake.

    Attributes:
        commanded: (nj,) the command in force.

    Args:
        profile: the robot.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self._profile = profile
        self._interface = profile.command.drives
        self._stiffness, self._damping = profile.array('stiffness'), profile.array('damping')
        self._limit = self._nominal_limit = profile.array('effort')
        self._loads = _Loads(profile)
        self.commanded = np.zeros(len(profile.joints))
        self._target, self._holds = self.commanded, False
        self.hold(profile.array('default_position'))

    def command(self, values: Array) -> None:
        """Take a command (nj,)."""
        self.commanded, self._holds = values.copy(), False

    def hold(self, position: Array) -> None:
        """Stay at joint positions (nj,), with what carries the robot's nominal weight there."""
        load = self._loads.gravity(position)
        self._holds = True
        if self._interface == 'position':
            stiff = self._stiffness > 0
            ahead = np.divide(load, self._stiffness, out=np.zeros_like(load), where=stiff)
            self.commanded = self._target = position + ahead
            self._gains = self._stiffness, self._damping
            return
        inertia = self._loads.inertia(position) + self._profile.array('armature')
        self._gains = inertia * BRAKE**2, 2.0 * inertia * BRAKE
        self.commanded = np.zeros_like(position)
        self._target = position + load / self._gains[0]

    def limit(self, values: Mapping[str, float]) -> None:
        """Take the largest efforts of a draw; those that it does not name are nominal."""
        self._limit = self._nominal_limit.copy()
        for address, value in values.items():
            parsed = parse_address(address)
            if (parsed.kind, parsed.quantity) == ('actuator', 'saturation'):
                self._limit[self._profile.joint_names.index(parsed.name)] = value

    def loops(self) -> dict[str, Drive]:
        """Loops that the engine runs for this command, by joint."""
        stiffness, damping, target, speed = self._loop()
        return {
            name: Drive(float(k), float(d), float(q), float(v))
            for name, k, d, q, v in zip(
                self._profile.joint_names, stiffness, damping, target, speed
            )
        }

    def efforts(self) -> dict[str, float]:
        """Constant efforts for this command, by joint; none where efforts are not commanded."""
        if self._interface != 'effort':
            return {}
        return dict(zip(self._profile.joint_names, map(float, self._constant())))

    def applied(self, position: Array, velocity: Array) -> Array:
        """Effort (nj,) of the drives at joint positions and velocities (nj,).

        The engine limits the spring, the damper and the constant effort each for itself.
        """
        stiffness, damping, target, speed = self._loop()
        parts = stiffness * (target - position), damping * (speed - velocity), self._constant()
        return np.asarray(sum(np.clip(part, -self._limit, self._limit) for part in parts))

    def _loop(self) -> tuple[Array, Array, Array, Array]:
        """Stiffness, damping, target and speed (nj,)."""
        none = np.zeros_like(self.commanded)
        if self._holds:
            return *self._gains, self._target, none
        if self._interface == 'position':
            return self._stiffness, self._damping, self.commanded, none
        if self._interface == 'velocity':
            return none, self._damping, none, self.commanded
        return none, none, none, none

    def _constant(self) -> Array:
        effort = self._interface == 'effort' and not self._holds
        return self.commanded if effort else np.zeros_like(self.commanded)


class _Loads:
    """What joints carry at rest, and what they turn, of the nominal robot."""

    def __init__(self, profile: RobotProfile) -> None:
        import pinocchio

        self._pin = pinocchio
        self._kinematics = Kinematics(profile)
        model = self._kinematics.model
        ids = [model.getJointId(name) for name in profile.joint_names]
        self._columns = np.array([model.joints[number].idx_v for number in ids])

    def gravity(self, position: Array) -> Array:
        """Efforts (nj,) that carry the weight at joint positions (nj,)."""
        k = self._kinematics
        efforts = self._pin.computeGeneralizedGravity(k.model, k.data, k.configuration(position))
        return np.array(efforts)[self._columns]

    def inertia(self, position: Array) -> Array:
        """Inertia (nj,) that each joint turns when the others rest."""
        k = self._kinematics
        matrix = self._pin.crba(k.model, k.data, k.configuration(position))
        return np.diagonal(matrix)[self._columns].copy()
