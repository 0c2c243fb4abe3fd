"""Efforts of a log: holes, constants, saturation, and whether the motion can explain them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.findings import Findings
from sim2real_sysid.quality_explain import Explanations
from sim2real_sysid.quality_windows import Block, Motion, Shares

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_MISSING = 0.01
AT_LIMIT, NEAR_LIMIT = 0.98, 1.05  # times the effort limit
GLITCH = 10.0  # times the limit: no measurement
BEYOND, MOST_BEYOND = 1.5, 0.05  # times the limit; share of the samples
DIGITS = 1e-6  # of the largest effort: below it is arithmetic, not a sensor
NOISY = 2.0  # noise of so many steps of the sensor hits the same value rarely
FEWEST_TIES = 4  # of three equal samples in a row
FEWEST_MOVING = 8  # windows
WINDOW, FEWEST_INSIDE = 32, 8  # samples; those between the largest values
MOST_HELD = 0.2  # of the samples, as long as the one before
FEWEST_NOISY, MOST_DULL = 20, 0.25  # windows with noise; share of those without


class EffortChecks:
    """Checks of all joints' efforts.

    Attributes:
        ceiling: (2, nj) sizes at which negative and positive efforts are cut; infinite where
            nothing says that they are.
    """

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
        self._noisy, self._dull = np.zeros(nj), np.zeros(nj)  # windows with noise, and without
        self._extreme = np.zeros((2, nj))  # largest efforts seen, negative and positive
        self._ties = np.zeros((2, nj))
        self.ceiling = np.full((2, nj), np.inf)
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
        """Efforts at the limit, and efforts that are cut below it."""
        size = np.abs(block.effort)
        full = (size >= AT_LIMIT * self._limit) & (size <= NEAR_LIMIT * self._limit)
        full = full[2:] & full[1:-1] & full[:-2]
        self._full.add(full)
        for j in np.flatnonzero((self._full.hits >= FEWEST_TIES) & full.any(axis=0)):
            evidence = f'the effort is at its limit, {self._limit[j]:.3g}'
            self._findings.note(self._names[j], 'effort_saturated', *block.span, evidence)
        level = self._cut(np.where(size < GLITCH * self._limit, block.effort, np.nan))
        exceeded = self._extreme > self.ceiling
        self.ceiling = np.where(exceeded, np.inf, np.minimum(self.ceiling, level))
        lowest = level.min(axis=0)
        for j in np.flatnonzero(np.isfinite(lowest)):
            evidence = f'the effort is cut at {lowest[j]:.3g}'
            self._findings.note(self._names[j], 'effort_saturated', *block.span, evidence)

    def _cut(self, effort: Array) -> Array:
        """The levels (2, nj) that efforts do not exceed; infinite where none is cut.

        There the noise stops that they have everywhere else, be the joint in motion or at rest:
        the largest value seen comes again and again.
        """
        step = np.diff(effort, axis=0)
        size = np.abs(step)
        smallest = np.where(size > 0, size, np.inf).min(axis=0)
        self._quantum = np.minimum(self._quantum, smallest)
        equal = (step[1:] == 0) & (step[:-1] == 0)
        ties = np.zeros_like(self._extreme)
        for side, sign in enumerate((-1.0, 1.0)):
            reach = np.where(np.isfinite(effort), sign * effort, -np.inf).max(axis=0)
            farther = reach > self._extreme[side]
            self._ties[side, farther] = 0.0
            np.maximum(self._extreme[side], reach, out=self._extreme[side])
            ties[side] = (equal & (sign * effort[1:-1] == self._extreme[side])).sum(axis=0)
        self._ties += ties
        largest = self._extreme.max(axis=0)
        self._count_noisy(effort, step)
        noisy = (self._noisy >= FEWEST_NOISY) & (self._dull <= MOST_DULL * self._noisy)
        here = (self._ties >= FEWEST_TIES) & (ties > 0) & (self._extreme >= 0.5 * largest)
        return np.where(noisy & here, self._extreme, np.inf)

    def _count_noisy(self, effort: Array, step: Array) -> None:
        """Count windows with noise and without, as the samples show it that may be whole.

        Of white noise, neighbouring second differences have the mean product -4 variances.
        """
        m = (len(step) - 2) // WINDOW
        if m <= 0:
            return
        inside = (effort > -self._extreme[0]) & (effort < self._extreme[1])
        inside = inside[3:] & inside[2:-1] & inside[1:-2] & inside[:-3]
        second = np.diff(step, axis=0)
        product = np.where(inside, second[1:] * second[:-1], 0.0)
        held = inside & (second[1:] == 0) & (step[1:-1] == 0)  # by a sensor slower than samples
        product, inside, held = (
            x[: m * WINDOW].reshape(m, WINDOW, -1) for x in (product, inside, held)
        )
        count = inside.sum(axis=1)
        variance = np.maximum(-product.sum(axis=1), 0.0) / (4.0 * np.maximum(count, 1))
        least = np.square(np.maximum(NOISY * self._quantum, DIGITS * self._extreme.max(axis=0)))
        telling = count >= FEWEST_INSIDE
        noisy = (variance > least) & (held.sum(axis=1) <= MOST_HELD * count)
        self._noisy += (telling & noisy).sum(axis=0)
        self._dull += (telling & ~noisy).sum(axis=0)

    def _explain(self, block: Block, motion: Motion) -> None:
        """Whether the motion explains the efforts; a few joints at a time, for steady work."""
        self._explanations.add(motion)
        nj = len(self._names)
        some = (self._turn + np.arange(min(nj, max(2, nj // 8)))) % nj
        self._turn = (self._turn + len(some)) % nj
        for j in some:
            verdict = self._explanations.judge(int(j))
            if verdict is not None:
                what, evidence = verdict
                span = self._explanations.since[j], float(block.stamp[-1])
                self._findings.note(self._names[j], what, *span, evidence)
