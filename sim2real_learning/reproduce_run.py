"""A clip's robot in simulated worlds, side by side, under the recorded commands.

All begin in the recorded state, with drives that have heard the commands before; a mobile robot's
body where its odometry saw it. Then they get the recorded commands at their recorded times, and
sensors are read when the recorded ones were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.clips import QUANTITIES, Clip, Stamps, Table, stamp_of
from sim2real_learning.reproduce_worlds import World
from sim2real_policy.vectors import xyz
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.simulator import BodyReading

Array = npt.NDArray[np.float64]
Tell = Callable[[float], None]

HEARD = 0.5
"""Commands before the start that the drives have heard [s]."""
PLAUSIBLE = 0.5
"""Share of its height standing by which odometry may have a body higher or lower."""


class Body(NamedTuple):
    """A mobile robot's odometry.

    Attributes:
        stamp: (n,) [ns].
        reading: (n, ...) each.
    """

    stamp: Stamps
    reading: BodyReading

    def at(self, time: int) -> BodyReading:
        """The reading (1, ...) nearest to a time [ns]."""
        nearest = int(np.abs(self.stamp - time).argmin())
        return BodyReading(*(values[[nearest]] for values in self.reading))


class Imu(NamedTuple):
    """An IMU's samples: stamps (n,) [ns], rates (n, 3) [rad/s], specific forces (n, 3) [m/s^2]."""

    stamp: Stamps
    angular_velocity: Array
    linear_acceleration: Array


@dataclass(frozen=True)
class Recorded:
    """What a clip tells of the robot, as a simulation begins from it and is held against it.

    Attributes:
        stamp: (n,) of the whole joint states [ns].
        joints: by quantity (n, nj); NaN where they do not say.
        time: (m,) when the robot got which command [ns].
        command: (m, nj) as the joints' drives are told them.
        body: of a mobile robot.
        imu: where there is one.
        lacks: what the clip does not tell: what, and what is done instead.
    """

    stamp: Stamps
    joints: Mapping[str, Array]
    time: Stamps
    command: Array
    body: Body
    imu: Imu
    lacks: Mapping[str, str]


def recorded_of(clip: Clip, profile: RobotProfile) -> Recorded:
    """Read a clip for its reproduction.

    Raises:
        InputError: it has no whole joint states or no command, or nothing is known of what obeys
            a twist.
    """
    whole = np.isfinite(clip.state('position')).all(axis=1)
    stamps = clip.states.stamp[whole]
    times, commands = _commands(clip, profile)
    if len(stamps) < 2 or not len(times):
        mend = 'must hold joint states and commands of the robot'
        raise InputError(Fault('clip', str(clip.folder), mend))
    body, lacks = _body(clip, profile)
    recorded = {name: clip.state(name)[whole] for name in QUANTITIES}
    return Recorded(stamps, recorded, times, commands, body, _imu(clip, profile), lacks)


def _body(clip: Clip, profile: RobotProfile) -> tuple[Body, dict[str, str]]:
    """Odometry of a mobile robot's body, and why there is none where there should be."""
    found = []
    for _, message in clip.on(profile.topics.odometry) if profile.body_link else ():
        pose, twist = message.pose.pose, message.twist.twist
        turned = pose.orientation
        values = [
            xyz(pose.position),
            np.array([turned.x, turned.y, turned.z, turned.w]),
            xyz(twist.linear),
            xyz(twist.angular),
        ]
        usable = np.isfinite(np.concatenate(values)).all() and 0.5 < np.linalg.norm(values[1]) < 2
        if usable and message.child_frame_id in ('', profile.body_link):
            found.append((stamp_of(message), values))
    found.sort(key=lambda row: row[0])
    columns = zip(*(values for _, values in found)) if found else ([np.zeros(4)][:0],) * 4
    reading = BodyReading(*(np.array(column, dtype=float) for column in columns))
    lacks = {}
    if profile.body_link and not found:
        why = f'the clip has no odometry of {profile.body_link}: it begins upright and at rest'
        lacks['odometry'] = why
    return Body(np.array([stamp for stamp, _ in found], dtype=np.int64), reading), lacks


def _imu(clip: Clip, profile: RobotProfile) -> Imu:
    heard = clip.on(profile.topics.imu) if profile.imu_link else ()
    rows = {stamp_of(m): (xyz(m.angular_velocity), xyz(m.linear_acceleration)) for _, m in heard}
    stamps = sorted(s for s, values in rows.items() if np.isfinite(np.concatenate(values)).all())
    rates, forces = ([rows[s][k] for s in stamps] for k in (0, 1))
    return Imu(
        np.array(stamps, dtype=np.int64),
        np.array(rates).reshape(-1, 3),
        np.array(forces).reshape(-1, 3),
    )


