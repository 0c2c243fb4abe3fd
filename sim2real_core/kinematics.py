"""Forward kinematics of any URDF, through pinocchio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError, MissingError

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]


def build_model(profile: RobotProfile) -> Any:
    """The robot as a pinocchio model with a fixed base.

    Raises:
        MissingError: pinocchio is not installed.
    """
    try:
        import pinocchio
    except ImportError as error:
        raise MissingError(
            'pinocchio is needed for kinematics and dynamics: '
            'apt install ros-$ROS_DISTRO-pinocchio, or pip install pin'
        ) from error
    return pinocchio.buildModelFromXML(profile.urdf.text)


class Kinematics:
    """Poses of links from joint positions.

    Args:
        profile: the robot. Joints of the URDF that are neither actuated nor mimic stay at zero.
    """

    def __init__(self, profile: RobotProfile) -> None:
        import_model = build_model(profile)
        import pinocchio

        self._pin = pinocchio
        self.model = import_model
        self.data = self.model.createData()
        self._profile = profile
        self._neutral = pinocchio.neutral(self.model)
        self._columns = np.array(
            [self.model.joints[self.model.getJointId(n)].idx_v for n in profile.joint_names]
        )
        self._mimics = [
            (
                self.model.joints[self.model.getJointId(name)].idx_v,
                self.model.joints[self.model.getJointId(mimic.joint)].idx_v,
                mimic,
            )
            for name, mimic in profile.mimics.items()
        ]
        self._simple = self.model.nq == self.model.nv
        self._frames = {link: self._frame(link) for link in {profile.tool_link}}
        base = self._frame(profile.base_link)
        pinocchio.framesForwardKinematics(self.model, self.data, self._neutral)
        self._base = self.data.oMf[base].copy() if profile.base_link != profile.urdf.root else None

    def _frame(self, link: str) -> int:
        if not self.model.existFrame(link):
            known = ', '.join(self._profile.link_names)
            raise InputError(Fault('link', link, f'no such link; has: {known}'))
        return int(self.model.getFrameId(link))

    def configuration(self, position: Array) -> Array:
        """Positions of the actuated joints (nj,) as pinocchio's configuration (nq,)."""
        tangent = np.zeros(self.model.nv)
        tangent[self._columns] = position
        for follower, leader, mimic in self._mimics:
            tangent[follower] = mimic.multiplier * tangent[leader] + mimic.offset
        if self._simple:
            return tangent
        # Continuous joints are (cos, sin) there.
        return np.asarray(self._pin.integrate(self.model, self._neutral, tangent))

    def pose(self, position: Array, link: str | None = None) -> tuple[Array, Array]:
        """Pose of a link in the base frame.

        Args:
            position: (nj,) joint positions in command order [rad or m].
            link: its name; the tool when None.

        Returns:
            Translation (3,) [m] and rotation matrix (3, 3).

        Raises:
            InputError: no such link.
        """
        name = link or self._profile.tool_link
        frame = self._frames.get(name)
        if frame is None:
            frame = self._frames[name] = self._frame(name)
        self._pin.forwardKinematics(self.model, self.data, self.configuration(position))
        pose = self._pin.updateFramePlacement(self.model, self.data, frame)
        if self._base is not None:
            pose = self._base.actInv(pose)
        return np.array(pose.translation), np.array(pose.rotation)

    def position(self, position: Array, link: str | None = None) -> Array:
        """Translation (3,) [m] of a link in the base frame. See :meth:`pose`."""
        return self.pose(position, link)[0]
