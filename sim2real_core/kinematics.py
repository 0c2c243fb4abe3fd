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
        InputError: pinocchio does not take the URDF.
        MissingError: pinocchio is not installed.
    """
    try:
        import pinocchio
    except ImportError as error:
        raise MissingError(
            'pinocchio is needed for kinematics and dynamics: '
            'apt install ros-$ROS_DISTRO-pinocchio, or pip install pin'
        ) from error
    try:
        return pinocchio.buildModelFromXML(profile.urdf.text)
    except ValueError as error:
        mend = 'give each <limit> effort and velocity, and what else the URDF format asks for'
        raise InputError(Fault('urdf', str(error), mend, profile.urdf.file)) from error


def link_frame(model: Any, link: str) -> int:
    """Index of a link's frame; the number of frames where there is no such link.

    Joints have frames too, and a URDF may give a joint and a link the same name.

    Args:
        model: the robot, as :func:`build_model` makes it.
        link: its name.
    """
    import pinocchio  # build_model says how to get it

    return int(model.getFrameId(link, pinocchio.FrameType.BODY))


class Coordinates:
    """A pinocchio model's coordinates from the actuated joints: see :class:`Coupling`.

    Args:
        model: the robot, as :func:`build_model` makes it.
        profile: the robot.

    Attributes:
        map: (nv, nj) rate of each coordinate per rate of an actuated joint.
        shift: (nv,) coordinates where the actuated joints are at zero.
    """

    def __init__(self, model: Any, profile: RobotProfile) -> None:
        import pinocchio  # build_model says how to get it

        self._integrate = pinocchio.integrate
        self._model = model
        self._neutral = pinocchio.neutral(model)
        coupling = profile.coupling
        columns = [model.joints[model.getJointId(name)].idx_v for name in coupling.names]
        self.map = np.zeros((model.nv, len(profile.joints)))
        self.map[columns] = coupling.map
        self.shift = np.zeros(model.nv)
        self.shift[columns] = coupling.shift
        # Most arms: the joints are the coordinates, in the same order.
        same = model.nq == model.nv == len(profile.joints) and not self.shift.any()
        self._same = bool(same and (self.map == np.eye(model.nv)).all())

    def configuration(self, position: Array) -> Array:
        """Positions of the actuated joints (nj,) as pinocchio's configuration (nq,)."""
        if self._same:
            return position
        tangent = self.map @ position + self.shift
        if self._model.nq == self._model.nv:
            return np.asarray(tangent)
        # Continuous joints are (cos, sin) there.
        return np.asarray(self._integrate(self._model, self._neutral, tangent))


class Kinematics:
    """Poses of links from joint positions.

    Args:
        profile: the robot.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self.model = build_model(profile)
        import pinocchio

        self._pin = pinocchio
        self.data = self.model.createData()
        self._profile = profile
        self._coordinates = Coordinates(self.model, profile)
        self._frames = {link: self._frame(link) for link in {profile.tool_link}}
        self._base = None
        if profile.base_link != profile.urdf.root:
            rest = self.configuration(np.zeros(len(profile.joints)))
            pinocchio.framesForwardKinematics(self.model, self.data, rest)
            self._base = self.data.oMf[self._frame(profile.base_link)].copy()

    def _frame(self, link: str) -> int:
        frame = link_frame(self.model, link)
        if frame == self.model.nframes:
            known = ', '.join(self._profile.link_names)
            raise InputError(Fault('link', link, f'no such link; has: {known}'))
        return frame

    def configuration(self, position: Array) -> Array:
        """Positions of the actuated joints (nj,) as pinocchio's configuration (nq,)."""
        return self._coordinates.configuration(position)

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
        pose = self._placement(position, link)
        return np.array(pose.translation), np.array(pose.rotation)

    def _placement(self, position: Array, link: str | None) -> Any:
        name = link or self._profile.tool_link
        frame = self._frames.get(name)
        if frame is None:
            frame = self._frames[name] = self._frame(name)
        self._pin.forwardKinematics(self.model, self.data, self.configuration(position))
        pose = self._pin.updateFramePlacement(self.model, self.data, frame)
        return pose if self._base is None else self._base.actInv(pose)

    def position(self, position: Array, link: str | None = None) -> Array:
        """Translation (3,) [m] of a link in the base frame. See :meth:`pose`."""
        return np.array(self._placement(position, link).translation)
