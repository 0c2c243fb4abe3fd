"""A pose for a robot to stand in: clear of itself, of the floor, and of what its drives can hold.

Zero where a joint's limits leave 5 % of its range on each side, else mid-range. If the robot is
not free there, the nearest pose that is: joint by joint, the shortest way of one joint that
frees it, or the one that helps most; then from other poses. The same robot, the same pose.

Free means ``FREE`` from itself and from the floor; a pose that was searched for has more room,
``ROOM``. What comes no further apart in nine of ten random poses may be half as near as it mostly
is: links of a wrist, say. The floor is where the URDF's root is, or where what stands still ends.
A robot that reaches far below that, as legs do, stands on none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Coordinates, build_model
from sim2real_core.profile import RobotProfile
from sim2real_core.urdf import UrdfJoint
from sim2real_randomizer.keyed import uniforms
from sim2real_sysid.collisions import FLOOR, Collisions

Array = npt.NDArray[np.float64]

EDGE = 0.05  # of a joint's range
POSES = 64
FREE = {'self': 0.005, FLOOR: 0.05, 'effort': 0.2}
"""Distances [m] that a free pose keeps, and the share of its effort limit that a joint has left
where it stands."""
ROOM = {'self': 0.05, FLOOR: 0.1, 'effort': 0.5}
"""The same of a pose that was searched for."""
OFTEN = 0.9  # quantile over random poses: what keeps less there cannot do better
SHARE = 0.5  # of that quantile, which is enough
HANGS = 0.2  # of a robot's size
PLACES = 41  # of one joint that are tried
LOOKED_AT = 40  # of them and all joints, which are looked at with all distances
STARTS = 8  # random poses that the search begins at, after zero or mid-range
HALVINGS = 12


@dataclass(frozen=True)
class DefaultPose:
    """Where a robot stands.

    Attributes:
        position: (nj,) [rad or m], short numbers.
        moved: joints that are not at zero or mid-range, since the robot would not be free there.
        text: why, for people.
    """

    position: tuple[float, ...]
    moved: tuple[str, ...]
    text: str


def default_pose(profile: RobotProfile, *, turns: bool = False) -> DefaultPose:
    """Choose it; see the module's text.

    Args:
        profile: the robot; its own default pose does not matter.
        turns: all its joints are wheels, whose pose does not matter either.
    """
    joints = [profile.urdf.joints[name] for name in profile.joint_names]
    start = np.array([usual(joint) for joint in joints])
    if turns:
        return DefaultPose(tuple(start.tolist()), (), 'of wheels, which may stand anyhow')
    try:
        room = _Room(profile, start)
    except InputError as error:
        text = f'zero or mid-range; not checked, as {error.faults[0].mend}'
        return DefaultPose(tuple(start.tolist()), (), text)
    short = room.lacking(start, FREE)
    if not short:
        seen = 'free' if room.shapes else 'its drives can hold it; without collision geometry'
        text = f'zero or mid-range: {seen}' + ('' if room.shapes else ', nothing else is known')
        return DefaultPose(tuple(start.tolist()), (), text)
    found = room.search(start)
    if found is None:
        text = f'zero or mid-range, though {short}: no free pose was found; choose one'
        return DefaultPose(tuple(start.tolist()), (), text)
    moved = tuple(j.name for j, a, b in zip(joints, start, found) if a != b)
    text = f'nearest to zero or mid-range, where {short}: {", ".join(moved)} moved away'
    return DefaultPose(tuple(found.tolist()), moved, text)


def usual(joint: UrdfJoint) -> float:
    """Zero where that is well within the limits, else mid-range [rad or m]; a short number."""
    if joint.type == 'continuous':
        return 0.0
    edge = EDGE * (joint.upper - joint.lower)
    if joint.lower + edge <= 0 <= joint.upper - edge:
        return 0.0
    middle = 0.5 * (joint.lower + joint.upper)
    return _short(middle, joint.lower, joint.upper)


def random_poses(profile: RobotProfile, count: int) -> Array:
    """Poses (count, nj) within the limits, evenly; the same for the same names of joints."""
    shares = np.array(
        [
            [float(uniforms(0, name, 0, pose)) for name in profile.joint_names]
            for pose in range(count)
        ]
    )
    endless = np.isinf(profile.array('upper'))
    lower = np.where(endless, 0.0, profile.array('lower'))
    upper = np.where(endless, 2 * math.pi, profile.array('upper'))
    return np.asarray(lower + shares * (upper - lower))


def _short(value: float, lower: float, upper: float) -> float:
    """A number with few digits next to a value, between two others."""
    numbers = (float(f'{value:.{digits}g}') for digits in range(3, 17))
    return next((number for number in numbers if lower < number < upper), value)


class _Room:
    """How much room a robot has in a pose."""

    def __init__(self, profile: RobotProfile, start: Array) -> None:
        import pinocchio

        self._profile = profile
        self._gravity = pinocchio.computeGeneralizedGravity
        self._model = build_model(profile)
        self._data = self._model.createData()
        self._coordinates = Coordinates(self._model, profile)
        self._collisions = Collisions(profile)
        self.shapes = not self._collisions.bare
        self._pairs: list[int] = []
        if self.shapes:
            count = self._collisions.watch(self._floor(start))
            self._pairs = self._collisions.told_apart(start, range(count))
        self._names = [self._collisions.links(pair) for pair in self._pairs]
        nj = len(profile.joints)
        self._kinds = [FLOOR if FLOOR in names else 'self' for names in self._names]
        self._kinds += ['effort'] * nj
        every = np.arange(len(self._kinds))
        often = [self._room(pose, every) for pose in random_poses(profile, POSES)]
        self._enough = SHARE * np.quantile(often, OFTEN, axis=0)
        self._watched = np.flatnonzero(self._enough > 0.0)

    def _floor(self, start: Array) -> float | None:
        low, high = self._collisions.extent(start)
        floor = min(0.0, float(self._collisions.extent(start, fixed=True)[0][2]))
        return None if floor - low[2] > HANGS * float(np.linalg.norm(high - low)) else floor

    def _room(self, pose: Array, numbers: npt.NDArray[np.intp]) -> Array:
        """Distances [m], and shares of the efforts that are left, by their numbers."""
        near = [self._pairs[k] for k in numbers if k < len(self._pairs)]
        distances = self._collisions.distances(pose, near) if near else np.zeros(0)
        q = self._coordinates.configuration(pose)
        load = self._coordinates.map.T @ self._gravity(self._model, self._data, q)
        left = 1.0 - np.abs(load) / self._profile.array('effort')
        return np.concatenate([distances, left[numbers[len(near) :] - len(self._pairs)]])

    def _lack(self, pose: Array, wanted: dict[str, float], some: npt.NDArray[np.intp]) -> Array:
        """What is lacking, as a share of what is wanted."""
        wants = np.array([wanted[self._kinds[k]] for k in some])
        return (
            np.maximum(np.minimum(wants, self._enough[some]) - self._room(pose, some), 0) / wants
        )

    def lacking(self, pose: Array, wanted: dict[str, float]) -> str:
        """The worst that is lacking, in words; nothing if the pose is free."""
        lack = self._lack(pose, wanted, self._watched)
        if not lack.any():
            return ''
        worst = self._watched[int(lack.argmax())]
        room = float(self._room(pose, np.array([worst]))[0])
        if self._kinds[worst] == 'effort':
            joint = self._profile.joint_names[worst - len(self._pairs)]
            return f'{joint} takes {1.0 - room:.0%} of its effort to stand'
        one, other = self._names[worst]
        apart = f'are {1e3 * room:.0f} mm apart' if room > 0.0 else 'meet'
        return f'{one} and {other} {apart}'

    def search(self, start: Array) -> Array | None:
        """The nearest free pose (nj,), with short numbers, from a pose that is not free."""
        for begin in (start, *random_poses(self._profile, STARTS)):
            pose = self._freed(begin)
            if pose is None:
                continue
            for joint in range(len(pose)):  # what need not have moved goes back
                back = pose.copy()
                back[joint] = start[joint]
                pose = self._between(back, pose)
            short = self._rounded(pose, start)
            return pose if self.lacking(short, FREE) else short
        return None

    def _freed(self, pose: Array) -> Array | None:
        """A free pose, by moves of one joint after the other."""
        lack = self._lack(pose, ROOM, self._watched)
        for _ in range(2 * len(pose) + 2):
            if not lack.any():
                return pose
            best = None
            for other in itertools.islice(self._moves(pose, lack), LOOKED_AT):
                left = self._lack(other, ROOM, self._watched)
                if best is None or left.sum() < best[1].sum():
                    best = other, left
                if not left.any():
                    best = self._between(pose, other), left
                    break
            if best is None or not best[1].sum() < lack.sum():
                return None
            pose, lack = best
        return None

    def _moves(self, pose: Array, lack: Array) -> Iterator[Array]:
        """Poses with one joint moved that lack less of what is lacking: least, then nearest."""
        short = self._watched[lack > 0.0]
        before, found = lack.sum(), []
        for joint in range(len(pose)):
            for place in self._places(joint, pose[joint]):
                other = pose.copy()
                other[joint] = place
                left = float(self._lack(other, ROOM, short).sum())
                if left < before:
                    found.append((left, abs(place - pose[joint]), other))
        found.sort(key=lambda entry: entry[:2])
        return (other for _, _, other in found)

    def _places(self, joint: int, at: float) -> Array:
        lower, upper = self._ends(joint)
        if math.isinf(upper - lower):
            lower, upper = at - math.pi, at + math.pi
        return np.linspace(lower, upper, PLACES)

    def _ends(self, joint: int) -> tuple[float, float]:
        one = self._profile.joints[joint]
        edge = EDGE * (one.upper - one.lower) if math.isfinite(one.upper - one.lower) else 0.0
        return one.lower + edge, one.upper - edge

    def _between(self, blocked: Array, free: Array) -> Array:
        """The free pose, of those between two, that is next to the one that is not."""
        if not self._lack(blocked, ROOM, self._watched).any():
            return blocked
        near, far = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = 0.5 * (near + far)
            pose = self._rounded(blocked + middle * (free - blocked), blocked)
            if self._lack(pose, ROOM, self._watched).any():
                near = middle
            else:
                far, free_there = middle, pose
        return free_there if far < 1.0 else free

    def _rounded(self, pose: Array, blocked: Array) -> Array:
        """Short numbers, where they are not those of the other pose."""
        out = pose.copy()
        for joint in np.flatnonzero(pose != blocked):
            out[joint] = _short(pose[joint], *self._ends(int(joint)))
        return out
