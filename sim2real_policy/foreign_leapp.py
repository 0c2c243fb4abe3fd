"""Policies that LEAPP exported: a YAML file and the ONNX models that it names.

Their inputs and outputs are physical quantities (absolute joint positions, an orientation), named
by ``kind`` and ``element_names``; scaling, histories and feedback lie inside. Here they become one
model with one observation, of which each of their inputs takes its elements.

See https://nvidia-isaac.github.io/leapp for the format (``generated_configs``); Isaac Lab's
exporter adds ``isaaclab_connection``, which says what of the simulation a port was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.yaml_file import read_yaml
from sim2real_policy.bundle import open_session
from sim2real_policy.description import Description
from sim2real_policy.export import Network
from sim2real_policy.observation import KINDS, ObservationLayout, Term
from sim2real_policy.onnx_graph import (
    begun_state,
    joined,
    keep_outputs,
    load_model,
    picked_inputs,
    picked_output,
)

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile
Array32 = npt.NDArray[np.float32]

INPUTS = {
    'state/joint/position': 'joint_position',
    'state/joint/velocity': 'joint_velocity',
    'state/joint/effort': 'joint_effort',
    'state/body/rotation': 'imu_orientation',
    'state/body/angular_velocity': 'imu_angular_velocity',
    'state/body/linear_acceleration': 'imu_linear_acceleration',
    'state/body/linear_velocity': 'base_linear_velocity',
    'command/body/velocity': 'velocity_command',
}
"""Kind of an input there -> kind of a term here."""

CONNECTIONS = {'projected_gravity_b': 'projected_gravity'}
"""Property that an input of Isaac Lab was -> kind of a term here; goes before its ``kind``."""

GAINS = {'kp': 'stiffness', 'kd': 'damping'}

OUTPUTS = {
    'target/joint/position': 'position',
    'target/joint/velocity': 'velocity',
    'target/joint/effort': 'effort',
    'target/joint/torques': 'effort',
}
"""Kind of an output there -> meaning of an action here."""

QUATERNION = {'qx': 'x', 'qy': 'y', 'qz': 'z', 'qw': 'w'}
TWIST = dict(zip(('lin_vel_x', 'lin_vel_y', 'ang_vel_z'), ('linear.x', 'linear.y', 'angular.z')))
PLAIN = {'velocity_command': ('linear.x', 'linear.y', 'angular.z'), '': ('x', 'y', 'z')}


@dataclass(frozen=True)
class _Port:
    """An input or output: ``node/name``, shape, kind, names of its elements."""

    name: str
    shape: tuple[int, ...]
    kind: str
    elements: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_leapp(path: Path, profile: RobotProfile, told: Container[str]) -> Network:
    """Read what LEAPP exported.

    Args:
        path: its YAML file; the models lie beside it.
        profile: the robot it is for; gives the order of the joints.
        told: keys that the YAML of this suite says.

    Raises:
        InputError: everything that cannot be understood or is not supported, by its name.
        MissingError: onnx is not installed.
    """
    if 'default_position' in told:
        mend = 'leave it out: positions of LEAPP are absolute, whatever they count from here'
        raise InputError(Fault('default_position', '', mend))
    return _Reader(path, profile).read()


def is_leapp(data: Mapping[str, Any]) -> bool:
    """Whether a YAML file is one of LEAPP."""
    return 'models' in data and 'pipeline' in data


class _Reader(Faults):
    """Reads the YAML, collecting faults."""

    def __init__(self, path: Path, profile: RobotProfile) -> None:
        file = read_yaml(path)
        super().__init__(str(path), file.lines)
        self.path, self.profile = path, profile
        if not is_leapp(file.data):
            raise InputError(Fault('models', None, 'not a file of LEAPP', str(path)))
        self.models: Mapping[str, Any] = file.data['models']
        self.pipeline: Mapping[str, Any] = file.data['pipeline']
        self.remarks: list[str] = []

    def read(self) -> Network:
        """See :func:`read_leapp`."""
        files = self.files()
        ports = {side: self.ports(side) for side in ('inputs', 'outputs')}
        wires = self.wires('data_flow')
        states = self.states(ports)
        self.check()
        fed = set(wires) | {state['input'] for state in states}
        entries = [port for name, port in ports['inputs'].items() if name not in fed]
        meaning, targets = self.targets(ports['outputs'], {s['output'] for s in states})
        terms = self.terms(entries)
        self.check()
        layout = ObservationLayout([Term(**term) for term in terms], self.profile.joint_names)
        picks = {port.name: (self.pick(port, layout), port.shape) for port in entries}
        order = self.order(targets)
        first = self.first_values(states)
        self.check()
        pipeline = Pipeline(files, wires, {s['input']: s['output'] for s in states}, first)
        values = self.values(terms, meaning, states)
        values |= self.gains(pipeline, ports)
        model = joined({name: load_model(str(file)) for name, file in files.items()}, wires)
        if any(map(np.any, first.values())):
            values['state'] = [*states, begun_state(model, first)]
        picked_inputs(model, 'observation', layout.size, picks)
        sources = [port.name for port in targets]
        picked_output(model, 'action', sources, order)
        keep_outputs(model, ['action', *(state['output'] for state in values['state'])])
        merged = model.SerializeToString()
        return Network(
            lambda meta: merged,
            Description(values, remarks=tuple(self.remarks)),
            lambda meta: LeappReference(pipeline, picks, sources, order),
        )

    def values(
        self, terms: list[dict[str, Any]], meaning: str, states: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """In the words of the YAML of this suite."""
        default = self.profile.array('default_position')
        offset = (-default).tolist() if meaning == 'position' else 0.0
        values: dict[str, Any] = {
            'joints': list(self.profile.joint_names),
            'observation': terms,
            'action': {'meaning': meaning, 'scale': 1.0, 'offset': offset},
            'default_position': default.tolist(),
            'state': states,
            'training': {'format': 'leapp'},
        }
        frequency = (self.pipeline.get('configs') or {}).get('frequency')
        if isinstance(frequency, (int, float)) and frequency > 0:
            values['control_period'] = 1.0 / frequency
        return values

    def files(self) -> dict[str, Path]:
        """File of each model, whose hash is what the YAML says."""
        found = {}
        for name, model in self.models.items():
            about = model.get('parameters') or {}
            backend, file = str(about.get('backend', '')), about.get('model_path')
            here: tuple[object, ...] = ('models', name, 'parameters')
            if not backend.startswith('onnx'):
                mend = 'must be onnx: export with onnx-dynamo or onnx-torchscript'
                self.add(f'models.{name}.parameters.backend', backend, mend, path=here)
                continue
            path = self.path.parent / str(file)
            if not path.is_file():
                mend = 'no such file beside the YAML'
                self.add(f'models.{name}.parameters.model_path', file, mend, path=here)
                continue
            said = about.get('sha256sum')
            if said and hashlib.sha256(path.read_bytes()).hexdigest() != str(said):
                mend = f'{file} was changed after it was exported'
                self.add(f'models.{name}.parameters.sha256sum', said, mend, path=here)
            found[name] = path
        return found

    def ports(self, side: str) -> dict[str, _Port]:
        """Inputs or outputs of all models."""
        found = {}
        for node, model in self.models.items():
            for item in model.get(side) or ():
                name = f'{node}/{item.get("name")}'
                if item.get('dtype', 'float32') != 'float32':
                    self.add(f'{name}.dtype', item['dtype'], 'must be float32')
                shape = tuple(item.get('shape') or ())
                if any(type(size) is not int or size < 1 for size in shape):
                    self.add(f'{name}.shape', list(shape), 'must be fixed')
                    continue
                kind, connection = str(item.get('kind') or ''), item.get('isaaclab_connection')
                moving = kind.endswith(('_velocity', '_acceleration'))
                if moving and str(connection).endswith('_w'):
                    mend = f'{kind} in the world frame is not known to a robot'
                    self.add(f'{name}.isaaclab_connection', connection, mend)
                kind = CONNECTIONS.get(str(connection).rpartition(':')[2], kind)
                found[name] = _Port(name, shape, kind, self.elements(name, item))
        return found

    def elements(self, name: str, item: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the elements, along the last axis; the others must be of size one."""
        named = item.get('element_names')
        if isinstance(named, str):
            named = [named]
        named = named or []
        if '__temporal_axis__' in named:
            self.add(f'{name}.element_names', '__temporal_axis__', 'chunks are not supported')
            return ()
        last = named[-1] if named and isinstance(named[-1], list) else named
        return tuple(str(word) for word in last or ())

    def wires(self, flow: str) -> dict[str, str]:
        """Input -> the output it is fed from."""
        edges = self.pipeline.get(flow) or {}
        return {target: source for source, targets in edges.items() for target in targets}

    def states(self, ports: Mapping[str, Mapping[str, _Port]]) -> list[dict[str, Any]]:
        """What is fed back from one step to the next."""
        found = []
        for target, source in self.wires('feedback_flow').items():
            if target not in ports['inputs'] or source not in ports['outputs']:
                self.add('pipeline.feedback_flow', f'{source}: {target}', 'no such ports')
                continue
            shape = list(ports['inputs'][target].shape)
            found.append({'input': target, 'output': source, 'shape': shape})
        outputs = [state['output'] for state in found]
        if len(set(outputs)) != len(outputs):
            self.add('pipeline.feedback_flow', outputs, 'an output may feed one input only')
        return found

    def first_values(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Array32]:
        """What each state starts with: zeros, where nothing else is said."""
        file = self.pipeline.get('initial_values')
        told = _safetensors(self.path.parent / str(file)) if file else {}
        found = {}
        for name in sorted(set(told) - {state['input'] for state in states}):
            if np.any(told[name]):
                self.add('pipeline.initial_values', name, 'nothing is fed back to such an input')
        for name, shape in ((state['input'], tuple(state['shape'])) for state in states):
            values = told.get(name, np.zeros(shape)).astype(np.float32)
            if values.shape != shape or not np.isfinite(values).all():
                mend = f'must be {list(shape)} finite numbers'
                self.add('pipeline.initial_values', f'{name}: {list(values.shape)}', mend)
            found[name] = values
        return found

    def gains(
        self, pipeline: Pipeline, sides: Mapping[str, Mapping[str, _Port]]
    ) -> dict[str, Any]:
        """Of the position loop, where the models say them for each joint and as constants."""
        ports = [port for port in sides['outputs'].values() if port.kind in GAINS]
        if not ports:
            return {}
        given: dict[str, dict[str, float]] = {name: {} for name in GAINS.values()}
        shapes = {name: port.shape for name, port in sides['inputs'].items()}
        try:
            low, high = (pipeline.ends(value, shapes) for value in (0.0, 1.0))
        except Exception:  # whatever a model raises that takes something else than its YAML says
            low, high = {}, {}
        for port in ports:
            if port.name in low and np.array_equal(low[port.name], high[port.name]):
                numbers = np.ravel(low[port.name]).tolist()
                given[GAINS[port.kind]] |= dict(zip(port.elements, numbers))
        joints = set(self.profile.joint_names)
        if all(set(names) == joints for names in given.values()):
            return {'gains': given}
        self.remarks += [f'output {port.name} ({port.kind}) is not used' for port in ports]
        return {}

    def targets(self, outputs: Mapping[str, _Port], fed_back: set[str]) -> tuple[str, list[_Port]]:
        """What is commanded, and by which outputs."""
        chosen = self.pipeline.get('outputs') or {}
        names = [f'{node}/{name}' for node, given in chosen.items() for name in given]
        ports = [outputs[name] for name in names if name in outputs]
        found = [port for port in ports if port.kind in OUTPUTS]
        meanings = sorted({OUTPUTS[port.kind] for port in found})
        if len(meanings) != 1:
            mend = f'exactly one kind must be commanded, of {", ".join(OUTPUTS)}'
            self.add('pipeline.outputs', {port.name: port.kind for port in ports}, mend)
        for port in ports:
            if port not in found and port.kind not in GAINS and port.name not in fed_back:
                self.remarks.append(f'output {port.name} ({port.kind or "no kind"}) is not used')
        return (meanings or [''])[0], found

    def terms(self, entries: Sequence[_Port]) -> list[dict[str, Any]]:
        """A term for each kind of input."""
        kinds: dict[str, dict[str, Any]] = {}
        for port in entries:
            kind = INPUTS.get(port.kind, port.kind if port.kind in CONNECTIONS.values() else None)
            if kind == 'imu_angular_velocity' and not self.profile.imu_link:
                kind = 'base_angular_velocity'
            if kind is None:
                mend = f'has no counterpart; known: {", ".join(INPUTS)}'
                self.add(f'{port.name}.kind', port.kind, mend)
                continue
            term: dict[str, Any] = {'kind': kind}
            if kind == 'joint_position':  # theirs are absolute, ours count from the default pose
                term['offset'] = (-self.profile.array('default_position')).tolist()
            kinds.setdefault(kind, term)
        return list(kinds.values())

    def pick(self, port: _Port, layout: ObservationLayout) -> list[int]:
        """Where the elements of an input are in the observation."""
        kind = INPUTS.get(port.kind, port.kind)
        if f'{kind}.x' not in layout.labels and kind == 'imu_angular_velocity':
            kind = 'base_angular_velocity'
        names = port.elements
        if not names and KINDS[kind][0] not in ('position', 'velocity', 'effort', 'orientation'):
            names = PLAIN.get(kind, PLAIN[''])
            self.remarks.append(f'input {port.name} is taken for {", ".join(names)}')
        renamed = {**QUATERNION, **(TWIST if kind == 'velocity_command' else {})}
        labels = [f'{kind}.{renamed.get(name, name)}' for name in names]
        for name, label in zip(names, labels):
            if label not in layout.labels:
                self.add(f'{port.name}.element_names', name, f'{self.profile.name} has no {label}')
        if len(labels) != port.size:
            mend = f'must be {port.size} names, one for each element of {list(port.shape)}'
            self.add(f'{port.name}.element_names', list(names), mend)
        return [layout.labels.index(label) for label in labels if label in layout.labels]

    def order(self, targets: Sequence[_Port]) -> list[int]:
        """Where each joint of the robot is in the outputs, one after the other."""
        names = [name for port in targets for name in port.elements]
        for port in targets:
            if len(port.elements) != port.size:
                mend = f'must be one name for each element of {list(port.shape)}'
                self.add(f'{port.name}.element_names', list(port.elements), mend)
        for joint in self.profile.joint_names:
            if joint not in names:
                self.add(
                    'pipeline.outputs', names, f'{joint} of {self.profile.name} gets no command'
                )
        return [names.index(j) for j in self.profile.joint_names if j in names]


