"""Trajectories that tell much of a robot: periodic, within its limits, found by optimization.

Every joint moves as a Fourier series (Swevers et al. 1997) that starts at rest, without
acceleration, so that periods join and the motion can begin and end there. What is optimized is
the regressor of what shall be identified (:mod:`sim2real_sysid.torque_regressor`): its condition
number is minimized, or the determinant of its information matrix maximized.

Limits are kept as squares of what exceeds them, with growing weight, so that thousands of them
cost no more than the objective; derivatives are exact but for those of the rigid bodies'
regressor, which are finite differences state by state. Poses and speeds, which are cheap, are
looked at four times as often. What still exceeds a limit a little in the end is shrunk towards
the start, and a finer grid yet decides.

A robot with a soft loop of its own is commanded ahead of the motion by what the loop lags behind
(:class:`sim2real_core.dynamics.Loop`). That command has to keep the limits too, since the
policy's guard keeps them.

Example: 6 joints with 8 harmonics have 6 * 14 free numbers; 64 instants of a period give a
regressor of 384 rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.dynamics import Loop
from sim2real_core.errors import Faults, Sim2RealError
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import RobotProfile
from sim2real_core.trajectory import DIGITS, Trajectory
from sim2real_sysid.clearance import Clearance
from sim2real_sysid.dynamics import check_base
from sim2real_sysid.excitation_basis import Basis
from sim2real_sysid.excitation_config import ExcitationConfig
from sim2real_sysid.excitation_limits import MARGIN, limits_of
from sim2real_sysid.torque_regressor import STATES, Seen, States, TorqueRegressor

Array = npt.NDArray[np.float64]
Progress = Callable[[float, str], None]

FINEST = 12  # times as many instants in the end
WEIGHTS = (30.0, 300.0, 3000.0)
"""Of what exceeds the limits, round by round."""
AIM = 0.97
"""Share of the limits that the optimizer aims at, so that a little beyond is within them."""
REACHES = (1.0, 0.25, 0.05)
"""Of the limits, for the random motions it begins with: large ones are blocked on every side
where joints turn far and the robot is in its own way."""
CANDIDATES = 24  # random motions, of which the best is taken to begin with
LEAST_SCALE = 0.2  # a motion that must be shrunk further is none


@dataclass(frozen=True)
class Excitation:
    """A motion that was found.

    Attributes:
        trajectory: it.
        before: condition number of the best random motion within the limits.
        condition: of the motion; see :class:`TorqueRegressor` for the units.
        information: mean logarithm of the eigenvalues of its information matrix.
        names: of what it tells apart.
        left_out: of what cannot be told from that.
        used: largest share of each joint's limit: ``position``, ``velocity``, ``acceleration``,
            ``effort``; (nj,) each.
        clearance: least distance to itself and the floor [m]; infinite where nothing is watched.
        notes: what a person should know.
    """

    trajectory: Trajectory
    before: float
    condition: float
    information: float
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    used: dict[str, Array]
    clearance: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        trajectory = self.trajectory
        return {
            'robot': trajectory.robot,
            'profile': trajectory.profile,
            'duration': trajectory.duration,
            'base_frequency': trajectory.base_frequency,
            'condition_number': self.condition,
            'condition_number_random': self.before,
            'log_information': self.information,
            'identifiable': list(self.names),
            'not_told_apart': list(self.left_out),
            'used': {
                name: dict(zip(trajectory.joints, map(float, values)))
                for name, values in self.used.items()
            },
            'clearance': self.clearance,
            'notes': list(self.notes),
        }


def excite(
    profile: RobotProfile,
    config: ExcitationConfig | None = None,
    progress: Progress = lambda share, text: None,
) -> Excitation:
    """Find an exciting motion.

    Args:
        profile: the robot.
        config: settings; the defaults serve any robot.
        progress: told the share that is done, and the condition number so far.

    Raises:
        InputError: the robot cannot stand at rest where the motion starts: it leaves the box, say;
            or its base floats.
        MissingError: pinocchio or scipy is not installed.
        Sim2RealError: no motion within the limits was found.
    """
    check_base(profile)
    return _Search(profile, config or ExcitationConfig(), progress).run()


class _Search:
    """One optimization; the settings of its pieces."""

    def __init__(
        self, profile: RobotProfile, config: ExcitationConfig, progress: Progress
    ) -> None:
        self._profile, self._config, self._progress = profile, config, progress
        self._limits = limits = limits_of(profile, config.share)
        periods = max(1, round(config.duration / config.period))
        self._frequency = periods / config.duration
        default = profile.array('default_position')
        self._aims = limits.scaled(AIM)
        room = MARGIN * limits.half
        self._start = np.clip(default, limits.lower + room, limits.upper - room)
        self._start = np.round(self._start, DIGITS)
        self._rng = np.random.default_rng(config.seed)
        reference = self._random_states(STATES)
        self.regressor = TorqueRegressor(profile, config.identify, reference)
        self.clearance = Clearance(
            profile, self._start, reference.position, config.clearance, config.floor
        )
        self._loop = Loop.of(profile)
        self._box = np.array(config.box).reshape(2, 3)
        self._kinematics = Kinematics(profile)
        self._check_start(default)
        self.basis = Basis(limits, self._start, config.harmonics, self._frequency)

    def _random_states(self, count: int) -> States:
        limits, nj = self._limits, len(self._start)
        draw = self._rng.uniform
        return States(
            draw(limits.lower, limits.upper, (count, nj)),
            draw(-limits.velocity, limits.velocity, (count, nj)),
            draw(-limits.acceleration, limits.acceleration, (count, nj)),
        )

    def _check_start(self, default: Array) -> None:
        """The robot can stand where the motion starts."""
        faults = Faults(str(self._profile.path))
        rest = np.zeros((1, len(default)))
        seen = self.regressor.see(States(self._start[None], rest, rest))
        for joint, effort, limit in zip(self._profile.joints, seen.effort[0], self._limits.effort):
            if abs(effort) > limit:
                mend = (
                    f'it takes {effort:.3g} to stand in the default pose, of {limit:.3g} that may '
                    'be used: choose another default_position, or a larger share'
                )
                faults.add(f'joints.{joint.name}.effort', joint.effort, mend)
        tool = self._kinematics.position(self._start)
        if not ((tool > self._box[0]) & (tool < self._box[1])).all():
            at = ', '.join(f'{value:.3f}' for value in tool)
            faults.add('box', self._config.box, f'must hold the start, at {at} m')
        faults.check()

    # The objective

    def _cost(self, flat: Array, weight: float) -> tuple[float, Array]:
        """Objective plus weighted excess, and its derivative."""
        x = flat.reshape(len(self._start), self.basis.free)
        states, fine = self.basis.states(x), self.basis.states(x, fine=True)
        seen = self.regressor.see(states)
        value, to_regressor = self._criterion(seen)
        loads, position, velocity, effort, dry = self._loads(states, seen)
        bounds, *own = self._bounds(fine)
        pulled = self.regressor.pull(states, seen, to_regressor, weight * effort, weight * dry)
        slopes = [
            (self.basis.coarse, (weight * position, weight * velocity)),
            (self.basis.coarse, pulled),
            (self.basis.fine, [weight * part for part in own]),
        ]
        slope = sum(
            np.einsum('jnm,nj->jm', part, mine)
            for maps, parts in slopes
            for part, mine in zip(maps, parts)
        )
        return value + weight * (loads + bounds), np.asarray(slope).ravel()

    def _criterion(self, seen: Seen) -> tuple[float, Array]:
        """Logarithm to be minimized, and its derivative with respect to the regressor."""
        n = len(seen.regressor)
        rows = seen.regressor.reshape(-1, seen.regressor.shape[2])
        values, axes = np.linalg.eigh(rows.T @ rows / n)
        values = np.maximum(values, 1e-14 * values[-1])
        if self._config.criterion == 'condition':
            value = 0.5 * math.log(values[-1] / values[0])
            inner = 0.5 * (
                np.outer(axes[:, -1], axes[:, -1]) / values[-1]
                - np.outer(axes[:, 0], axes[:, 0]) / values[0]
            )
        else:
            value = -0.5 * float(np.mean(np.log(values)))
            inner = -0.5 * (axes / values) @ axes.T / len(values)
        return value, (2.0 / n * rows @ inner).reshape(seen.regressor.shape)

    def _bounds(self, states: States) -> tuple[float, Array, Array, Array]:
        """How far poses, velocities and accelerations exceed what they may be.

        Returns:
            The squares of it, and their derivatives (n, nj).
        """
        limits, n = self._aims, len(states.position)
        middle, half = limits.middle, limits.half
        over, to_position = _hinge(states.position - middle, half)
        fast, to_velocity = _hinge(states.velocity, limits.velocity)
        hard, to_acceleration = _hinge(states.acceleration, limits.acceleration)
        near, to_near = self._surroundings(states.position)
        total = over + fast + hard + near / n
        return total, to_position + to_near / n, to_velocity, to_acceleration

    def _loads(self, states: States, seen: Seen) -> tuple[float, Array, Array, Array, Array]:
        """How far efforts, and the command ahead of a soft loop, exceed their limits.

        Returns:
            The squares of it, and their derivatives (n, nj) with respect to position, velocity,
            effort without dry friction, and that.
        """
        loop, limits = self._loop, self._aims
        total, to_dry = _hinge(seen.effort + seen.dry, limits.effort)
        command = loop.command(states.position, states.velocity, seen.effort)
        to_command = np.zeros_like(command)
        for order, (middle, limit) in enumerate(limits.derivatives[loop.order :]):
            value = self.basis.rates(command, order) - middle
            over, slope = _hinge(np.where(loop.pull > 0, value, 0.0), limit)
            total += over
            # A derivative with respect to time is its own adjoint, but for its sign.
            to_command += (-1) ** order * self.basis.rates(slope, order)
        to_position, to_velocity = np.zeros_like(command), loop.pull * loop.damping * to_command
        (to_velocity if loop.order else to_position)[:] += to_command
        return total, to_position, to_velocity, to_dry + loop.pull * to_command, to_dry

    def _surroundings(self, position: Array) -> tuple[float, Array]:
        """What is lacking of the clearance and of the box, and its derivative (n, nj)."""
        total, slope = 0.0, np.zeros_like(position)
        middle, half = self._box.mean(axis=0), 0.5 * np.ptp(self._box, axis=0)
        for index, pose in enumerate(position):
            if not self.clearance.bare:
                lost, down = self.clearance.cost(pose)
                total, slope[index] = total + lost, slope[index] + down
            lost, out = _hinge((self._kinematics.position(pose) - middle)[None], half)
            if lost:
                total, slope[index] = total + lost, slope[index] + out[0] @ self._tool_rates(pose)
        return total, slope

    def _tool_rates(self, pose: Array) -> Array:
        """Derivative (3, nj) of the tool's position, by central differences."""
        step = 1e-6 * np.eye(len(pose))
        at = self._kinematics.position
        return np.array([(at(pose + s) - at(pose - s)) / 2e-6 for s in step]).T

    # The search

    def run(self) -> Excitation:
        """Optimize, shrink, check; once more from smaller motions where that finds none."""
        for reach in REACHES:
            begin, before = self._begin(reach)
            best = self._optimized(begin)
            found = self._shrunk(best)
            if found is not None:
                return self._finished(found, before)
        raise self._no_room(best)

    def _optimized(self, x: Array) -> Array:
        from scipy.optimize import minimize

        rounds, done = len(WEIGHTS), 0
        most = self._config.iterations

        for index, weight in enumerate(WEIGHTS):

            def told(flat: Array, weight: float = weight) -> None:
                nonlocal done
                done += 1
                self._progress(min(done / (rounds * most), 1.0), '')

            found = minimize(
                self._cost,
                x.ravel(),
                args=(weight,),
                jac=True,
                method='L-BFGS-B',
                callback=told,
                options=dict(maxiter=most, maxcor=20, ftol=1e-5),
            )
            x, done = found.x.reshape(x.shape), (index + 1) * most
            self._progress((index + 1) / rounds, f'condition number {self._condition(x):.3g}')
        return x

    def _condition(self, x: Array) -> float:
        return _spread(self.regressor.see(self.basis.states(x)).regressor)[0]

    def _begin(self, reach: float) -> tuple[Array, float]:
        """The best of random motions, each a share of what its joints' own limits allow."""
        best, least, before = None, math.inf, math.inf
        for _ in range(CANDIDATES):
            free = self._rng.normal(size=(len(self._start), self.basis.free))
            x = reach * self.basis.within(free)
            seen = self.regressor.see(states := self.basis.states(x))
            excess = self._loads(states, seen)[0]
            excess += self._bounds(self.basis.states(x, fine=True))[0]
            value = self._criterion(seen)[0] + WEIGHTS[0] * excess
            if value < least:
                best, least, before = x, value, _spread(seen.regressor)[0]
        assert best is not None  # a sum of squares is less than infinity
        return best, before

    def _shrunk(self, x: Array) -> Array | None:
        """The motion, as much smaller as it must be to keep every limit at every instant."""
        x, scale = self.basis.within(x), 1.0
        while self._broken(self._trajectory(x * scale)):
            scale *= 0.96
            if scale < LEAST_SCALE:
                return None
        return np.asarray(x * scale)

    def _no_room(self, x: Array) -> Sim2RealError:
        broken = self._broken(self._trajectory(LEAST_SCALE * self.basis.within(x)))
        return Sim2RealError(
            f'no motion of {self._profile.name} within the limits was found: in the last one '
            f'{broken}; give another default_position, more room (floor, box, clearance, share) '
            'or another seed'
        )

    def _trajectory(self, x: Array) -> Trajectory:
        return Trajectory(
            robot=self._profile.name,
            profile=self._profile.content_hash,
            joints=self._profile.joint_names,
            duration=self._config.duration,
            base_frequency=self._frequency,
            position=self.basis.series(x),
        )

    def _dense(self, trajectory: Trajectory) -> States:
        count = FINEST * self.basis.count
        return States(*trajectory.at(np.arange(count) / count / self._frequency))

    def _broken(self, trajectory: Trajectory) -> str:
        """What limit a motion breaks on the finest grid, in words; nothing if it keeps all."""
        poses = self._dense(trajectory).position
        tool = np.array([self._kinematics.position(pose) for pose in poses])
        if (tool < self._box[0]).any() or (tool > self._box[1]).any():
            return 'the tool leaves its box'
        if not self.clearance.bare:
            lack, (one, other) = self.clearance.nearest(poses)
            if lack < 0.0:
                return f'{one} and {other} come {-1e3 * lack:.3g} mm too near'
        for name, values in self.used(trajectory).items():
            if values.max() > 1.0 + 1e-6:
                joint = self._profile.joint_names[int(values.argmax())]
                return f'joint {joint} takes {values.max():.4g} times its {name}'
        return ''

    def used(self, trajectory: Trajectory) -> dict[str, Array]:
        """Largest share of what may be used, (nj,) each, of the motion or of its command."""
        limits, states, loop = self._limits, self._dense(trajectory), self._loop
        seen = self.regressor.see(states)
        signals = [list(states), [loop.command(states.position, states.velocity, seen.effort)]]
        step = 1.0 / self._frequency / len(states.position)
        for _ in range(2 - loop.order):
            ahead, behind = (np.roll(signals[1][-1], way, axis=0) for way in (-1, 1))
            signals[1].append((ahead - behind) / (2.0 * step))
        names = ('position', 'velocity', 'acceleration')
        used = {name: np.zeros(len(self._start)) for name in names}
        for first, parts in zip((0, loop.order), signals):
            for name, value, (middle, half) in zip(
                names[first:], parts, limits.derivatives[first:]
            ):
                share = np.abs(value - middle).max(axis=0) / half
                used[name] = np.maximum(used[name], share)
        return used | {'effort': np.abs(seen.effort + seen.dry).max(axis=0) / limits.effort}

    def _finished(self, x: Array, before: float) -> Excitation:
        trajectory = self._trajectory(x)
        states = self._dense(trajectory)
        condition, information = _spread(self.regressor.see(states).regressor)
        return Excitation(
            trajectory,
            before,
            condition,
            information,
            self.regressor.names,
            self.regressor.left_out,
            self.used(trajectory),
            math.inf if self.clearance.bare else self.clearance.least(states.position),
            tuple(self._notes()),
        )

    def _notes(self) -> list[str]:
        notes = []
        for joint, start in zip(self._profile.joints, self._start):
            if abs(start - joint.default_position) > 10.0**-DIGITS:
                notes.append(
                    f'joint {joint.name} starts at {start:g}: its default position is next to '
                    'the end of its range'
                )
            for name in ('velocity', 'acceleration'):
                if not math.isfinite(getattr(joint, name)):
                    taken = getattr(self._limits, name)[self._profile.joints.index(joint)]
                    notes.append(f'joint {joint.name} has no limit of {name}: {taken:g} taken')
        if self.clearance.bare:
            notes.append('the robot has no collision geometry: nothing keeps it from itself')
        notes += [
            f'{pair} touch at the start and are not watched' for pair in self.clearance.touching
        ]
        return notes


def _hinge(value: Array, limit: Array) -> tuple[float, Array]:
    """Sum of squares of what exceeds +/- limit, as a share of it, a mean over n; and its slope.

    Args:
        value: (n, k).
        limit: (k,) positive; infinite for none.
    """
    over = np.maximum(np.abs(value) / limit - 1.0, 0.0)
    return float(np.sum(over**2)) / len(value), 2.0 * over * np.sign(value) / limit / len(value)


def _spread(regressor: Array) -> tuple[float, float]:
    """Condition number of a regressor (n, nj, p), and the mean log of its information."""
    rows = regressor.reshape(-1, regressor.shape[2])
    values = np.linalg.eigvalsh(rows.T @ rows / len(regressor))
    values = np.maximum(values, 1e-300)
    return float(math.sqrt(values[-1] / values[0])), float(np.mean(np.log(values)))
