"""Play between drive and link, told from what happens when a joint turns.

The encoder sits at the drive: while the link crosses the gap, it rests, and then it starts with
the speed that the link has by then. What the link did before is known from the effort: it is an
integral of it, through the joint's inertia and drag, that ends as the encoder goes on. Where that
motion had no speed, the link turned, and what it went from there is the gap: how far the link's
motion after the turn, taken back to its beginning, misses the encoder's rest.

A link that sticks before it goes on creeps meanwhile, and friction rises; both take something off
the gap, the more the longer it sticks. Over all turns of a joint the gap is what a line over that
time says for none.

Example: 6 joints at 250 Hz; a turn is looked at through 40 samples of them all.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Estimate, ParameterEstimate
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.report import joined

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

AFTER = 0.08  # s of motion after a turn that are looked at
LEAST_SAMPLES = 12  # of it, at least
LONGEST_REST = 0.3  # s; a joint that rests for longer tells nothing
KEPT = 1.2  # s of samples that are kept, beyond those after a turn
BEYOND = 6.0  # standard deviations of the encoder's noise that are no rest
LEVEL = 2 / 3  # of that, above the lowest sample: what a rest's level is taken from
SMOOTH = 5  # degree of the polynomials that other joints move by, about a turn
GRID = 32  # times about a turn at which the efforts of the bodies are computed
MOST_TURNS = 200  # of a joint that are remembered
LEAST_TURNS = 10  # before anything counts as identified
# Turns of one motion resemble each other, and so do their errors: a variance counts so often. What
# friction does next to rest leaves a share of the gap open. Both found on simulated arms.
ALIKE = 3.0
SHARE = 0.06
FINE = 3.0  # standard deviations of the encoder's noise to which a gap may be known at best
CREEP = 5.0  # share of the gap [1/s] that a link may lose while it sticks: standard deviation
ROBUST = 1.5  # standard deviations from which on a turn weighs less (Huber 1981)


class Turn(NamedTuple):
    """What a turn says.

    Attributes:
        gap: crossed [rad or m].
        rest: time that the encoder stood still [s].
        speed: of the link as the encoder went on [rad/s or m/s].
        stamp: of that [s].
    """

    gap: float
    rest: float
    speed: float
    stamp: float


class Joint(NamedTuple):
    """What must be known of a joint before a turn tells anything, SI units.

    Attributes:
        inertia: of all that it moves, its rotor included.
        drag: viscous friction.
    """

    inertia: float
    drag: float


class PlayIdentifier:
    """Identifies the backlash of every joint.

    Args:
        profile: the robot.
        config: settings.
        body: its inverse dynamics.

    Attributes:
        addresses: what is identified, in order.
    """

    def __init__(self, profile: RobotProfile, config: SysidConfig, body: RigidBody) -> None:
        self._profile, self._config, self._body = profile, config, body
        self._nj = nj = len(profile.joints)
        self.addresses = tuple(f'actuator.{joint}.backlash' for joint in profile.joint_names)
        self._known: tuple[Array, Array, Array, float] | None = None
        self._after, self._rough, self._count = 0.0, np.zeros(nj), 0
        self._turns: tuple[deque[Turn], ...] = tuple(deque(maxlen=MOST_TURNS) for _ in range(nj))
        self._stamp = -math.inf
        self.restart()

    def open(self, period: float) -> None:
        """Learn the sample period [s]."""
        self._after = max(AFTER, LEAST_SAMPLES * period)

    def restart(self) -> None:
        """The next sample does not follow the last: forget the samples, not what was learned."""
        self._parts: deque[tuple[Array, Array, Array]] = deque()
        self._way = np.zeros(self._nj)
        self._due = np.full(self._nj, math.inf)

    def forget(self, joints: Flags) -> None:
        """Forget what some joints (nj,) told."""
        for j in np.flatnonzero(joints):
            self._turns[j].clear()

    def learn(self, armature: Array, viscous: Array, late: Array, extra: float) -> None:
        """Learn what is known of the robot by now.

        Args:
            armature: (nj,).
            viscous: (nj,) friction.
            late: (nj,) time by which efforts are measured later than positions [s].
            extra: mass of the payload beyond the nominal one [kg].
        """
        self._known = np.maximum(armature, 0.0), np.maximum(viscous, 0.0), late, extra

    def follow(self, stamps: Array, positions: Array, efforts: Array, usable: Flags) -> None:
        """Take consecutive samples.

        Args:
            stamps: (m,) ascending [s].
            positions: (m, nj) finite.
            efforts: (m, nj), NaN where there is none.
            usable: (nj,) joints that are believed.
        """
        self._stamp = float(stamps[-1])
        if not self._after:
            return
        parts = self._parts
        parts.append((stamps, positions, efforts))
        while stamps[-1] - parts[0][0][-1] > KEPT + self._after:
            parts.popleft()
        if len(stamps) > 3:  # noise: what no motion does within four samples
            self._rough += np.square(np.diff(positions, 3, axis=0)).sum(axis=0) / 20.0
            self._count += len(stamps) - 3
        went = positions[-1] - positions[0]
        moved = np.abs(went) > self._beyond
        turned = moved & (np.sign(went) == -self._way)
        self._due[turned] = stamps[-1] + self._after
        self._way = np.where(moved, np.sign(went), self._way)
        due = self._stamp >= self._due
        if due.any():
            self._due[due] = math.inf
            self._look(np.flatnonzero(due & usable))

    @property
    def noise(self) -> Array:
        """(nj,) standard deviation of the encoders' noise [rad or m]."""
        return np.asarray(np.sqrt(self._rough / max(self._count, 1)))

    @property
    def _beyond(self) -> Array:
        return BEYOND * self.noise + 1e-9

    def _look(self, joints: npt.NDArray[np.intp]) -> None:
        """Look at what joints did when they turned."""
        if self._known is None:
            return
        stamps, positions, efforts = (np.concatenate(part) for part in zip(*self._parts))
        for j in joints:
            way = self._way[j]
            found = valley(stamps, way * positions[:, j], self._beyond[j])
            if found is None:
                continue
            level, begin, end = found
            last = int(np.searchsorted(stamps, stamps[end] + self._after))
            if last - end < LEAST_SAMPLES or last > len(stamps):
                continue
            part = slice(begin, last)
            if not np.isfinite(efforts[:, j]).all():
                continue
            effort = np.interp(stamps[part] + self._known[2][j], stamps, efforts[:, j])
            joint, own = self._at(int(j), stamps[part], positions[part], effort)
            edge = end - begin
            turn = crossed(stamps[part], way * positions[part, j], way * own, edge, level, joint)
            if turn is not None:
                self._turns[j].append(turn)

    def _at(self, j: int, stamps: Array, positions: Array, efforts: Array) -> tuple[Joint, Array]:
        """A joint, and the effort (m,) that is left for its own acceleration and friction."""
        assert self._known is not None
        armature, viscous, _, extra = self._known
        rate = 1.0 / (stamps[-1] - stamps[0])
        x, grid = rate * (stamps - stamps[0]), np.linspace(0.0, 1.0, GRID)
        series = np.polynomial.polynomial
        fit = series.polyfit(x, positions, SMOOTH)
        states = np.zeros((GRID + 1, 3, self._nj))
        for order in range(3):
            terms = series.polyder(fit, order)
            states[:-1, order] = series.polyval(grid, terms).T * rate**order
        states[-1] = states[-2]
        states[:, 2, j] = 0.0
        states[-1, 2, j] = 1.0
        columns = self._body.columns(states)[:, j]
        bodies = columns[:, 0] + extra * columns[:, 1]
        inertia = float(bodies[-1] - bodies[-2] + armature[j])
        own = efforts - np.interp(x, grid, bodies[:-1])
        return Joint(max(inertia, 1e-9), float(viscous[j])), own

    def add_to(self, estimate: Estimate) -> Estimate:
        """An estimate with what is known of the play."""
        found = self.estimates()
        known = [p.std**2 for p in found.values() if p.status == 'identified']
        return joined(estimate, found, np.diag(known))

    def estimates(self) -> dict[str, ParameterEstimate]:
        """Address to what is known now."""
        found = {}
        for j, address in enumerate(self.addresses):
            limits, turns = quantity(address, self._profile), self._turns[j]
            mean, std = gap_of(turns)
            std = math.hypot(std, float(self.noise[j]))  # where an encoder rests
            value = float(np.clip(mean, limits.low, limits.high))
            status = 'not_identified'
            target = max(self._config.relative_std * value, FINE * float(self.noise[j]))
            # A gap no wider than what counts as rest is not seen: it may be one, or none.
            seen = value > self._beyond[j]
            if seen and std <= target and abs(value - mean) <= 2.0 * std:
                idle = self._stamp - turns[-1].stamp
                status = 'stale' if idle > self._config.stale_after else 'identified'
            found[address] = ParameterEstimate(value, std, status, limits.unit)
        return found


