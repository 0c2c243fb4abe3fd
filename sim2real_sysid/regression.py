"""Filtered signals to rows of a regression that is linear in the parameters.

For every joint::

    effort = rigid body + armature*a + viscous*v + coulomb*sign(v) + offset
             + payload*(extra mass, extra first moments) - zeros*d(rigid body)/dq
             - delay*d(effort)/dt
             + tilt*|v| + rise*sign(v)*exp(-(v/vs)^2)

The rigid body part is the URDF's inverse dynamics. Sensors rarely agree on the time to the
millisecond, hence the delay. ``zeros`` is what encoders show too much: gravity pulls where the
links are. ``tilt`` is viscous friction that differs between the directions,
and ``rise`` what friction rises by where a joint gets slow (Stribeck), with a column for each of
several ``vs``: which of these columns a model has is chosen later, see ``posterior``. Rows come
at four times the filters' bandwidth; more would repeat what was said.

Efforts are filtered, and neither inverse dynamics nor dry friction is linear: that of the filtered
motion is not what passes the filter. The filter sees the motion with a spread in time about the
state it gives, along which the state moves by its derivative. Half the sum of the inverse dynamics
one spread before and one after is right to the third order (two-point Gauss-Hermite quadrature);
of the sign of a speed that changes evenly, the filter passes an error function.

Example: 6 joints give rows of shape (r, 2, 6, 22): time; twins; joints; the quantities, the delay,
the tilt, nine columns of friction at low speed, four of the payload, one of each zero that gravity
shows and one of it per kilogram of payload, the rigid body effort and the remaining effort.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.filters import TwinFilter
from sim2real_sysid.jumps import Jumps
from sim2real_sysid.payload import payload_tells
from sim2real_sysid.servo import Servo
from sim2real_sysid.steps import Steps

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

JOINT_QUANTITIES = ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset')
ARMATURE, VISCOUS, COULOMB, OFFSET, DELAY, TILT, CURVE = range(7)
SLOW = 0.005 * 2.0 ** (0.5 * np.arange(9))
"""Stribeck velocities of the columns from CURVE on, as shares of the speed limit; of slow joints
more, so that the last but one is the usual one."""
USUAL_SPEED = 0.01  # of the speed limit, a Stribeck velocity as good as any without evidence
LOCAL = CURVE + len(SLOW)
"""Columns of each joint's own: the quantities above, then the others."""
SAMPLES_PER_BANDWIDTH = 15.0  # what a filter needs to see a motion through alternate samples
LIMIT_MARGIN = 0.01  # share of the range next to its end, where the stop may push
SPEED_FLOOR = 0.005  # share of the joint's speed limit below which nothing counts as motion
FASTEST = 20.0  # limits beyond this, times the highest speed seen, are taken for that
NOISE_FLOOR = 5.0  # standard deviations of the velocity's noise
LEAST_BANDWIDTH = 2.0  # Hz, below which it is never halved
NOISY = 1.0  # power of the noise of the acceleration, of that of the motion
SURELY = 3.0  # standard deviations that a motion's jerk stands out of its noise
TRIAL = 100  # rows of motion after which that is decided
SETTLING = 1.0  # delays of the filter after a turn in which a joint may stick, or play


class Rows(NamedTuple):
    """r rows of every joint.

    Attributes:
        stamp: (r,) times of them [s].
        values: (r, 2, nj, p), see the module's text; the payload's columns only where it tells.
        valid: (r, nj) whether the joint moved so that its row can be believed.
        direction: (r, nj) sign of its velocity.
        position: (r, 2, nj) filtered, of the twins.
    """

    stamp: Array
    values: Array
    valid: Flags
    direction: Array
    position: Array


def usual_speeds(profile: RobotProfile) -> Array:
    """Stribeck velocities before any is known, (nj,) [rad/s or m/s]."""
    names = profile.joint_names
    return np.array([nominal(profile, f'joint.{j}.stribeck_velocity') for j in names], dtype=float)


