"""What a robot's sensors say, from what the engine has after a physics step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from sim2real_core.errors import Fault, InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import RobotProfile
from sim2real_sim.frames import conjugate, cross, multiply, relative, rotate
from sim2real_sim.gazebo_classic.drives import Drives
from sim2real_sim.gazebo_classic.sensing import JointSensors
from sim2real_sim.simulator import BodyReading, ImuReading, JointReading
from sim2real_sim.world import LinkState, ModelState, Pose

Array = npt.NDArray[np.float64]
STANDARD_GRAVITY = (0.0, 0.0, -9.81)
WXYZ, XYZW = [3, 0, 1, 2], [1, 2, 3, 0]


class Placed(NamedTuple):
    """A pose.

    Attributes:
        position: (1, 3) [m].
        turn: (1, 4) quaternion (w, x, y, z).
    """

    position: Array
    turn: Array


HERE = Placed(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0, 0.0]]))


class RobotReader:
    """Reads a robot out of the state of its model.

    A link of the URDF that the model lacks (it became a frame) is where the link is that it is
    fixed to.

    Attributes:
        profile: the robot.
        gravity: of the world [m/s^2].
        sensors: of the joints.

    Args:
        profile: the robot.
        drives: tell the effort.
    """

    def __init__(self, profile: RobotProfile, drives: Drives) -> None:
        self.profile = profile
        self.gravity = STANDARD_GRAVITY
        self.sensors = JointSensors(profile)
        self._drives = drives
        self._kinematics = Kinematics(profile)
        self._zero = self._poses(np.zeros(len(profile.joints)))
        self._groups = _rigid(profile)
        self._fixed: dict[tuple[str, str], Placed] = {}  # as they were asked for
        self._before: ModelState | None = None
        self._now = self.at(profile.array('default_position'), Pose())

    def at(self, position: Array, pose: Pose) -> ModelState:
        """The robot at rest, in a pose, at joint positions (nj,)."""
        still, frame = (0.0, 0.0, 0.0), _placed(pose)
        links = {
            name: LinkState(_pose(_compose(frame, local)), still, still)
            for name, local in self._poses(position).items()
        }
        joints = {n: (float(q), 0.0) for n, q in zip(self.profile.joint_names, position)}
        return ModelState(0.0, pose, links, joints)

    def points(self, pose: Pose) -> Array:
        """Origins (n, 3) of the links in the default pose, standing in a pose [m]."""
        links = self.at(self.profile.array('default_position'), pose).links.values()
        return np.array([link.pose.position for link in links])

    def take(self, before: ModelState | None, now: ModelState) -> None:
        """Take the state after a step, and that after the step before it."""
        self._before, self._now = before, now

    def read(self) -> JointReading:
        """What the joints' sensors say; each call is a new sample."""
        return self.sensors.read(self.true())

    def true(self) -> JointReading:
        """Where the joints are; a model that lacks one gives NaN."""
        lost = (np.nan, np.nan)
        pairs = [self._now.joints.get(name, lost) for name in self.profile.joint_names]
        position, velocity = np.array(pairs).T
        effort = self._drives.applied(position, velocity)
        return JointReading(
            np.array([self._now.time]), position[None], velocity[None], effort[None]
        )

    def read_imu(self) -> ImuReading:
        """What the IMU says: of the acceleration, its mean over the last step."""
        link, local = self._carried(self.profile.imu_link, self._now.links)
        state = self._now.links[link]
        orientation = multiply(_placed(state.pose).turn, local.turn)
        back, acceleration = conjugate(orientation), -np.array([self.gravity])
        if self._before is not None and self._now.time > self._before.time:
            speed = _speed(state, local.position)
            speed -= _speed(self._before.links[link], local.position)
            acceleration += speed / (self._now.time - self._before.time)
        return ImuReading(
            orientation[:, XYZW],
            rotate(back, np.array([state.angular])),
            rotate(back, acceleration),
        )

    def read_body(self) -> BodyReading:
        """Where the body of a mobile robot is, and how it moves.

        Raises:
            InputError: the robot stands on a base.
        """
        body = self.profile.body_link
        if not body:
            raise InputError(Fault('floating', False, f'{self.profile.name} stands on a base'))
        link, local = self._carried(body, self._now.links)
        state = self._now.links[link]
        position, turn = _compose(_placed(state.pose), local)
        back = conjugate(turn)
        return BodyReading(
            position,
            turn[:, XYZW],
            rotate(back, _speed(state, local.position)),
            rotate(back, np.array([state.angular])),
        )

    def link_pose(self, link: str) -> tuple[Array, Array]:
        """Position (1, 3) and orientation (1, 4) (w, x, y, z) of a link in the world."""
        if not self._groups[link] & self._now.links.keys():  # it is fixed to the world
            return _compose(_placed(self._now.pose), self._zero[link])
        carrier, local = self._carried(link, self._now.links)
        return _compose(_placed(self._now.links[carrier].pose), local)

    def _carried(self, link: str, links: Mapping[str, LinkState]) -> tuple[str, Placed]:
        """A link of the model that a link is fixed to, or itself, and its pose in it."""
        if link in links:
            return link, HERE
        carrier = min(self._groups[link] & links.keys())
        if (carrier, link) not in self._fixed:
            self._fixed[carrier, link] = Placed(*relative(self._zero[carrier], self._zero[link]))
        return carrier, self._fixed[carrier, link]

    def _poses(self, position: Array) -> dict[str, Placed]:
        """Position and orientation of every link in the root's frame."""
        in_base = {link: self._kinematics.pose(position, link) for link in self.profile.urdf.links}
        found = {
            link: Placed(place[None], Rotation.from_matrix(turn).as_quat()[None, WXYZ])
            for link, (place, turn) in in_base.items()
        }
        root = found[self.profile.urdf.root]
        return {link: Placed(*relative(root, placed)) for link, placed in found.items()}


def _rigid(profile: RobotProfile) -> dict[str, set[str]]:
    """The links that each link is fixed to, itself among them."""
    groups = {link: {link} for link in profile.urdf.links}
    for joint in profile.urdf.joints.values():
        if not profile.moves(joint):
            both = groups[joint.parent] | groups[joint.child]
            groups.update(dict.fromkeys(both, both))
    return groups


def _speed(link: LinkState, offset: Array) -> Array:
    """Velocity (1, 3) of a point (1, 3) of a link, given in its frame."""
    arm = rotate(_placed(link.pose).turn, offset)
    return np.array([link.linear]) + cross(np.array([link.angular]), arm)


def _placed(pose: Pose) -> Placed:
    x, y, z, w = pose.orientation
    return Placed(np.array([pose.position]), np.array([(w, x, y, z)]))


def _compose(frame: Placed, local: Placed) -> Placed:
    """Pose in the world of what has a pose in a frame."""
    turned = rotate(frame.turn, local.position)
    return Placed(frame.position + turned, multiply(frame.turn, local.turn))


def _pose(placed: Placed) -> Pose:
    x, y, z = map(float, placed.position[0])
    qw, qx, qy, qz = map(float, placed.turn[0])
    return Pose((x, y, z), (qx, qy, qz, qw))