def _told(clip: Clip) -> Table:
    """The commands: as they were applied, else as they were sent."""
    return clip.applied if len(clip.applied.stamp) else clip.sent


def _commands(clip: Clip, profile: RobotProfile) -> tuple[Stamps, Array]:
    """When the robot got which command: as they were applied, later by what the way took."""
    table = _told(clip)
    late = max(0, int(np.median(table.time - table.stamp))) if len(table.stamp) else 0
    return table.stamp + late, _of_joints(table.values, profile)


def _of_joints(commands: Array, profile: RobotProfile) -> Array:
    """Commands (n, nc) as the joints' drives are told them (n, nj): a twist turns wheels.

    Raises:
        InputError: nothing is known of what obeys a twist.
    """
    if not profile.twist:
        return commands
    if profile.wheels is None:
        mend = 'a simulator needs them to obey a twist: name joints, radius, separation'
        raise InputError(Fault('wheels', None, mend, str(profile.path)))
    speeds = profile.wheels.speeds(profile.joint_names, profile.command_names)
    return np.asarray(commands @ speeds.T)


def in_force(clip: Clip, profile: RobotProfile, stamps: Stamps) -> Array:
    """The command before each joint state (n, nj); NaN where there is none that is heeded."""
    table = _told(clip)
    place = np.searchsorted(table.stamp, stamps) - 1
    command = _of_joints(table.values[place], profile)
    age = (stamps - table.stamp[place]) * 1e-9
    command[(place < 0) | (age > profile.command.timeout)] = np.nan
    return command


@dataclass(frozen=True)
class Simulated:
    """What the sensors said at the recorded stamps from the start on.

    Attributes:
        joints: by quantity (n, worlds, nj).
        body: (m, worlds, ...) each; no rows for a robot that stands on a base.
        imu: rates and forces (k, worlds, 3).
        ignored: of each world, the addresses that were left out, and why.
        diverged: of each world, whether the simulation blew up.
    """

    joints: Mapping[str, Array]
    body: BodyReading
    imu: tuple[Array, Array]
    ignored: Sequence[Mapping[str, str]]
    diverged: Sequence[bool]