class Pipeline:
    """The models run one after the other, as LEAPP describes it.

    Args:
        files: of the models, in the order in which they run.
        wires: input to the output it is fed from.
        feedback: input to the output of the step before that it is fed from.
        first: values of these inputs in the first step.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        wires: Mapping[str, str],
        feedback: Mapping[str, str],
        first: Mapping[str, Array32],
    ) -> None:
        self._sessions = {
            name: open_session(load_model(str(file)).SerializeToString(), str(file))
            for name, file in files.items()
        }
        self._wires, self._feedback, self._first = wires, feedback, first
        self.reset()

    def reset(self) -> None:
        """What is fed back begins anew."""
        self._fed = dict(self._first)

    def step(self, given: Mapping[str, Array32]) -> dict[str, Array32]:
        """Every value of a step, from those of the inputs that nothing feeds."""
        values = {**self._fed, **given}
        for node, session in self._sessions.items():
            names = [f'{node}/{end.name}' for end in session.get_inputs()]
            inputs = {n.split('/', 1)[1]: values[self._wires.get(n, n)] for n in names}
            for end, value in zip(session.get_outputs(), session.run(None, inputs)):
                values[f'{node}/{end.name}'] = value
        self._fed = {target: values[source] for target, source in self._feedback.items()}
        return values

    def ends(self, value: float, shapes: Mapping[str, Sequence[int]]) -> dict[str, Array32]:
        """Every value of a first step in which all inputs, of these shapes, are one number."""
        values = self.step({n: np.full(s, value, np.float32) for n, s in shapes.items()})
        self.reset()
        return values


class LeappReference:
    """What LEAPP exported, run step by step on observations.

    Args:
        pipeline: the models.
        picks: input to (indices in the observation, shape).
        sources: outputs that the action is made of.
        order: of the action's elements in these.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        picks: Mapping[str, tuple[Sequence[int], Sequence[int]]],
        sources: Sequence[str],
        order: Sequence[int],
    ) -> None:
        self._pipeline, self._picks = pipeline, picks
        self._sources, self._order = sources, order
        self.reset = pipeline.reset

    def infer(self, observation: Array32, others: Mapping[str, Array32]) -> npt.NDArray[Any]:
        """Action (1, nj) for an observation (1, size)."""
        values = self._pipeline.step(
            {
                name: observation[0, list(indices)].reshape(shape)
                for name, (indices, shape) in self._picks.items()
            }
        )
        flat = np.concatenate([np.ravel(values[name]) for name in self._sources])
        return flat[list(self._order)][None]


def _safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Tensors of a safetensors file: a length (8 bytes), a JSON header, then the data."""
    import json

    kinds = {'F32': np.float32, 'F64': np.float64, 'I64': np.int64, 'I32': np.int32}
    try:
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], 'little')
        header = json.loads(raw[8 : 8 + length])
        data = raw[8 + length :]
        return {
            name: np.frombuffer(
                data[slice(*about['data_offsets'])], kinds[about['dtype']]
            ).reshape(about['shape'])
            for name, about in header.items()
            if name != '__metadata__'
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = f'give a readable safetensors file ({error})'
        raise InputError(Fault('pipeline.initial_values', str(path), mend)) from error
