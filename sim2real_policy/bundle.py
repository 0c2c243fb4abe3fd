"""A policy in one file that says everything about itself.

A bundle is an ONNX model (one float32 input (n, size of the observation), one float32 output
(n, number of joints)) whose ``metadata_props`` carry, as JSON under ``sim2real.*``, what a robot
must know to run it: see :class:`BundleMetadata`. Floats are written so that reading gives the same
bits. ``sim2real.content_hash`` is the SHA-256 of the whole file with that hash itself written as
zeros, so any change of weights or metadata is noticed when the bundle is loaded.

Writing needs ``onnx`` (a workstation), loading only ``onnxruntime`` (a robot).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sim2real_core.errors import Fault, Faults, InputError, MissingError
from sim2real_policy.action import MEANINGS, Action, is_number, vector
from sim2real_policy.guard import LIMITS, Limits
from sim2real_policy.observation import KINDS, ObservationLayout, Term

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

SCHEMA = 1
PREFIX = 'sim2real.'
GOALS = ('none', 'tool_position')

_HASH_KEY = f'{PREFIX}content_hash'
# The entry as protobuf writes it: key, tag of the value, its length (64), 64 hexadecimal digits.
_HASH_ENTRY = re.compile(re.escape(_HASH_KEY).encode() + rb'\x12\x40([0-9a-f]{64})')
_ZEROS = '0' * 64

Part = TypeVar('Part')


@dataclass(frozen=True, kw_only=True)
class Normalizer:
    """The network sees ``(observation - mean) / std``; (size of the observation,) each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ('mean', 'std'):
            object.__setattr__(self, name, vector(faults, name, getattr(self, name)))
        for index, value in enumerate(self.std):
            if value <= 0:
                faults.add(f'std[{index}]', value, 'must be positive')
        faults.check()


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the goal of the policy is.

    Attributes:
        kind: ``tool_position`` (where the tool shall be) or ``none``.
        frame: frame that goals are given in: the robot's base link.
    """

    kind: str = 'none'
    frame: str = ''

    def __post_init__(self) -> None:
        faults = Faults()
        if self.kind not in GOALS:
            faults.add('kind', self.kind, f'must be one of {", ".join(GOALS)}')
        if not isinstance(self.frame, str) or (self.kind != 'none') != bool(self.frame):
            faults.add('frame', self.frame, 'name the frame of goals, and only where there is one')
        faults.check()


@dataclass(frozen=True, kw_only=True)
class BundleMetadata:
    """All that a robot must know of a policy. SI units.

    Attributes:
        robot: name of the robot it was trained for.
        joints: names of its joints; the order of everything below that is per joint.
        observation: what it sees (terms, or a layout of these joints).
        action: what its output means.
        limits: within which it was trained to move; the robot's own still count.
        default_position: (nj,) pose that positions count from [rad or m].
        control_period: time between two actions [s].
        goal: what its goal is.
        normalizer: of the observation; None when the network has it inside, or needs none.
        space: content hash of the randomization space it was trained in, or ``''``.
        profile: content hash of the robot profile it was trained with, or ``''``.
        training: how it came about; anything JSON can say.
    """

    robot: str
    joints: tuple[str, ...]
    observation: ObservationLayout
    action: Action
    limits: Limits
    default_position: tuple[float, ...]
    control_period: float
    goal: Goal = field(default_factory=Goal)
    normalizer: Normalizer | None = None
    space: str = ''
    profile: str = ''
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = Faults()
        put = object.__setattr__
        for name in ('robot', 'space', 'profile'):
            value = getattr(self, name)
            if not isinstance(value, str) or (name == 'robot' and not value):
                faults.add(name, value, 'must be text')
        put(self, 'joints', tuple(self.joints))
        if not self.joints or len(set(self.joints)) != len(self.joints):
            faults.add('joints', self.joints, 'must be different names, at least one')
        put(self, 'default_position', vector(faults, 'default_position', self.default_position))
        if not is_number(self.control_period) or not 1e-4 <= self.control_period <= 10.0:
            faults.add('control_period', self.control_period, 'must be from 0.0001 to 10 s')
        else:
            put(self, 'control_period', float(self.control_period))
        try:
            if not isinstance(self.observation, ObservationLayout):
                put(self, 'observation', ObservationLayout(self.observation, self.joints))
            self._check_sizes(faults)
        except InputError as error:
            faults.extend(error)
        try:
            put(self, 'training', json.loads(json.dumps(dict(self.training), allow_nan=False)))
        except (TypeError, ValueError) as error:
            faults.add('training', self.training, f'must be what JSON can say ({error})')
        faults.check()

    def _check_sizes(self, faults: Faults) -> None:
        count = len(self.joints)
        for name, values in (
            ('default_position', self.default_position),
            ('action.scale', self.action.scale),
            ('limits.lower', self.limits.lower),
        ):
            if len(values) != count:
                faults.add(name, values, f'must have {count} elements, one for each joint')
        if self.observation.joints != self.joints:
            faults.add('observation', self.observation.joints, f'must be of {self.joints}')
        size = self.observation.size
        if self.normalizer is not None:
            for name in ('mean', 'std'):
                values = getattr(self.normalizer, name)
                if len(values) != size:
                    mend = f'must have {size} elements, as the observation'
                    faults.add(f'normalizer.{name}', values, mend)
        if 'goal' in self.observation.inputs and self.goal.kind == 'none':
            faults.add('goal.kind', 'none', 'the observation shows a goal: say what it is')

    @classmethod
    def for_robot(
        cls,
        profile: RobotProfile,
        observation: Iterable[Term],
        action: Action,
        *,
        control_period: float | None = None,
        normalizer: Normalizer | None = None,
        space: str = '',
        training: Mapping[str, Any] | None = None,
    ) -> BundleMetadata:
        """Metadata of a policy for all joints of a robot, in its order, pose and limits."""
        layout = ObservationLayout(observation, profile.joint_names)
        aimed = 'goal' in layout.inputs
        return cls(
            robot=profile.name,
            joints=profile.joint_names,
            observation=layout,
            action=action,
            limits=Limits.of(profile),
            default_position=tuple(joint.default_position for joint in profile.joints),
            control_period=control_period or profile.rates.control_period,
            goal=Goal(kind='tool_position', frame=profile.base_link) if aimed else Goal(),
            normalizer=normalizer,
            space=space,
            profile=profile.content_hash,
            training=training or {},
        )

    def to_properties(self) -> dict[str, str]:
        """As ``metadata_props`` (without the hash); :meth:`from_properties` gives it back."""
        limits = {  # JSON has no infinity: null is no limit
            name: [value if math.isfinite(value) else None for value in getattr(self.limits, name)]
            for name in LIMITS
        }
        values: dict[str, Any] = {
            'schema': SCHEMA,
            'robot': self.robot,
            'joints': self.joints,
            'observation': self.observation.to_json(),
            'action': asdict(self.action),
            'limits': limits,
            'default_position': self.default_position,
            'control_period': self.control_period,
            'goal': asdict(self.goal),
            'normalizer': asdict(self.normalizer) if self.normalizer else None,
            'space': self.space,
            'profile': self.profile,
            'training': self.training,
        }
        return {PREFIX + name: json.dumps(v, allow_nan=False) for name, v in values.items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], *, file: str = '') -> BundleMetadata:
        """Read metadata.

        Args:
            properties: as in the file; names without ``sim2real.`` are somebody else's.
            file: named in faults.

        Raises:
            InputError: every fault, missing and unknown fields included.
        """
        return _Reader(properties, file).read()


@dataclass(frozen=True)
class Bundle:
    """A loaded and verified bundle.

    Attributes:
        meta: its metadata.
        path: its file.
        content_hash: SHA-256 that was verified.
        model: the bytes of the file, as verified.
    """

    meta: BundleMetadata
    path: Path
    content_hash: str
    model: bytes = field(repr=False)


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
    for key, value in {**meta.to_properties(), _HASH_KEY: _ZEROS}.items():
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
        raise InputError(
            Fault(_HASH_KEY, len(found), 'not a bundle: write it with write_bundle', str(path))
        )
    start = found[0].start(1)
    unsigned = model[:start] + _ZEROS.encode() + model[start + 64 :]
    digest = hashlib.sha256(unsigned).hexdigest()
    said = found[0].group(1).decode()
    if digest != said:
        mend = f'the content hashes to {digest}: changed after it was written; write it anew'
        raise InputError(Fault(_HASH_KEY, said, mend, str(path)))
    session = open_session(model, str(path))
    properties = session.get_modelmeta().custom_metadata_map
    meta = BundleMetadata.from_properties(properties, file=str(path))
    faults = Faults(str(path))
    for kind, ends, size in (
        ('input', session.get_inputs(), meta.observation.size),
        ('output', session.get_outputs(), len(meta.joints)),
    ):
        if len(ends) != 1:
            faults.add(f'model.{kind}s', [e.name for e in ends], f'must be exactly one {kind}')
        elif ends[0].type != 'tensor(float)' or len(ends[0].shape) != 2:
            faults.add(f'model.{kind}', f'{ends[0].type} {ends[0].shape}', 'must be float (n, k)')
        elif isinstance(ends[0].shape[1], int) and ends[0].shape[1] != size:
            faults.add(f'model.{kind}', ends[0].shape, f'must be (n, {size})')
    faults.check()
    return Bundle(meta, path, digest, model)


def open_session(model: bytes, name: str) -> Any:
    """An ONNX Runtime session: CPU, one thread, the same bits every time.

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
        return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
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
    for name in profile.joint_names:
        if name not in meta.joints:
            faults.add('bundle.joints', meta.joints, f'{name} of {profile.name} gets no command')
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
    if meta.goal.kind != 'none' and meta.goal.frame != profile.base_link:
        mend = f'the base link of {profile.name} is {profile.base_link}'
        faults.add('bundle.goal.frame', meta.goal.frame, mend)
    link = meta.observation.tool_link
    if link and link not in profile.link_names:
        faults.add('bundle.observation.source', link, f'{profile.name} has no such link')
    imu = {'angular_velocity', 'linear_acceleration'} & meta.observation.inputs
    if imu and not profile.imu_link:
        kinds = [kind for kind, inputs in KINDS.items() if imu & set(inputs)]
        faults.add('bundle.observation', kinds, f'{profile.name} names no imu_link')
    limits = meta.limits
    if not absent:
        try:
            limits = meta.limits.tightest(Limits.of(profile, meta.joints))
        except InputError as error:
            for fault in error.faults:
                mend = f'{fault.mend}: bundle and {profile.name} have no range in common'
                faults.add(f'bundle.limits.{fault.field}', fault.value, mend)
        else:
            outside = (np.array(meta.default_position) < limits.array('lower')) | (
                np.array(meta.default_position) > limits.array('upper')
            )
            for index in np.flatnonzero(outside):
                name = f'bundle.default_position[{index}]'
                mend = f'is outside the limits of {meta.joints[index]} of {profile.name}'
                faults.add(name, meta.default_position[index], mend)
    faults.check()
    return limits


