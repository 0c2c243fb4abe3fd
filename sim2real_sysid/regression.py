"""Filtered signals to rows of a regression that is linear in the parameters.

For every joint::

    effort = rigid body + armature*a + viscous*v + coulomb*sign(v) + offset
             + payload*mass error - delay*d(effort)/dt

The rigid body part is the URDF's inverse dynamics. The last term is a nuisance: sensors rarely
agree on the time to the millisecond. Rows come at four times the filters' bandwidth; more would
repeat what was said.

Example: 6 joints give rows of shape (2, 6, 8): twins, joints, columns as in ``columns``.
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

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

JOINT_QUANTITIES = ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset')
LOCAL = len(JOINT_QUANTITIES) + 1
"""Columns of each joint's own: those above and the delay."""
SAMPLES_PER_BANDWIDTH = 15.0  # what a filter needs to see a motion through alternate samples
LIMIT_MARGIN = 0.01  # share of the range next to its end, where the stop may push
SPEED_FLOOR = 0.01  # share of the joint's speed limit, below which nothing counts as motion
NOISE_FLOOR = 5.0  # standard deviations of the velocity's noise


class Rows(NamedTuple):
    """One row a joint.

    Attributes:
        stamp: time of it [s].
        values: (2, nj, p) twins of: ``JOINT_QUANTITIES``, delay, payload where there is one,
            rigid body effort, remaining effort.
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
        period: time between samples [s].

    Attributes:
        has_payload: whether rows have a payload column.
        payload_mass: nominal mass of the payload link [kg].
        bandwidth: of the filters [Hz].
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
        limit = profile.array('velocity')
        self._speed_floor = np.where(np.isfinite(limit), SPEED_FLOOR * limit, 0.0)
        self._fastest = np.zeros(self._nj)
        self._noise = np.zeros(self._nj)
        self._ticks = 0
        self.bandwidth = 0.0
        self._filter: TwinFilter | None = None
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
        self._direction = np.zeros(self._nj)
        self._since = np.full(self._nj, math.inf)
        self._effort_bad = np.full(self._nj, -math.inf)
        self._last_effort = np.zeros(self._nj)
        self._tick = -math.inf

    def push(self, stamp: float, position: Array, effort: Array) -> Rows | None:
        """Take a sample; see :meth:`OnlineIdentifier.update`."""
        filter_ = self._filter
        assert filter_ is not None, 'open() comes first'
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
        nj, (value, rate, curvature) = self._nj, filter_.outputs()
        values = np.zeros((2, nj, self.columns))
        for twin in range(2):
            q, v, a = value[twin, :nj], rate[twin, :nj], curvature[twin, :nj]
            rigid, payload = self._body.efforts(q, v, a)
            own = values[twin]
            own[:, 0], own[:, 1], own[:, 3], own[:, 4] = a, v, 1.0, -rate[twin, nj:]
            if self.has_payload:
                own[:, LOCAL] = payload
            own[:, -2], own[:, -1] = rigid, value[twin, nj:] - rigid
        velocity = rate[:, :nj].mean(axis=0)
        half = 0.5 * (rate[0, :nj] - rate[1, :nj])
        direction = self._moving(filter_, velocity, half)
        values[:, :, 2] = direction
        hold = 1.5 * filter_.cascade.delay
        position = value[:, :nj].mean(axis=0)
        valid = (
            (filter_.stamp - self._since >= hold)
            & (filter_.stamp - self._effort_bad > 2.0 * filter_.cascade.memory)
            & (position > self._lower)
            & (position < self._upper)
        )
        return Rows(filter_.stamp, values, valid, direction)

    def _moving(self, filter_: TwinFilter, velocity: Array, half: Array) -> Array:
        """Direction of each joint, 0 where it does not really move; keeps time since a change."""
        self._ticks += 1
        self._noise += (half**2 - self._noise) / self._ticks
        speed = np.abs(velocity)
        self._fastest = np.maximum(self._fastest, speed)
        threshold = np.maximum(self._config.low_speed * self._fastest, self._speed_floor)
        threshold = np.maximum(threshold, NOISE_FLOOR * np.sqrt(self._noise))
        direction = np.where(speed > threshold, np.sign(velocity), 0.0)
        turned = direction != self._direction
        self._since[turned] = filter_.stamp
        self._since[direction == 0.0] = math.inf
        self._direction = direction
        return direction
