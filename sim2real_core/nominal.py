"""The nominal value of an address, from the robot's URDF and profile alone.

The simulator and the randomizer agree on this one function, so that a randomized value means
the same on both sides and the randomizer needs no physics engine.
"""

from __future__ import annotations

from sim2real_core.addresses import Address, parse_address, quantity
from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile

GRAVITY = {'gravity.x': 0.0, 'gravity.y': 0.0, 'gravity.z': -9.81}
SOLVER = {
    'solver_iterations': 100.0,
    'solver_tolerance': 1e-8,
    'integrator': 0.0,
    'friction_cone': 1.0,
}
AIR = {'wind.x': 0.0, 'wind.y': 0.0, 'wind.z': 0.0, 'gust': 0.0, 'gust_time': 1.0}
SURFACE = {'friction': 1.0, 'restitution': 0.0}
STRIBECK_VELOCITY = 0.05
"""[rad/s or m/s]; without effect while the static friction is not above the Coulomb friction."""
ACTUATOR = {
    'gain': 1.0,
    'torque_constant': 1.0,
    'time_constant': 0.0,
    'delay': 0.0,
    'backlash': 0.0,
    'natural_frequency': 0.0,
    'damping_ratio': 1.0,
    'dead_zone': 0.0,
    'compliance': 0.0,
    'ripple': 0.0,
    'ripple_periods': 1.0,
    'no_load_speed': 0.0,
    'wear': 0.0,
}
"""An ideal drive: 0 for none, but 1 where something is multiplied with it or where it is without
effect by itself."""
SENSOR = {
    'noise': 0.0,
    'bias': 0.0,
    'delay': 0.0,
    'dropout': 0.0,
    'quantization': 0.0,
    'drift': 0.0,
    'correlation_time': 100.0,
    'scale': 1.0,
    'jitter': 0.0,
    'period': 0.0,
    'saturation': 0.0,
}
"""An ideal sensor; the correlation time is that of the drift."""
_INERTIA = ('xx', 'yy', 'zz', 'xy', 'xz', 'yz')


def nominal(profile: RobotProfile, address: str | Address) -> float:
    """Value of an address before any randomization [SI].

    Links as the URDF gives them (COM in the link frame; inertia about the COM in the axes of the
    inertial frame), joints and sensor noise as the profile does, gravity along -z, ideal
    actuators and sensors otherwise. The static friction is the Coulomb friction: no Stribeck
    effect.

    Raises:
        InputError: unknown address, or one whose nominal value only a simulator knows (cameras,
            lights, visuals, contact stiffness).
    """
    parsed = parse_address(address) if isinstance(address, str) else address
    quantity(parsed, profile)
    value = _value(profile, parsed)
    if value is None:
        raise InputError(
            Fault(
                'address',
                str(parsed),
                'neither URDF nor profile say its nominal value; use combine: absolute',
            )
        )
    return value


def _value(profile: RobotProfile, address: Address) -> float | None:
    kind, what = address.kind, address.quantity
    if kind == 'world':
        return {**GRAVITY, **AIR, **SOLVER, 'timestep': profile.rates.timestep}[what]
    if kind == 'link':
        link = profile.urdf.links[address.name]
        group, _, axis = what.partition('.')
        if group == 'com':
            return link.com['xyz'.index(axis)]
        return link.inertia[_INERTIA.index(axis)] if group == 'inertia' else link.mass
    if kind == 'surface':
        return SURFACE.get(what)
    if kind == 'joint':
        return _joint(profile, address.name, what.partition('.')[0])
    if kind == 'actuator':
        if what == 'saturation':
            return profile.joint(address.name).effort
        return ACTUATOR[what]
    if kind == 'sensor':
        name, _, measured = address.name.rpartition('_')
        if what == 'noise' and name in profile.joint_names:
            return float(getattr(profile.joint(name), f'{measured}_noise'))
        return SENSOR[what]
    if kind == 'disturbance':
        return 0.0
    return None


def _joint(profile: RobotProfile, name: str, what: str) -> float:
    joint = profile.joint(name)
    if what == 'static_friction':
        return joint.coulomb_friction
    if what == 'stribeck_velocity':
        return STRIBECK_VELOCITY
    if what in ('viscous_friction', 'coulomb_friction', 'armature'):
        return float(getattr(joint, what))
    return 0.0  # a passive spring, an offset: none