def valley(stamps: Array, heights: Array, beyond: float) -> tuple[float, int, int] | None:
    """Where an encoder that fell and now rises rested.

    Args:
        stamps: (m,) [s].
        heights: (m,) of the encoder, rising in the end.
        beyond: heights beyond this are no rest.

    Returns:
        Height of the rest, its first sample, and the first one after it; None where it rested for
        too long, or never fell.
    """
    # No wider than noise makes it, since a turn without a rest is round.
    level = float(np.median(heights[heights < heights.min() + LEVEL * beyond]))
    away = np.flatnonzero(np.abs(heights - level) > beyond)
    resting = np.flatnonzero(~(np.abs(heights - level) > beyond))
    if not len(away) or not len(resting):
        return None
    end = int(resting[-1]) + 1
    before = away[away < end]
    if not len(before) or end >= len(heights):
        return None
    begin = int(before[-1]) + 1
    if stamps[end] - stamps[begin] > LONGEST_REST:
        return None
    return level, begin, end


def crossed(
    stamps: Array, heights: Array, efforts: Array, edge: int, level: float, joint: Joint
) -> Turn | None:
    """The gap that a link crossed as it turned.

    Between two samples the link is driven by the mean of the efforts there. What friction, gravity
    and offset take is constant for so short a time, and free; so are where the link was, and how
    fast. With these three the motion is fitted to the encoder from ``edge`` on.

    Args:
        stamps: (m,) [s].
        heights: (m,) of the encoder: resting, then rising.
        efforts: (m,) that drive it up, those that other bodies take taken off.
        edge: first sample of the rise.
        level: of the rest.
        joint: whose it is.

    Returns:
        None where the link's speed never was zero.
    """
    drag = max(joint.drag / joint.inertia, 1e-6)
    age = np.maximum(stamps[:, None] - stamps[None, :], 0.0)
    step = np.gradient(stamps)
    push = (efforts - efforts.mean()) / joint.inertia * step
    push[[0, -1]] *= 0.5
    own = -np.expm1(-drag * age) / drag @ push
    pace = (np.exp(-drag * age) * (age > 0.0) + 0.5 * np.eye(len(age))) @ push
    t = stamps - stamps[0]
    glide, slope = -np.expm1(-drag * t) / drag, np.exp(-drag * t)
    columns = np.stack([np.ones_like(t), glide, (t - glide) / drag], axis=1)
    fit = np.linalg.lstsq(columns[edge:], (heights - own)[edge:], rcond=None)[0]
    speed = np.stack([np.zeros_like(t), slope, glide], axis=1) @ fit + pace
    still = np.flatnonzero(speed[: edge + 1] <= 0.0)
    if not len(still) or still[-1] == edge:
        return None
    k = int(still[-1])
    share = speed[k] / (speed[k] - speed[k + 1])
    height = (columns @ fit + own)[k]
    height += 0.5 * share * (stamps[k + 1] - stamps[k]) * speed[k]
    rest = float(stamps[edge] - stamps[0])
    return Turn(float(level - height), rest, float(speed[edge]), float(stamps[edge]))


