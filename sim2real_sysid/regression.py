"""Filtered signals to rows of a regression that is linear in the parameters.

For every joint::

    effort = rigid body + armature*a + viscous*v + coulomb*sign(v) + offset + payload*extra mass
             - delay*d(effort)/dt + rise*sign(v)*exp(-(v/vs)^2)

The rigid body part is the URDF's inverse dynamics. The second line holds nuisances, estimated so
that they do not pass for something else: sensors rarely agree on the time to the millisecond, and
friction rises where a joint gets slow (Stribeck). Rows come at four times the filters' bandwidth;
more would repeat what was said.

Efforts are filtered, and inverse dynamics is not linear: that of the filtered motion is not what
passes the filter. The filter sees the motion with a spread in time about the state it gives, along
which the state moves by its derivative; half the sum of the inverse dynamics one spread before and
one after is right to the third order (two-point Gauss-Hermite quadrature).

Example: 6 joints give rows of shape (2, 6, 9): twins; joints; the quantities, the two nuisances,
the payload, the rigid body effort and the remaining effort.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.filters import TwinFilter
from sim2real_sysid.jumps import Jumps

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

JOINT_QUANTITIES = ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset')
ARMATURE, VISCOUS, COULOMB, OFFSET, DELAY, STRIBECK = range(6)
LOCAL = 6
"""Columns of each joint's own: the quantities above, then the nuisances."""
SAMPLES_PER_BANDWIDTH = 15.0  # what a filter needs to see a motion through alternate samples
LIMIT_MARGIN = 0.01  # share of the range next to its end, where the stop may push
SPEED_FLOOR = 0.01  # share of the joint's speed limit below which nothing counts as motion
STRIBECK_SPEED = 0.02  # share of the limit about which friction turns into Coulomb friction
FASTEST = 20.0  # limits beyond this, times the highest speed seen, are taken for that
NOISE_FLOOR = 5.0  # standard deviations of the velocity's noise


class Rows(NamedTuple):
    """One row a joint.

    Attributes:
        stamp: time of it [s].
        values: (2, nj, p), see the module's text; the payload's column only where there is one.
        valid: (nj,) whether the joint moved so that its row can be believed.
        direction: (nj,) sign of its velocity.
    """

    stamp: float
    values: Array
    valid: Flags
    direction: Array


def payload_tells(body: RigidBody, joints: int) -> bool:
    """Whether the payload's mass can be told from armature and offset of the joints.

    On a single prismatic axis, say, it cannot: both are moving mass. Decided on random states.
    """
    rng = np.random.default_rng(0)
    states = rng.normal(size=(64, 3, joints))
    column = np.array([body.efforts(*state)[1] for state in states])
    total = float(np.sqrt(np.mean(column**2)))
    left = 0.0
    for j in range(joints):
        own = np.stack([states[:, 2, j], states[:, 1, j], np.ones(len(states))], axis=1)
        fit = own @ np.linalg.lstsq(own, column[:, j], rcond=None)[0]
        left = max(left, float(np.sqrt(np.mean((column[:, j] - fit) ** 2))))
    return left > 1e-6 * total > 0.0


