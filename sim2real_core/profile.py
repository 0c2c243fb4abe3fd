"""RobotProfile: what the suite needs to know of a robot, from one YAML file and its URDF.

A profile names the URDF, the actuated joints in command order, how the robot is commanded and
how fast it talks. What the URDF already says (limits, damping, friction) is taken from there; a
value given in the profile replaces it. Numbers are SI; a value may carry its unit
(``'2.0 rad/s'``), which must then be the SI one. See ``config/robots/arm6.yaml``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.config import Config
from sim2real_core.coupling import Coupling, couple
from sim2real_core.errors import Faults, InputError
from sim2real_core.files import find
from sim2real_core.mobile import SIDEWAYS, WORLD, TwistElement, Wheels, with_floating_base
from sim2real_core.profile_sections import (
    Command,
    GuardTimes,
    Rates,
    Topics,
    read_number,
    read_section,
    read_twist,
)
from sim2real_core.urdf import MOVABLE, Mimic, Urdf, UrdfJoint, read_urdf
from sim2real_core.yaml_file import YamlFile, read_yaml

TOP_KEYS = (
    'name urdf floating base_link tool_link payload_link command rates guard topics joints '
    'imu_link twist wheels'
).split()
SECTIONS: dict[str, type[Config]] = {
    'command': Command,
    'rates': Rates,
    'guard': GuardTimes,
    'topics': Topics,
}
# A revolute limit beyond this was surely written in degrees.
MOST_RADIANS = 8 * math.pi


@dataclass(frozen=True, kw_only=True)
class Joint:
    """One actuated joint; SI units (rad, N*m for rotation; m, N for translation).

    Attributes:
        name: as in the URDF and in every message.
        type: ``revolute``, ``continuous`` or ``prismatic``.
        parent: parent link.
        child: child link.
        lower: smallest position; ``-inf`` for a continuous joint.
        upper: largest position.
        velocity: largest speed.
        effort: largest effort.
        acceleration: largest acceleration asked for by a command; infinite when not given.
        effort_rate: largest change of a commanded effort in a second; infinite when not given.
        viscous_friction: nominal, from the URDF's ``damping``.
        coulomb_friction: nominal, from the URDF's ``friction``.
        armature: nominal rotor inertia seen at the joint.
        stiffness: gain of the robot's own position loop [effort per position].
        damping: its velocity gain [effort per velocity].
        default_position: the pose a policy counts from and a simulation starts in.
        position_noise: standard deviation of the encoder.
        velocity_noise: standard deviation of the measured velocity.
        effort_noise: standard deviation of the measured effort.
    """

    name: str
    type: str
    parent: str
    child: str
    lower: float
    upper: float
    velocity: float
    effort: float
    acceleration: float = math.inf
    effort_rate: float = math.inf
    viscous_friction: float = 0.0
    coulomb_friction: float = 0.0
    armature: float = 0.0
    stiffness: float = 0.0
    damping: float = 0.0
    default_position: float = 0.0
    position_noise: float = 0.0
    velocity_noise: float = 0.0
    effort_noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RobotProfile:
    """A robot. Build it with :func:`load_profile`.

    Attributes:
        name: of the robot.
        path: the profile's file.
        urdf: its description.
        joints: actuated joints, in command order.
        base_link: frame that positions are given in; the URDF's root unless given.
        tool_link: link whose position a task is about.
        payload_link: link whose mass a payload changes.
        imu_link: link that carries the IMU, or ``''``.
        twist: elements that a twist commands, in order; empty for other interfaces.
        wheels: what turns a twist into joint speeds in a simulator; None when not given.
        command: how it is commanded.
        rates: how fast.
        guard: when a policy's guard holds, damps and stops.
        topics: sensor topics.
        content_hash: SHA-256 over profile and URDF, but for ``guard``: whoever waits longer for
            a robot has no other robot.
    """

    name: str
    path: Path
    urdf: Urdf = field(repr=False)
    joints: tuple[Joint, ...]
    base_link: str
    tool_link: str
    payload_link: str
    imu_link: str = ''
    twist: tuple[TwistElement, ...] = ()
    wheels: Wheels | None = None
    command: Command = field(default_factory=Command)
    rates: Rates = field(default_factory=Rates)
    guard: GuardTimes = field(default_factory=GuardTimes)
    topics: Topics = field(default_factory=Topics)
    content_hash: str = ''

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the actuated joints, in command order."""
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def command_names(self) -> tuple[str, ...]:
        """What a command has a number for: the elements of the twist, or the joints."""
        return tuple(element.name for element in self.twist) or self.joint_names

    @cached_property
    def body_link(self) -> str:
        """The link of a mobile robot that moves freely; ``''`` when it stands on a base."""
        floating = [j.child for j in self.urdf.joints.values() if j.type == 'floating']
        return floating[0] if floating and self.urdf.root == WORLD else ''

    @cached_property
    def link_names(self) -> tuple[str, ...]:
        """Names of all links."""
        return tuple(self.urdf.links)

    @cached_property
    def mimics(self) -> dict[str, Mimic]:
        """Joints that follow another."""
        return {j.name: j.mimic for j in self.urdf.joints.values() if j.mimic is not None}

    def moves(self, joint: UrdfJoint) -> bool:
        """Whether a joint of the URDF moves; those that the profile does not list do not."""
        return joint.type == 'floating' or self.coupling.moves(joint.name)

    @cached_property
    def coupling(self) -> Coupling:
        """Where all joints are when the actuated ones are somewhere."""
        return couple(self.urdf, self.joint_names)

    def joint(self, name: str) -> Joint:
        """The actuated joint of this name (KeyError when there is none)."""
        return self.joints[self.joint_names.index(name)]

    def limited(self, name: str) -> Joint | TwistElement:
        """What has limits under this name: an element of the twist, or else a joint."""
        elements = {element.name: element for element in self.twist}
        return elements[name] if name in elements else self.joint(name)

    def array(self, attribute: str) -> npt.NDArray[np.float64]:
        """One attribute of all joints, (nj,), in command order."""
        return np.array([getattr(joint, attribute) for joint in self.joints], dtype=float)


