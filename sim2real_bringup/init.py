"""Makes a robot known: from any URDF or xacro, a profile and a first randomization space.

What a URDF does not say is chosen here by rule, written down with its reason, and meant to be
replaced by what a data sheet or the identification says:

- Rotor inertia (``armature``): what the joint's effort limit accelerates at 500 rad/s^2 (rotation)
  or 50 m/s^2 (translation), which is common for geared drives; at least a tenth of the load, the
  usual limit when drives are sized.
- Servo gains: with ``I`` the load, which is the largest diagonal element of the mass matrix over
  many poses (what the joint and those that follow it move when the others stand still), plus the
  rotor inertia, and
  ``w = 2 pi 5 Hz``: ``stiffness = I w^2`` and ``damping = 2 I w``, a critically damped loop of
  5 Hz in the heaviest pose; for velocity-controlled wheels ``damping = I w``. The rotor inertia
  above keeps that stable in every pose at a physics step of 1 ms: ``h damping < 0.7 armature``,
  where twice the armature is the limit.
- Acceleration limit: full speed in 0.2 s, or half of what the effort limit gives when that is
  less.
- Default pose: zero or mid-range, or the nearest pose that is free of the floor and of itself
  (:mod:`sim2real_bringup.default_pose`).
- Sensor noise: 5e-5 rad (1e-5 m), 0.1 % of the speed limit, 0.5 % of the effort limit.
"""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from sim2real_bringup.default_pose import POSES, DefaultPose, default_pose, random_poses
from sim2real_core.errors import Fault, InputError
from sim2real_core.kinematics import Coordinates, build_model
from sim2real_core.profile import RobotProfile, profile_from_yaml
from sim2real_core.profile_sections import GuardTimes
from sim2real_core.urdf import MOVABLE, Urdf, UrdfJoint, read_urdf, resolve_mesh
from sim2real_core.yaml_file import YamlFile, parse_yaml
from sim2real_randomizer.space import space_from_yaml

GUARD = GuardTimes.table()
ROTOR_ACCELERATION = {True: 500.0, False: 50.0}  # rotation [rad/s^2], translation [m/s^2]
LOAD_SHARE = 0.1
SERVO = 2 * math.pi * 5.0  # rad/s
FULL_SPEED = 0.2  # s
ENCODER = {True: 5e-5, False: 1e-5}  # rad, m
WHEEL_SPEED = 10.0  # rad/s, of a continuous joint without limits
TOOL = re.compile(
    r'(^|[_/-])(tcp|tool|ee|end_effector|grasp|flange)(_?(frame|link|point|tip))?\d*$', re.I
)


@dataclass(frozen=True)
class Drive:
    """What is chosen for one actuated joint; SI units, see the module's text.

    Attributes:
        joint: as the URDF has it.
        inertia: largest diagonal element of the mass matrix, without the rotor.
        effort: limit.
        velocity: limit.
        guessed: whether the URDF gives no limits.
        values: profile key to value.
    """

    joint: UrdfJoint
    inertia: float
    effort: float
    velocity: float
    guessed: bool
    values: dict[str, float]


class Made(NamedTuple):
    """Files of a robot, and where it stands."""

    profile: Path
    space: Path
    pose: DefaultPose


