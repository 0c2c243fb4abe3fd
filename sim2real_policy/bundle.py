"""A policy in one file that says everything about itself.

A bundle is an ONNX model whose ``metadata_props`` carry, as JSON under ``sim2real.*``, what a
robot must know to run it: see :class:`BundleMetadata`. All its inputs and outputs are float32: the
observation (n, size), images (n, ...) and recurrent state where the metadata names them, and the
action (n, command elements). Floats of the metadata are written so that reading gives the same
bits. ``sim2real.content_hash`` is the SHA-256 of the whole file with that hash itself written as
zeros, so any change of weights or metadata is noticed when the bundle is loaded.

Writing needs ``onnx`` (a workstation), loading only ``onnxruntime`` (a robot).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim2real_core.errors import Fault, Faults, InputError, MissingError
from sim2real_policy.action import MEANINGS
from sim2real_policy.guard import Limits
from sim2real_policy.images import ImageInput
from sim2real_policy.metadata import (
    PREFIX,
    BundleMetadata,
    Gains,
    Goal,
    Normalizer,
    Range,
    RecurrentState,
)
from sim2real_policy.metadata_reader import HASH_KEY
from sim2real_policy.model_ends import Ends, model_ends
from sim2real_policy.observation import KINDS, TOPICS

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

__all__ = [
    'Bundle',
    'BundleMetadata',
    'Gains',
    'Goal',
    'ImageInput',
    'Normalizer',
    'Range',
    'RecurrentState',
    'check_robot',
    'load_bundle',
    'open_session',
    'write_bundle',
]

# The entry as protobuf writes it: key, tag of the value, its length (64), 64 hexadecimal digits.
_HASH_ENTRY = re.compile(re.escape(HASH_KEY).encode() + rb'\x12\x40([0-9a-f]{64})')
_ZEROS = '0' * 64
_HOW = 'sim2real policy export makes one of a network'

CPU = ('CPUExecutionProvider',)


@dataclass(frozen=True)
class Bundle:
    """A loaded and verified bundle.

    Attributes:
        meta: its metadata.
        path: its file.
        content_hash: SHA-256 that was verified.
        model: the bytes of the file, as verified.
        ends: the model's inputs and outputs.
    """

    meta: BundleMetadata
    path: Path
    content_hash: str
    model: bytes = field(repr=False)
    ends: Ends


def write_bundle(model: bytes | str | Path, meta: BundleMetadata, path: str | Path) -> Bundle:
    """Write a bundle and read it back.

    Args:
        model: an ONNX model, or its file (with external data beside it, if it has any).
        meta: what to say about it; replaces what it said before.
        path: file to write; whole or not at all.

    Raises:
        InputError: the model does not fit the metadata.
        MissingError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingError('onnx is needed to write a bundle: pip install onnx') from error
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    kept = [p for p in proto.metadata_props if not p.key.startswith(PREFIX)]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    for key, value in {**meta.to_properties(), HASH_KEY: _ZEROS}.items():
        proto.metadata_props.add(key=key, value=value)
    unsigned = proto.SerializeToString(deterministic=True)
    digest = hashlib.sha256(unsigned).hexdigest()
    entry = _HASH_ENTRY.search(unsigned)
    assert entry is not None  # it was just added
    start = entry.start(1)
    signed = unsigned[:start] + digest.encode() + unsigned[start + 64 :]
    path = Path(path)
    bundle = _verified(signed, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + '.part')
    part.write_bytes(signed)
    part.replace(path)
    return bundle


def load_bundle(path: str | Path) -> Bundle:
    """Load and verify a bundle.

    Raises:
        InputError: unreadable, changed after it was written, or wrong metadata; every fault.
        MissingError: onnxruntime is not installed.
    """
    path = Path(path)
    try:
        model = path.read_bytes()
    except OSError as error:
        raise InputError(Fault('bundle', str(path), f'give a readable file ({error})')) from error
    return _verified(model, path)


def _verified(model: bytes, path: Path) -> Bundle:
    found = list(_HASH_ENTRY.finditer(model))
    if len(found) != 1:
        raise InputError(Fault(HASH_KEY, len(found), f'not a bundle: {_HOW}', str(path)))
    start = found[0].start(1)
    unsigned = model[:start] + _ZEROS.encode() + model[start + 64 :]
    digest = hashlib.sha256(unsigned).hexdigest()
    said = found[0].group(1).decode()
    if digest != said:
        mend = f'the content hashes to {digest}: changed after it was written; write it anew'
        raise InputError(Fault(HASH_KEY, said, mend, str(path)))
    session = open_session(model, str(path))
    properties = session.get_modelmeta().custom_metadata_map
    meta = BundleMetadata.from_properties(properties, file=str(path))
    return Bundle(meta, path, digest, model, model_ends(session, meta, str(path)))