class RowBuilder:
    """Filters samples and builds rows.

    Args:
        profile: the robot.
        config: settings.
        body: its inverse dynamics.

    Attributes:
        columns: of a row.
        payload: number of columns that are the payload's.
        shared: number of what joints share: the payload's, then the joints ``body.zeros``.
        loaded: number of further columns: of the latter, per kilogram of payload.
        zero: (nj,) what the encoders are taken to show too much [rad or m].
        bandwidth: of the filters [Hz]; 0 before they are open.
        period: between samples that they are made for [s].
        limit: (nj,) the joints' speed limits [rad/s or m/s], made finite.
        usual: (nj,) Stribeck velocities before any is known [rad/s or m/s].
        fastest: (nj,) highest speeds seen [rad/s or m/s].
        jumps: those of the measured efforts.
        steps: likewise, as answers to commands.
    """

    def __init__(self, profile: RobotProfile, config: SysidConfig, body: RigidBody) -> None:
        self._body = body
        self.zero = np.zeros(len(profile.joints))
        self._config = config
        self._nj = len(profile.joints)
        self.payload = body.payload_columns if payload_tells(body, self._nj) else 0
        self.shared = self.payload + len(body.zeros)
        self.loaded = len(body.zeros) if self.payload else 0
        self.columns = LOCAL + self.shared + self.loaded + 2
        lower, upper = profile.array('lower'), profile.array('upper')
        margin = np.where(np.isfinite(upper - lower), LIMIT_MARGIN * (upper - lower), 0.0)
        self._lower, self._upper = lower + margin, upper - margin
        self._given = profile.array('velocity')
        self.limit = np.minimum(self._given, 1.0)
        self.usual = usual_speeds(profile)
        self.fastest = np.zeros(self._nj)
        self._noise = np.zeros(self._nj)
        self._ticks = 0
        self._jerk, self._acceleration, self._unrest, self._shake = np.zeros((4, self._nj))
        self._counted = np.zeros(self._nj)
        self.period, self._halved, self._watched = 0.0, 0, 0
        self.bandwidth = 0.0
        self._filter: TwinFilter | None = None
        self.jumps = Jumps(self._nj)
        self._servo, self._between = Servo.of(profile), profile.rates.control_period
        self.steps = Steps(self._servo, self._between, self._between)
        self.restart()

    def open(self, period: float) -> None:
        """Make the filters for samples every ``period`` seconds."""
        self.period = period
        self.bandwidth = min(self._config.bandwidth, 1.0 / (SAMPLES_PER_BANDWIDTH * period))
        self.bandwidth *= 0.5**self._halved
        self._filter = TwinFilter(self.bandwidth, 2 * self._nj, self.interval)
        self.steps = Steps(self._servo, self._between, period)

    @property
    def speeds(self) -> Array:
        """Stribeck velocities (nj, 9) of the columns from ``CURVE`` on [rad/s or m/s]."""
        return np.maximum(self.limit, self.usual / SLOW[-2])[:, None] * SLOW

    @property
    def curves(self) -> npt.NDArray[np.intp]:
        """(nj,) which of them is next to ``USUAL_SPEED`` of the limit."""
        return np.abs(np.log(self.speeds / (USUAL_SPEED * self.limit[:, None]))).argmin(axis=1)

    @property
    def quickness(self) -> float:
        """Square of the angular frequency of the motion there was [1/s^2], at the least.

        The jerk is noisy, and so is the sum of its twins' products.
        """
        moved = self._acceleration > 0.0
        if not moved.any():
            return 0.0
        noise = SURELY * self._shake / np.sqrt(np.maximum(self._counted, 1.0))
        jerk = np.maximum(self._jerk - noise, 0.0)
        return float(np.median(jerk[moved] / self._acceleration[moved]))

    def narrow(self) -> bool:
        """Halve the bandwidth if the noise of the acceleration drowns it; whether it was.

        Noise of the acceleration goes with the fifth power of the bandwidth, and twins cannot
        make up for the information that it buries. Decided once, on the first motion.
        """
        moved = self._acceleration > 0.0
        if self._watched < TRIAL or not moved.any() or self.bandwidth < 2.0 * LEAST_BANDWIDTH:
            return False
        self._watched = 0
        if np.median(self._unrest[moved] / self._acceleration[moved]) < NOISY:
            return False
        self._acceleration[:] = self._jerk[:] = self._unrest[:] = 0.0
        self._shake[:] = self._counted[:] = 0.0
        self._halved += 1
        self._noise[:], self._ticks = 0.0, 0
        self.restart()
        self.open(self.period)
        return True

    @property
    def interval(self) -> float:
        """Time from one row to the next, at least [s]."""
        return 0.25 / self.bandwidth

    @property
    def longest_gap(self) -> float:
        """Gap in the samples that can be bridged [s]."""
        return 0.0 if self._filter is None else 2.0 * self._filter.cascade.delay

    def restart(self) -> None:
        """Forget the signals, not the speeds and noises seen."""
        if self._filter is not None:
            self._filter.restart()
        self.jumps.restart()
        self.steps.restart()
        self._direction = np.zeros(self._nj)
        self._since = np.full(self._nj, math.inf)
        self._effort_bad = np.full(self._nj, -math.inf)
        self._last_effort = np.zeros(self._nj)

    def push(self, stamps: Array, positions: Array, efforts: Array) -> Rows | None:
        """Take consecutive samples, and give rows when it is time for some.

        Args:
            stamps: (m,) ascending [s].
            positions: (m, nj) finite.
            efforts: (m, nj), NaN where there is none.
        """
        filter_ = self._filter
        assert filter_ is not None, 'open() comes first'
        self.jumps.push(efforts)
        self.steps.push(positions, efforts)
        if not np.isfinite(efforts).all():
            efforts = self._bridged(stamps, efforts)
        self._last_effort = efforts[-1]
        at, outputs = filter_.push(stamps, np.concatenate([positions, efforts], axis=1))
        settled = at - filter_.begun >= 2.0 * filter_.cascade.memory
        if not settled.any():
            return None
        return self._rows(at[settled], outputs[settled])

    def _bridged(self, stamps: Array, efforts: Array) -> Array:
        """Efforts with the last one held where there is none, which is remembered."""
        efforts = efforts.copy()
        last = self._last_effort
        for stamp, effort in zip(stamps, efforts):
            bad = ~np.isfinite(effort)
            self._effort_bad[bad] = stamp
            effort[bad] = last[bad]
            last = effort
        return efforts

    def _rows(self, at: Array, outputs: Array) -> Rows:
        """Rows from outputs of the filter; see :meth:`TwinFilter.push`."""
        assert self._filter is not None
        nj, cascade = self._nj, self._filter.cascade
        joints, effort, rate = outputs[..., :nj], outputs[:, 0, :, nj:], outputs[:, 1, :, nj:]
        velocity, acceleration = joints[:, 1:3].mean(axis=2).transpose(1, 0, 2)
        direction, settled = self._moving(at, velocity, joints[:, 1, 0] - velocity)
        turning = np.maximum(cascade.spread * np.abs(acceleration), 1e-12)
        values = np.zeros((len(at), 2, nj, self.columns))
        bodies = self._bodies(joints, cascade.spread)
        values[..., ARMATURE] = joints[:, 2]
        values[..., VISCOUS] = joints[:, 1]
        values[..., COULOMB] = _error_function(velocity / (math.sqrt(2.0) * turning))[:, None]
        values[..., OFFSET] = 1.0
        values[..., DELAY] = -rate
        values[..., TILT] = np.abs(joints[:, 1])
        slow = _stribeck(velocity[..., None], turning[..., None], self.speeds)
        values[..., CURVE:LOCAL] = slow[:, None]
        values[..., LOCAL : LOCAL + self.payload] = bodies[..., 1 : 1 + self.payload]
        values[..., LOCAL + self.payload : -2] = self._zeros(joints)
        values[..., -2] = bodies[..., 0]
        values[..., -1] = effort - bodies[..., 0]
        position = joints[:, 0].mean(axis=1)
        valid = (
            settled
            & (at[:, None] - self._effort_bad > 2.0 * cascade.memory)
            & (position > self._lower)
            & (position < self._upper)
        )
        # Products of twins: without noise.
        self._acceleration += (valid * joints[:, 2, 0] * joints[:, 2, 1]).sum(axis=0)
        self._jerk += (valid * joints[:, 3, 0] * joints[:, 3, 1]).sum(axis=0)
        self._unrest += (valid * (joints[:, 2, 0] - joints[:, 2, 1]) ** 2).sum(axis=0) / 4.0
        self._shake += (valid * (joints[:, 3, 0] - joints[:, 3, 1]) ** 2).sum(axis=0) / 2.0
        self._counted += valid.sum(axis=0)
        self._watched += int(valid.any(axis=1).sum())
        return Rows(at, values, valid, direction, joints[:, 0])

    def _bodies(self, joints: Array, spread: float) -> Array:
        """Filtered columns of the bodies (r, 2, nj, 1 + payload); ``joints``: (r, 4, 2, nj)."""
        state = self._states(joints)
        swing = spread * joints[:, 1:].swapaxes(1, 2)
        both = np.stack([state - swing, state + swing])
        columns = self._body.columns(both.reshape(-1, 3, self._nj))
        return np.asarray(columns.reshape(*both.shape[:3], self._nj, -1).mean(axis=0))

    def _zeros(self, joints: Array) -> Array:
        """What zeros that are off add to the efforts, (r, 2, nj, ...); ``joints``: (r, 4, 2, nj).

        Of each twin by itself: accelerations are noisy.
        """
        states = self._states(joints).reshape(-1, 3, self._nj)
        slopes = self._body.slopes(states, loaded=self.loaded > 0)
        return -slopes.reshape(len(joints), 2, self._nj, -1)

    def _states(self, joints: Array) -> Array:
        """States (r, 2, 3, nj) where the links are; ``joints``: (r, 4, 2, nj)."""
        states = joints[:, :3].swapaxes(1, 2).copy()
        states[..., 0, :] -= self.zero
        return states

    def _moving(self, at: Array, velocity: Array, half: Array) -> tuple[Array, Flags]:
        """Direction of each joint, 0 where it does not really move, and whether that is settled.

        Args:
            at: (r,) times [s].
            velocity: (r, nj) mean of the twins.
            half: (r, nj) half their difference: noise as strong as that of the mean.
        """
        assert self._filter is not None
        self._ticks += len(at)
        self._noise += (half**2 - self._noise).sum(axis=0) / self._ticks
        speed = np.abs(velocity)
        self.fastest = np.maximum(self.fastest, speed.max(axis=0))
        # Some URDFs give no limit, or one that is never meant.
        self.limit = np.maximum(np.minimum(self._given, FASTEST * self.fastest), 1e-9)
        threshold = np.maximum(self._config.low_speed * self.fastest, SPEED_FLOOR * self.limit)
        threshold = np.maximum(threshold, NOISE_FLOOR * np.sqrt(self._noise))
        direction = np.where(speed > threshold, np.sign(velocity), 0.0)
        settled = np.zeros(direction.shape, dtype=bool)
        for k, (stamp, now) in enumerate(zip(at, direction)):
            self._since[now != self._direction] = stamp
            self._since[now == 0.0] = math.inf
            self._direction = now
            settled[k] = stamp - self._since >= SETTLING * self._filter.cascade.delay
        return direction, settled


def _stribeck(velocity: Array, spread: Array, scale: Array) -> Array:
    """What the filter passes of ``sign(v) exp(-(v/vs)^2)`` of a speed that changes evenly.

    Its mean over speeds that are normal about ``velocity`` with deviation ``spread``; ``scale`` is
    vs. Of a product of two normal densities, which is one again, the sign's mean is an error
    function.
    """
    own, wide = 0.5 * scale**2, 0.5 * scale**2 + spread**2
    middle = velocity * own / wide
    deviation = np.sqrt(own * spread**2 / wide)
    height = np.sqrt(own / wide) * np.exp(-0.5 * velocity**2 / wide)
    return np.asarray(height * _error_function(middle / (math.sqrt(2.0) * deviation)))


def _error_function(x: Array) -> Array:
    """erf(x), to 4e-4 (SciPy is not for robots)."""
    x = np.clip(x, -4.0, 4.0)
    return np.asarray(np.tanh(2.0 / math.sqrt(math.pi) * (x + 0.08943 * x**3)))