def init_robot(urdf_path: str | Path, out_dir: str | Path, name: str | None = None) -> Made:
    """Write a profile and a randomization space for a robot.

    Args:
        urdf_path: URDF, or a ``.xacro`` file.
        out_dir: folder for ``<name>.yaml`` and ``<name>_space.yaml``; made when missing.
        name: of the robot; the URDF's when None.

    Returns:
        What was made; profile and space load without faults.

    Raises:
        InputError: the URDF cannot be used; every fault is named with its line. Or a file is
            there already.
        MissingError: xacro or pinocchio is needed and not installed.
    """
    urdf_path, out_dir = Path(urdf_path).resolve(), Path(out_dir).resolve()
    urdf = read_urdf(urdf_path)
    check(urdf)
    name = name or re.sub(r'\W+', '_', urdf.name).strip('_') or 'robot'
    if name != Path(name).name:
        raise InputError(Fault('name', name, 'must do for a file name'))
    profile_path, space_path = out_dir / f'{name}.yaml', out_dir / f'{name}_space.yaml'
    for path in (profile_path, space_path):
        if path.exists():
            raise InputError(Fault('out', str(path), 'exists; move it away or choose a name'))
    bare = profile_from_yaml(YamlFile(urdf.path, {'urdf': urdf.path.name}, {}))
    pose = default_pose(bare, turns=wheeled(urdf))
    drives = choose(urdf, bare, pose)
    texts = {profile_path: profile_text(urdf, drives, pose, name, out_dir)}
    try:
        profile = profile_from_yaml(parse_yaml(texts[profile_path], profile_path))
        texts[space_path] = space_text(profile, drives)
        space_from_yaml(parse_yaml(texts[space_path], space_path), profile)
    except InputError as error:
        raise InputError(*(_of_the_urdf(fault, urdf) for fault in error.faults)) from error
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding='utf-8')
    except OSError as error:
        for path in texts:
            if path.is_file():
                path.unlink()
        mend = f'give a folder that can be written to ({error})'
        raise InputError(Fault('out', str(out_dir), mend)) from error
    return Made(profile_path, space_path, pose)


def _of_the_urdf(fault: Fault, urdf: Urdf) -> Fault:
    """A fault of what was made from the URDF, as one of the joint it was made from."""
    about = [
        j for j in urdf.movable if re.search(rf'\.{re.escape(j.name)}[._]', f'{fault.field}.')
    ]
    if '*' in fault.field:  # so it is with all of them
        about = urdf.movable
    if not about:
        return replace(fault, file=urdf.file, line=None)
    joint = max(about, key=lambda j: len(j.name))  # joint1 begins as joint1_left does
    mend = f'follows from this joint and {fault.mend}'
    return replace(fault, mend=mend, file=urdf.file, line=joint.line)


def check(urdf: Urdf) -> None:
    """What a simulation needs and a URDF may lack.

    Raises:
        InputError: every fault, with the line of its link or joint.
    """
    faults: list[Fault] = []

    def add(line: int, field: str, value: object, mend: str) -> None:
        faults.append(Fault(field, value, mend, urdf.file, line))

    if not urdf.movable:
        add(
            1,
            'joints',
            [j.name for j in urdf.joints.values()],
            'nothing to command: at least one joint must move and follow no other',
        )
    for joint in urdf.joints.values():
        if joint.type not in MOVABLE:
            continue
        line = urdf.links[joint.child].line
        solid = [urdf.links[link] for link in below(urdf, joint.child, fixed=True)]
        if not any(urdf.links[link].mass > 0 for link in below(urdf, joint.child)):
            add(
                line,
                f'link.{joint.child}.mass',
                0.0,
                f'joint {joint.name} moves no mass; give the link an <inertial>',
            )
        elif any(link.mass > 0 for link in solid) and not any(any(k.inertia) for k in solid):
            add(
                line,
                f'link.{joint.child}.inertia',
                [0.0] * 6,
                'it has mass and moves, so it has inertia; give it in <inertial>',
            )
        if joint.lower == joint.upper:
            add(
                joint.line,
                f'joint.{joint.name}.limit',
                [joint.lower, joint.upper],
                'lower must be less than upper; a joint that cannot move is fixed',
            )
        if joint.mimic is None and joint.type != 'continuous':
            for key in ('effort', 'velocity'):
                if math.isinf(getattr(joint, key)):
                    add(
                        joint.line,
                        f'joint.{joint.name}.limit.{key}',
                        None,
                        'missing; give what the drive can do',
                    )
    for link in urdf.links.values():
        for mesh in link.meshes:
            try:
                resolve_mesh(mesh, urdf.path)
            except InputError as error:
                add(link.line, f'link.{link.name}.mesh', mesh, error.faults[0].mend)
    if faults:
        raise InputError(*faults)


