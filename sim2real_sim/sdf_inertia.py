"""Mass, centre of mass and inertia of a link in SDF, with the rotor that turns with it.

SDF knows no rotor inertia (armature). A rotor that turns about its joint's axis as fast as the
link adds its moment to that joint's inertia, so it is taken as a thin disc on that axis, fixed
to the link: ``J/2 (1 + a a^T)`` for a moment J about the unit axis a. Any smaller addition
across the axis would be no body's inertia. The joint's own dynamics are exact; joints before it
feel a little more inertia than they should. The element ``sim2real:armature`` of the joint says
how much of the link's inertia is the disc.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim2real_sim.sdf_numbers import NO_POSE, Place, as_float, number, put
from sim2real_sim.sdf_text import Element

Array = npt.NDArray[np.float64]
ARMATURE = 'sim2real:armature'
MASS = Place('inertial/mass', default='1')
COM = {f'com.{axis}': Place('inertial/pose', k, NO_POSE) for k, axis in enumerate('xyz')}
INERTIA = {
    f'inertia.{axes}': Place(f'inertial/inertia/i{axes}', default='1' if diagonal else '0')
    for axes, diagonal in (
        ('xx', True), ('yy', True), ('zz', True), ('xy', False), ('xz', False), ('yz', False)
    )
}  # fmt: skip


def rotation(rpy: tuple[float, float, float]) -> Array:
    """Rotation matrix (3, 3) of fixed-axis roll, pitch, yaw [rad]."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def axis_angle(axis: Array, angle: float) -> Array:
    """Rotation matrix (3, 3) of a turn by an angle [rad] about a unit axis (3,)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def roll_pitch_yaw(matrix: Array) -> Array:
    """Fixed-axis roll, pitch, yaw (3,) [rad] of a rotation matrix; yaw 0 where roll says all."""
    pitch = np.arctan2(-matrix[2, 0], np.hypot(matrix[0, 0], matrix[1, 0]))
    if abs(matrix[2, 0]) > 1 - 1e-12:
        return np.array([np.arctan2(-matrix[1, 2], matrix[1, 1]), pitch, 0.0])
    roll = np.arctan2(matrix[2, 1], matrix[2, 2])
    return np.array([roll, pitch, np.arctan2(matrix[1, 0], matrix[0, 0])])


def disc(armature: float, axis: Array) -> dict[str, float]:
    """Inertia, by quantity, of a thin disc.

    Args:
        armature: moment about its axis [kg*m^2].
        axis: (3,) in the frame that the inertia is wanted in.
    """
    axis = axis / np.linalg.norm(axis)
    tensor = 0.5 * armature * (np.eye(3) + np.outer(axis, axis))
    return {q: float(tensor['xyz'.index(q[-2]), 'xyz'.index(q[-1])]) for q in INERTIA}


def fault(mass: float, inertia: Mapping[str, float]) -> str:
    """What would be right, when no body has this mass and inertia (by quantity); else ``''``."""
    if not mass > 0:
        return 'a mass must be positive'
    xx, yy, zz, xy, xz, yz = (inertia[q] for q in INERTIA)
    moments = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    if moments[0] <= 0:
        return 'the inertia must be positive definite'
    if moments[2] > moments[0] + moments[1] + 1e-6 * moments[2]:
        return 'no body has this inertia: one principal moment exceeds the sum of the others'
    return ''


class Inertial:
    """The inertial of a link.

    Args:
        link: its element.
        joint: the joint that turns it, or None.
    """

    def __init__(self, link: Element, joint: Element | None) -> None:
        self._link = link
        self._joint = joint

    def read(self, quantity: str) -> float | None:
        """A quantity of the link (or ``armature``, of its joint); inertia without the rotor."""
        if quantity == 'mass':
            return number(self._link, MASS)
        if quantity in COM:
            return number(self._link, COM[quantity])
        if quantity == 'armature':
            return self._armature()
        total = number(self._link, INERTIA[quantity])
        armature = self._armature()
        if total is None or not armature:
            return total
        return total - self._disc(armature)[quantity]

    def write(self, values: Mapping[str, float]) -> str:
        """Write quantities; what would be right, when no body has them (nothing is written).

        The inertia follows the mass in proportion except where it is given itself.
        """
        nominal = {q: self.read(q) for q in ('mass', *INERTIA)}
        inertial = self._link.find('inertial')
        if inertial is not None and inertial.get('auto') == 'true':
            return 'this inertial follows from the shapes (auto): give it numbers'
        if None in nominal.values():
            return 'its inertial in the SDF is no number'
        own = {q: float(v) for q, v in nominal.items() if v is not None}
        mass = own.pop('mass')
        heavier = values['mass'] / mass if 'mass' in values and mass > 0 else 1.0
        wanted = {q: values.get(q, heavier * v) for q, v in own.items()}
        touched = wanted != own or 'armature' in values
        if touched or 'mass' in values:
            mend = fault(values.get('mass', mass), wanted)
            if mend:
                return mend
        for quantity, place in {'mass': MASS, **COM}.items():
            if quantity in values:
                put(self._link, place, values[quantity])
        if touched:
            armature = values.get('armature', self._armature())
            rotor = self._disc(armature) if armature else dict.fromkeys(INERTIA, 0.0)
            before = self._armature()
            for quantity, place in INERTIA.items():
                if wanted[quantity] != own[quantity] or armature != before:
                    put(self._link, place, wanted[quantity] + rotor[quantity])
            if armature != before:
                self._note(armature)
        return ''

    def _armature(self) -> float:
        said = None if self._joint is None else self._joint.find(ARMATURE)
        return (as_float(said.text) or 0.0) if said is not None else 0.0

    def _note(self, armature: float) -> None:
        assert self._joint is not None  # it was named by its joint
        said = self._joint.find(ARMATURE)
        if said is None:
            said = self._joint.add(ARMATURE)
            said.set('xmlns:sim2real', 'sim2real')
        said.set_text(repr(float(armature)))

    def _disc(self, armature: float) -> dict[str, float]:
        """The rotor in the axes of the link's inertial."""
        assert self._joint is not None
        axis = np.array([number(self._joint, Place('axis/xyz', k, '0 0 1')) for k in range(3)])
        return disc(armature, self._axes().T @ axis.astype(float))

    def _axes(self) -> Array:
        """Rotation (3, 3) from the inertial's axes to the link's."""
        pose = self._link.find('inertial/pose')
        if pose is None:
            return np.eye(3)
        parts = [float(part) for part in (pose.text or NO_POSE).split()]
        if pose.get('rotation_format') == 'quat_xyzw':
            x, y, z, w = np.array(parts[3:]) / np.linalg.norm(parts[3:])
            return np.array(
                [
                    [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                    [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                    [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
                ]
            )
        roll, pitch, yaw = parts[3:]
        if pose.get('degrees') == 'true':
            roll, pitch, yaw = map(math.radians, (roll, pitch, yaw))
        return rotation((roll, pitch, yaw))
