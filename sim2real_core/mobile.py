"""Robots that move about: a base that floats, and one that is told a twist.

A *twist* commands the robot's body instead of its joints: ``linear.x`` forward and ``linear.y``
to the left [m/s], ``angular.z`` to the left [rad/s], in the body's frame. What turns it into
wheel speeds is on the robot (``diff_drive_controller``); here it is :class:`Wheels`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.urdf import Urdf, parse_urdf

Array = npt.NDArray[np.float64]

WORLD = 'world'
FLOATING_JOINT = 'floating_base'
TWIST_UNITS = {'linear.x': 'm/s', 'linear.y': 'm/s', 'angular.z': 'rad/s'}
"""Element of a twist -> its unit."""
SIDEWAYS = 'wheels of two sides cannot roll sideways'
TWIST_TYPES = ('geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped')


@dataclass(frozen=True, kw_only=True)
class TwistElement:
    """One element of the twist that a robot obeys, with the limits of a :class:`Joint`.

    Attributes:
        name: one of :data:`TWIST_UNITS`.
        velocity: largest speed [m/s or rad/s].
        acceleration: largest acceleration [m/s^2 or rad/s^2]; infinite when not given.
    """

    lower: ClassVar[float] = -math.inf
    upper: ClassVar[float] = math.inf
    effort: ClassVar[float] = math.inf

    name: str
    velocity: float
    acceleration: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Wheels(Config):
    """Wheels of two sides that turn a twist into motion, as a differential drive has them."""

    left: tuple[str, ...] = parameter((), 'Joints of the left wheels; positive is forward.')
    right: tuple[str, ...] = parameter((), 'Joints of the right wheels.')
    radius: float = parameter(0.1, 'Of every wheel.', unit='m', low=1e-4, high=10.0)
    separation: float = parameter(
        0.5,
        'Between left and right; for wheels that skid in turns the effective one, which is '
        'larger than what a ruler says.',
        unit='m',
        low=1e-3,
        high=100.0,
    )

    def check(self, faults: Faults) -> None:
        """A wheel is on one side, and both sides have one."""
        names = (*self.left, *self.right)
        for side in ('left', 'right'):
            if not getattr(self, side):
                faults.add(side, (), 'name the joints of its wheels, at least one')
        if len(set(names)) != len(names):
            faults.add('right', self.right, 'a joint is named twice')

    def speeds(self, joints: Sequence[str], elements: Sequence[str]) -> Array:
        """Joint speeds per element of a twist, (nj, ne); zero for joints that are no wheels.

        Args:
            joints: names (nj,).
            elements: names (ne,), of :data:`TWIST_UNITS`.

        Raises:
            InputError: wheels of two sides do not move a robot sideways.
        """
        if 'linear.y' in elements:
            mend = f'{SIDEWAYS}: leave linear.y or the wheels out'
            raise InputError(Fault('twist', list(elements), mend))
        half = 0.5 * self.separation
        rates = np.zeros((len(joints), len(elements)))
        for side, turn in ((self.left, -half), (self.right, half)):
            for name in side:
                share = {'linear.x': 1.0, 'angular.z': turn}
                rates[list(joints).index(name)] = [share[e] / self.radius for e in elements]
        return rates


def with_floating_base(urdf: Urdf) -> Urdf:
    """The same robot, free to move in a link ``world`` that becomes its root.

    Raises:
        InputError: it has a link or a joint of that name already.
    """
    if WORLD in urdf.links or FLOATING_JOINT in urdf.joints:
        mend = f'leave floating out: the URDF has a {WORLD} or a {FLOATING_JOINT} of its own'
        raise InputError(Fault('floating', True, mend, urdf.file))
    tree = etree.fromstring(urdf.text.encode())
    etree.SubElement(tree, 'link', name=WORLD)
    joint = etree.SubElement(tree, 'joint', name=FLOATING_JOINT, type='floating')
    etree.SubElement(joint, 'parent', link=WORLD)
    etree.SubElement(joint, 'child', link=urdf.root)
    made = parse_urdf(etree.tostring(tree), urdf.path)
    return Urdf(**{**vars(made), 'notes': (*urdf.notes, *made.notes)})
