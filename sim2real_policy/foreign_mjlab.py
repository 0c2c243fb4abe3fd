"""Metadata that mjlab and BeyondMimic write into their ONNX files, in the words of this suite.

Their ``metadata_props`` are lists as text with commas, numbers rounded to three decimals. They say
neither the control period nor scales, clips and histories of what is observed.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from sim2real_core.errors import Faults
from sim2real_policy.description import Description

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

KEYS = ('joint_names', 'default_joint_pos', 'observation_names', 'action_scale')
"""What tells such a file from others."""

TERMS = {
    'joint_pos': 'joint_position',
    'joint_pos_rel': 'joint_position',
    'joint_vel': 'joint_velocity',
    'joint_vel_rel': 'joint_velocity',
    'actions': 'previous_action',
    'last_action': 'previous_action',
    'projected_gravity': 'projected_gravity',
    'base_lin_vel': 'base_linear_velocity',
    'base_ang_vel': 'imu_angular_velocity',
    'velocity_commands': 'velocity_command',
}
"""Name of an observation there -> kind of a term here."""

TWISTS = ('twist', 'base_velocity', 'velocity')
"""Names of a command that is a twist."""


def is_mjlab(properties: Mapping[str, str]) -> bool:
    """Whether a model file has such metadata."""
    return all(key in properties for key in KEYS)


def read_mjlab(
    properties: Mapping[str, str],
    size: int | None,
    profile: RobotProfile,
    told: Container[str],
    file: str,
) -> Description:
    """What such metadata says.

    Args:
        properties: of the model file.
        size: elements of the model's observation; None when it leaves that open.
        profile: the robot; says whether there is an IMU.
        told: keys that the YAML says, so that they need not be read here.
        file: named in faults.

    Raises:
        InputError: every value that cannot be read, and every observation that has no
            counterpart here.
    """
    faults = Faults(file)
    joints = _names(properties['joint_names'])
    values: dict[str, Any] = {
        'joints': joints,
        'training': {
            'format': 'mjlab',
            **{key: properties[key] for key in ('run_path',) if key in properties},
        },
    }
    remarks = ['numbers of the file are rounded to three decimals']
    if 'default_position' not in told:
        values['default_position'] = _numbers(properties, 'default_joint_pos', joints, faults)
    if 'gains' not in told and 'joint_stiffness' in properties:
        values['gains'] = {
            name: _numbers(properties, f'joint_{name}', joints, faults)
            for name in ('stiffness', 'damping')
        }
    if 'action' not in told:
        scale = _numbers(properties, 'action_scale', joints, faults)
        values['action'] = {'meaning': 'position', 'scale': scale}
        remarks.append('the action is taken for positions about the default pose, unclipped')
    if 'observation' not in told:
        values['observation'] = _terms(properties, size, profile, faults)
        remarks.append('observations are taken as unscaled, unclipped and without history')
    faults.check()
    return Description(values, remarks=tuple(remarks))


def _terms(
    properties: Mapping[str, str], size: int | None, profile: RobotProfile, faults: Faults
) -> list[dict[str, Any]]:
    commands = _names(properties.get('command_names', ''))
    joints = len(_names(properties['joint_names']))
    terms, width = [], 0
    for name in _names(properties['observation_names']):
        kind = TERMS.get(name)
        if name in ('command', 'generated_commands') and set(commands) & set(TWISTS):
            kind = 'velocity_command'
        if name == 'base_ang_vel' and not profile.imu_link:
            kind = 'base_angular_velocity'
        if kind is None:
            mend = f'has no counterpart (commands: {", ".join(commands) or "none"}); '
            faults.add('observation_names', name, mend + 'describe observation in the YAML')
            continue
        width += joints if kind in ('joint_position', 'joint_velocity', 'previous_action') else 3
        terms.append({'kind': kind})
    if size not in (None, width) and not faults.found:
        mend = (
            f'are {width} elements, the model takes {size}: describe observation in the YAML, '
            'with the histories'
        )
        faults.add('observation_names', [term['kind'] for term in terms], mend)
    return terms


def _names(text: str) -> list[str]:
    """A list of names: with commas, or as Python prints it (BeyondMimic nests it so)."""
    if text.strip().startswith('['):
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            found = text.strip(' []').split(',')
        return [str(name).strip(' \'"') for name in found]
    return [name.strip() for name in text.split(',') if name.strip()]


def _numbers(
    properties: Mapping[str, str], key: str, joints: list[str], faults: Faults
) -> float | list[float]:
    """One number for all joints, or one each."""
    text = properties.get(key, '')
    try:
        found = [float(word) for word in text.strip(' []').split(',')]
    except ValueError:
        found = []
    if len(found) == 1:
        return found[0]
    if len(found) != len(joints):
        words = {'action_scale': 'action', 'default_joint_pos': 'default_position'}
        mend = f'must be 1 or {len(joints)} numbers: say {words.get(key, "gains")} in the YAML'
        faults.add(key, text, mend)
    return found