def gap_of(turns: deque[Turn]) -> tuple[float, float]:
    """What turns say of the gap: mean and standard deviation; infinite where they are too few.

    A line over the time that the link stood still, by Huber's weights; the covariance is the
    sandwich of White (1980), which asks for no equal scatter. That time is what is left of the
    encoder's rest when the link has crossed the gap of all turns, not of this one: with errors of
    its own the line would lean to them.
    """
    if len(turns) < LEAST_TURNS:
        return 0.0, math.inf
    gap, rest, speed = np.array([turn[:3] for turn in turns]).T
    weight, line = np.ones_like(gap), np.array([np.median(gap), 0.0])
    scatter = 1.4826 * float(np.median(np.abs(gap - line[0]))) + 1e-12
    for _ in range(10):
        still = np.maximum(rest - 2.0 * max(float(line[0]), 0.0) / speed, 0.0)
        columns = np.stack([np.ones_like(still), still], axis=1)
        lost = CREEP * max(abs(float(line[0])), scatter)  # standard deviation of the slope
        prior = np.diag([0.0, (scatter / lost) ** 2])
        normal = columns.T @ (weight[:, None] * columns) + prior
        line = np.linalg.solve(normal, columns.T @ (weight * gap))
        left = gap - columns @ line
        scatter = 1.4826 * float(np.median(np.abs(left))) + 1e-12
        weight = 1.0 / np.maximum(1.0, np.abs(left) / (ROBUST * scatter))
    inverse = np.linalg.inv(normal)
    score = columns * (weight * left)[:, None]
    between = score.T @ score * len(gap) / (len(gap) - 2) + scatter**2 * prior
    covariance = inverse @ between @ inverse
    mean = float(line[0])
    return mean, math.sqrt(ALIKE * float(covariance[0, 0]) + (SHARE * mean) ** 2)
