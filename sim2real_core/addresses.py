"""Parameter addresses: one name for every physical quantity, with unit, range and combination.

``link.gripper.mass``, ``joint.elbow.viscous_friction``, ``world.gravity.z``,
``sensor.elbow_effort.noise``: the same text in a randomization file, a draw, a simulator, an
estimate, a report and a plot. All values are SI.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sim2real_core.errors import Fault, InputError

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

COMBINATIONS = ('absolute', 'additive', 'scale')


@dataclass(frozen=True)
class Address:
    """A parsed address; ``str()`` gives the text back. ``name`` is ``''`` for the world."""

    kind: str
    name: str
    quantity: str

    def __str__(self) -> str:
        return '.'.join(part for part in (self.kind, self.name, self.quantity) if part)


@dataclass(frozen=True)
class Quantity:
    """What an address measures.

    Attributes:
        unit: SI unit.
        low: smallest admissible value.
        high: largest admissible value.
        combine: how a randomized value meets the nominal unless a space says otherwise.
    """

    unit: str
    low: float
    high: float
    combine: str


def _axes(prefix: str, axes: str | tuple[str, ...], quantity: Quantity) -> dict[str, Quantity]:
    return {f'{prefix}.{axis}': quantity for axis in axes}


# Units in braces depend on the joint: see _joint_unit.
_FRICTION = Quantity('{effort}', 0.0, 1e5, 'scale')
_VISCOUS = Quantity('{effort}*s/{position}', 0.0, 1e6, 'scale')
QUANTITIES: dict[str, dict[str, Quantity]] = {
    'world': {
        **_axes('gravity', 'xyz', Quantity('m/s^2', -100.0, 100.0, 'additive')),
        'timestep': Quantity('s', 1e-5, 0.1, 'absolute'),
        # The engine's approximations, so that nothing can lean on one of them. Integrators as
        # MuJoCo numbers them: 0 Euler, 1 Runge-Kutta, 2 implicit, 3 implicit without Coriolis
        # terms; cones: 0 pyramidal, 1 elliptic.
        'solver_iterations': Quantity('1', 1.0, 10000.0, 'absolute'),
        'solver_tolerance': Quantity('1', 0.0, 1.0, 'absolute'),
        'integrator': Quantity('1', 0.0, 3.0, 'absolute'),
        'friction_cone': Quantity('1', 0.0, 1.0, 'absolute'),
        **_axes('wind', 'xyz', Quantity('m/s', -100.0, 100.0, 'additive')),
        'gust': Quantity('m/s', 0.0, 100.0, 'absolute'),
        'gust_time': Quantity('s', 0.0, 1e4, 'absolute'),
    },
    'link': {
        'mass': Quantity('kg', 0.0, 1e5, 'scale'),
        **_axes('com', 'xyz', Quantity('m', -100.0, 100.0, 'additive')),
        **_axes('inertia', ('xx', 'yy', 'zz'), Quantity('kg*m^2', 0.0, 1e6, 'scale')),
        **_axes('inertia', ('xy', 'xz', 'yz'), Quantity('kg*m^2', -1e6, 1e6, 'additive')),
    },
    'surface': {
        'friction': Quantity('1', 0.0, 10.0, 'absolute'),
        'restitution': Quantity('1', 0.0, 1.0, 'absolute'),
        'stiffness': Quantity('N/m', 0.0, 1e12, 'scale'),
        'damping': Quantity('N*s/m', 0.0, 1e12, 'scale'),
    },
    'joint': {
        'viscous_friction': _VISCOUS,
        'viscous_friction.positive': _VISCOUS,
        'viscous_friction.negative': _VISCOUS,
        'coulomb_friction': _FRICTION,
        'coulomb_friction.positive': _FRICTION,
        'coulomb_friction.negative': _FRICTION,
        'static_friction': _FRICTION,
        'stribeck_velocity': Quantity('{position}/s', 1e-6, 100.0, 'absolute'),
        'armature': Quantity('{inertia}', 0.0, 1e6, 'scale'),
        'stiffness': Quantity('{effort}/{position}', 0.0, 1e6, 'absolute'),
        'position_offset': Quantity('{position}', -10.0, 10.0, 'additive'),
        'effort_offset': Quantity('{effort}', -1e5, 1e5, 'additive'),
        'wear': Quantity('1/J', 0.0, 1e3, 'absolute'),
    },
    'actuator': {
        'gain': Quantity('1', 0.0, 10.0, 'scale'),
        'torque_constant': Quantity('{effort}/A', 1e-6, 1e4, 'scale'),
        'time_constant': Quantity('s', 0.0, 10.0, 'absolute'),
        'delay': Quantity('s', 0.0, 1.0, 'absolute'),
        'backlash': Quantity('{position}', 0.0, 1.0, 'absolute'),
        'saturation': Quantity('{effort}', 0.0, 1e6, 'scale'),
        'natural_frequency': Quantity('rad/s', 0.0, 1e5, 'absolute'),
        'damping_ratio': Quantity('1', 0.0, 100.0, 'absolute'),
        'dead_zone': Quantity('{command}', 0.0, 1e5, 'absolute'),
        'compliance': Quantity('{position}/({effort})', 0.0, 1e3, 'absolute'),
        'ripple': Quantity('1', 0.0, 1.0, 'absolute'),
        'ripple_periods': Quantity('{per_turn}', 0.0, 1e4, 'absolute'),
        'no_load_speed': Quantity('{position}/s', 0.0, 1e4, 'absolute'),
        'wear': Quantity('1/J', 0.0, 1e3, 'absolute'),
    },
    'sensor': {
        'noise': Quantity('{measured}', 0.0, 1e4, 'absolute'),
        'bias': Quantity('{measured}', -1e4, 1e4, 'additive'),
        'delay': Quantity('s', 0.0, 10.0, 'absolute'),
        'dropout': Quantity('1', 0.0, 1.0, 'absolute'),
        'quantization': Quantity('{measured}', 0.0, 1e4, 'absolute'),
        'drift': Quantity('{measured}', 0.0, 1e4, 'absolute'),
        'correlation_time': Quantity('s', 0.0, 1e6, 'absolute'),
        'scale': Quantity('1', -10.0, 10.0, 'scale'),
        'jitter': Quantity('s', 0.0, 10.0, 'absolute'),
        'period': Quantity('s', 0.0, 10.0, 'absolute'),
        'saturation': Quantity('{measured}', 0.0, 1e6, 'absolute'),
    },
    'camera': {
        'exposure': Quantity('1', 0.0, 100.0, 'scale'),
        **_axes(
            'distortion', ('k1', 'k2', 'k3', 'p1', 'p2'), Quantity('1', -10.0, 10.0, 'additive')
        ),
        'field_of_view': Quantity('rad', 1e-3, math.pi, 'scale'),
        **_axes('position', 'xyz', Quantity('m', -1e3, 1e3, 'additive')),
    },
    'light': {
        'intensity': Quantity('1', 0.0, 1e4, 'scale'),
        **_axes('color', 'rgb', Quantity('1', 0.0, 1.0, 'absolute')),
        **_axes('direction', 'xyz', Quantity('1', -1.0, 1.0, 'additive')),
    },
    'visual': {
        **_axes('color', 'rgb', Quantity('1', 0.0, 1.0, 'absolute')),
        'texture': Quantity('1', 0.0, 1e6, 'absolute'),
    },
    'disturbance': {
        **_axes(
            'wrench',
            ('force.x', 'force.y', 'force.z'),
            Quantity('N', -1e6, 1e6, 'absolute'),
        ),
        **_axes(
            'wrench',
            ('torque.x', 'torque.y', 'torque.z'),
            Quantity('N*m', -1e6, 1e6, 'absolute'),
        ),
        'period': Quantity('s', 0.0, 1e6, 'absolute'),
        'impulse': Quantity('N*s', 0.0, 1e4, 'absolute'),
        'duration': Quantity('s', 0.0, 1e3, 'absolute'),
        'drag_area': Quantity('m^2', 0.0, 1e3, 'absolute'),
    },
}
SENSED = ('position', 'velocity', 'effort')
IMU_SENSORS = ('imu_gyro', 'imu_accelerometer')
FLOOR = 'floor'
_LINEAR = dict(position='m', effort='N', inertia='kg', per_turn='1/m')
_ANGULAR = dict(position='rad', effort='N*m', inertia='kg*m^2', per_turn='1')


def parse_address(text: str) -> Address:
    """Parse an address. Names may contain dots: the quantity is matched from the end.

    Raises:
        InputError: unknown kind or quantity, or a name missing; suggests the nearest.
    """
    kind, _, rest = text.partition('.')
    quantities = QUANTITIES.get(kind)
    if quantities is None:
        raise InputError(Fault('address', text, f'must start with one of {", ".join(QUANTITIES)}'))
    if kind == 'world':
        if rest in quantities:
            return Address(kind, '', rest)
    else:
        for quantity in sorted(quantities, key=len, reverse=True):
            name = rest[: -len(quantity) - 1]
            if name and rest == f'{name}.{quantity}':
                return Address(kind, name, quantity)
    last = rest if kind == 'world' else rest.partition('.')[2]
    near = difflib.get_close_matches(last, quantities, n=1)
    form = kind if kind == 'world' else f'{kind}.<name>'
    hint = f'did you mean {near[0]}? ' if near else ''
    raise InputError(Fault('address', text, f'{hint}{form} has: {", ".join(quantities)}'))


def quantity(address: str | Address, profile: RobotProfile | None = None) -> Quantity:
    """Unit, admissible range and default combination of an address.

    Args:
        address: text or parsed.
        profile: the robot; needed to tell linear from angular units and what is commanded.
            Without it joints count as revolute, commands as positions.

    Raises:
        InputError: unknown address, or a joint, link, surface or sensor the robot does not have.
    """
    parsed = parse_address(address) if isinstance(address, str) else address
    found = QUANTITIES[parsed.kind][parsed.quantity]
    joint, measured = parsed.name, ''
    if parsed.kind == 'sensor':
        joint, _, measured = parsed.name.rpartition('_')
    units = _ANGULAR
    if profile is not None:
        mend = _unknown(parsed, joint, measured, profile)
        if mend:
            raise InputError(Fault('address', str(parsed), mend))
        if joint in profile.joint_names and profile.joint(joint).type == 'prismatic':
            units = _LINEAR
    sensed = {
        'position': units['position'],
        'velocity': units['position'] + '/s',
        'effort': units['effort'],
        'gyro': 'rad/s',
        'accelerometer': 'm/s^2',
    }.get(measured, 'SI')
    interface = 'position' if profile is None else profile.command.drives
    command = {**units, 'velocity': units['position'] + '/s'}[interface]
    unit = found.unit.format(measured=sensed, command=command, **units)
    return replace(found, unit=unit)


def _unknown(parsed: Address, joint: str, measured: str, profile: RobotProfile) -> str:
    """What would be right, when the address names something the robot does not have."""
    kind, name = parsed.kind, parsed.name
    if kind in ('link', 'disturbance'):
        known = sorted(profile.link_names)
    elif kind in ('surface', 'visual'):
        known = [*sorted(profile.link_names), FLOOR]
    elif kind in ('joint', 'actuator') or (kind == 'sensor' and measured in SENSED):
        known, name = list(profile.joint_names), joint
    elif kind == 'sensor':
        known = [f'{j}_{what}' for j in profile.joint_names for what in SENSED] + [*IMU_SENSORS]
    else:  # a world of the user's own may have other cameras and lights
        return ''
    if name in known:
        return ''
    return f'{profile.name} has no such {parsed.kind}; it has: {", ".join(known)}'


def combine(how: str, nominal: float, value: float) -> float:
    """Combine a randomized value with the nominal one.

    ``absolute`` takes the value, ``additive`` adds it, ``scale`` multiplies.
    """
    if how == 'absolute':
        return value
    if how == 'additive':
        return nominal + value
    if how == 'scale':
        return nominal * value
    raise InputError(Fault('combine', how, f'must be one of {", ".join(COMBINATIONS)}'))