class _Reader(Faults):
    """Reads metadata, collecting faults under their field names."""

    def __init__(self, properties: Mapping[str, str], file: str) -> None:
        super().__init__(file)
        self.properties = properties

    def read(self) -> BundleMetadata:
        fields = ('schema', *BundleMetadata.__dataclass_fields__)
        known = {PREFIX + name for name in fields} | {_HASH_KEY}
        for key, text in self.properties.items():
            if key.startswith(PREFIX) and key not in known:
                self.add(key, text, 'unknown; a newer version of this suite may know it')
        raw = {name: self.json(PREFIX + name) for name in fields}
        if raw['schema'] != SCHEMA and f'{PREFIX}schema' in self.properties:
            self.add(f'{PREFIX}schema', raw['schema'], f'must be {SCHEMA}')
        del raw['schema']
        joints = raw['joints']
        if not isinstance(joints, list) or not all(isinstance(name, str) for name in joints):
            self.add(f'{PREFIX}joints', joints, 'must be a list of names')
            joints = []
        raw['joints'] = tuple(joints)
        if not isinstance(raw['training'], dict):
            self.add(f'{PREFIX}training', raw['training'], 'must be a mapping')
            raw['training'] = {}
        raw['action'] = self.part('action', Action, raw['action'])
        raw['goal'] = self.part('goal', Goal, raw['goal'])
        if raw['normalizer'] is not None:
            raw['normalizer'] = self.part('normalizer', Normalizer, raw['normalizer'])
        raw['limits'] = self.part('limits', Limits, _unlimited(raw['limits']))
        if joints:
            try:
                raw['observation'] = ObservationLayout.from_json(raw['observation'], joints)
            except InputError as error:
                self.nested('', error)
        # What could be read is checked as a whole only when every part could be.
        self.check()
        try:
            return BundleMetadata(**raw)
        except InputError as error:
            self.nested('', error)
        self.check()
        raise AssertionError('an InputError names at least one fault')

    def json(self, key: str) -> Any:
        """One property parsed; a fault and None when it is missing or no JSON."""
        if key not in self.properties:
            self.add(key, None, 'missing; write the bundle anew')
            return None
        try:
            return json.loads(self.properties[key])
        except ValueError as error:
            self.add(key, self.properties[key], f'must be JSON ({error})')
            return None

    def part(self, name: str, kind: type[Part], values: Any) -> Part | None:
        """A nested record; its faults get its name in front."""
        if PREFIX + name not in self.properties:
            return None  # already named
        wanted = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        if not isinstance(values, Mapping) or set(values) != set(wanted):
            self.add(PREFIX + name, values, f'must have exactly {", ".join(wanted)}')
            return None
        try:
            return kind(**values)
        except InputError as error:
            self.nested(f'{name}.', error)
            return None

    def nested(self, before: str, error: InputError) -> None:
        """Take over faults, with the file's field names."""
        for fault in error.faults:
            self.add(PREFIX + before + fault.field, fault.value, fault.mend)


def _unlimited(limits: Any) -> Any:
    """Limits as read from JSON, with null turned into infinity."""
    if not isinstance(limits, Mapping):
        return limits
    return {
        name: [(-math.inf if name == 'lower' else math.inf) if v is None else v for v in values]
        if isinstance(values, list)
        else values
        for name, values in limits.items()
    }
