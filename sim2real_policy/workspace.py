"""Keeps a robot's tool within a box, whatever is ordered.

No command is sent from which the robot could not come to rest inside. Every period the path is
predicted that the joints would take if they braked from here on, and the tool is looked for along
it. An order whose path leaves the box is scaled back towards braking; braking itself is the rest
of the path that was found good a period earlier. A tool that starts outside may only go nearer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_core.kinematics import Kinematics, link_frame
from sim2real_policy.guard_limiters import Limiter, braked
from sim2real_policy.guard_reasons import WORKSPACE

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

SHARES = (0.5, 0.25, 0.0625)
"""Shares of the way from braking to what was asked for, tried in turn."""
LONGEST = 2000
"""Longest way to rest that is looked at [periods]; what takes longer is not begun."""
MOST = 64
"""Most tool positions that are looked at in one way; what needs more is not begun."""
_ROUNDING = 1e-9  # [m]
_NUDGE = 1e-6  # [rad or m]
_FARTHEST = 1e9  # [m] where infinity would need care


class Workspace:
    """A box for the tool.

    Args:
        low: (3,) its lower corner [m], in the frame of ``forward``; infinite where open.
        high: (3,) its upper corner [m].
        forward: gives the tool position (3,) [m] for joint positions (nj,) [rad or m].
        reach: (nj,) how far at most the tool moves per movement of each joint [m/rad or 1];
            see :func:`reach`. Without it every period of a path is looked at.

    Raises:
        InputError: a box without inside.
    """

    def __init__(
        self,
        low: Sequence[float],
        high: Sequence[float],
        forward: Callable[[Array], Array],
        reach: Array | None = None,
    ) -> None:
        faults = Faults()
        for name, corner in (('low', low), ('high', high)):
            if len(corner) != 3 or np.isnan(corner).any():
                faults.add(f'workspace.{name}', corner, 'must be x, y and z')
        faults.check()
        for axis, one, other in zip('xyz', low, high):
            if not one < other:
                faults.add(f'workspace.low.{axis}', one, f'must be less than high ({other:g})')
        faults.check()
        self._low, self._high = np.array(low, float), np.array(high, float)
        self._forward = forward
        self._reach = reach

    def depth(self, position: Array) -> float:
        """How far outside the tool is for joint positions (nj,) [m]; inside negative."""
        tool = self._forward(position)
        depth = float(np.maximum(self._low - tool, tool - self._high).max())
        return math.inf if math.isnan(depth) else depth

    def allows(self, start: Array, speed: Array, step: Array, period: float, now: Array) -> bool:
        """Whether braking keeps the tool inside, or no further outside than now.

        Args:
            start: (nj,) joint positions that the next command leads to.
            speed: (nj,) joint speeds then.
            step: (nj,) change of speed in a period while braking.
            period: time between two commands [s].
            now: (nj,) joint positions now.
        """
        bound: float | None = None  # worked out only when it matters
        periods = float(np.ceil(np.abs(speed) / step).max()) if len(speed) else 0.0
        if not periods <= LONGEST:
            return False
        path = _braking(start, speed, step, period, int(periods))
        travel = None if self._reach is None else np.abs(path - start) @ self._reach
        index = 0
        for _ in range(MOST):
            depth = self.depth(path[index])
            if depth > 0.0:
                bound = max(0.0, self.depth(now)) if bound is None else bound
                if depth == math.inf or depth > bound + _ROUNDING:
                    return False
            index += 1
            if travel is not None:  # the tool cannot leave before it has moved that far
                inside = travel[index - 1] + max(-depth, 0.0)
                index = max(index, int(np.searchsorted(travel, inside, 'right')))
            if index >= len(path):
                return True
        return False

    def outward(self, position: Array) -> Array:
        """(nj,) by how much a joint's movement there brings the tool further out [m/rad or 1]."""
        here = self.depth(position)
        change = np.zeros(len(position))
        for joint in range(len(position)):
            moved = position.copy()
            moved[joint] += _NUDGE
            change[joint] = (self.depth(moved) - here) / _NUDGE
        return change


class _Confined(Limiter):
    """A limiter whose commands keep the tool in a workspace; for one robot.

    Args:
        inner: keeps all other limits.
        workspace: where the tool stays.
    """

    def __init__(self, inner: Any, workspace: Workspace) -> None:
        self._inner = inner
        self._workspace = workspace
        self.command, self.step, self.period = inner.command, inner.step, inner.period

    def reset(self, position: Array, ids: Any = ...) -> None:
        """Start at rest from a measured position."""
        self._inner.reset(position, ids)

    def resume(self, position: Array) -> None:
        """Go on from a measured position, after damping or a stop."""
        self._inner.resume(position)

    def prepare(self) -> None:
        """Work out ahead what can be."""
        self._inner.prepare()

    def hold(self, fraction: float = 0.0) -> None:
        """Come to rest, along the path that was found good."""
        self._inner.hold(fraction)

    def _stays(self, here: Array, speed: Array) -> bool:
        start = here + speed * self.period
        return self._workspace.allows(start, speed, self.step, self.period, here)

    def _scaled(self, here: Array, before: Array, asked: Array) -> Array:
        """The fastest of a few speeds between braking and what was asked for."""
        brake = braked(before, self.step)
        for share in SHARES:
            speed: Array = brake + share * (asked - brake)
            if self._stays(here, speed):
                return speed
        return brake