def load_profile(name: str | Path) -> RobotProfile:
    """Load a profile by path or by the name of a shipped one.

    Raises:
        InputError: every fault of profile and URDF, with file, line, value and what is right.
    """
    return profile_from_yaml(read_yaml(find('robots', name)))


def profile_from_yaml(file: YamlFile) -> RobotProfile:
    """Build a profile from parsed YAML. See :func:`load_profile`."""
    faults = Faults(str(file.path), file.lines)
    data = file.data
    for key in data:
        if key not in TOP_KEYS:
            faults.add(key, data[key], f'unknown; known: {", ".join(TOP_KEYS)}', path=(key,))
    urdf = _urdf(data, file, faults)
    sections = {
        key: read_section(section, data.get(key) or {}, key, file, faults)
        for key, section in SECTIONS.items()
    }
    interface = getattr(sections['command'], 'interface', '')
    joints = _joints(data.get('joints'), urdf, interface, faults)
    twist = read_twist(data.get('twist'), interface, faults)
    wheels = None
    if data.get('wheels') is not None:
        wheels = read_section(Wheels, data['wheels'], 'wheels', file, faults)
        _check_wheels(wheels, joints, twist, faults)
    links = {} if urdf is None else urdf.links
    chosen = {}
    for key in ('base_link', 'tool_link', 'payload_link', 'imu_link'):
        chosen[key] = str(data.get(key) or _default_link(key, urdf))
        if urdf is not None and chosen[key] and chosen[key] not in links:
            faults.add(key, chosen[key], f'no such link; has: {", ".join(links)}', path=(key,))
    faults.check()
    assert urdf is not None  # else there was a fault
    moving = _moving_joint(urdf, [joint.name for joint in joints], chosen['base_link'])
    if moving:
        mend = f'must be fixed to the root, {urdf.root}; {moving} moves it'
        faults.add('base_link', chosen['base_link'], mend, path=('base_link',))
    faults.check()
    digest = hashlib.sha256()
    hashed = {key: value for key, value in data.items() if key != 'guard'}
    digest.update(json.dumps(hashed, sort_keys=True, default=str).encode())
    digest.update(urdf.text.encode())
    return RobotProfile(
        name=str(data.get('name') or file.path.stem),
        path=file.path,
        urdf=urdf,
        joints=joints,
        content_hash=digest.hexdigest(),
        base_link=chosen['base_link'],
        tool_link=chosen['tool_link'],
        payload_link=chosen['payload_link'],
        imu_link=chosen['imu_link'],
        twist=twist,
        wheels=wheels,
        **sections,  # type: ignore[arg-type]
    )


