"""The online identifier: samples in, an Estimate out at any time."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_core.records import Change, Estimate
from sim2real_sysid.changes import WINDOWS, ChangeDetector, Step
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.drives import DriveIdentifier
from sim2real_sysid.dynamics import RigidBody, check_base
from sim2real_sysid.findings import Finding
from sim2real_sysid.intake import Intake, Run
from sim2real_sysid.linearization import Linearization
from sim2real_sysid.moments import Block, Moments
from sim2real_sysid.payload import hidden_payload
from sim2real_sysid.play import PlayIdentifier
from sim2real_sysid.posterior import (
    BEND,
    FULL,
    MAIN,
    MATTERS,
    RISE,
    Carried,
    Fit,
    Model,
    Posterior,
    Uncertainty,
    fit,
    solve,
)
from sim2real_sysid.quality import QualityMonitor, in_force
from sim2real_sysid.quality_efforts import AT_LIMIT
from sim2real_sysid.quality_explain import HIGH, LOW
from sim2real_sysid.regression import (
    ARMATURE,
    COULOMB,
    DELAY,
    JOINT_QUANTITIES,
    OFFSET,
    VISCOUS,
    RowBuilder,
)
from sim2real_sysid.report import Knowledge, Reporter, doubted
from sim2real_sysid.servo import Servo
from sim2real_sysid.steps import smoothed
from sim2real_sysid.stribeck import other_curves, slow_friction, steepest
from sim2real_sysid.torque_constants import torque_constants_of

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Friction of a joint that starts or turns is a step of the effort somewhere between two samples;
# of their period, found on simulated drives.
ONSET = 0.1
MOST_COMMANDS = 1024  # that wait for a later sample
LATE = 2.0  # times the lateness of efforts made from commands: when they were it was known worse
SHIFT = 0.1  # standard deviation of a payload's centre of mass, of the robot's reach
LEAST_MASS = 0.1  # of a payload, for the same [kg]
FRICTION = (VISCOUS, COULOMB, OFFSET, RISE, BEND)
DIGITS = 1e-9  # relative
COARSER = 1.25  # times the period that the filters are made for, when they are made anew
DOUBTED = {
    'effort_saturated': 1.0,
    'stamp_units': math.inf,
    'effort_units': 60.0,
    'effort_sign': 60.0,
    'effort_constant': 60.0,
    'position_stuck': 60.0,
    'position_held': 60.0,
    'position_order': 60.0,
    'position_range': 60.0,
}
"""Findings after which a joint, or all, are not believed, and for how long [s]. All but the first
spoil what was told before, too; other findings are of samples that are left out by themselves."""
FAR = 0.06  # rad or m, from which on it is asked whether a zero is too far off
MOST_CHANGES = 20  # that are reported
LEAST_OLD = 12  # blocks that a change is held against
WATCHED = 0.1  # relative deviation up to which a parameter is known well enough to change
DOUBT = 4.0  # what a change does to the variance of all that it does not explain


class OnlineIdentifier:
    """Identifies every joint's friction, armature and offsets, and the payload.

    Causal and deterministic: the same samples give the same estimates. Velocities are derived
    from the positions, with the very delay that the efforts get; a measured velocity, filtered by
    its driver nobody knows how, is not used.

    Args:
        profile: the robot.
        config: settings; the defaults serve any robot.

    Attributes:
        addresses: what is identified, in order; where the data say that viscous friction differs
            between the directions, its addresses come on top.
        changes: the latest ones, oldest first.

    Raises:
        InputError: the robot has a floating base, or another number of joints than the settings
            have torque constants.
        MissingError: pinocchio is not installed.
    """

    def __init__(self, profile: RobotProfile, config: SysidConfig | None = None) -> None:
        self.profile = profile
        self.config = config or SysidConfig()
        nj = len(profile.joints)
        check_base(profile)
        self._constants = np.array(torque_constants_of(self.config.torque_constants, nj))
        self._body = RigidBody(profile, zeros=self.config.zero_error > 0.0)
        self._intake = Intake(profile)
        self._largest = self._intake.ceiling
        self._rows = RowBuilder(profile, self.config, self._body)
        self._moments = Moments(nj, self._rows.columns, self.config.memory)
        own = np.zeros((nj, FULL))
        for k, name in enumerate(JOINT_QUANTITIES):
            if name != 'effort_offset':
                own[:, k] = profile.array(name)
        shared = np.zeros(self._rows.shared)
        self._start = np.append(own[:, :MAIN].ravel(), shared)
        self._full_start = np.append(own.ravel(), shared)
        self._drives = DriveIdentifier(profile, self.config)
        self._play = PlayIdentifier(profile, self.config, self._body)
        self._commands: deque[tuple[float, Array]] = deque(maxlen=MOST_COMMANDS)
        self._commanded = -math.inf, np.full(nj, np.nan)  # the last one that was worked off
        self._quality = QualityMonitor(profile, self._body)
        self._doubted = np.full(nj, -math.inf)  # until when a joint is not believed [s]
        self._greatest = np.zeros(nj)  # effort seen
        self._judged = -math.inf  # time of the newest evidence against any
        self._reporter = Reporter(
            profile,
            self.config,
            self._rows.payload,
            self._body.zeros.tolist(),
            hidden_payload(self._body, profile),
        )
        self.addresses = (
            *self._reporter.addresses,
            *self._play.addresses,
            *self._drives.addresses,
        )
        n, shift = len(self._start), SHIFT * self._body.reach
        shift *= max(self._body.payload_mass, LEAST_MASS)
        payload = [np.inf, shift, shift, shift][: self._rows.payload]
        self._thought = np.append(payload, np.full(len(self._body.zeros), self.config.zero_error))
        self._about = Linearization(nj, self._body.zeros, self.config.zero_error)
        self._extra = 0.0  # mass of the payload beyond the nominal one, as last known [kg]
        self._detector = ChangeDetector(self._reporter.lowest)
        self._reported = np.array([bool(self._reporter.address(slot)) for slot in range(n)])
        self._idle = np.zeros(nj)
        self._curves = self._rows.curves
        self._carried: Carried | None = None
        self._kept = np.zeros(n, dtype=bool)
        self.changes: tuple[Change, ...] = ()

    @property
    def faults(self) -> Counter[str]:
        """How many samples were of no use, by reason."""
        return self._intake.faults

    def command(self, stamp: float, values: Array) -> None:
        """Take a command (nj,) that is in force from ``stamp`` [s] on; see :meth:`update`.

        From the first one on, the drives are identified as well. It is kept until a later sample
        is worked off: whether the answer to the newest one is here yet is chance.
        """
        while self._commands and self._commands[-1][0] > stamp:
            self._commands.pop()
        self._commands.append((stamp, values))

    def update(
        self, stamp: float, position: Array, effort: Array, command: Array | None = None
    ) -> bool:
        """Take one sample.

        Samples are collected for a tenth of a second and then worked off together.

        Args:
            stamp: its time [s].
            position: (nj,) in the profile's joint order [rad or m]; a joint that was not
                measured is NaN.
            effort: (nj,) measured [N*m or N, over ``torque_constants``]; NaN where it was not.
            command: (nj,) sent in answer to it; None where none was.

        Returns:
            Whether something was learned, so that the estimate changed.
        """
        if command is not None:
            self.command(stamp, command)
        return self._intake.take(stamp, position, effort * self._constants) and self._work()

    def _work(self) -> bool:
        """Work off the samples that wait; whether anything was learned from them."""
        known = self._intake.period > 0.0
        self._doubt()
        newest = self._intake.raw[0][-1]
        while self._commands and self._commands[0][0] < newest:
            self._commanded = self._commands.popleft()
            self._drives.command(*self._commanded)
        told = False
        for k, run in enumerate(self._intake.runs()):
            if k == 0:
                self._idle += self._intake.passed
            if not run.follows:
                self.reset_history()
            told |= self._follow(run)
        if not known and self._intake.period > 0.0:
            self._rows.open(self._intake.coarseness)
            self._opened()
        elif known and self._intake.coarseness > COARSER * self._rows.period:
            self._rows.restart()
            self._rows.open(self._intake.coarseness)
            self._opened()
        return told

    def _doubt(self) -> None:
        """Look for what is wrong with the samples as a whole, and believe no joint that has it.

        What was learned of it until the evidence was there is forgotten.
        """
        stamps, positions, efforts = self._intake.raw
        self._quality.extend(stamps, positions, efforts, self._in_force(stamps))
        size = np.abs(efforts)
        size = np.where(size < self._largest[0], size, np.nan)
        self._greatest = np.fmax(self._greatest, np.fmax.reduce(size, axis=0))
        # A drive at its own limit measures what it gives; a sensor that is cut below does not.
        whole = self._greatest >= AT_LIMIT * self.profile.array('effort')
        spoiled = np.zeros_like(whole)
        for finding in self._quality.findings:
            if finding.what in DOUBTED and finding.until > self._judged:
                of = np.array([finding.joint in ('', name) for name in self.profile.joint_names])
                if finding.what == 'effort_saturated':
                    of &= ~whole
                self._doubted[of] = finding.until + DOUBTED[finding.what]
                if finding.what != 'effort_saturated':
                    spoiled |= of
        ceiling = np.where(whole, np.inf, self._quality.ceiling)
        ceiling = np.minimum(self._largest, (1.0 - DIGITS) * ceiling)
        spoiled |= (ceiling < self._intake.ceiling).any(axis=0)  # what is cut was learned from
        self._intake.ceiling = ceiling
        if spoiled.any():
            self._moments.drop(spoiled)
            self._play.forget(spoiled)
        self._judged = max([self._judged, *(f.until for f in self._quality.findings)])

    def _in_force(self, stamps: Array) -> Array:
        """Commands (n, nj) in force at samples that wait; NaN where none was heard."""
        known = [self._commanded, *self._commands]
        if len(known) > 1 and known[0][0] > known[1][0]:  # the clock started over
            del known[0]
        said, values = (np.array(part) for part in zip(*known))
        return in_force(stamps, said, values, self.profile.command.timeout)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found wrong with the samples so far."""
        return self._quality.findings

    @property
    def troubles(self) -> tuple[Finding, ...]:
        """What of it has not ceased."""
        return self._quality.present()

    def _opened(self) -> None:
        """The filters behind the rows are new."""
        # Slower filters bridge longer gaps, whose samples need slower ones still: not on and on.
        self._intake.longest_gap = min(self._intake.longest_gap, self._rows.longest_gap)
        self._drives.open(self._rows.bandwidth, self._intake.period)
        self._play.open(self._intake.coarseness)

    def _follow(self, run: Run) -> bool:
        """Learn from samples without a break; whether anything was."""
        self._drives.follow(run.stamp, run.position, run.effort)
        self._report(*self._drives.changes())
        self._play.follow(*run[1:], usable=run.stamp[-1] > self._doubted)
        rows = self._rows.push(run.stamp, run.position, self._drives.stand_in(run.effort))
        if rows is None:
            return False
        rows = self._drives.form(rows)
        rows = rows._replace(valid=rows.valid & (rows.stamp[:, None] > self._doubted))
        if not rows.valid.any():
            return False
        self._idle[rows.valid.any(axis=0)] = 0.0
        if self._rows.narrow():
            self._moments.clear()
            self._opened()
            return False
        if self._moments.add(rows):
            self._look_for_change(float(rows.stamp[0]))
        return True

    def reset_history(self) -> None:
        """Forget the signals, because time or state jumped; what was learned stays."""
        self._rows.restart()
        self._moments.restart()
        self._drives.restart()
        self._play.restart()

    def _uncertainty(self) -> Uncertainty:
        period, rows, servo = self._intake.coarseness, self._rows, Servo.of(self.profile)
        lags = self._drives.lags
        steps = rows.steps.timing(lags)
        # Between samples the signals are taken as straight: relative error of that for the
        # motion there was, w^2 T^2 / 12.
        between = rows.quickness * period**2 / 12.0
        return Uncertainty(
            timing=np.hypot(
                max(self.config.timing_error, 0.5 * period), LATE * self._drives.lateness
            ),
            spread=rows.jumps.share * smoothed(lags, period) * period,
            onset=ONSET * period,
            model=math.hypot(self.config.model_error, between, self._about.wrong),
            effort=np.where(self._drives.formed, self.config.servo_error, 0.0),
            shared=self._thought,
            friction=slow_friction(self.profile, rows.fastest),
            steps=steps[:, None]
            * np.stack([servo.damping, servo.stiffness, np.ones_like(steps)], 1),
        )

    def _model(self, curves: npt.NDArray[np.intp], extra: float, full: bool = False) -> Model:
        """The main model or the full one, of a payload with so much extra mass [kg]."""
        return Model.of(curves, self._rows.columns, full, self._rows.loaded, extra)

    def _fit(self, sums: Block) -> Fit:
        """What sums say with the main model, with the payload as last known."""
        model = self._model(self._curves, self._extra)
        return fit(sums, model, self._start, self._uncertainty(), self._carried)

    def _mass(self, found: Fit) -> float:
        """Mass of the payload beyond the nominal one [kg]; no body weighs less than nothing."""
        if not self._rows.payload:
            return 0.0
        slot = MAIN * len(self._idle)
        return max(float(found.mean[slot] * found.scale[slot]), -self._body.payload_mass)

    def _solve(
        self,
        blocks: Block,
        sums: Block,
        curves: npt.NDArray[np.intp],
        extra: float,
        full: bool = False,
    ) -> Posterior:
        """What blocks, and their sums, say with a model of such curves."""
        start = self._full_start if full else self._start
        model, rows = self._model(curves, extra, full), self._rows
        others = other_curves(
            sums,
            rows.shared + rows.loaded,
            curves,
            rows.speeds,
            rows.usual,
        )
        uncertainty = replace(self._uncertainty(), curves=others)
        return solve(blocks, sums, model, start, uncertainty, self._carried)

    def estimate(self) -> Estimate:
        """What is known now, as absolute SI values."""
        if self._intake.waiting:
            self._work()
        stamp = self._intake.stamp if math.isfinite(self._intake.stamp) else 0.0
        if not len(self._moments):
            return self._whole(self._reporter.nothing(stamp))
        blocks = self._moments.blocks()
        rows, sums = self._rows, blocks.total
        steep = steepest(sums, rows.shared + rows.loaded, rows.curves)
        self._curves = steep.safe
        extra = self._mass(self._fit(sums))
        knowledge = Knowledge(
            main=self._solve(blocks, sums, self._curves, extra),
            full=self._solve(blocks, sums, steep.best, extra, full=True),
            speeds=self._rows.speeds,
            curves=steep.best,
            sharp=steep.sharp,
            count=blocks.rows,
            idle=self._idle,
            kept=self._kept,
        )
        return self._whole(self._reporter.report(stamp, knowledge, self.changes))

    def _whole(self, estimate: Estimate) -> Estimate:
        """With what is known of the drives, if what they tell is believed."""
        estimate = self._drives.add_to(self._play.add_to(estimate))
        bad = (self._doubted > estimate.stamp) | (self._intake.ceiling < self._largest).any(axis=0)
        names = {name for name, flag in zip(self.profile.joint_names, bad) if flag}
        lost = {a for a in self._drives.addresses if a.split('.')[1] in names}
        if any(finding.what == 'effort_units' for finding in self.findings):
            lost |= self._of_other_units(estimate)
        return doubted(estimate, lost) if lost else estimate

    def _of_other_units(self, estimate: Estimate) -> set[str]:
        """What is not known where some joint has another unit: all of joints with odd gains.

        A heavy payload and much friction would explain their efforts, too.
        """
        gains = {
            a.split('.')[1]: p.mean for a, p in estimate.identified.items() if a.endswith('.gain')
        }
        odd = {joint for joint, gain in gains.items() if not LOW < gain < HIGH}
        return {
            a
            for a in (estimate.parameters if odd else ())
            if a.startswith('link.') or a.split('.')[1] in odd
        }

    def _look_for_change(self, stamp: float) -> None:
        """Hold the newest closed blocks against the older ones."""
        newest = max(WINDOWS)
        if len(self._moments) < LEAST_OLD + newest + 1:
            return
        found = self._fit(self._moments.sums(-newest - 1))
        self._extra = self._mass(found)
        model = self._model(self._curves, self._extra)
        recent = self._moments.blocks(-newest - 1, -1)
        scores, information = found.scores(model.apply(recent.cross), model.apply(recent.own))
        raw, own = found.mean * found.scale, MAIN * np.arange(len(self._idle))
        late = raw[own + DELAY]
        self._play.learn(raw[own + ARMATURE], raw[own + VISCOUS], late, self._extra)
        doubt = np.sqrt(np.abs(np.diag(found.inverse))) * found.scale
        if self._improve(raw):
            return
        value = raw + self._reporter.shift
        effect = np.where(found.known, found.effect, np.inf)
        size = np.maximum(np.abs(value), MATTERS * effect)
        watched = self._reported & found.known & (doubt < WATCHED * size)
        step = self._detector.look(scores, information, value, effect, watched)
        if step is not None:
            self._change(stamp, step, float(value[step.parameter]))

    def _improve(self, raw: Array) -> bool:
        """Take better zeros for granted; whether all is to be learned anew.

        Args:
            raw: (n,) parameters of the main model.
        """
        first = MAIN * len(self._idle) + self._rows.payload
        off = raw[first:]
        std = np.full(len(off), np.inf)
        if (np.abs(off) > FAR).any():
            blocks = self._moments.blocks()
            known = self._solve(blocks, blocks.total, self._curves, self._extra)
            off, std = known.mean[first:], np.sqrt(np.diag(known.covariance)[first:])
        if not self._about.improve(off, std):
            return False
        self._rows.zero = self._about.zero
        self._reporter.shift[first:] = self._about.zero[self._body.zeros]
        self._moments.clear()
        self._carried = None
        self._kept[:] = False
        return True

    def _report(self, *changes: Change) -> None:
        self.changes = (*self.changes, *changes)[-MOST_CHANGES:]

    def _change(self, stamp: float, step: Step, before: float) -> None:
        """Report a change, and forget what it makes obsolete."""
        address = self._reporter.address(step.parameter)
        change = Change(stamp, address, before, before + step.size, step.score)
        self._report(change)
        older = self._moments.blocks(0, -max(WINDOWS) - 1)
        known = self._solve(older, older.total, self._curves, self._extra)
        spread = DOUBT * known.covariance
        std = np.sqrt(np.maximum(np.diag(known.covariance), 0.0))
        size = np.maximum(np.abs(known.mean + self._reporter.shift), known.matters)
        certain = known.reliable & (std <= self.config.relative_std * size)
        lost = self._siblings(step.parameter)
        keep = np.flatnonzero(known.known & ~lost)
        precision = np.zeros_like(spread)
        inner = spread[np.ix_(keep, keep)]
        precision[np.ix_(keep, keep)] = np.linalg.inv(inner + 1e-12 * np.diag(np.diag(inner)))
        self._carried = Carried(known.mean, precision)
        self._kept = (certain | self._kept) & ~lost
        self._moments.keep_recent(step.blocks + 1)

    def _siblings(self, slot: int) -> Flags:
        """What may have changed instead of a parameter, (n,): of the payload, or of friction.

        While a joint moves in one direction, its friction and its offset look the same.
        """
        flags = np.zeros(len(self._start), dtype=bool)
        flags[slot] = True
        first = MAIN * len(self.profile.joints)
        if slot >= first:
            flags[first : first + self._rows.payload] = True
        elif slot % MAIN in FRICTION:
            flags[slot - slot % MAIN + np.array(FRICTION)] = True
        return flags
