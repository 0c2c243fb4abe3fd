"""Efforts of a log: holes, constants, saturation, and whether the motion can explain them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.findings import Findings
from sim2real_sysid.quality_explain import Explanations
from sim2real_sysid.quality_windows import MEMORY, Block, Motion, Shares

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_MISSING = 0.01
AT_LIMIT, NEAR_LIMIT = 0.98, 1.05  # times the effort limit
BEYOND, MOST_BEYOND = 1.5, 0.05  # times the limit; share of the samples
NOISY = 2.0  # noise of so many steps of the sensor hits the same value rarely
FEWEST_TIES = 4  # of three equal samples in a row
FEWEST_MOVING = 8  # windows


class EffortChecks:
    """Checks of all joints' efforts."""

    def __init__(self, profile: RobotProfile, findings: Findings) -> None:
        nj = len(profile.joints)
        self._findings = findings
        self._names = profile.joint_names
        self._limit = profile.array('effort')
        self._missing, self._beyond, self._full = (Shares(nj) for _ in range(3))
        self._ever = np.zeros(nj, dtype=bool)
        self._constant_since = np.full(nj, np.nan)
        self._ways = np.zeros((2, nj))  # windows of motion since it is constant
        self._quantum = np.full(nj, np.inf)
        self._variance = np.zeros(nj)  # of the noise
        self._extreme = np.zeros((2, nj))  # lowest and highest seen
        self._ties = np.zeros((2, nj))
        self._explanations = Explanations(nj)
        self._turn = 0

    def restart(self) -> None:
        """Time started over."""
        self._constant_since[:] = np.nan

    def push(self, block: Block, motion: Motion | None) -> None:
        """Take a block."""
        known = np.isfinite(block.effort)
        self._ever |= known.any(axis=0)
        if not self._ever.any():
            return
        self._values(block, known)
        self._constants(block, motion)
        if len(block.effort) > 4:
            self._saturation(block)
        if motion is not None:
            self._explain(block, motion)

    def _values(self, block: Block, known: Flags) -> None:
        self._missing.add(~known)
        for j in np.flatnonzero(self._ever & self._missing.beyond(MOST_MISSING, 3)):
            evidence = f'{self._missing.share[j]:.0%} of the efforts are missing'
            self._findings.note(self._names[j], 'effort_missing', *block.span, evidence)
        self._beyond.add(np.abs(block.effort) > BEYOND * self._limit)
        for j in np.flatnonzero(self._beyond.beyond(MOST_BEYOND, 50)):
            evidence = (
                f'{self._beyond.share[j]:.0%} of the efforts are beyond {BEYOND:g} times the '
                f'limit, {self._limit[j]:g}'
            )
            self._findings.note(self._names[j], 'effort_units', *block.span, evidence)

    def _constants(self, block: Block, motion: Motion | None) -> None:
        """Efforts that do not change at all although the joint moves to and fro.

        A constant zero is wrong already in steady motion.
        """
        effort = block.effort
        same = (effort == effort[0]).all(axis=0)
        fresh = ~same | np.isnan(self._constant_since)
        self._constant_since = np.where(same, self._constant_since, np.nan)
        self._constant_since[fresh & same] = block.stamp[0]
        self._ways[:, fresh] = 0.0
        if motion is not None:
            self._ways[0] += (motion.direction > 0).sum(axis=0)
            self._ways[1] += (motion.direction < 0).sum(axis=0)
        enough = (self._ways >= FEWEST_MOVING).all(axis=0)
        enough |= (effort[0] == 0) & (self._ways.sum(axis=0) >= 5 * FEWEST_MOVING)
        for j in np.flatnonzero(np.asarray(same & enough)):
            evidence = f'the effort is {effort[0, j]:g} all the time while the joint moves'
            span = float(self._constant_since[j]), float(block.stamp[-1])
            self._findings.note(self._names[j], 'effort_constant', *span, evidence)

    def _saturation(self, block: Block) -> None:
        """Efforts at the limit, and efforts whose noise stops at the most that was seen."""
        effort = block.effort
        size = np.abs(effort)
        full = (size >= AT_LIMIT * self._limit) & (size <= NEAR_LIMIT * self._limit)
        self._full.add(full[2:] & full[1:-1] & full[:-2])
        step = np.diff(effort, axis=0)
        moved = np.abs(step)
        smallest = np.where(moved > 0, moved, np.inf).min(axis=0)
        self._quantum = np.minimum(self._quantum, smallest)
        second = np.diff(step, axis=0)
        variance = np.maximum(-(second[1:] * second[:-1]).mean(axis=0), 0.0) / 4.0
        self._variance = np.maximum(MEMORY * self._variance, np.nan_to_num(variance))
        equal = (step[1:] == 0) & (step[:-1] == 0)
        for side, (sign, reach) in enumerate(((-1, effort.min(axis=0)), (1, effort.max(axis=0)))):
            old = self._extreme[side]
            farther = sign * reach > sign * old
            self._ties[side, farther] = 0.0
            self._extreme[side] = np.where(farther, reach, old)
            self._ties[side] += (equal & (effort[1:-1] == self._extreme[side])).sum(axis=0)
        noisy = self._variance > np.square(NOISY * self._quantum)
        high = np.abs(self._extreme) >= 0.5 * np.abs(self._extreme).max(axis=0)
        high &= self._extreme != 0
        ties = noisy & high & (self._ties >= FEWEST_TIES)
        clipped = np.asarray(ties.any(axis=0))
        for j in np.flatnonzero(clipped | (self._full.hits >= FEWEST_TIES)):
            level = self._limit[j]
            words = 'reaches its limit'
            if clipped[j]:
                level = float(np.abs(self._extreme[ties[:, j], j]).max())
                words = 'is cut'
            evidence = f'the effort {words}, {level:.3g}'
            if full[:, j].any() or (size[:, j] == level).any():
                self._findings.note(self._names[j], 'effort_saturated', *block.span, evidence)

    def _explain(self, block: Block, motion: Motion) -> None:
        """Whether the motion explains the efforts; a few joints at a time, for steady work."""
        self._explanations.add(motion)
        nj = len(self._names)
        some = (self._turn + np.arange(min(nj, 4))) % nj
        self._turn = (self._turn + len(some)) % nj
        for j in some:
            verdict = self._explanations.judge(int(j))
            if verdict is not None:
                what, evidence = verdict
                span = self._explanations.since[j], float(block.stamp[-1])
                self._findings.note(self._names[j], what, *span, evidence)
