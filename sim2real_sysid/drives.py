"""How drives turn commands into effort: gain, delay and lag, learned as the robot moves.

A drive takes notice of a command ``delay`` later, follows it through a lag of first order and
asks for ``gain`` times what its loops make of the difference. Of one sample of the effort::

    effort = gain * (forward * c(t) - stiffness * q - damping * v) + bias
             + late_q * stiffness * v + late_v * damping * a

where c is the command as followed (see :mod:`sim2real_sysid.commands`), linear in delay and lag
about what is believed of them. The second line holds nuisances: current sensors have a bias, and
the loops use positions and velocities that are not of the effort's very instant.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Change, Estimate, ParameterEstimate
from sim2real_sysid.bank import FADING, LAGS, Bank, Best
from sim2real_sysid.blocks import Blocks, Fit
from sim2real_sysid.commands import GAP, Following
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.regression import Rows
from sim2real_sysid.report import joined, ties
from sim2real_sysid.rhythm import Rhythm
from sim2real_sysid.servo import Servo
from sim2real_sysid.unmeasured import Unmeasured
from sim2real_sysid.windows import States, Windows

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

QUANTITIES = ('gain', 'time_constant', 'delay')
GAIN, DELAY, LAG = range(3)  # places of the unknowns: gain, gain * delay, gain * lag
PLACES = (GAIN, LAG, DELAY)  # of the quantities
LATE_POSITIONS, LATE = 4, 5  # columns of what late positions and velocities do
CHORD = 6  # column of what velocities would be off by if they were slopes of chords
FITTED = np.delete(np.eye(8), CHORD, axis=1)
"""Columns that are fitted, as sums of those of rows."""
EQUALLY_LATE = np.delete(FITTED, 5, axis=1)
EQUALLY_LATE[5, 4] = 1.0
"""The same if positions and velocities are late by the same time."""
DIFFERENCED = EQUALLY_LATE.copy()
DIFFERENCED[5, 4] = 1.5
"""The same if positions are late by a cycle, and velocities differences between two cycles."""
CHORDS = FITTED.copy()
CHORDS[CHORD, GAIN] = -1.0
"""The same if velocities are slopes of chords."""
ASSUMED = ((EQUALLY_LATE, (LAG,), 1 / 3), (DIFFERENCED, PLACES, 1.0), (CHORDS, PLACES, 1.0))
"""Other assumptions, what is in doubt by what they change of it, and the share of its square: a
third where the truth may lie anywhere between."""
APART = np.array([[1.0, -1.0], [-1.0, 1.0]])
"""Covariance of a delay and a lag that may take from each other."""
TIED = ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset')
"""What the gain cannot be told from where no effort is measured."""
BLOCK = 0.5  # s
LEAST_BLOCKS = 8  # before anything counts as identified
RATE_SAMPLES = 20  # intervals from which the sample period is learned
SATURATED = 0.95  # share of the effort limit
NARROWER = 0.7  # times the spread before, at most: so that lines of before are of use for a while
SOME_BLOCKS = 3  # before a fit is believed enough to look where it says
GATE = 4.0  # standard deviations beyond which a row is an outlier: a command was lost, say
SENSE = 2.0  # standard deviations that a delay may be below zero
LATEST = 4.0  # times the timing error that positions may be late
SETTLED = 2.0  # spreads that a fit may be away from what its lines are about
CLOCKS = 2.0  # times the timing error that those of commands and states may differ by
REMAINDER = 0.1  # s; squares of what positions are late by, over this, are in doubt
TELLING = 0.03  # share of the noise that a late command must make, or a row tells nothing
LEAST = 0.02  # share of what the best candidate leaves that the best fit leaves, too
FADES = 3.0  # lags of one over this, in sample periods, are hardly seen
UNEVEN = 10.0  # stamps that are off by one over this, in sample periods, are in full doubt
CHANCE = 2.0  # standard deviations that two fits may differ by
LEAST_GAIN = 5.0  # standard deviations of the gain that delay and lag can be told by
SPARSE = 4  # the bank gets one row of so many
CYCLE = 4e-5  # s, deviation of delay and lag as drives work in cycles, of an eighth of a ms, say
BLUR = 0.45  # sample periods that delay and lag may take from each other, without efforts
FINEST = 0.05  # least spread of delay and lag, in sample periods
ROUGH = 0.25  # sample periods that a line about delay and lag holds for in any case
SOME_ROWS, OUTLYING = 40.0, 0.15  # of late, and share of outliers, before that is judged
LEAST_CHANGE = 0.1  # share of the gain
WIDE = 3.0  # prior deviations: of the gain,
LONG = 0.5  # of delay and lag [s],
BIASED = 0.2  # of the bias, as a share of the effort limit


class DriveIdentifier:
    """Identifies every drive's gain, delay and lag.

    Args:
        profile: the robot, whose gains are those of its drives.
        config: settings.

    Attributes:
        addresses: what is identified, in order.
    """

    def __init__(self, profile: RobotProfile, config: SysidConfig | None = None) -> None:
        self.profile = profile
        self.config = config or SysidConfig()
        self._nj = nj = len(profile.joints)
        self._servo = Servo.of(profile)
        self._limit = SATURATED * profile.array('effort')
        self._following = Following(nj, profile.command.timeout, LAGS)
        self._bank = Bank(self._servo, self._following.history, first=3)
        self._windows = Windows(nj)
        self._blocks = Blocks(nj, len(FITTED), BLOCK, self.config.memory, tags=4)
        self._blocks.open(-math.inf)
        self._start = np.zeros((nj, 6))
        self._start[:, GAIN] = 1.0
        self._deviation = np.tile([WIDE, LONG, LONG, 0.0, 0.0, 0.0], (nj, 1))
        limit = profile.array('effort')
        self._deviation[:, 3] = BIASED * np.where(np.isfinite(limit), limit, 1e3)
        self._deviation[:, 4:] = self.config.timing_error
        self._period = 0.0
        self._intervals: list[float] = []
        self._stamp = -math.inf
        self._moved = np.full(nj, -math.inf)
        # How the noise of position, velocity, acceleration, chord and smooth acceleration comes
        # into rows, and into their instruments.
        self._through = np.zeros((nj, len(FITTED), 5))
        self._through[:, GAIN, 0] = -self._servo.stiffness
        self._through[:, GAIN, 1] = -self._servo.damping
        self._through[:, LATE_POSITIONS, 1] = self._servo.stiffness
        self._through[:, CHORD, 3] = self._servo.damping
        self._smoothly = self._through.copy()
        self._through[:, LATE, 2] = self._smoothly[:, LATE, 4] = self._servo.damping
        self._left = np.zeros((2, nj))  # variances that windows left in rows, and their number
        self._uneven = np.zeros(2)  # intervals, and squares of what they are off
        self._errors = np.zeros((3, nj))  # rows of late, their squared residuals, and outliers
        self._rhythm = Rhythm(nj, self.config.memory)
        self._form = np.zeros((nj, len(FITTED)))  # of a row's residual
        self._noise = np.full(nj, 1.0)  # mean square of what a good fit leaves
        self._appeared = np.zeros(nj, dtype=bool)  # one was, for the first time
        self._missing = np.ones(nj, dtype=bool)  # no effort of the joint was ever measured
        self._unmeasured = Unmeasured(
            self._servo, self._following, BLOCK, self.config.memory, self.config.timing_error
        )
        self._fresh = np.zeros(nj, dtype=bool)  # told something since the last look
        self._held = np.full((nj, 3), np.nan)  # gain, delay and lag that were known
        self._clocks = CLOCKS * self.config.timing_error  # s that they may differ by
        self._senseless = np.zeros(nj, dtype=bool)  # the delay is below zero: look elsewhere
        self._other = np.zeros(nj, dtype=bool)  # became another drive, not yet known
        self._changes: list[Change] = []
        self._locked = np.zeros(nj, dtype=bool)
        self.addresses = tuple(
            f'actuator.{joint}.{what}' for joint in profile.joint_names for what in QUANTITIES
        )
        self._unknown = {address: _unknown(profile, address) for address in self.addresses}

    def command(self, stamp: float, values: Array) -> None:
        """Take a command (nj,) that is in force from ``stamp`` [s] on."""
        history, before = self._following.history, self._following.history.newest
        history.push(stamp, values)
        if before < history.newest == stamp:
            self._rhythm.command(stamp, values, follows=stamp - before < GAP * history.period)

    def update(
        self, stamp: float, position: Array, effort: Array, command: Array | None = None
    ) -> None:
        """Take one sample, and the command that answers it; see :meth:`follow`."""
        self.follow(np.array([stamp]), position[None], effort[None])
        if command is not None:
            self.command(stamp, command)

    def follow(self, stamps: Array, positions: Array, efforts: Array) -> None:
        """Take consecutive samples.

        Args:
            stamps: (m,) ascending [s].
            positions: (m, nj) finite.
            efforts: (m, nj); NaN where there is none.
        """
        if self._period == 0.0:
            self._learn_period(stamps)
        steps = np.diff(stamps, prepend=self._stamp) - self._period
        steps = steps[np.abs(steps) < 0.5 * self._period]
        self._uneven += np.array([len(steps), np.square(steps).sum()])
        self._stamp = float(stamps[-1])
        self._appeared = self._missing & np.isfinite(efforts).any(axis=0)
        self._missing = self._missing & ~self._appeared
        if not self.commanded:
            return  # nothing to learn of drives
        states = self._windows.push(stamps, positions, efforts)
        if states is not None:
            self._learn(states)

    def open(self, bandwidth: float, period: float) -> None:
        """Learn the bandwidth of the filters behind rows [Hz], and the sample period [s]."""
        self._unmeasured.open(bandwidth, period)

    def stand_in(self, efforts: Array) -> Array:
        """Efforts (m, nj) with zero where :meth:`form` will put some."""
        if not self.commanded or not (self._missing | self._appeared).any():
            return efforts
        efforts = np.where(self._missing, 0.0, efforts)
        efforts[0, self._appeared] = np.nan  # what was is none of theirs
        return efforts

    def form(self, rows: Rows) -> Rows:
        """Rows with efforts from the commands for the joints that have no other."""
        if not self.commanded or not self._missing.any():
            return rows
        return self._unmeasured.form(rows, self._missing)

    @property
    def commanded(self) -> bool:
        """Whether any command was heard."""
        return self._following.history.newest > -math.inf

    @property
    def formed(self) -> Flags:
        """(nj,) joints whose efforts are made from commands."""
        return self._missing

    @property
    def lags(self) -> Array:
        """(nj,) lags at the least [s]; 0 where they are not known."""
        (_, lag), (_, spread) = self._following.timing, self._following.spread
        return np.where(self._locked, np.maximum(lag - spread, 0.0), 0.0)

    def restart(self) -> None:
        """The next sample does not follow the last: forget the samples, not what was learned."""
        self._windows.restart()
        self._blocks.restart()
        self._unmeasured.restart()
        self._stamp = -math.inf

    def _learn_period(self, stamps: Array) -> None:
        steps = np.diff(stamps, prepend=self._stamp)
        self._intervals += steps[np.isfinite(steps)].tolist()
        if len(self._intervals) >= RATE_SAMPLES:
            self._period = float(np.median(self._intervals))
            self._windows.open(self._period)

    def _learn(self, states: States) -> None:
        if self._blocks.due(float(states.stamps[0])):
            self._look_again()
            tags = np.concatenate([self._following.timing, self._following.spread])
            self._blocks.open(float(states.stamps[0]), tags.T)
        self._rhythm.sample(self._following.history.phases(states.stamps))
        (value, by_delay, by_lag, bend), known = self._following.at(states.stamps)
        servo = self._servo
        taken_off = servo.feedback(states.position, states.velocity, value)
        telling = (np.abs(states.effort) < self._limit) & (servo.forward > 0)
        effort = np.where(telling, states.effort, 0.0)
        rows = np.stack(
            [
                servo.forward * value - taken_off,
                servo.forward * by_delay,
                servo.forward * by_lag,
                np.ones_like(value),
                servo.stiffness * states.velocity,
                servo.damping * states.acceleration,
                servo.damping * states.chord,
                effort,
            ],
            axis=2,
        )
        instruments = rows.copy()
        instruments[:, :, LATE] = servo.damping * states.smooth
        noise = self._smoothly @ states.covariance[:, None] @ self._through.transpose(0, 2, 1)
        noise = noise * self._encoders(states)[:, None, None]
        expected = self._noise + np.square(servo.forward) * bend + noise[:, :, GAIN, GAIN]
        slope = servo.forward * np.abs(by_delay) * self.config.timing_error
        least = np.where(self._locked, np.sqrt(self._noise), 0.0)
        for k in range(0, len(effort), SPARSE):
            stamp = float(states.stamps[k])
            self._bank.learn(stamp, taken_off[k], effort[k], telling[k], least)
        telling &= slope > TELLING * least
        telling &= known
        error = np.square(np.einsum('rjk,jk->rj', rows, self._form))
        fits = error <= GATE**2 * expected
        tried = telling & (self._form[:, -1] > 0.0)
        terms = (tried, tried * error, tried & ~fits)
        self._errors += np.stack([term.sum(axis=0) for term in terms])
        weight = np.where(telling & fits, self._noise / expected, 0.0)
        self._learn_noise(states, weight > 0.0)
        for each in zip(instruments, rows, weight, noise):
            self._blocks.add(*each)
        told = (weight > 0.0).any(axis=0)
        self._moved[told] = states.stamps[-1]
        self._fresh |= told

    def _encoders(self, states: States) -> Array:
        """(nj,) variance of the encoders' noise, the mean over all rows that counted.

        A row's own share of it would be tied to the row's weight, and the sum of both be off.
        """
        total, count = self._left
        first = np.median(states.left, axis=0)
        return np.where(count > 0.0, total / np.maximum(count, 1.0), first)

    def _learn_noise(self, states: States, used: Flags) -> None:
        """Learn it from rows (r, nj) that are used; a single wild reading counts as an edge."""
        most = GATE**2 * self._encoders(states)
        left = np.where(most > 0.0, np.minimum(states.left, most), states.left)
        self._left += np.stack([np.where(used, left, 0.0).sum(axis=0), used.sum(axis=0)])

    def _solve(self) -> Fit:
        return self._blocks.solve(self._start, self._deviation, self._usable(), combined=FITTED)

    def _usable(self) -> Flags:
        return self._following.usable(self._blocks.tags, ROUGH * self._period)

    def _look_again(self) -> None:
        """Take the lines about the delay and lag that are believed by now."""
        following = self._following
        self._forget_others()
        best = self._bank.best(following.timing, self._senseless)
        found, apart, left, better, _ = best
        self._bank.fade(self._fresh)
        timing, spread = following.timing, following.spread
        start, deviation = self._start.copy(), self._deviation.copy()
        start[:, 1:3], deviation[:, 1:3] = found.T, apart.T
        fit = self._blocks.solve(start, deviation, self._usable(), combined=FITTED)
        some = self._fresh & (fit.blocks >= SOME_BLOCKS)
        known = np.isfinite(left)
        rough = np.where(known, left, self._noise)
        rough = np.where(self._locked, self._noise, rough)
        self._noise = np.where(some, np.maximum(fit.residual**2, LEAST * rough), rough)
        error = self._errors[1] / np.maximum(self._errors[0], 1.0)
        worse = better & ((error > left) | (fit.blocks == 0))
        lost = known & (worse | ~self._locked | self._senseless)
        self._note(lost & self._other, best)
        held = self._locked & ~lost & (fit.blocks >= LEAST_BLOCKS)
        self._held = np.where(held[:, None], ratios(fit)[0], self._held)
        self._other &= ~lost
        self._errors[:, self._fresh] *= FADING
        self._errors[:, lost] = 0.0
        self._noise = np.where(lost, left, self._noise)
        mean, covariance = timings(fit)
        deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)).T
        step = np.clip(mean - timing, -spread, spread)  # no line holds much beyond
        further = (np.abs(mean - timing) > spread).any(axis=0)
        tight = np.clip(deviation, NARROWER * spread, spread)
        tight = np.where(further, np.minimum(spread / NARROWER, np.maximum(spread, apart)), tight)
        timing = np.where(lost, found, np.where(some, timing + step, timing))
        spread = np.where(lost, apart, np.where(some, tight, spread))
        self._blocks.clear(lost)
        self._locked |= lost
        below = mean[DELAY - 1] + SENSE * deviation[DELAY - 1] < -self._clocks
        self._senseless = below & (fit.blocks >= LEAST_BLOCKS) & ~lost
        # Before a fit is sure of itself nothing is an outlier.
        form = np.concatenate([-fit.mean, np.ones((self._nj, 1))], axis=1) @ FITTED.T
        form = np.where(some[:, None], form, self._form)
        self._form = np.where(lost[:, None], 0.0, form)
        following.aim(timing, np.maximum(spread, FINEST * self._period))
        self._fresh = np.zeros(self._nj, dtype=bool)

    def _forget_others(self) -> None:
        """Forget all of drives whose rows of late are outliers too often: they are others now."""
        rows, _, outliers = self._errors
        other = self._locked & (rows >= SOME_ROWS) & (outliers > OUTLYING * rows)
        self._blocks.clear(other)
        self._bank.forget(other)
        self._errors[:, other] = 0.0
        self._form[other] = 0.0
        self._locked &= ~other
        self._other |= other

    def _note(self, others: Flags, best: Best) -> None:
        """Remember of drives (nj,) that became others what they were, and seem to be now.

        Of gain, delay and lag the one is named that is off by most.
        """
        before, after = self._held, np.stack([best.gain, *best.timing], axis=1)
        matters = np.stack([LEAST_CHANGE * np.abs(before[:, GAIN]), *best.apart], axis=1)
        size = np.abs(after - before) / matters
        for j in np.flatnonzero(others & (size > 1.0).any(axis=1)):
            at = int(size[j].argmax())
            what = QUANTITIES[PLACES.index(at)]
            address = f'actuator.{self.profile.joint_names[j]}.{what}'
            was, now = float(before[j, at]), float(after[j, at])
            self._changes.append(Change(self._stamp, address, was, now, GATE))

    def changes(self) -> tuple[Change, ...]:
        """What changed since the last call."""
        found, self._changes = tuple(self._changes), []
        return found

    def _doubted(self, fit: Fit) -> Fit:
        """Wider by what other assumptions would change.

        Stamps may be uneven in spite of even samples. It seems like noise of the encoders then,
        and is more than that: what taking off that noise changes counts as uncertain, the more
        so the less even stamps are. And the loops of a stiff drive answer a step faster than
        polynomials can follow. Accelerations come out too smooth then, too much of them passes
        for velocities that are late by a time of their own, and that trades against all else: so
        does what it changes that this time goes with that of the positions. Velocities come out
        too smooth as well: so does what it changes to smooth them more.
        """
        uneven = math.sqrt(self._uneven[1] / max(self._uneven[0], 1.0))
        unevenly = min(1.0, UNEVEN * uneven / max(self._period, 1e-9))
        start, deviation, use = self._start, self._deviation, self._usable()
        plain = self._blocks.solve(start, deviation, use, corrected=False, combined=FITTED)
        doubt = unevenly * (fit.mean - plain.mean)
        covariance = fit.covariance + doubt[:, :, None] * doubt[:, None, :]
        for columns, places, share in ASSUMED:
            k = columns.shape[1] - 1
            other = self._blocks.solve(start[:, :k], deviation[:, :k], use, combined=columns)
            covariance[:, places, places] += share * _beyond_chance(fit, other)[:, places]
        return replace(fit, covariance=covariance)

    def _known(self) -> tuple[Array, Array, Array, Array]:
        """Gain, delay and lag (nj, 3); covariance (nj, 3, 3); blocks (nj, 3); last told (nj,) [s].

        No blocks where what is known makes no sense.
        """
        fit = self._doubted(self._solve())
        mean, covariance = ratios(fit)
        following = self._following
        together = following.timing.sum(axis=0)
        if math.isfinite(following.history.period):
            together = np.maximum(together, following.history.period)
        remainder = np.square(fit.mean[:, LATE_POSITIONS] / mean[:, GAIN]) / REMAINDER
        covariance[:, 1:, 1:] += np.square(remainder)[:, None, None] * np.eye(2)
        covariance[:, 1:, 1:] += np.square(self._rhythm.apart(together))[:, None, None] * APART
        blocks, moved = fit.blocks.astype(float), self._moved
        other = self._unmeasured.fit()
        if other is not None and self._missing.any():
            here = self._missing
            mean[here], covariance[here] = (1.0, 0.0, 0.0), np.diag([WIDE**2, 0.0, 0.0])
            mean[here, 1:] = other.mean[here, :2]
            # Where within a sample a command acts, filtered motion hardly tells.
            blur = (BLUR * self._period) ** 2
            covariance[here, 1:, 1:] = other.covariance[here, :2, :2] + blur * APART
            blocks = np.where(here, other.blocks, blocks)
            moved = np.where(here, self._unmeasured.moved, moved)
        cycles = np.array([0.0, CYCLE**2, CYCLE**2])
        deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2) + cycles)
        # A delay below zero is none, though clocks may differ and the gain be right; nor are
        # positions late by much more than is thought possible: something else passes for lag.
        # And no line holds far from what it is about.
        least = np.where(self._missing, -1.0, -SENSE) * deviation[:, DELAY]
        late = np.abs(fit.mean[:, LATE_POSITIONS]) > LATEST * self.config.timing_error
        sense = (mean[:, DELAY] > least) & (self._missing | ~late)
        reach = np.maximum(SETTLED * following.spread, ROUGH * self._period)
        far = np.abs(np.maximum(mean[:, 1:].T, 0.0) - following.timing) > reach
        settled = self._missing | ~far.any(axis=0)
        told = sense & (self._missing | (np.abs(mean[:, GAIN]) > LEAST_GAIN * deviation[:, GAIN]))
        gain = self._missing | (mean[:, DELAY] > least - self._clocks)
        believed = np.stack([gain, told, told], axis=1) & settled[:, None]
        return mean, covariance, np.where(believed, blocks[:, None], 0.0), moved

    def estimates(self) -> tuple[dict[str, ParameterEstimate], tuple[str, ...], Array]:
        """What is known now.

        Returns:
            Address to estimate, the addresses that are identified, and their covariance.
        """
        if not self.commanded:
            return dict(self._unknown), (), np.zeros((0, 0))
        mean, covariance, blocks, moved = self._known()
        # A lag much shorter than the sample period is over before anyone looks.
        lag = np.maximum(mean[:, LAG], 0.0)
        unseen = 12.0**-0.5 * self._period * np.exp(-FADES * lag / max(self._period, 1e-9))
        blur = np.stack([np.zeros(self._nj), CYCLE + unseen, CYCLE + unseen])
        covariance = covariance + np.square(blur).T[:, :, None] * np.eye(3)
        found: dict[str, ParameterEstimate] = {}
        kept: list[int] = []
        for k, address in enumerate(self.addresses):
            joint, place = divmod(k, len(QUANTITIES))
            at = PLACES[place]
            known = self._parameter(
                address,
                joint,
                at,
                mean[joint],
                covariance[joint],
                bool(blocks[joint, at] >= LEAST_BLOCKS),
            )
            if (
                known.status == 'identified'
                and self._stamp - moved[joint] > self.config.stale_after
            ):
                known = replace(known, status='stale')
            if known.status == 'identified':
                kept.append(3 * joint + at)
            found[address] = known
        order = tuple(a for a, p in found.items() if p.status == 'identified')
        whole = np.zeros((3 * self._nj, 3 * self._nj))
        for joint in range(self._nj):
            whole[3 * joint : 3 * joint + 3, 3 * joint : 3 * joint + 3] = covariance[joint]
        return found, order, whole[np.ix_(kept, kept)]

    def _parameter(
        self, address: str, joint: int, at: int, mean: Array, covariance: Array, enough: bool
    ) -> ParameterEstimate:
        """One of a joint's, from all three (3,) and their covariance; not yet whether it is stale.

        Args:
            address: of it.
            joint: whose it is.
            at: its place among the three.
            mean: (3,).
            covariance: (3, 3).
            enough: whether the joint told for long enough.
        """
        limits, name = quantity(address, self.profile), self.profile.joint_names[joint]
        raw, deviation = float(mean[at]), math.sqrt(max(float(covariance[at, at]), 0.0))
        value = float(np.clip(raw, limits.low, limits.high))
        least = 0.0 if at == GAIN else self.config.timing_error
        target = max(self.config.relative_std * abs(value), least)
        if enough and deviation <= target and abs(value - raw) <= 2.0 * deviation:
            return ParameterEstimate(value, deviation, 'identified', limits.unit)
        tied: tuple[str, ...] = ()
        if at == GAIN and self._missing[joint]:
            tied = tuple(f'joint.{name}.{what}' for what in TIED)
        elif enough and deviation > target:
            others = ties(covariance, at, target**2)
            tied = tuple(f'actuator.{name}.{QUANTITIES[PLACES.index(k)]}' for k in others)
        return ParameterEstimate(value, deviation, 'not_identified', limits.unit, tied)

    @property
    def lateness(self) -> Array:
        """(nj,) standard deviation of the time [s] that efforts made from commands are late."""
        return np.where(self.formed, self._unmeasured.lateness, 0.0)

    def add_to(self, estimate: Estimate) -> Estimate:
        """An estimate with what is known of the drives."""
        found, _, covariance = self.estimates()
        return joined(estimate, found, covariance)


def _unknown(profile: RobotProfile, address: str) -> ParameterEstimate:
    """Before any command was heard."""
    unit = quantity(address, profile).unit
    return ParameterEstimate(nominal(profile, address), math.inf, 'not_identified', unit)


def _beyond_chance(fit: Fit, alike: Fit) -> Array:
    """Squares (nj, k) of what a fit differs by from one with fewer unknowns, but for chance.

    Were both right, the variance of the difference would be that of the one less that of the
    other (Hausman 1978).
    """
    k = alike.mean.shape[1]
    chance = np.diagonal(fit.covariance[:, :k, :k] - alike.covariance, axis1=1, axis2=2)
    beyond = np.square(fit.mean[:, :k] - alike.mean) - CHANCE**2 * np.maximum(chance, 0.0)
    return np.maximum(beyond, 0.0)


def ratios(fit: Fit) -> tuple[Array, Array]:
    """Gain, delay and lag (nj, 3) of a fit, and their covariance (nj, 3, 3) to first order."""
    gain = np.where(np.abs(fit.mean[:, GAIN]) > 1e-3, fit.mean[:, GAIN], 1e-3)
    mean = fit.mean[:, :3] / gain[:, None]
    slope = np.zeros((len(gain), 3, 3))
    slope[:, GAIN, GAIN] = 1.0
    for place in (DELAY, LAG):
        slope[:, place, place] = 1.0 / gain
        slope[:, place, GAIN] = -mean[:, place] / gain
    mean[:, GAIN] = fit.mean[:, GAIN]
    return mean, slope @ fit.covariance[:, :3, :3] @ slope.transpose(0, 2, 1)


def timings(fit: Fit) -> tuple[Array, Array]:
    """Delay and lag (2, nj) of a fit, and their covariance (nj, 2, 2)."""
    mean, covariance = ratios(fit)
    return mean[:, 1:].T, covariance[:, 1:, 1:]
