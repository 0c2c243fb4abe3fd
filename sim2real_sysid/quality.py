"""Whether a robot's log can be believed: checks for online and batch identification alike.

Samples are collected into blocks of about a second, so that one sample costs next to nothing, and
each block is looked at as a whole: its stamps, its positions, its efforts. A whole log is the same
blocks in a row. What is found are records (:mod:`sim2real_sysid.findings`): joint, what, since
when, the evidence, and how to mend it. Robots of any kind that are well must stay unnamed, so
every check asks for evidence that nothing healthy gives; what is only unusual is left alone.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.findings import Finding, Findings
from sim2real_sysid.quality_efforts import EffortChecks
from sim2real_sysid.quality_order import OrderCheck
from sim2real_sysid.quality_positions import PositionChecks
from sim2real_sysid.quality_stamps import StampChecks
from sim2real_sysid.quality_windows import Block, Motion, Windows, cut, directions

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 1.0  # [s]
FEWEST, MOST = 32, 1024  # samples of a block
LARGEST = 1e9  # SI; whatever is beyond is no measurement
PRESENT = 3.0  # blocks for which evidence counts as present


class Body(Protocol):
    """Inverse dynamics, as :class:`sim2real_sysid.dynamics.RigidBody` has it."""

    def efforts(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        """(2, nj): efforts of the bodies, and what a kilogram more of payload adds."""
        ...


class QualityMonitor:
    """Looks at a log as it comes.

    Args:
        profile: the robot.
        body: its inverse dynamics; without it, masses are no evidence for units and signs.
    """

    def __init__(self, profile: RobotProfile, body: Body | None = None) -> None:
        nj = len(profile.joints)
        self._names = profile.joint_names
        self._body = body
        self._armature = profile.array('armature')
        self._continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
        self._findings = Findings()
        self._stamps = StampChecks(self._findings, 1.0 / profile.rates.joint_state_rate)
        self._positions = PositionChecks(profile, self._findings)
        self._order = OrderCheck(profile, self._findings)
        self._efforts = EffortChecks(profile, self._findings)
        self._stamp = np.zeros(MOST)
        self._values = np.full((MOST, 3, nj), np.nan)
        self._count, self._size = 0, FEWEST
        self._last: tuple[float, Array] | None = None  # sample before the block
        self._noise, self._noises = np.zeros(nj), 0.0

    def push(
        self, stamp: float, position: Array, effort: Array, command: Array | None = None
    ) -> bool:
        """Take one sample.

        Args:
            stamp: its time [s].
            position: (nj,) in the profile's order; NaN where there is none.
            effort: (nj,); likewise.
            command: (nj,) in force; likewise.

        Returns:
            Whether it completed a block, so that there may be news.
        """
        k = self._count
        self._stamp[k] = stamp
        row = self._values[k]
        row[0] = position
        row[1] = effort
        row[2] = np.nan if command is None else command
        self._count = k + 1
        if self._count < self._size:
            return False
        self.flush()
        return True

    def extend(
        self, stamp: Array, position: Array, effort: Array, command: Array | None = None
    ) -> None:
        """Take samples in a row; as :meth:`push`, (n,) and (n, nj)."""
        if command is None:
            command = np.full_like(position, np.nan)
        at = 0
        while at < len(stamp):
            n = min(self._size - self._count, len(stamp) - at)
            here = slice(self._count, self._count + n)
            self._stamp[here] = stamp[at : at + n]
            for k, values in enumerate((position, effort, command)):
                self._values[here, k] = values[at : at + n]
            self._count += n
            at += n
            if self._count == self._size:
                self.flush()

    def flush(self) -> None:
        """Look at what has not made a whole block yet."""
        n, self._count = self._count, 0
        if n == 0:
            return
        stamp = self._stamp[:n]
        values = self._values[:n].copy()
        values[~(np.abs(values) < LARGEST)] = np.nan
        for rows, follows in self._stamps.segments(stamp):
            if not follows:
                self._last = None
                self._positions.restart()
                self._efforts.restart()
            self._look(stamp[rows], values[rows])
        period = self._stamps.period
        if period > 0:
            self._size = int(np.clip(round(BLOCK / period), FEWEST, MOST))

    def _look(self, stamp: Array, values: Array) -> None:
        if self._last is not None:
            stamp = np.concatenate([[self._last[0]], stamp])
            values = np.concatenate([self._last[1][None], values])
        if self._continuous.any():
            turning = values[:, 0, self._continuous]
            turns = np.nan_to_num(np.round(np.diff(turning, axis=0) / (2.0 * np.pi)))
            back = 2.0 * np.pi * np.concatenate([np.zeros_like(turning[:1]), turns]).cumsum(axis=0)
            values[:, 0, self._continuous] -= back
            values[:, 2, self._continuous] -= back  # commands turn along
        self._last = float(stamp[-1]), values[-1].copy()
        block = Block(stamp, values[:, 0], values[:, 1], values[:, 2])
        period = self._stamps.period
        motion = None
        if period > 0:
            windows = cut(block.stamp, block.position, block.effort, period)
            motion = None if windows is None else self._motion(windows)
        with np.errstate(invalid='ignore'):  # what is missing compares as False
            if period > 0:
                self._positions.push(block, motion, period)
                self._order.push(block)
            self._efforts.push(block, motion)

    def _motion(self, windows: Windows) -> Motion:
        half = 0.5 * (windows.velocity[1] - windows.velocity[0])
        known = np.isfinite(half).all(axis=1)
        self._noises = min(self._noises + known.sum(), 500.0)
        if known.any():
            square = np.square(half[known]).mean(axis=0)
            self._noise += known.sum() / self._noises * (square - self._noise)
        direction = directions(windows, np.sqrt(self._noise))
        m, nj = windows.position.shape[1:]
        bodies = np.zeros((2, 2, m, nj))
        if self._body is not None:
            for twin in range(2):
                for k in range(m):
                    state = (
                        windows.position[twin, k],
                        windows.velocity[twin, k],
                        windows.acceleration[twin, k],
                    )
                    whole = all(np.isfinite(part).all() for part in state)
                    bodies[twin, :, k] = self._body.efforts(*state)[:2] if whole else np.nan
        bodies[:, 0] += self._armature * windows.acceleration
        return Motion(windows, direction, bodies)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found so far."""
        return self._findings.all()

    @property
    def ceiling(self) -> Array:
        """(2, nj) where negative and positive efforts are cut; infinite where none are."""
        return self._efforts.ceiling

    def present(self) -> tuple[Finding, ...]:
        """What was found and has not ceased."""
        if self._last is None:
            return ()
        since = self._last[0] - PRESENT * max(BLOCK, self._size * self._stamps.period)
        return tuple(f for f in self.findings if since <= f.until <= self._last[0])

    def spoiled(self, signal: str) -> Flags:
        """(nj,) joints whose ``position`` or ``effort`` cannot be believed at present."""
        bad = {finding.joint for finding in self.present() if finding.spoils == signal}
        return np.array([name in bad for name in self._names])


