"""Encoders' zeros in a robot's description: what the encoder reads becomes the joint's position.

An encoder reads ``position + offset``. Where the joint's own zero is moved by as much, readings
are positions, and kinematics on them are right: ``origin' = origin * motion(axis, -offset)``.
Limits move along, since stops are where they were, and so does what follows the joint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_core.urdf import parse_urdf
from sim2real_core.yaml_file import read_yaml
from sim2real_sim.sdf_inertia import axis_angle, roll_pitch_yaw, rotation
from sim2real_sim.sdf_text import Element, parse

Array = npt.NDArray[np.float64]
LIMITS = (
    ('limit', ('lower', 'upper')),
    ('safety_controller', ('soft_lower_limit', 'soft_upper_limit')),
)


def shift_zeros(robot: Element, offsets: Mapping[str, float]) -> None:
    """Move the zeros of joints.

    Args:
        robot: the ``<robot>`` of a URDF; edited.
        offsets: joint to what its encoder reads too much [rad or m].
    """
    for joint in robot.all('joint'):
        offset = offsets.get(joint.get('name'), 0.0)
        if offset:
            _move_origin(joint, offset)
            if joint.get('type') != 'continuous':
                _move_limits(joint, offset)
        mimic = joint.find('mimic')
        leads = 0.0 if mimic is None else offsets.get(mimic.get('joint'), 0.0)
        if mimic is not None and leads:
            factor = float(mimic.get('multiplier', '1'))
            mimic.set('offset', repr(float(mimic.get('offset', '0')) - factor * leads))


def with_zeros(profile: RobotProfile, offsets: Mapping[str, float]) -> RobotProfile:
    """The robot whose readings are positions; limits that the profile itself gives stay."""
    document = parse(profile.urdf.text, profile.urdf.file)
    robot = document.find('robot')
    assert robot is not None  # the profile was read from it
    shift_zeros(robot, offsets)
    given = own_joints(profile)
    joints = tuple(
        replace(
            joint,
            **{
                key: getattr(joint, key) + offsets.get(joint.name, 0.0)
                for key in ('lower', 'upper')
                if key not in given.get(joint.name, {})
            },
        )
        for joint in profile.joints
    )
    return replace(profile, urdf=parse_urdf(str(document), profile.urdf.path), joints=joints)


def own_joints(profile: RobotProfile) -> dict[str, dict[str, object]]:
    """What the profile's file itself says of joints, by name."""
    joints = read_yaml(profile.path).data.get('joints') or {}
    return {name: said or {} for name, said in joints.items()}


def _move_origin(joint: Element, offset: float) -> None:
    origin = joint.make('origin')
    along = joint.find('axis')
    axis = _vector(along.get('xyz', '1 0 0') if along is not None else '1 0 0')
    axis = axis / np.linalg.norm(axis)
    roll, pitch, yaw = _vector(origin.get('rpy', '0 0 0'))
    turn = rotation((roll, pitch, yaw))
    if joint.get('type') == 'prismatic':
        place = _vector(origin.get('xyz', '0 0 0')) - offset * turn @ axis
        origin.set('xyz', _text(place))
    else:
        origin.set('rpy', _text(roll_pitch_yaw(turn @ axis_angle(axis, -offset))))


def _move_limits(joint: Element, offset: float) -> None:
    for tag, keys in LIMITS:
        element = joint.find(tag)
        if element is None:
            continue
        for key in keys:
            element.set(key, repr(float(element.get(key, '0')) + offset))


def _vector(text: str) -> Array:
    return np.array([float(number) for number in text.split()])


def _text(vector: Array) -> str:
    return ' '.join(repr(float(number)) for number in vector)
