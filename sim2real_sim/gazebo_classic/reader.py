"""What a robot's sensors say, from what the engine has after a physics step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from sim2real_core.errors import Fault, InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import RobotProfile
from sim2real_sim.gazebo_classic.drives import Drives
from sim2real_sim.gazebo_classic.sensing import JointSensors
from sim2real_sim.simulator import BodyReading, ImuReading, JointReading
from sim2real_sim.world import LinkState, ModelState, Pose

Array = npt.NDArray[np.float64]
STANDARD_GRAVITY = (0.0, 0.0, -9.81)


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
        self._before: ModelState | None = None
        self._now = self.at(profile.array('default_position'), Pose())

    def at(self, position: Array, pose: Pose) -> ModelState:
        """The robot at rest, in a pose, at joint positions (nj,)."""
        still, turn = (0.0, 0.0, 0.0), Rotation.from_quat(pose.orientation)
        links = {
            name: LinkState(_pose(*_compose((np.array(pose.position), turn), local)), still, still)
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
        link, (offset, turn) = self._carried(self.profile.imu_link, self._now.links)
        state = self._now.links[link]
        orientation = Rotation.from_quat(state.pose.orientation) * turn
        acceleration = -np.array(self.gravity)
        if self._before is not None and self._now.time > self._before.time:
            speed = _speed(state, offset) - _speed(self._before.links[link], offset)
            acceleration += speed / (self._now.time - self._before.time)
        return ImuReading(
            orientation.as_quat()[None],
            orientation.inv().apply(state.angular)[None],
            orientation.inv().apply(acceleration)[None],
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
        position, turn = _compose(_parts(state.pose), local)
        back = turn.inv()
        return BodyReading(
            position[None],
            turn.as_quat()[None],
            back.apply(_speed(state, local[0]))[None],
            back.apply(state.angular)[None],
        )

    def link_pose(self, link: str) -> tuple[Array, Array]:
        """Position (1, 3) and orientation (1, 4) (w, x, y, z) of a link in the world."""
        if not self._groups[link] & self._now.links.keys():  # it is fixed to the world
            position, turn = _compose(_parts(self._now.pose), self._zero[link])
        else:
            carrier, local = self._carried(link, self._now.links)
            position, turn = _compose(_parts(self._now.links[carrier].pose), local)
        x, y, z, w = turn.as_quat()
        return position[None], np.array([[w, x, y, z]])

    def _carried(
        self, link: str, links: Mapping[str, LinkState]
    ) -> tuple[str, tuple[Array, Rotation]]:
        """A link of the model that a link is fixed to, or itself, and its pose in it."""
        if link in links:
            return link, (np.zeros(3), Rotation.identity())
        carrier = min(self._groups[link] & links.keys())
        position, turn = self._zero[carrier]
        back = turn.inv()
        return carrier, (back.apply(self._zero[link][0] - position), back * self._zero[link][1])

    def _poses(self, position: Array) -> dict[str, tuple[Array, Rotation]]:
        """Position and rotation of every link in the root's frame."""
        in_base = {link: self._kinematics.pose(position, link) for link in self.profile.urdf.links}
        origin, axes = in_base[self.profile.urdf.root]
        back = Rotation.from_matrix(axes).inv()
        return {
            link: (back.apply(p - origin), back * Rotation.from_matrix(turn))
            for link, (p, turn) in in_base.items()
        }


def _rigid(profile: RobotProfile) -> dict[str, set[str]]:
    """The links that each link is fixed to, itself among them."""
    groups = {link: {link} for link in profile.urdf.links}
    for joint in profile.urdf.joints.values():
        if not profile.moves(joint):
            both = groups[joint.parent] | groups[joint.child]
            groups.update(dict.fromkeys(both, both))
    return groups


def _speed(link: LinkState, offset: Array) -> Array:
    """Velocity of a point of a link, given in its frame."""
    arm = Rotation.from_quat(link.pose.orientation).apply(offset)
    return np.asarray(np.add(link.linear, np.cross(link.angular, arm)))


def _parts(pose: Pose) -> tuple[Array, Rotation]:
    return np.array(pose.position), Rotation.from_quat(pose.orientation)


def _compose(
    frame: tuple[Array, Rotation], local: tuple[Array, Rotation]
) -> tuple[Array, Rotation]:
    return frame[0] + frame[1].apply(local[0]), frame[1] * local[1]


def _pose(position: Array, turn: Rotation) -> Pose:
    x, y, z = map(float, position)
    qx, qy, qz, qw = map(float, turn.as_quat())
    return Pose((x, y, z), (qx, qy, qz, qw))