def _default_link(key: str, urdf: Urdf | None) -> str:
    if urdf is None or key == 'imu_link':
        return ''
    if key == 'base_link':
        return urdf.root
    leaves = urdf.leaves()
    if key == 'payload_link':  # the last link that has a mass of its own
        heavy = [name for name in urdf.links if urdf.links[name].mass > 0]
        return heavy[-1] if heavy else leaves[-1]
    return leaves[-1]


def _moving_joint(urdf: Urdf, actuated: Sequence[str], link: str) -> str:
    """A joint between a link and the root that moves; ``''`` when the link is fixed to it."""
    above = {joint.child: joint for joint in urdf.joints.values()}
    coupling = couple(urdf, actuated)
    while link in above:
        joint = above[link]
        held = joint.type == 'fixed' or (joint.type in MOVABLE and not coupling.moves(joint.name))
        if not held:
            return joint.name
        link = joint.parent
    return ''


def _urdf(data: Mapping[str, Any], file: YamlFile, faults: Faults) -> Urdf | None:
    given = data.get('urdf')
    if not isinstance(given, str) or not given:
        faults.add('urdf', given, 'give the path of the URDF, relative to this file')
        return None
    floating = data.get('floating', False)
    if not isinstance(floating, bool):
        faults.add('floating', floating, 'must be true or false', path=('floating',))
    try:
        urdf = read_urdf((file.path.parent / given).resolve())
        return with_floating_base(urdf) if floating is True else urdf
    except InputError as error:
        if len(error.faults) == 1 and not error.faults[0].file:
            faults.add('urdf', given, error.faults[0].mend, path=('urdf',))
        else:
            faults.extend(error)
        return None


def _check_wheels(
    wheels: Any, joints: Sequence[Joint], twist: Sequence[TwistElement], faults: Faults
) -> None:
    if any(element.name == 'linear.y' for element in twist):
        mend = f'{SIDEWAYS}: a base that does needs no wheels here, only a simulator needs them'
        faults.add('wheels', [element.name for element in twist], mend, path=('wheels',))
    turning = [joint.name for joint in joints if joint.type == 'continuous']
    for side in ('left', 'right'):
        for name in getattr(wheels, side, ()):
            if name not in turning:
                mend = f'must be a continuous joint; has: {", ".join(turning)}'
                faults.add(f'wheels.{side}', name, mend, path=('wheels', side))


# Attribute of a joint in the profile -> (unit template, must it be positive or only >= 0, or any)
_JOINT_KEYS = {
    'lower': ('{p}', 'any'),
    'upper': ('{p}', 'any'),
    'velocity': ('{p}/s', 'positive'),
    'effort': ('{e}', 'positive'),
    'acceleration': ('{p}/s^2', 'positive'),
    'effort_rate': ('{e}/s', 'positive'),
    'viscous_friction': ('{e}*s/{p}', 'not negative'),
    'coulomb_friction': ('{e}', 'not negative'),
    'armature': ('{i}', 'not negative'),
    'stiffness': ('{e}/{p}', 'not negative'),
    'damping': ('{e}*s/{p}', 'not negative'),
    'default_position': ('{p}', 'any'),
    'position_noise': ('{p}', 'not negative'),
    'velocity_noise': ('{p}/s', 'not negative'),
    'effort_noise': ('{e}', 'not negative'),
}