def below(urdf: Urdf, link: str, *, fixed: bool = False) -> set[str]:
    """A link and all that hangs from it; with ``fixed``, only what cannot move against it."""
    found = {link}
    for joint in urdf.joints.values():
        if joint.parent == link and not (fixed and joint.type in MOVABLE):
            found |= below(urdf, joint.child, fixed=fixed)
    return found


def chain(urdf: Urdf, link: str) -> list[str]:
    """A link and all that it hangs from, up to the root."""
    parent = {joint.child: joint.parent for joint in urdf.joints.values()}
    found = [link]
    while found[-1] in parent:
        found.append(parent[found[-1]])
    return found


def choose(urdf: Urdf, bare: RobotProfile, pose: DefaultPose) -> list[Drive]:
    """Gains, limits, noise and pose of every actuated joint; see the module's text."""
    drives = []
    inertia = largest_inertia(bare)
    for joint, position in zip(urdf.movable, pose.position):
        turns, moved = joint.type != 'prismatic', inertia[joint.name]
        rotor = ROTOR_ACCELERATION[turns]
        velocity = joint.velocity if math.isfinite(joint.velocity) else WHEEL_SPEED
        effort = joint.effort if math.isfinite(joint.effort) else rotor * moved
        armature = max(effort / rotor, LOAD_SHARE * moved)
        total = moved + armature
        stiff = not wheeled(urdf)
        values = {
            'armature': armature,
            'stiffness': total * SERVO**2 if stiff else 0.0,
            'damping': (2 if stiff else 1) * total * SERVO,
            'acceleration': min(velocity / FULL_SPEED, 0.5 * effort / total),
            'default_position': position,
            'position_noise': ENCODER[turns],
            'velocity_noise': 1e-3 * velocity,
            'effort_noise': 5e-3 * effort,
        }
        guessed = not math.isfinite(joint.effort + joint.velocity)
        drives.append(Drive(joint, moved, effort, velocity, guessed, values))
    return drives


def wheeled(urdf: Urdf) -> bool:
    """Whether every actuated joint turns without end: then speeds are commanded."""
    return all(joint.type == 'continuous' for joint in urdf.movable)


def largest_inertia(bare: RobotProfile) -> dict[str, float]:
    """Largest diagonal element of the mass matrix for each actuated joint, over many poses.

    Returns:
        Joint name to inertia [kg*m^2], or mass [kg] for a prismatic joint.
    """
    import pinocchio  # build_model says how to get it

    model = build_model(bare)
    data = model.createData()
    coordinates = Coordinates(model, bare)
    largest = np.zeros(len(bare.joints))
    for position in random_poses(bare, POSES):
        half = pinocchio.crba(model, data, coordinates.configuration(position))
        full = np.triu(half) + np.triu(half, 1).T  # only the upper half is always filled
        largest = np.maximum(largest, np.diag(coordinates.map.T @ full @ coordinates.map))
    return dict(zip(bare.joint_names, largest.tolist()))


def links(urdf: Urdf) -> dict[str, str]:
    """Which links the profile names, by key: tool, payload and IMU (``''``: none)."""
    actuated = {joint.child for joint in urdf.movable}
    tool = max(
        urdf.leaves(),
        # A name that says so, else the end of the longest chain of drives; the first of equals.
        key=lambda leaf: (bool(TOOL.search(leaf)), len(actuated & set(chain(urdf, leaf)))),
    )
    if wheeled(urdf):
        tool = urdf.root
    heavy = [link for link in chain(urdf, tool) if urdf.links[link].mass > 0]
    imu = [link for link in urdf.links if 'imu' in link.lower()]
    return {
        'tool_link': tool,
        'payload_link': heavy[0] if heavy else tool,
        'imu_link': imu[0] if imu else '',
    }


