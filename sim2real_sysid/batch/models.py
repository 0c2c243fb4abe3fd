"""Which parameters a joint has: kinds of friction, and the columns they mean.

Every model has, for each joint, ``effort = rigid body + armature a + friction(v) + offset``, and
the payload where the motion of the robot can tell it: its mass and centre of mass, and its
inertia or, where that makes no difference, one that follows the mass. They differ in friction:

- ``symmetric``: ``Fv v + Fc sign(v)``;
- ``directional``: Fv and Fc for each direction; an offset would be one too many, since
  ``Fc+ - Fc-`` is one;
- ``stribeck``: Coulomb friction ``Fc + (Fs - Fc) exp(-(v / vs)^2)`` (Armstrong-Helouvry, Dupont,
  Canudas de Wit 1994);
- ``directional_stribeck``: both.

Each also comes as ``_late``, with efforts that are measured later than positions, ``- d effort/dt
lateness``: a loop through a gravity field that changes on the way would else look like viscous
friction. A millisecond matters, and what a driver's stamps mean is seldom known so well; so it is
estimated, but nobody is told.

All but vs are linear; its column is the derivative at the present value. A joint of vs = 0 has no
Stribeck effect, and columns of zeros for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.bodies import QUANTITIES

Array = npt.NDArray[np.float64]

_VISCOUS, _COULOMB = 'viscous_friction', 'coulomb_friction'
_EACH_WAY = ('.positive', '.negative')
LATENESS = 'lateness'
_LATE = '_late'
_STRIBECK = ('static_friction', 'stribeck_velocity')
_EVEN = (_VISCOUS, _COULOMB, 'effort_offset')
_DIRECTED = tuple(quantity + way for quantity in (_VISCOUS, _COULOMB) for way in _EACH_WAY)
_FRICTION: dict[str, tuple[str, ...]] = {
    'symmetric': _EVEN,
    'directional': _DIRECTED,
    'stribeck': (*_EVEN, *_STRIBECK),
    'directional_stribeck': (*_DIRECTED, *_STRIBECK),
}
MODELS: dict[str, tuple[str, ...]] = {
    name + late: ('armature', *friction, *(LATENESS,) * bool(late))
    for name, friction in _FRICTION.items()
    for late in ('', _LATE)
}
"""Name to quantities of each joint, from few to many."""


@dataclass(frozen=True)
class Layout:
    """Where each parameter of a model is in a vector.

    Attributes:
        model: name, of ``MODELS``.
        quantities: of each joint.
        addresses: (p,) of all parameters: those of each joint in turn, then the payload's.
        joints: number of joints.
        payload: number of the payload's.
    """

    model: str
    quantities: tuple[str, ...]
    addresses: tuple[str, ...]
    joints: int
    payload: int

    @property
    def local(self) -> int:
        """Parameters of each joint."""
        return len(self.quantities)

    def has(self, quantity: str) -> bool:
        """Whether joints have a quantity of their own."""
        return quantity in self.quantities

    def of(self, vector: Array, quantity: str) -> Array:
        """(..., nj) values of a quantity in vectors (..., p)."""
        first = self.quantities.index(quantity)
        return vector[..., first : self.local * self.joints : self.local]

    @property
    def link(self) -> slice:
        """Where the payload's parameters are."""
        return slice(self.local * self.joints, None)

    def place(self, quantity: str) -> npt.NDArray[np.intp]:
        """(nj,) indices of a quantity."""
        return self.quantities.index(quantity) + self.local * np.arange(self.joints)


def layout(model: str, profile: RobotProfile, payload: int = 0) -> Layout:
    """The parameters of a model for a robot; of the payload, so many of a link's quantities."""
    quantities = MODELS[model]
    addresses = [_address(j, quantity) for j in profile.joint_names for quantity in quantities]
    addresses += [f'link.{profile.payload_link}.{what}' for what in QUANTITIES[:payload]]
    return Layout(model, quantities, tuple(addresses), len(profile.joints), payload)


def _address(joint: str, quantity: str) -> str:
    return f'sensor.{joint}_effort.delay' if quantity == LATENESS else f'joint.{joint}.{quantity}'


def columns(
    layout: Layout, velocity: Array, acceleration: Array, rate: Array, values: Array
) -> Array:
    """What each parameter of a joint adds to its effort, per unit.

    Args:
        layout: of the model.
        velocity: (n, nj).
        acceleration: (n, nj).
        rate: (n, nj) of the efforts.
        values: (p,) parameters; only those of the Stribeck effect matter.

    Returns:
        (n, nj, k); the column of the Stribeck velocity is a derivative and no part of the effort.
    """
    up, down = (velocity > 0).astype(float), (velocity < 0).astype(float)
    sign = up - down
    slow = np.zeros_like(velocity)
    if layout.has('stribeck_velocity'):
        speed = layout.of(values, 'stribeck_velocity')
        sticks = speed > 0
        speed = np.where(sticks, speed, 1.0)
        slow = np.exp(-np.minimum((velocity / speed) ** 2, 700.0)) * sticks
    parts = {
        'armature': acceleration,
        _VISCOUS: velocity,
        _VISCOUS + '.positive': velocity * up,
        _VISCOUS + '.negative': velocity * down,
        _COULOMB: sign * (1.0 - slow),
        _COULOMB + '.positive': up * (1.0 - slow),
        _COULOMB + '.negative': -down * (1.0 - slow),
        LATENESS: -rate,
        'effort_offset': np.ones_like(velocity),
        'static_friction': sign * slow,
    }
    if layout.has('stribeck_velocity'):
        rise = layout.of(values, 'static_friction') - coulomb(layout, values)
        parts['stribeck_velocity'] = rise * sign * slow * 2.0 * velocity**2 / speed**3
    return np.stack([parts[quantity] for quantity in layout.quantities], axis=2)


def coulomb(layout: Layout, values: Array) -> Array:
    """(..., nj) Coulomb friction, the mean of both directions where they differ."""
    if layout.has(_COULOMB):
        return layout.of(values, _COULOMB)
    ways = [layout.of(values, _COULOMB + way) for way in _EACH_WAY]
    return np.asarray(0.5 * (ways[0] + ways[1]))