def _joints(given: Any, urdf: Urdf | None, interface: str, faults: Faults) -> tuple[Joint, ...]:
    if given is None and urdf is not None:
        given = {joint.name: {} for joint in urdf.movable}
    if not isinstance(given, Mapping) or not given:
        faults.add('joints', given, 'give a mapping of joint name to its values', path=('joints',))
        return ()
    joints = []
    for name, values in given.items():
        if not isinstance(name, str):
            mend = f'YAML takes this name for a {type(name).__name__}: put it in quotes'
            faults.add(f'joints.{name}', name, mend, path=('joints', str(name)))
            continue
        described = None if urdf is None else urdf.joints.get(name)
        if urdf is not None:
            known = [j.name for j in urdf.movable]
            if name not in known:
                mend = f'not an actuated joint of the URDF; it has: {", ".join(known)}'
                if described is not None and described.mimic:
                    mend = f'follows {described.mimic.joint} (mimic); command that one'
                faults.add(f'joints.{name}', name, mend, path=('joints', name))
                continue
        if values is not None and not isinstance(values, Mapping):
            faults.add(f'joints.{name}', values, 'must be a mapping', path=('joints', name))
            continue
        joint = _joint(name, values or {}, described, faults)
        if joint is None:
            continue
        if interface == 'position' and joint.damping > 0 and joint.stiffness == 0:
            mend = 'a position loop that only damps never moves the joint: give both gains or none'
            faults.add(f'joints.{name}.stiffness', 0.0, mend, path=('joints', name, 'stiffness'))
        joints.append(joint)
    return tuple(joints)


def _joint(
    name: str, given: Mapping[str, Any], described: UrdfJoint | None, faults: Faults
) -> Joint | None:
    linear = described is not None and described.type == 'prismatic'
    units = dict(p='m', e='N', i='kg') if linear else dict(p='rad', e='N*m', i='kg*m^2')
    values: dict[str, float] = {}
    if described is not None:
        values = {
            'lower': described.lower,
            'upper': described.upper,
            'velocity': described.velocity,
            'effort': described.effort,
            'viscous_friction': described.damping,
            'coulomb_friction': described.friction,
        }
    before = len(faults.found)
    for key, value in given.items():
        path, field_name = ('joints', name, key), f'joints.{name}.{key}'
        if key not in _JOINT_KEYS:
            faults.add(field_name, value, f'unknown; known: {", ".join(_JOINT_KEYS)}', path=path)
            continue
        unit, sign = _JOINT_KEYS[key]
        number = read_number(value, unit.format(**units), field_name, path, faults)
        if number is None:
            continue
        if (sign == 'positive' and number <= 0) or (sign == 'not negative' and number < 0):
            faults.add(field_name, number, f'must be {sign}', path=path)
        angle = key in ('lower', 'upper', 'default_position')
        if angle and not linear and abs(number) > MOST_RADIANS:
            faults.add(field_name, number, 'the unit is rad; this looks like degrees', path=path)
        values[key] = number
    if described is None or len(faults.found) > before:
        return None
    here = ('joints', name)
    if not values['lower'] < values['upper']:
        faults.add(
            f'joints.{name}.lower',
            values['lower'],
            f'must be less than upper ({values["upper"]:g})',
            path=(*here, 'lower'),
        )
    values.setdefault('default_position', float(np.clip(0.0, values['lower'], values['upper'])))
    if not values['lower'] <= values['default_position'] <= values['upper']:
        faults.add(
            f'joints.{name}.default_position',
            values['default_position'],
            f'must lie within [{values["lower"]:g}, {values["upper"]:g}]',
            path=(*here, 'default_position'),
        )
    if len(faults.found) > before:
        return None
    return Joint(
        name=name,
        type=described.type,
        parent=described.parent,
        child=described.child,
        **values,
    )