def in_force(stamp: Array, command_stamp: Array, command: Array, timeout: float) -> Array:
    """Command in force at each sample (n, nj); NaN where none is.

    Args:
        stamp: (n,) of the samples [s].
        command_stamp: (m,) ascending, from when on each command is in force [s].
        command: (m, nj).
        timeout: after which a command counts no more [s].
    """
    at = np.searchsorted(command_stamp, stamp, side='left') - 1
    known = at >= 0
    known[known] = stamp[known] - command_stamp[at[known]] <= timeout
    out = np.full((len(stamp), command.shape[1]), np.nan)
    out[known] = command[at[known]]
    return out


def check(
    profile: RobotProfile,
    stamp: Array,
    position: Array,
    effort: Array,
    command: Array | None = None,
    *,
    body: Body | None = None,
) -> tuple[Finding, ...]:
    """All that is wrong with a whole log.

    Args:
        profile: the robot.
        stamp: (n,) in the order of the log [s].
        position: (n, nj) in the profile's order; NaN where there is none.
        effort: (n, nj); likewise.
        command: (n, nj) in force; likewise.
        body: inverse dynamics; pinocchio's from the URDF by default.

    Raises:
        MissingError: pinocchio is not installed, and no body given.
    """
    if body is None:
        from sim2real_sysid.dynamics import RigidBody

        body = RigidBody(profile)
    monitor = QualityMonitor(profile, body)
    monitor.extend(stamp, position, effort, command)
    monitor.flush()
    return monitor.findings