class Run:
    """The simulations, side by side.

    Args:
        profile: the robot.
        recorded: what it did.
        first: row of the joint state to begin from.
        worlds: to simulate.
        seed: of the sensor noise.
        contacts: whether to simulate contacts.
    """

    def __init__(
        self,
        profile: RobotProfile,
        recorded: Recorded,
        first: int,
        worlds: Sequence[World],
        *,
        seed: int,
        contacts: bool,
    ) -> None:
        self._profile, self._recorded, self._worlds = profile, recorded, worlds
        self._has_imu = bool(len(recorded.imu.stamp))
        self._simulator = MujocoSimulator(
            profile, nsim=len(worlds), seed=seed, contacts=contacts, imu=self._has_imu
        )
        self._step = round(self._simulator.timestep * 1e9)
        self._stamps = recorded.stamp[first:]
        self._start = start = int(self._stamps[0])
        self._joints = self._state(first)
        self._ignored: list[dict[str, str]] = [dict(recorded.lacks) for _ in worlds]
        self._body = self._placed(start)
        times, commands = recorded.time, recorded.command
        steps = np.arange(start - round(HEARD * 1e9), start, self._step)
        heard = commands[np.maximum(np.searchsorted(times, steps, side='right') - 1, 0)]
        self._heard = np.repeat(heard[:, None], len(worlds), axis=1)

    def _state(self, first: int) -> dict[str, Array]:
        """Positions and velocities of the joints to begin with."""
        joints, stamps = self._recorded.joints, self._recorded.stamp
        velocity = joints['velocity'][first]
        if not np.isfinite(velocity).all():
            apart = (stamps[first + 1] - stamps[first]) * 1e-9
            velocity = np.diff(joints['position'][first : first + 2], axis=0)[0] / apart
        return {'position': joints['position'][first], 'velocity': velocity}

    def _placed(self, time: int) -> BodyReading | None:
        """Where the body begins; at the height it stands at where odometry has none."""
        if not len(self._recorded.body.stamp):
            return None
        place = self._recorded.body.at(time)
        standing = float(self._simulator.read_body().position[0, 2])
        height = float(place.position[0, 2])
        if abs(height - standing) > PLAUSIBLE * abs(standing):
            place.position[0, 2] = standing
            why = f'{height:.3g} m: begins at {standing:.3g} m, where the robot stands'
            for left in self._ignored:
                left['odometry.position.z'] = why
        return place

    @property
    def raised(self) -> float:
        """How much higher the body begins than odometry has it [m]."""
        if self._body is None:
            return 0.0
        return float(
            self._body.position[0, 2] - self._recorded.body.at(self._start).position[0, 2]
        )

    def go(self, tell: Tell) -> Simulated:
        """Step through all instants at which something happens."""
        self._begin()
        agenda = self._agenda()
        body = self._recorded.body.stamp
        imu = self._recorded.imu.stamp
        worlds = len(self._worlds)
        shape = (len(self._stamps), worlds, len(self._profile.joints))
        said = {name: np.full(shape, np.nan) for name in QUANTITIES}
        moved = BodyReading(*(np.full((len(body), worlds, k), np.nan) for k in (3, 4, 3, 3)))
        felt = np.full((len(imu), worlds, 3), np.nan), np.full((len(imu), worlds, 3), np.nan)
        simulator, now = self._simulator, 0
        last = self._steps(int(self._stamps[-1]))
        for at in sorted(agenda):
            if at > last:
                break
            if at > now:
                simulator.step(at - now)
                now = at
            for what, k, values in sorted(agenda[at], key=lambda item: item[0] != 'read'):
                if what == 'read':
                    reading = simulator.read()
                    for name in QUANTITIES:
                        said[name][k] = getattr(reading, name)
                    tell(k / len(self._stamps))
                elif what == 'body':
                    for into, part in zip(moved, simulator.read_body()):
                        into[k] = part
                elif what == 'imu':
                    sample = simulator.read_imu()
                    felt[0][k], felt[1][k] = sample.angular_velocity, sample.linear_acceleration
                elif what == 'command':
                    simulator.command(values)
                elif what == 'hold':
                    simulator.hold()
                else:
                    self._ignored[k].update(self._enter(k, values))
        return Simulated(said, moved, felt, self._ignored, simulator.diverged.tolist())

    def _begin(self) -> None:
        """Make the worlds, and put the robots where the recorded one was."""
        for k, world in enumerate(self._worlds):
            self._ignored[k].update(self._enter(k, world.at(self._start)))
        place = self._joints
        self._simulator.reset(
            position=place['position'], velocity=place['velocity'], body=self._body
        )
        self._simulator.prime(self._heard)

    def _steps(self, time: int) -> int:
        """The first step that begins at a time [ns] or later."""
        return -((self._start - time) // self._step)

    def _agenda(self) -> dict[int, list[tuple[str, int, Any]]]:
        """Step to what happens before it: what, which row or world, and with what."""
        agenda: dict[int, list[tuple[str, int, Any]]] = {}
        start, step = self._start, self._step

        def put(at: int, what: str, k: int, values: Any = None) -> None:
            agenda.setdefault(at, []).append((what, k, values))

        for k, world in enumerate(self._worlds):
            for time, values in world.changes:
                if time > start:
                    put(self._steps(time), 'world', k, values)
        times, commands = self._recorded.time, self._recorded.command
        timeout = round(self._profile.command.timeout * 1e9)
        last = int(np.searchsorted(times, start, side='right')) - 1
        for k in range(max(last, 0), len(times)):
            put(max(0, self._steps(int(times[k]))), 'command', 0, commands[k])
            until = int(times[k]) + timeout
            if k + 1 < len(times) and times[k + 1] > until > start:
                put(self._steps(until), 'hold', 0)
        for what, stamps in (
            ('read', self._stamps),
            ('body', self._recorded.body.stamp),
            ('imu', self._recorded.imu.stamp),
        ):
            for k, at in enumerate(((stamps - start) / step).round().astype(np.int64).tolist()):
                if at >= 0:
                    put(at, what, k)
        return agenda

    def _enter(self, k: int, values: Mapping[str, float]) -> dict[str, str]:
        """Make one simulation a world; what cannot be is left out and told."""
        left = {}
        good = {}
        for address, value in values.items():
            try:
                limits = quantity(address, self._profile)
            except InputError as error:
                left[address] = error.faults[0].mend
                continue
            if not limits.low <= value <= limits.high:
                left[address] = f'{value:g} is not within [{limits.low:g}, {limits.high:g}]'
            elif not self._simulator.has(address):
                left[address] = 'the simulator does not have it'
            else:
                good[address] = value
        try:
            self._simulator.apply(good, [k])
        except InputError as error:
            self._simulator.apply({}, [k])
            left.update({fault.field: fault.mend for fault in error.faults})
        return left
