"""The online identifier: samples in, an Estimate out at any time."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.joint_states import UNSTAMPED, is_late, shortest
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Estimate, ParameterEstimate
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.posterior import Moments, solve
from sim2real_sysid.regression import JOINT_QUANTITIES, LOCAL, RowBuilder

Array = npt.NDArray[np.float64]

RATE_SAMPLES = 20  # intervals from which the sample period is learned
LEAST_BLOCKS = 6  # half seconds of motion, before anything counts as identified
BOTH_WAYS = 0.1  # least share of the rarer direction, before friction counts as identified
JUMP = 3.0  # times the speed limit
GLITCH = 10.0  # times the effort limit
LARGEST = 1e9  # SI; whatever is beyond is no measurement
# Effort is sampled at an instant: how late its steps seem differs from one to the next. The share
# of the sample period is that of the effort that comes in steps, and at least this one, found on
# simulated drives with a lag.
TIMING_SPREAD = 0.1


class OnlineIdentifier:
    """Identifies every joint's friction, armature and effort offset, and the payload's mass.

    Causal and deterministic: the same samples give the same estimates. Velocities are derived
    from the positions, with the very delay that the efforts get; a measured velocity, filtered by
    its driver nobody knows how, is not used.

    Args:
        profile: the robot.
        config: settings; the defaults serve any robot.

    Attributes:
        addresses: what is identified, in order.
        faults: how many samples were of no use, by reason.

    Raises:
        MissingError: pinocchio is not installed.
    """

    def __init__(self, profile: RobotProfile, config: SysidConfig | None = None) -> None:
        self.profile = profile
        self.config = config or SysidConfig()
        nj = len(profile.joints)
        body = RigidBody(profile)
        self._rows = RowBuilder(profile, self.config, body)
        self._moments = Moments(nj, self._rows.columns, self.config.memory)
        addresses: list[str] = []
        owners: list[int] = []  # joint of each address, -1 for the payload
        slots: list[int] = []
        own = np.zeros((nj, LOCAL))
        for k, name in enumerate(JOINT_QUANTITIES):
            if name != 'effort_offset':
                own[:, k] = profile.array(name)
        for j, joint in enumerate(profile.joint_names):
            addresses += [f'joint.{joint}.{name}' for name in JOINT_QUANTITIES]
            slots += [LOCAL * j + k for k in range(len(JOINT_QUANTITIES))]
            owners += [j] * len(JOINT_QUANTITIES)
        self._nominal, self._shift = own.ravel(), np.zeros(own.size)
        if self._rows.has_payload:
            addresses.append(f'link.{profile.payload_link}.mass')
            slots.append(own.size)
            owners.append(-1)
            # Rows have what exceeds the nominal mass.
            self._nominal = np.append(self._nominal, 0.0)
            self._shift = np.append(self._shift, body.payload_mass)
        self.addresses = tuple(addresses)
        self._owners, self._slots = owners, slots
        self._quantities = [quantity(address, profile) for address in addresses]
        self._continuous = np.array([joint.type == 'continuous' for joint in profile.joints])
        self._turns = bool(self._continuous.any())
        self._limit = profile.array('velocity')
        self._slack = 10.0 * profile.array('position_noise')
        self._largest = np.minimum(GLITCH * profile.array('effort'), LARGEST)
        self._intervals: list[float] = []
        self._period = 0.0
        self._stamp = -math.inf
        self._position = np.zeros(nj)
        self._idle = np.zeros(nj)
        self._first_effort = np.full(nj, np.nan)
        self._alive = np.zeros(nj, dtype=bool)
        self.faults: Counter[str] = Counter()

    def update(self, stamp: float, position: Array, effort: Array) -> bool:
        """Take one sample.

        Args:
            stamp: its time [s].
            position: (nj,) in the profile's joint order [rad or m]; a joint that was not
                measured is NaN.
            effort: (nj,) measured [N*m or N]; NaN where it was not.

        Returns:
            Whether it told anything, so that the estimate changed.
        """
        if not math.isfinite(stamp) or is_late(stamp, self._stamp):
            unstamped = stamp == self._stamp == 0.0
            self.faults[UNSTAMPED if unstamped else 'stamp does not advance'] += 1
            return False
        effort = self._measured(effort)
        missing = ~(np.abs(position) < LARGEST)
        if missing.any():
            self.faults[f'no position of {self._named(missing)}'] += 1
            return False
        if not self._continue(stamp, position):
            return False
        dead = np.isnan(effort)
        if dead.any():
            self.faults[f'no effort of {self._named(dead)}'] += 1
        rows = self._rows.push(stamp, self._position, effort)
        if rows is None or not rows.valid.any():
            return False
        self._idle[rows.valid] = 0.0
        self._moments.add(rows)
        return True

    def _named(self, flags: npt.NDArray[np.bool_]) -> str:
        return ', '.join(n for n, flag in zip(self.profile.joint_names, flags) if flag)

    def _measured(self, effort: Array) -> Array:
        """The efforts, NaN where there is none, or one that cannot be.

        A driver without an effort sensor may report zero, always; it is believed once it has
        reported two values.
        """
        effort = np.where(np.abs(effort) < self._largest, effort, np.nan)
        if self._alive.all():
            return effort
        self._first_effort = np.where(np.isnan(self._first_effort), effort, self._first_effort)
        self._alive |= np.abs(effort - self._first_effort) > 0.0
        return np.where(self._alive, effort, np.nan)

    def _continue(self, stamp: float, position: Array) -> bool:
        """Join the sample to the last one, or start over; whether the filters are open."""
        dt = stamp - self._stamp
        step = position - self._position
        if self._turns:
            step = shortest(step, self._continuous)
        reason = ''
        if dt < 0.0:
            reason = 'backward stamp'
        elif (np.abs(step) > JUMP * self._limit * dt + self._slack).any():
            reason = 'position jumped'
        elif self._period > 0.0 and dt > self._rows.longest_gap:
            reason = 'gap'
        if math.isfinite(dt) and dt > 0.0:
            self._idle += dt
        if reason and math.isfinite(dt):
            self.faults[f'started over: {reason}'] += 1
        if reason or not math.isfinite(dt):
            self.reset_history()
            self._stamp, self._position = stamp, np.array(position, dtype=float)
            return self._period > 0.0
        self._stamp, self._position = stamp, self._position + step
        if self._period == 0.0:
            self._intervals.append(dt)
            if len(self._intervals) < RATE_SAMPLES:
                return False
            self._period = float(np.median(self._intervals))
            self._rows.open(self._period)
        return True

    def reset_history(self) -> None:
        """Forget the signals, because time or state jumped; what was learned stays."""
        self._rows.restart()
        self._moments.restart()
        self._stamp = -math.inf

    def estimate(self) -> Estimate:
        """What is known now, as absolute SI values of :attr:`addresses`."""
        n = len(self._nominal)
        mean, std = self._nominal + self._shift, np.full(n, np.inf)
        covariance = np.zeros((n, n))
        certain = np.zeros(n, dtype=bool)
        if len(self._moments.cross):
            # Between samples the signals are taken as straight: relative error of that for
            # motion at the bandwidth, w^2 T^2 / 12.
            between = (2.0 * math.pi * self._rows.bandwidth * self._period) ** 2 / 12.0
            found = solve(
                self._moments,
                self._nominal,
                timing_error=max(self.config.timing_error, 0.5 * self._period),
                timing_spread=np.maximum(TIMING_SPREAD, self._rows.jumps.share) * self._period,
                model_error=math.hypot(self.config.model_error, between),
            )
            covariance = found.covariance
            deviation = np.sqrt(np.diag(covariance))
            mean = np.where(found.known, found.mean + self._shift, mean)
            std = np.where(found.known, deviation, np.inf)
            size = np.maximum(np.abs(mean), found.matters)
            certain = found.reliable & (std <= self.config.relative_std * size)
        enough, both_ways = self._excitation()
        parameters: dict[str, ParameterEstimate] = {}
        kept: list[int] = []
        for address, slot, owner, limits in zip(
            self.addresses, self._slots, self._owners, self._quantities
        ):
            value = float(np.clip(mean[slot], limits.low, limits.high))
            # A value far outside what is possible says that the model is not of this robot.
            identified = certain[slot] and abs(value - mean[slot]) <= 2.0 * std[slot]
            if owner < 0:
                identified, idle = identified and enough.any(), self._idle.min()
            else:
                identified, idle = identified and enough[owner], self._idle[owner]
                if not address.endswith('.armature'):
                    identified = identified and both_ways[owner]
            status = 'not_identified'
            if identified:
                status = 'stale' if idle > self.config.stale_after else 'identified'
            if status == 'identified':
                kept.append(slot)
            parameters[address] = ParameterEstimate(value, float(std[slot]), status, limits.unit)
        order = tuple(a for a, p in parameters.items() if p.status == 'identified')
        stamp = self._stamp if math.isfinite(self._stamp) else 0.0
        return Estimate(stamp, parameters, order, covariance[np.ix_(kept, kept)])

    def _excitation(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Per joint, whether it moved long enough, and in both directions: (nj,) each.

        In one direction Coulomb friction and offset are the same thing, and friction that
        differs between directions would pass for something else.
        """
        count = self._moments.count
        enough = (count.sum(axis=2) > 0).sum(axis=0) >= LEAST_BLOCKS
        ways = count.sum(axis=0)
        rarer, total = ways.min(axis=1), ways.sum(axis=1)
        return enough, (total > 0) & (rarer >= BOTH_WAYS * total)
