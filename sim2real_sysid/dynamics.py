"""Inverse dynamics of a URDF as a known part and a payload regressor, through pinocchio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.errors import Fault, InputError
from sim2real_core.kinematics import Coordinates, build_model, link_frame

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

POSES = 32  # random ones
WEIGHS = 1e-6  # share of the most that gravity changes with a joint, below which it does not
TINY = 1e-6  # [N*m/rad or N/m], at the least
CREEP = 1e-3  # share of the speed limit, below which a follower's dry friction grows with it


def payload_urdf(text: str, link: str) -> str:
    """The same robot with massless links, except ``link``, which weighs 1 kg.

    Its centre of mass stays and its inertia scales with the mass; a link that had no mass
    becomes a point mass at its origin.
    """
    root = etree.fromstring(text.encode('utf-8'), etree.XMLParser(resolve_entities=False))
    for element in root.findall('link'):
        inertial = element.find('inertial')
        if element.get('name') != link:
            if inertial is not None:
                element.remove(inertial)
            continue
        if inertial is None or inertial.find('mass') is None:
            if inertial is not None:
                element.remove(inertial)
            inertial = etree.SubElement(element, 'inertial')
            etree.SubElement(inertial, 'mass', value='0')
        mass = float(inertial.find('mass').get('value'))
        inertial.find('mass').set('value', '1')
        inertia = inertial.find('inertia')
        for key, value in () if inertia is None else inertia.attrib.items():
            inertia.set(key, repr(float(value) / mass if mass > 0 else 0.0))
    return str(etree.tostring(root, encoding='unicode'))


def check_base(profile: RobotProfile) -> None:
    """Refuse a robot whose base floats: efforts of its joints depend on a motion nobody measures.

    Raises:
        InputError: names the joint that floats.
    """
    joints = profile.urdf.joints
    into = {joint.child: joint for joint in joints.values()}
    for name in profile.joint_names:
        joint = into.get(joints[name].parent)
        while joint is not None:
            if joint.type in ('floating', 'planar'):
                mend = 'unsupported: identification needs a base that is fixed to the world'
                raise InputError(Fault(f'joint.{joint.name}', joint.type, mend, profile.urdf.file))
            joint = into.get(joint.parent)


class Followers:
    """Friction of joints that follow others (mimic), as the URDF has it, at those they follow.

    Nobody measures a follower by itself: what it takes is known, or else it would count as
    friction of its leader. The simulators have it, too.

    Args:
        profile: the robot.
    """

    def __init__(self, profile: RobotProfile) -> None:
        coupling = profile.coupling
        rubs = [
            coupling.moves(name) and name not in profile.joint_names for name in coupling.names
        ]
        self._map = coupling.map[rubs]
        joints = [profile.urdf.joints[n] for n, follows in zip(coupling.names, rubs) if follows]
        self._viscous = np.array([joint.damping for joint in joints])
        self._coulomb = np.array([joint.friction for joint in joints])
        fastest = profile.array('velocity')
        fastest = np.where(np.isfinite(fastest), fastest, 1.0)
        self._slow = CREEP * np.abs(self._map) @ fastest

    def efforts(self, velocity: Array) -> Array:
        """Efforts (..., nj) at velocities (..., nj) of the actuated joints."""
        rates = velocity @ self._map.T
        own = self._viscous * rates + self._coulomb * np.tanh(rates / self._slow)
        return np.asarray(own @ self._map)


class RigidBody:
    """Efforts that the URDF's rigid bodies ask for; armature and the joints' own friction are not
    in it, that of :class:`Followers` is.

    Args:
        profile: the robot.
        zeros: whether those of the encoders are in question.

    Attributes:
        payload_mass: nominal mass of the payload link [kg].
        payload_columns: what :meth:`columns` gives of the payload.
        zeros: (k,) joints whose position matters to gravity; none where it is not in question.
        reach: length of the chain of links that ends in the payload, at its longest [m].

    Raises:
        MissingError: pinocchio is not installed.
    """

    payload_columns = 4

    def __init__(self, profile: RobotProfile, *, zeros: bool = True) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._regressor = pinocchio.computeJointTorqueRegressor
        self._derivatives = pinocchio.computeRNEADerivatives
        self._data = self._model.createData()
        self._loaded = self._model.copy()  # with a kilogram more of payload
        self._coordinates = Coordinates(self._model, profile)
        self._followers = Followers(profile)
        bodies = list(self._model.inertias)[1:]
        self._inertias = np.concatenate([body.toDynamicParameters() for body in bodies])
        unit = pinocchio.buildModelFromXML(payload_urdf(profile.urdf.text, profile.payload_link))
        frame = self._model.frames[link_frame(self._model, profile.payload_link)]
        self._payload = np.zeros((len(self._inertias), self.payload_columns))
        joint = int(frame.parentJoint)
        if joint:
            own = slice(10 * (joint - 1), 10 * joint)
            self._payload[own, 0] = unit.inertias[joint].toDynamicParameters()
            heavier = self._inertias[own] + self._payload[own, 0]
            self._loaded.inertias[joint] = pinocchio.Inertia.FromDynamicParameters(heavier)
            self._payload[own, 1:] = _shifted(
                np.asarray(unit.inertias[joint].lever), np.asarray(frame.placement.rotation)
            )
        self.payload_mass = float(profile.urdf.links[profile.payload_link].mass)
        self.reach = float(np.linalg.norm(frame.placement.translation))
        while joint:
            self.reach += float(np.linalg.norm(self._model.jointPlacements[joint].translation))
            joint = self._model.parents[joint]
        self.zeros = self._weighing(len(profile.joints)) if zeros else np.zeros(0, dtype=np.intp)

    def _weighing(self, joints: int) -> Places:
        """Joints whose position gravity tells, on random poses and with a payload."""
        self.zeros = np.arange(joints)
        states = np.zeros((POSES, 3, joints))
        states[:, 0] = np.random.default_rng(0).normal(size=(POSES, joints))
        slopes = np.abs(self.slopes(states, loaded=True)).max(axis=(0, 1, 2))
        return np.flatnonzero(slopes > WEIGHS * slopes.max(initial=TINY))

    def slopes(self, states: Array, *, loaded: bool) -> Array:
        """Derivatives of the bodies' efforts by the positions of the joints ``zeros``.

        Args:
            states: (n, 3, nj) positions [rad or m], velocities and accelerations.
            loaded: also what a kilogram of payload adds.

        Returns:
            (n, nj, 1 or 2, k) [N*m/rad, ...].
        """
        coordinates = self._coordinates
        found = np.zeros((len(states), states.shape[2], 1 + loaded, len(self.zeros)))
        if not len(self.zeros):
            return found
        spread, rates = coordinates.map, states[:, 1:] @ coordinates.map.T
        chosen = spread[:, self.zeros]
        for slope, state, (v, a) in zip(found, states, rates):
            q = coordinates.configuration(state[0])
            for k, model in enumerate((self._model, self._loaded)[: 1 + loaded]):
                slope[:, k] = spread.T @ self._derivatives(model, self._data, q, v, a)[0] @ chosen
        found[:, :, 1:] -= found[:, :, :1]
        return found

    def columns(self, states: Array) -> Array:
        """Efforts of the nominal bodies, and what the payload adds.

        Args:
            states: (n, 3, nj) positions [rad or m], velocities and accelerations.

        Returns:
            (n, nj, 1 + 4): nominal inverse dynamics and friction of followers [N*m or N]; its
            derivative with respect to the mass of the payload link, whose inertia scales along
            [per kg]; and with respect to a first moment of mass in the axes x, y, z of that link
            [per kg*m], as its centre of mass moves.
        """
        coordinates, found = self._coordinates, []
        rates = states[:, 1:] @ coordinates.map.T
        for state, (velocity, acceleration) in zip(states, rates):
            q = coordinates.configuration(state[0])
            found.append(self._regressor(self._model, self._data, q, velocity, acceleration))
        terms = np.array(found).reshape(-1, len(self._inertias))
        known = np.column_stack([self._inertias, self._payload])
        columns = (terms @ known).reshape(len(states), self._model.nv, -1)
        columns = np.asarray(coordinates.map.T @ columns)
        columns[:, :, 0] += self._followers.efforts(states[:, 1])
        return columns

    def efforts(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        """Efforts of the nominal bodies, and what one more kilogram of payload adds.

        Args:
            position: (nj,) in command order [rad or m].
            velocity: (nj,).
            acceleration: (nj,).

        Returns:
            (2, nj): the first two of :meth:`columns`.
        """
        return self.columns(np.stack([position, velocity, acceleration])[None])[0, :, :2].T


def _shifted(lever: Array, axes: Array) -> Array:
    """Change of a body's ten parameters by a first moment along each axis, (10, 3).

    The inertia about its own centre stays, so that about the origin, ``-m [c][c]``, changes by
    ``2 (c.h) I - c h' - h c'`` for a moment ``h`` and a lever ``c`` (parallel axes).

    Args:
        lever: (3,) of the centre of mass.
        axes: (3, 3) columns are the axes.
    """
    change = np.zeros((10, 3))
    for k, h in enumerate(axes.T):
        inertia = 2.0 * (lever @ h) * np.eye(3) - np.outer(lever, h) - np.outer(h, lever)
        change[1:4, k] = h
        change[4:, k] = inertia[[0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]]
    return change