class ConfinedPosition(_Confined):
    """Of position commands: predicted from the last command."""

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Move towards an order; see :meth:`Limiter.follow`."""
        inner = self._inner
        here, before = inner.command.copy(), inner.rate.copy()
        flags = 0 if inner.take(order) else inner.follow(order, position, velocity)
        return flags | self._confine(here, before)

    def damp(self, position: Array, fraction: float) -> int:
        """Glide towards the position last measured."""
        here, before = self._inner.command.copy(), self._inner.rate.copy()
        self._inner.damp(position, fraction)
        return self._confine(here, before)

    def _confine(self, here: Array, before: Array) -> int:
        inner = self._inner
        asked = inner.rate.copy()
        if self._stays(here, asked):
            return 0
        inner.command[:] = here
        inner.move(self._scaled(here, before, asked))
        return WORKSPACE


class ConfinedVelocity(_Confined):
    """Of velocity commands: predicted from the measured position."""

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Move towards an order; see :meth:`Limiter.follow`."""
        before = self.command.copy()
        flags: int = self._inner.follow(order, position, velocity)
        if self._stays(position, self.command):
            return flags
        self.command[:] = self._scaled(position, before, self.command.copy())
        return flags | WORKSPACE


class ConfinedEffort(_Confined):
    """Of effort commands: outside the box an effort that pushes further out is cut to zero."""

    def follow(self, order: Array, position: Array, velocity: Array) -> int:
        """Send an effort; see :meth:`Limiter.follow`."""
        here = position + velocity * self.period
        if self._workspace.depth(here) > 0.0:
            inward = np.where(order * self._workspace.outward(here) > 0.0, 0.0, order)
            flags: int = self._inner.follow(inward, position, velocity)
            return flags | WORKSPACE * bool((inward != order).any())
        inside: int = self._inner.follow(order, position, velocity)
        return inside


CONFINED: dict[str, Callable[[Any, Workspace], Limiter]] = {
    'position': ConfinedPosition,
    'velocity': ConfinedVelocity,
    'effort': ConfinedEffort,
}
"""Command interface -> what keeps its limiter in a workspace."""


def workspace_of(
    profile: RobotProfile, joints: Sequence[str], low: Sequence[float], high: Sequence[float]
) -> Workspace:
    """A box in the base frame for the tool of a robot.

    Args:
        profile: the robot.
        joints: names of its joints, in the order of the commands.
        low: (3,) lower corner [m].
        high: (3,) upper corner [m].

    Raises:
        InputError: a box without inside.
        MissingError: pinocchio is not installed.
    """
    kinematics = Kinematics(profile)
    order = [list(joints).index(name) for name in profile.joint_names]
    back = [profile.joint_names.index(name) for name in joints]
    return Workspace(
        low,
        high,
        lambda position: kinematics.position(position[order]),
        reach(profile, kinematics.model)[back],
    )


def reach(profile: RobotProfile, model: Any) -> Array:
    """How far at most the tool moves per movement of each actuated joint (nj,) [m/rad or 1].

    A joint that turns moves the tool at most by the length of all that lies between the two,
    stretched out straight.

    Args:
        profile: the robot.
        model: the same in pinocchio, of :func:`sim2real_core.kinematics.build_model`.
    """
    frame = model.frames[link_frame(model, profile.tool_link)]
    lever = float(np.linalg.norm(frame.placement.translation))
    coupling = profile.coupling
    most = np.zeros(len(coupling.names))
    index = frame.parentJoint
    while index > 0:
        joint = profile.urdf.joints[model.names[index]]
        slides = joint.type == 'prismatic'
        most[coupling.names.index(joint.name)] = 1.0 if slides else min(lever, _FARTHEST)
        lever += float(np.linalg.norm(model.jointPlacements[index].translation))
        lever += max(abs(joint.lower), abs(joint.upper)) if slides else 0.0
        index = model.parents[index]
    tool: Array = most @ np.abs(coupling.map)
    return tool


def _braking(start: Array, speed: Array, step: Array, period: float, periods: int) -> Array:
    """Positions (1 + periods, nj) while braking from a speed."""
    k = np.arange(periods + 1)[:, None]
    slower = np.maximum(np.abs(speed) - k * step, 0.0)
    slower[0] = 0.0
    path: Array = start + np.sign(speed) * np.cumsum(slower, axis=0) * period
    return path
