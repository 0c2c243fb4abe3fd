"""Inverse dynamics of a URDF as a known part and a payload regressor, through pinocchio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.kinematics import build_model

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]


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


class RigidBody:
    """Efforts that the URDF's rigid bodies ask for; friction and armature are not in it.

    Joints of the URDF that are neither actuated nor mimic stay at zero.

    Args:
        profile: the robot.

    Attributes:
        payload_mass: nominal mass of the payload link [kg].

    Raises:
        MissingError: pinocchio is not installed.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._pin = pinocchio
        self._payload = pinocchio.buildModelFromXML(
            payload_urdf(profile.urdf.text, profile.payload_link)
        )
        self._data = self._model.createData()
        self._payload_data = self._payload.createData()
        self._neutral = pinocchio.neutral(self._model)
        self._curved = self._model.nq != self._model.nv  # continuous joints are (cos, sin)
        self._build_map(profile)
        self.payload_mass = float(profile.urdf.links[profile.payload_link].mass)

    def _build_map(self, profile: RobotProfile) -> None:
        """Joint coordinates of the model from the actuated ones: ``full = map @ q + shift``."""
        joints = self._model.joints
        self._map = np.zeros((self._model.nv, len(profile.joint_names)))
        self._shift = np.zeros(self._model.nv)
        for column, name in enumerate(profile.joint_names):
            self._map[joints[self._model.getJointId(name)].idx_v, column] = 1.0
        for name, mimic in profile.mimics.items():
            follower = joints[self._model.getJointId(name)].idx_v
            leader = joints[self._model.getJointId(mimic.joint)].idx_v
            self._map[follower] = mimic.multiplier * self._map[leader]
            self._shift[follower] = mimic.offset

    def efforts(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        """Efforts of the nominal bodies, and what one more kilogram of payload adds.

        Args:
            position: (nj,) in command order [rad or m].
            velocity: (nj,).
            acceleration: (nj,).

        Returns:
            (2, nj): nominal inverse dynamics [N*m or N], and its derivative with respect to
            the mass of the payload link, whose inertia scales along [per kg].
        """
        q = self._map @ position + self._shift
        if self._curved:
            q = np.asarray(self._pin.integrate(self._model, self._neutral, q))
        v, a = self._map @ velocity, self._map @ acceleration
        nominal = self._pin.rnea(self._model, self._data, q, v, a)
        payload = self._pin.rnea(self._payload, self._payload_data, q, v, a)
        return np.stack([nominal @ self._map, payload @ self._map])