def open_session(model: bytes, name: str, providers: Sequence[Any] = CPU) -> Any:
    """An ONNX Runtime session: one thread, the same bits every time.

    Args:
        model: an ONNX model.
        name: named in faults.
        providers: what runs it, as ONNX Runtime takes them; the CPU if not given.

    Raises:
        InputError: not a model that ONNX Runtime can run.
        MissingError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingError(
            'onnxruntime is needed to run a bundle: pip install onnxruntime'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=[*providers])
    except Exception as error:  # its errors have no common base but this
        raise InputError(Fault('model', name, f'ONNX Runtime refuses it: {error}')) from error


def check_robot(meta: BundleMetadata, profile: RobotProfile) -> Limits:
    """Whether a robot can run a policy.

    Returns:
        The limits that count: the tighter of bundle and robot, in the policy's joint order.

    Raises:
        InputError: every reason why it cannot.
    """
    faults = Faults()
    if meta.robot != profile.name:
        mend = f'this robot is {profile.name}: give a bundle that was trained for it'
        faults.add('bundle.robot', meta.robot, mend)
    has = ', '.join(profile.joint_names)
    absent = [name for name in meta.joints if name not in profile.joint_names]
    for name in absent:
        faults.add('bundle.joints', name, f'{profile.name} has no such joint; it has: {has}')
    takes = profile.command_names
    for name in takes:
        if name not in meta.command_names:
            mend = f'{name} of {profile.name} gets no command'
            faults.add(f'bundle.{"commands" if meta.commands else "joints"}', takes, mend)
    for name in meta.commands:
        if name not in takes:
            absent.append(name)
            faults.add('bundle.commands', name, f'{profile.name} takes {", ".join(takes)}')
    interface = profile.command.interface
    if MEANINGS[meta.action.meaning] != interface:
        mend = f'{profile.name} takes {interface} commands'
        faults.add('bundle.action.meaning', meta.action.meaning, mend)
    period = meta.control_period
    if period >= profile.command.timeout:
        mend = f'must be shorter than command.timeout ({profile.command.timeout:g} s)'
        faults.add('bundle.control_period', period, mend)
    if period * profile.rates.joint_state_rate < 0.999:
        mend = f'needs a joint state each; rates.joint_state_rate is {1 / period:g} Hz at least'
        faults.add('bundle.control_period', period, mend)
    in_base = meta.goal.kind in ('tool_position', 'base_velocity')
    if in_base and meta.goal.frame != profile.base_link:
        mend = f'the base link of {profile.name} is {profile.base_link}'
        faults.add('bundle.goal.frame', meta.goal.frame, mend)
    link = meta.observation.tool_link
    if link and link not in profile.link_names:
        faults.add('bundle.observation.source', link, f'{profile.name} has no such link')
    for kind, inputs in KINDS.items():
        from_imu = 'imu' in {TOPICS.get(name) for name in inputs}
        if from_imu and set(inputs) <= meta.observation.inputs and not profile.imu_link:
            faults.add('bundle.observation', kind, f'{profile.name} names no imu_link')
    limits = meta.limits
    if not absent:
        try:
            limits = meta.limits.tightest(Limits.of(profile, meta.command_names))
        except InputError as error:
            for fault in error.faults:
                mend = f'{fault.mend}: bundle and {profile.name} have no range in common'
                faults.add(f'bundle.limits.{fault.field}', fault.value, mend)
        else:
            _check_pose(meta, profile, faults)
    faults.check()
    return limits


def _check_pose(meta: BundleMetadata, profile: RobotProfile, faults: Faults) -> None:
    """The pose that positions count from must be one that the robot can take."""
    for index, (name, position) in enumerate(zip(meta.joints, meta.default_position)):
        joint = profile.joint(name)
        low, high = joint.lower, joint.upper
        if not meta.commands:
            low = max(low, meta.limits.lower[index])
            high = min(high, meta.limits.upper[index])
        if not low <= position <= high:
            mend = f'is outside the limits of {name} of {profile.name}, {low:g} to {high:g}'
            faults.add(f'bundle.default_position[{index}]', position, mend)
