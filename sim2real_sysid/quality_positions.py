"""Positions of a log: encoders that stand still while the joint moves, jumps, ranges, holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.findings import Findings
from sim2real_sysid.quality_windows import Block, Motion, Shares, samples_per_window

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

JUMP = 3.0  # times the speed limit
JUMP_TIME = 0.025  # [s], at least: slow encoders repeat values
OUTSIDE = 0.25  # of the range, beyond its ends
MOST_OUTSIDE, MOST_MISSING = 0.05, 0.01
STILL = 25  # samples, and
STILL_TIME = 0.5  # seconds, of exactly the same position before a joint counts as still
DELTA = 0.05  # of the range: least error of a command that must move a joint
NOISY = 2.0  # noise of so many steps of the encoder cannot be still
REST = 12.0  # range of a resting window in standard deviations of its noise
FEWEST_NOISY = 10  # windows
STRONG = 2.5  # times the effort that usually moves the joint
FEWEST_MOVING = 20  # windows
HELD, HELD_TIME = 5.0, 0.05  # samples and seconds of the same value in motion


class PositionChecks:
    """Checks of all joints' positions.

    A position that repeats exactly is an encoder that is stuck, when a joint could not stay: its
    command goes to both sides, or far to one side without a rise of the effort; or effort swings
    to both sides by more than what usually moves it; or the noise that it had is gone, although
    something moves. A joint that is held, blocked by an obstacle or at rest does none of that.
    """

    def __init__(self, profile: RobotProfile, findings: Findings) -> None:
        nj = len(profile.joints)
        self._findings = findings
        self._names = profile.joint_names
        self._interface = profile.command.drives
        lower, upper = profile.array('lower'), profile.array('upper')
        self._limit = profile.array('velocity')
        limited = np.isfinite(upper - lower)
        self._span = np.where(limited, upper - lower, np.minimum(self._limit, 1.0))
        self._low = lower - OUTSIDE * self._span
        self._high = upper + OUTSIDE * self._span
        self._slack = 10.0 * profile.array('position_noise')
        self._missing, self._outside, self._jumps = (Shares(nj) for _ in range(3))
        self._quantum = np.full(nj, np.inf)  # smallest step of the encoder
        self._noisy, self._dead = np.zeros(nj), np.zeros(nj)  # windows at rest
        self._moved, self._level, self._center = np.zeros(nj), np.zeros(nj), np.zeros(nj)
        self._lag = np.zeros(nj)  # largest error of the command in motion
        self._stuck = np.zeros(nj, dtype=bool)
        self._run, self._since = np.zeros(nj), np.zeros(nj)
        self._held = np.zeros(nj)
        self._begin(np.ones(nj, dtype=bool))

    def _begin(self, joints: Flags) -> None:
        """A new run of equal positions."""
        if not hasattr(self, '_range'):
            self._range = np.empty((3, 2, len(joints)))  # of error, effort, rigid effort
            self._asked = np.zeros(len(joints))
            self._others = np.zeros(len(joints))
        self._range[:, 0, joints], self._range[:, 1, joints] = np.inf, -np.inf
        self._asked[joints] = 0.0
        self._others[joints] = 0.0

    def restart(self) -> None:
        """Time started over."""
        self._run[:] = 0.0
        self._begin(np.ones(len(self._run), dtype=bool))

    def push(self, block: Block, motion: Motion | None, period: float) -> None:
        """Take a block; ``period`` [s] between its samples."""
        self._values(block)
        step = np.diff(block.position, axis=0)
        if not len(step):
            return
        size = np.abs(step)
        moved = size > 0
        self._jump(block, size)
        small = np.where(moved, size, np.inf).min(axis=0)
        self._quantum = np.minimum(self._quantum, small)
        self._hold(block, size, moved, small, period)
        self._noise(block, step, period)
        first = self._runs(block, moved)
        self._follow(block, first, motion)
        self._judge(block, period)

    def _values(self, block: Block) -> None:
        q = block.position
        missing = ~np.isfinite(q)
        self._missing.add(missing)
        self._outside.add((q < self._low) | (q > self._high))
        for j in np.flatnonzero(self._missing.beyond(MOST_MISSING, 3)):
            evidence = f'{self._missing.share[j]:.0%} of the positions are missing'
            self._findings.note(self._names[j], 'position_missing', *block.span, evidence)
        for j in np.flatnonzero(self._outside.beyond(MOST_OUTSIDE, 20)):
            farthest = float(np.nanmax(np.abs(q[:, j])))
            evidence = f'up to {farthest:.3g}, far outside of its range'
            self._findings.note(self._names[j], 'position_range', *block.span, evidence)

    def _jump(self, block: Block, size: Array) -> None:
        time = np.maximum(np.diff(block.stamp), JUMP_TIME)[:, None]
        jumps = size > JUMP * self._limit * time + self._slack
        self._jumps.add(jumps)
        for row in np.flatnonzero(jumps.sum(axis=1) > 1):
            self._order(block, int(row), np.flatnonzero(jumps[row]))
        for j in np.flatnonzero(self._jumps.beyond(0.0, 3) & jumps.any(axis=0)):
            evidence = f'jumps by up to {float(size[jumps[:, j], j].max()):.3g}'
            self._findings.note(self._names[j], 'position_jumps', *block.span, evidence)

    def _order(self, block: Block, row: int, joints: npt.NDArray[np.intp]) -> None:
        """Joints that jump at once to where others were: their values came in another order."""
        before, after = block.position[row, joints], block.position[row + 1, joints]
        time = max(block.stamp[row + 1] - block.stamp[row], JUMP_TIME)
        reach = JUMP * self._limit[joints] * time + self._slack[joints]
        near = np.abs(after[:, None] - before) < reach
        if not (near.any(axis=0) & near.any(axis=1)).all():
            return
        stamp = float(block.stamp[row + 1])
        for j in joints:
            others = ', '.join(self._names[k] for k in joints if k != j)
            evidence = f'its values and those of {others} change places'
            self._findings.note(self._names[j], 'position_order', stamp, stamp, evidence)

    def _hold(self, block: Block, size: Array, moved: Flags, small: Array, period: float) -> None:
        """Values that are held for many samples, while the joint goes on."""
        changes = moved.sum(axis=0)
        mean = np.where(moved, size, 0.0).sum(axis=0) / np.maximum(changes, 1)
        samples = len(size) / np.maximum(changes, 1)
        coarse = (changes >= 4) & (samples >= HELD) & (samples * period >= HELD_TIME)
        coarse &= mean > 5.0 * np.minimum(self._quantum, small)
        # Pauses between moves have long stretches of no change, but none of steady change.
        steady = np.zeros_like(coarse)
        for j in np.flatnonzero(coarse):
            steps = np.diff(np.flatnonzero(moved[:, j]))
            steady[j] = steps.min() >= 0.5 * np.median(steps)
        self._held = np.where(coarse & steady, self._held + 1, 0.0)
        for j in np.flatnonzero(self._held >= 2):
            evidence = f'a new value only every {samples[j] * period * 1e3:.0f} ms'
            self._findings.note(self._names[j], 'position_held', *block.span, evidence)

    def _noise(self, block: Block, step: Array, period: float) -> None:
        """Count resting windows with noise of several steps, as second differences show it.

        Of white noise, neighbouring second differences have the mean product -4 variances; of a
        smooth motion it is positive.
        """
        w = samples_per_window(period)
        m = (len(step) - 2) // w
        if m <= 0:
            return
        second = np.diff(step, axis=0)
        product = (second[1:] * second[:-1])[: m * w].reshape(m, w, -1)
        variance = np.maximum(-product.mean(axis=1), 0.0) / 4.0
        q = block.position[: m * w].reshape(m, w, -1)
        reach = q.max(axis=1) - q.min(axis=1)
        rest = reach**2 < REST**2 * variance
        digits = 1e-12 * np.abs(q[:, 0])  # below it is arithmetic, not a sensor
        noisy = variance > np.square(np.maximum(NOISY * self._quantum, digits))
        self._noisy += (rest & noisy).sum(axis=0)

    def _runs(self, block: Block, moved: Flags) -> npt.NDArray[np.intp]:
        """Follow runs of equal positions; (nj,) the row where the present ones began."""
        changed = moved | ~np.isfinite(block.position[1:])
        any_change = changed.any(axis=0)
        last = np.where(any_change, len(changed) - np.argmax(changed[::-1], axis=0), 0)
        ended = any_change & (self._run > 0)
        still = ended & (self._run >= STILL) & ~self._stuck
        self._dead += np.where(still, self._run / STILL, 0.0)
        self._stuck &= ~any_change
        self._begin(any_change | (self._run == 0))
        fresh = any_change | (self._run == 0)
        self._since = np.where(fresh, block.stamp[last], self._since)
        self._run = np.where(any_change, 0.0, self._run) + len(changed) - last
        return last

    def _follow(self, block: Block, first: npt.NDArray[np.intp], motion: Motion | None) -> None:
        """Ranges, over the present run, of what should have moved the joint."""
        inside = np.arange(len(block.stamp))[:, None] >= first
        error = block.command - block.position
        if self._interface == 'velocity':
            time = np.diff(block.stamp, prepend=block.stamp[0])[:, None]
            travel = np.cumsum(np.nan_to_num(block.command) * time, axis=0)
            travel -= travel[first, np.arange(len(first))]
            error = np.where(np.isfinite(block.command), self._asked + travel, np.nan)
            self._asked = self._asked + travel[-1]
        if self._interface != 'effort':
            self._widen(0, np.where(inside, error, np.nan))
        if motion is None:
            return
        moving = (motion.direction != 0).any(axis=0)
        if self._interface == 'position':
            largest = np.where(np.isfinite(error), np.abs(error), 0.0).max(axis=0)
            self._lag = np.where(moving, np.maximum(0.99 * self._lag, largest), self._lag)
        later = motion.windows.stamp[:, None] >= self._since
        self._widen(1, np.where(later, motion.net, np.nan))
        self._widen(2, np.where(later, motion.rigid, np.nan))
        others = (motion.direction != 0).sum(axis=1, keepdims=True) > 0
        self._others += (later & others & (motion.direction == 0)).sum(axis=0)
        self._learn(motion)

    def _learn(self, motion: Motion) -> None:
        """The effort that usually moves a joint: its centre and its mean deviation."""
        for net, direction in zip(motion.net, motion.direction):
            good = (direction != 0) & np.isfinite(net)
            self._moved += good
            rate = np.where(good, 1.0 / np.clip(self._moved, 1.0, 500.0), 0.0)
            known = np.nan_to_num(net)
            self._center += rate * (known - self._center)
            self._level += rate * (np.abs(known - self._center) - self._level)

    def _widen(self, which: int, values: Array) -> None:
        known = np.isfinite(values)
        low, high = self._range[which]
        np.minimum(low, np.where(known, values, np.inf).min(axis=0), out=low)
        np.maximum(high, np.where(known, values, -np.inf).max(axis=0), out=high)

    def _judge(self, block: Block, period: float) -> None:
        long = self._run >= max(STILL, STILL_TIME / period)
        if not long.any():
            return
        (error_low, error_high), (low, high), (rigid_low, rigid_high) = self._range
        least = np.maximum(1.5 * self._lag, DELTA * self._span)
        with np.errstate(invalid='ignore'):
            both = (error_high > least) & (error_low < -least)
            felt = (self._moved >= FEWEST_MOVING) & (self._level > 0) & np.isfinite(high)
            calm = np.maximum(high - self._center, self._center - low) < 2.0 * self._level
            far = felt & calm & (error_high - error_low > 4.0 * least)
            reach = STRONG * self._level
            swing = felt & (high > self._center + reach) & (low < self._center - reach)
            swing &= high - low > 2.0 * (rigid_high - rigid_low)
            alive = (high - low > 2.0 * self._level) | (self._others >= FEWEST_NOISY)
            alive |= ~np.isfinite(high)  # no effort is measured
            both &= alive
            far &= alive
            driven = alive & ((error_high - error_low > least) | np.isfinite(high))
        silent = (self._noisy >= FEWEST_NOISY) & (self._dead <= 0.02 * self._noisy) & driven
        reasons = (
            (both, 'while its command goes to both sides'),
            (far, 'while its command goes far and the effort does not rise'),
            (swing, 'while effort pushes it both ways'),
            (silent, 'without the noise it had'),
        )
        for flags, reason in reasons:
            for j in np.flatnonzero(flags & long):
                self._stuck[j] = True
                lasts = block.stamp[-1] - self._since[j]
                evidence = f'exactly the same position for {lasts:.3g} s, {reason}'
                span = float(self._since[j]), float(block.stamp[-1])
                self._findings.note(self._names[j], 'position_stuck', *span, evidence)
