"""Efforts that come in steps, of which samples do not tell when between them.

A drive answers each command with a step of its effort. Filters take efforts as straight between
samples, as if each step came in the middle of two. One that comes at another share of the sample
period T is taken ``c T`` too early or too late, ``|c| <= 1/2``, and each one alike where commands
and samples keep step. All steps together are the command's slope times the stiffness K, which is
``d(effort)/dt + K v + D a`` with the damping D of the drive: so the error looks exactly like
lateness ``c T``, viscous friction ``c T K`` and rotor inertia ``c T D``, and no residual shows it.

Nothing but the instant of the steps tells c; here it is taken as uniform. Two things make the
steps smaller. A lag of the drive smooths them: of their first harmonic beyond the samples it
passes ``1 / sqrt(1 + (2 pi lag / T)^2)``. And a drive at its limit answers with less than its
stiffness asks for: the jumps that are seen, along the motion, tell how much.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim2real_sysid.servo import Servo

Array = npt.NDArray[np.float64]

LEFT = 0.2  # of a step, when it is seen, at the least: a stiff drive has moved its joint by then
UNSEEN = 0.05  # share of steps that no jump shows: behind a lag they are slopes, like all else
SPARSE = 2.5  # samples for each command, at the least, for steps to be seen
REPEATED = 0.3  # share of motion in which efforts repeat, at the most, for the same
BESIDE = 2  # increments on either side of one that tell what of it is smooth


class Steps:
    """Learns how much of what a motion asks of its drives comes in steps, sample by sample.

    An increment of the effort from one sample to the next is a jump as far as it exceeds the
    median of those beside it: noise does so to either side, smooth motion does not. Steps that
    come with every other sample, or more often, are not seen so, nor are those of efforts that
    repeat from sample to sample: then all may be steps.

    Args:
        servo: the drives.
        between: time from one command to the next [s].
        period: between samples [s].
    """

    def __init__(self, servo: Servo, between: float, period: float) -> None:
        self._servo, self._period = servo, period
        self._blind = between < SPARSE * period
        self._reach = max(BESIDE, round(0.5 * between / period))  # samples to see a motion by
        self._along, self._square, self._repeated, self._largest = np.zeros(
            (4, len(servo.damping))
        )
        self.restart()

    def restart(self) -> None:
        """The next sample does not follow the last."""
        self._positions, self._efforts = np.zeros((2, 0, len(self._servo.damping)))

    def push(self, positions: Array, efforts: Array) -> None:
        """Take samples (m, nj) in the order of time; efforts are NaN where there is none."""
        reach, period = self._reach, self._period
        positions = np.concatenate([self._positions, positions])
        efforts = np.concatenate([self._efforts, efforts])
        kept = 2 * reach + 1
        self._positions, self._efforts = positions[-kept:], efforts[-kept:]
        n = len(positions) - kept
        if n <= 0:
            return
        before, first, second, after = (
            positions[k : k + n] for k in (0, reach, reach + 1, 2 * reach + 1)
        )
        velocity = (after - before) / ((2 * reach + 1) * period)
        acceleration = (after - second - first + before) / (reach * (reach + 1) * period**2)
        by_position = self._servo.stiffness > 0.0
        # Of position loops the share of the acceleration is noisy, and no more than a part.
        asked = np.where(
            by_position, self._servo.stiffness * velocity, self._servo.damping * acceleration
        )
        steps = np.diff(efforts, axis=0)
        around = range(reach - BESIDE, reach + BESIDE + 1)
        jumps = steps[reach : reach + n] - np.median([steps[k : k + n] for k in around], axis=0)
        usable = np.isfinite(jumps)
        square = np.where(usable, asked * asked, 0.0) * period
        self._along += np.where(usable, jumps * asked, 0.0).sum(axis=0)
        self._square += square.sum(axis=0)
        size = np.abs(efforts[reach : reach + n])
        self._largest = np.fmax(self._largest, np.fmax.reduce(size, axis=0))
        # At its limit an effort repeats, too.
        repeated = (steps[reach : reach + n] == 0.0) & (size < (1.0 - 1e-9) * self._largest)
        self._repeated += np.where(repeated, square, 0.0).sum(axis=0)

    def timing(self, lags: Array) -> Array:
        """Standard deviation of when the steps of each joint's effort seem to come, (nj,) [s].

        Args:
            lags: (nj,) of the drives, at the least [s]; 0 where they are not known.
        """
        share = np.zeros_like(self._along)
        np.divide(self._along, LEFT * self._square, out=share, where=self._square > 0.0)
        least = np.where((lags > 0.0) & (self._square > 0.0), UNSEEN, 0.0)
        blind = self._blind | (self._repeated > REPEATED * self._square)
        share = np.where(blind & (self._square > 0.0), 1.0, np.clip(share, least, 1.0))
        share = np.minimum(share, smoothed(lags, self._period))
        return share * self._period / np.sqrt(12.0)


def smoothed(lags: Array, period: float) -> Array:
    """Share of a step's timing that is left behind lags (nj,) [s], of samples so far apart [s]."""
    return np.asarray(1.0 / np.hypot(1.0, 2.0 * np.pi * lags / period))