def profile_text(
    urdf: Urdf, drives: list[Drive], pose: DefaultPose, name: str, out_dir: Path
) -> str:
    """The profile's file."""
    near = os.path.commonpath([urdf.path, out_dir]) != os.path.sep
    path = os.path.relpath(urdf.path, out_dir) if near else str(urdf.path)
    chosen = links(urdf)
    wheels = wheeled(urdf)
    interface = 'velocity' if wheels else 'position'
    lines = [
        f'# {name}: made from {urdf.path.name}. SI units. What is not given here (limits,',
        '# friction, masses) comes from the URDF. Gains, rotor inertia and noise are chosen by',
        '# rule; replace them by what you know (data sheet, identification).',
        f'name: {_yaml(name)}',
        f'urdf: {_yaml(path)}',
        f'base_link: {_yaml(urdf.root)}  # positions are given in this frame',
        f'tool_link: {_yaml(chosen["tool_link"])}  # the link a task is about',
        f'payload_link: {_yaml(chosen["payload_link"])}  # its mass stands for a payload',
    ]
    if chosen['imu_link']:
        lines.append(f'imu_link: {_yaml(chosen["imu_link"])}')
    lines += [
        '',
        'command:',
        f'  interface: {interface}  # position, velocity or effort',
        f'  topic: {interface}_controller/commands',
        '  type: std_msgs/msg/Float64MultiArray',
        '  timeout: 0.25  # s without a command until the robot holds',
        '',
        'rates:',
        '  control_period: 0.02  # s between commands',
        '  joint_state_rate: 250  # Hz',
        '  timestep: 0.001  # s, of the simulated physics',
        '',
        'guard:  # of a policy, when joint states fail',
        *(f'  {row.name}: {row.default:g}  # {row.unit}. {row.description}' for row in GUARD),
        '',
        '# In command order. stiffness, damping: the position loop of the drives, critically',
        f'# damped at {SERVO / (2 * math.pi):g} Hz in the heaviest pose'
        + (' (here: the velocity loop).' if wheels else '.'),
        '# armature: rotor inertia seen at the joint, a guess from effort limit and load.',
        *textwrap.wrap(f'# default_position: {pose.text}.', 95, subsequent_indent='# '),
        'joints:',
    ]
    for drive in drives:
        lines += _joint_lines(drive)
    return '\n'.join(lines) + '\n'


def _joint_lines(drive: Drive) -> list[str]:
    joint = drive.joint
    turns = joint.type != 'prismatic'
    p, e, i = ('rad', 'N*m', 'kg*m^2') if turns else ('m', 'N', 'kg')
    reach = '' if joint.type == 'continuous' else f' {joint.lower:g} to {joint.upper:g} {p},'
    moves = f'moves up to {drive.inertia:.3g} {i}'
    lines = [f'  {_yaml(joint.name)}:  # {joint.type},{reach} {moves}']
    if drive.guessed:
        lines += [
            '    # The URDF gives no limits: these are guesses.',
            f'    velocity: {_number(drive.velocity)}  # {p}/s',
            f'    effort: {_number(drive.effort)}  # {e}',
        ]
    units = {
        'armature': i,
        'stiffness': f'{e}/{p}',
        'damping': f'{e}*s/{p}',
        'acceleration': f'{p}/s^2',
        'default_position': p,
        'position_noise': p,
        'velocity_noise': f'{p}/s',
        'effort_noise': e,
    }
    # The default pose is short already, and must not leave the limits.
    digits = dict.fromkeys(units, 3) | {'default_position': 17}
    return lines + [
        f'    {key}: {_number(drive.values[key], digits[key])}  # {unit}'
        for key, unit in units.items()
    ]


