"""Metadata that mjlab and BeyondMimic write into their ONNX files, in the words of this suite.

Their ``metadata_props`` are lists as text with commas, numbers rounded to three decimals. They do
not say the control period. Scales, clips and histories of what is observed are said by mjlab since
1.6 (``observation_terms_*``, one entry for each term, elements of an entry with semicolons); older
ones and BeyondMimic leave them out.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

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

COLUMNS = ('scale', 'clip', 'history_length', 'flatten_history_dim')
SCALES, CLIPS, HISTORIES, FLAT = (f'observation_terms_{name}' for name in COLUMNS)
ENDLESS = float(np.finfo(np.float32).max)  # a clip that is open to one side


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
    joints = mjlab_names(properties['joint_names'])
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
        values['observation'] = mjlab_terms(properties, size, profile, faults)
        remarks.append(
            'base_ang_vel is taken from the IMU where there is one, base_lin_vel from the odometry'
        )
        if SCALES not in properties:
            remarks.append('observations are taken as unscaled, unclipped and without history')
    faults.check()
    return Description(values, remarks=tuple(remarks))


def mjlab_terms(
    properties: Mapping[str, str], size: int | None, profile: RobotProfile, faults: Faults
) -> list[dict[str, Any]]:
    """The observation's terms, in the words of the YAML; see :func:`read_mjlab`."""
    commands = mjlab_names(properties.get('command_names', ''))
    joints = len(mjlab_names(properties['joint_names']))
    terms, width = [], 0
    names = mjlab_names(properties['observation_names'])
    for name, more in zip(names, _processing(properties, names, faults)):
        kind = TERMS.get(name)
        if name in ('command', 'generated_commands') and set(commands) & set(TWISTS):
            kind = 'velocity_command'
        if name == 'base_ang_vel' and not profile.imu_link:
            kind = 'base_angular_velocity'
        if kind is None:
            mend = f'has no counterpart (commands: {", ".join(commands) or "none"}); '
            faults.add('observation_names', name, mend + 'describe observation in the YAML')
            continue
        each = joints if kind in ('joint_position', 'joint_velocity', 'previous_action') else 3
        width += each * more.get('history', 1)
        terms.append({'kind': kind, **more})
    if size not in (None, width) and not faults.found:
        mend = (
            f'are {width} elements, the model takes {size}: describe observation in the YAML, '
            'with the histories'
        )
        faults.add('observation_names', [term['kind'] for term in terms], mend)
    return terms


def _processing(
    properties: Mapping[str, str], names: list[str], faults: Faults
) -> list[dict[str, Any]]:
    """Scale, clip and history of each term, as far as the file says them.

    They clip before they scale, a bundle clips after: its bounds are theirs times the scale.
    """
    found: list[dict[str, Any]] = [{} for _ in names]
    columns = {key: _entries(properties, key, names, faults) for key in (SCALES, CLIPS, HISTORIES)}
    flat = _entries(properties, FLAT, names, faults)
    for index, (name, more) in enumerate(zip(names, found)):
        scale, clip, history = (columns[key][index] for key in columns)
        if scale not in ([], [1.0]):
            more['scale'] = scale[0] if len(scale) == 1 else scale
        if clip and not np.isinf(clip).all():
            if len(clip) != 2 or len(set(scale)) > 1:
                mend = 'one range for elements of several scales: describe observation in the YAML'
                faults.add(CLIPS, f'{name}: {clip}', mend)
                continue
            bounds = np.multiply(clip, scale[0] if scale else 1.0)
            more['clip'] = np.clip(np.sort(bounds), -ENDLESS, ENDLESS).tolist()
        if history and history != [0.0]:
            if len(history) != 1 or not history[0].is_integer():
                faults.add(HISTORIES, f'{name}: {history}', 'must be a whole number')
                continue
            more['history'] = int(history[0])
            if flat[index] == [0.0]:
                faults.add(FLAT, name, 'a history that is not flattened is not supported')
    return found


def _entries(
    properties: Mapping[str, str], key: str, names: list[str], faults: Faults
) -> list[list[float]]:
    """Numbers of each term; nothing for each when the file does not have the key."""
    if key not in properties:
        return [[] for _ in names]
    words = {'True': '1', 'False': '0'}
    entries = properties[key].split(',')
    try:
        found = [[float(words.get(w, w)) for w in entry.split(';')] for entry in entries]
    except ValueError:
        found = []
    if len(found) != len(names):
        mend = (
            f'must be one entry for each of {len(names)} terms: describe observation in the YAML'
        )
        faults.add(key, properties[key], mend)
        return [[] for _ in names]
    return found


def mjlab_names(text: str) -> list[str]:
    """A list of names: with commas, or as Python prints it (BeyondMimic nests it so)."""
    if text.strip().startswith('['):
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            found = text.strip(' []').split(',')
        names = [str(name).strip(' []\'"') for name in found]
    else:
        names = [name.strip() for name in text.split(',')]
    return [name for name in names if name]


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
