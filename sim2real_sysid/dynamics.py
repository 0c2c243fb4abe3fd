"""Inverse dynamics of a URDF as a known part and a payload regressor, through pinocchio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.kinematics import Coordinates, build_model

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
        self._coordinates = Coordinates(self._model, profile)
        self.payload_mass = float(profile.urdf.links[profile.payload_link].mass)

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
        q, spread = self._coordinates.configuration(position), self._coordinates.map
        v, a = spread @ velocity, spread @ acceleration
        nominal = self._pin.rnea(self._model, self._data, q, v, a)
        payload = self._pin.rnea(self._payload, self._payload_data, q, v, a)
        return np.stack([nominal @ spread, payload @ spread])