def space_text(profile: RobotProfile, drives: list[Drive]) -> str:
    """The randomization space's file."""
    urdf = profile.urdf
    carried = {link for drive in drives for link in below(urdf, drive.joint.child)}
    lines = [
        f'# First randomization space of {profile.name}: what is believed before it has been',
        '# identified. Keys are addresses; * stands for every joint. `combine` says how a drawn',
        '# number meets the nominal value of URDF and profile: absolute, additive or scale.',
        'parameters:',
    ]
    payload = profile.payload_link
    if payload in carried:
        most = 0.1 * sum(urdf.links[k].mass for k in chain(urdf, payload) if k in carried)
        entry = _entry('uniform', low=0.0, high=most, combine='additive', unit='kg')
        lines += [
            '  # Payload: adds to this mass, and its inertia with it. Up to a tenth of the moving',
            '  # links that carry it.',
            f'  {_yaml(f"link.{payload}.mass")}: {entry}',
            '',
        ]
    lines += [
        '  # Friction: within a factor of two of the nominal; where the URDF gives none, up to',
        '  # 5 % of the effort limit (Coulomb) and 10 % of it at full speed (viscous).',
    ]
    for drive in drives:
        joint = profile.joint(drive.joint.name)
        p, e = ('m', 'N') if joint.type == 'prismatic' else ('rad', 'N*m')
        for what, nominal, most, unit in (
            ('viscous_friction', joint.viscous_friction, 0.1 * drive.effort / drive.velocity,
             f'{e}*s/{p}'),
            ('coulomb_friction', joint.coulomb_friction, 0.05 * drive.effort, e),
        ):  # fmt: skip
            address = _yaml(f'joint.{joint.name}.{what}')
            if nominal > 0:
                entry = _entry('log_uniform', low=0.5, high=2.0, combine='scale')
                lines.append(f'  {address}: {entry}  # of {nominal:g} {unit}')
            else:
                entry = _entry('uniform', low=0.0, high=most, combine='absolute', unit=unit)
                lines.append(f'  {address}: {entry}')
    lines += [
        '  # Break-away friction exceeds the Coulomb friction of the same draw.',
        '  joint.*.static_friction: '
        + _entry('uniform', low=1.0, high=1.5, combine='scale', of='coulomb_friction'),
        '',
        '  # Rotor inertia: the profile has a guess.',
        '  joint.*.armature: ' + _entry('log_uniform', low=0.5, high=2.0, combine='scale'),
        '',
        '  # A constant load: up to 1 % of the effort limit.',
    ]
    for drive in drives:
        most = 0.01 * drive.effort
        entry = _entry('uniform', low=-most, high=most, combine='additive')
        lines.append(f'  {_yaml(f"joint.{drive.joint.name}.effort_offset")}: {entry}')
    lines += [
        '',
        '  # Drives answer late and softly.',
        '  actuator.*.time_constant: ' + _entry('uniform', low=0.0, high=0.02, unit='s'),
        '  actuator.*.delay: ' + _entry('uniform', low=0.0, high=0.01, unit='s'),
        '',
        "  # Sensors: the profile's noise, give or take.",
        *(
            f'  sensor.*_{measured}.noise: '
            + _entry('log_uniform', low=0.5, high=3.0, combine='scale')
            for measured in ('position', 'velocity', 'effort')
        ),
    ]
    return '\n'.join(lines) + '\n'


def _entry(distribution: str, **values: Any) -> str:
    """One address's entry in a space, on one line."""
    parts = [f'distribution: {distribution}'] + [
        f'{key}: {_number(value) if isinstance(value, float) else value}'
        for key, value in values.items()
    ]
    return '{' + ', '.join(parts) + '}'


def _number(value: float, digits: int = 3) -> str:
    """So many digits of a number, as every YAML reader takes it (1.0e-05)."""
    return str(yaml.safe_dump(float(f'{value:.{digits}g}'))).split()[0]


def _yaml(text: str) -> str:
    """Text as YAML: plain where that reads back, else in quotes."""
    try:
        plain = yaml.safe_load(text) == text and '#' not in text and ': ' not in text
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text)