class RowBuilder:
    """Filters samples and builds rows.

    Args:
        profile: the robot.
        config: settings.
        body: its inverse dynamics.

    Attributes:
        columns: of a row.
        has_payload: whether rows have a payload column.
        bandwidth: of the filters [Hz]; 0 before they are open.
        jumps: those of the measured efforts.
    """

    def __init__(self, profile: RobotProfile, config: SysidConfig, body: RigidBody) -> None:
        self._body = body
        self._config = config
        self._nj = len(profile.joints)
        self.has_payload = payload_tells(body, self._nj)
        self.columns = LOCAL + int(self.has_payload) + 2
        lower, upper = profile.array('lower'), profile.array('upper')
        margin = np.where(np.isfinite(upper - lower), LIMIT_MARGIN * (upper - lower), 0.0)
        self._lower, self._upper = lower + margin, upper - margin
        self._limit = profile.array('velocity')
        self._fastest = np.zeros(self._nj)
        self._noise = np.zeros(self._nj)
        self._ticks = 0
        self.bandwidth = 0.0
        self._filter: TwinFilter | None = None
        self.jumps = Jumps(self._nj)
        self.restart()

    def open(self, period: float) -> None:
        """Make the filters for samples every ``period`` seconds."""
        self.bandwidth = min(self._config.bandwidth, 1.0 / (SAMPLES_PER_BANDWIDTH * period))
        self._filter = TwinFilter(self.bandwidth, 2 * self._nj)

    @property
    def longest_gap(self) -> float:
        """Gap in the samples that can be bridged [s]."""
        return 0.0 if self._filter is None else self._filter.cascade.delay

    def restart(self) -> None:
        """Forget the signals, not the speeds and noises seen."""
        if self._filter is not None:
            self._filter.restart()
        self.jumps.restart()
        self._direction = np.zeros(self._nj)
        self._since = np.full(self._nj, math.inf)
        self._effort_bad = np.full(self._nj, -math.inf)
        self._last_effort = np.zeros(self._nj)
        self._tick = -math.inf

    def push(self, stamp: float, position: Array, effort: Array) -> Rows | None:
        """Take a sample; see :meth:`OnlineIdentifier.update`."""
        filter_ = self._filter
        assert filter_ is not None, 'open() comes first'
        self.jumps.push(effort)
        bad = ~np.isfinite(effort)
        if bad.any():
            self._effort_bad[bad] = stamp
            effort = np.where(bad, self._last_effort, effort)
        self._last_effort = effort
        moved = filter_.push(stamp, np.concatenate([position, effort]))
        if not moved or not filter_.settled:
            return None
        if filter_.stamp - self._tick < 0.25 / self.bandwidth - 1e-6:
            return None
        self._tick = filter_.stamp
        return self._rows(filter_)

    def _rows(self, filter_: TwinFilter) -> Rows:
        nj, out = self._nj, filter_.outputs()
        joints, effort, rate = out[:, :, :nj], out[0, :, nj:], out[1]
        velocity, acceleration = joints[1:3].mean(axis=1)
        direction, limit = self._moving(filter_.stamp, velocity, rate[0, :nj] - velocity)
        spread = filter_.cascade.spread
        # Within the spread the joint must not turn, or the filtered friction is of both signs.
        straight = np.abs(velocity) > spread * np.abs(acceleration)
        values = np.zeros((2, nj, self.columns))
        for twin, own in enumerate(values):
            state, v = joints[:3, twin], joints[1, twin]
            swing = spread * joints[1:, twin]
            rigid, payload = 0.5 * (
                self._body.efforts(*(state - swing)) + self._body.efforts(*(state + swing))
            )
            own[:, ARMATURE] = joints[2, twin]
            own[:, VISCOUS] = v
            own[:, COULOMB] = direction
            own[:, OFFSET] = 1.0
            own[:, DELAY] = -rate[twin, nj:]
            own[:, STRIBECK] = direction * np.exp(-np.square(v / (STRIBECK_SPEED * limit)))
            if self.has_payload:
                own[:, LOCAL] = payload
            own[:, -2] = rigid
            own[:, -1] = effort[twin] - rigid
        position = joints[0].mean(axis=0)
        cascade = filter_.cascade
        valid = (
            straight
            & (filter_.stamp - self._since >= 2.0 * cascade.delay)
            & (filter_.stamp - self._effort_bad > 2.0 * cascade.memory)
            & (position > self._lower)
            & (position < self._upper)
        )
        return Rows(filter_.stamp, values, valid, direction)

    def _moving(self, stamp: float, velocity: Array, half: Array) -> tuple[Array, Array]:
        """Direction of each joint, 0 where it does not really move, and its speed limit.

        Args:
            stamp: time [s].
            velocity: (nj,) mean of the twins.
            half: (nj,) half their difference: noise as strong as that of the mean.
        """
        self._ticks += 1
        self._noise += (half**2 - self._noise) / self._ticks
        speed = np.abs(velocity)
        self._fastest = np.maximum(self._fastest, speed)
        # Some URDFs give no limit, or one that is never meant.
        limit = np.maximum(np.minimum(self._limit, FASTEST * self._fastest), 1e-9)
        threshold = np.maximum(self._config.low_speed * self._fastest, SPEED_FLOOR * limit)
        threshold = np.maximum(threshold, NOISE_FLOOR * np.sqrt(self._noise))
        direction = np.where(speed > threshold, np.sign(velocity), 0.0)
        self._since[direction != self._direction] = stamp
        self._since[direction == 0.0] = math.inf
        self._direction = direction
        return direction, limit
