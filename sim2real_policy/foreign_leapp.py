"""Policies that LEAPP exported: a YAML file and the ONNX models that it names (``leapp_file.py``).

Their inputs and outputs are physical quantities (absolute joint positions, an orientation), named
by ``kind`` and ``element_names``; scaling, histories and feedback lie inside. Here they become one
model with one observation, of which each of their inputs takes its elements.

Isaac Lab's exporter adds ``isaaclab_connection``, which says what of the simulation a port was.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_policy.bundle import open_session
from sim2real_policy.description import Description
from sim2real_policy.export import Network
from sim2real_policy.leapp_file import LeappFile, Port, read_leapp_file
from sim2real_policy.observation import KINDS, ObservationLayout, Term
from sim2real_policy.onnx_graph import (
    begun_state,
    joined,
    keep_outputs,
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
    return _Translator(read_leapp_file(path), path, profile).network()


class _Translator(Faults):
    """Says in the words of this suite what a file says, collecting faults."""

    def __init__(self, file: LeappFile, path: Path, profile: RobotProfile) -> None:
        super().__init__(str(path))
        self.leapp, self.path, self.profile = file, path, profile
        self.kinds = {port.name: self.kind(port) for port in file.inputs.values()}
        self.remarks: list[str] = []

    def network(self) -> Network:
        """See :func:`read_leapp`."""
        file = self.leapp
        entries = [p for n, p in file.inputs.items() if n not in {*file.wires, *file.feedback}]
        meaning, targets = self.targets()
        terms = self.terms(entries)
        self.check()
        layout = ObservationLayout([Term(**term) for term in terms], self.profile.joint_names)
        picks = {port.name: (self.pick(port, layout), port.shape) for port in entries}
        order = self.order(targets)
        self.check()
        pipeline = Pipeline(file, str(self.path))
        values = {**self.values(terms, meaning), **self.gains(pipeline)}
        model = joined(file.models, file.wires)
        if any(map(np.any, file.first.values())):
            values['state'] = [*values['state'], begun_state(model, file.first)]
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

    def kind(self, port: Port) -> str:
        """Kind of the term that an input becomes; none of :data:`KINDS` where there is none."""
        moving = port.kind.endswith(('_velocity', '_acceleration'))
        if moving and port.connection.endswith('_w'):
            mend = f'{port.kind} in the world frame is not known to a robot'
            self.add(f'{port.name}.isaaclab_connection', port.connection, mend)
        connected = CONNECTIONS.get(port.connection.rpartition(':')[2])
        kind = connected or INPUTS.get(port.kind, '')
        if kind == 'imu_angular_velocity' and not self.profile.imu_link:
            return 'base_angular_velocity'
        return kind

    def values(self, terms: list[dict[str, Any]], meaning: str) -> dict[str, Any]:
        """In the words of the YAML of this suite."""
        default = self.profile.array('default_position')
        offset = (-default).tolist() if meaning == 'position' else 0.0
        shapes = {name: list(self.leapp.inputs[name].shape) for name in self.leapp.feedback}
        values: dict[str, Any] = {
            'joints': list(self.profile.joint_names),
            'observation': terms,
            'action': {'meaning': meaning, 'scale': 1.0, 'offset': offset},
            'default_position': default.tolist(),
            'state': [
                {'input': target, 'output': source, 'shape': shapes[target]}
                for target, source in self.leapp.feedback.items()
            ],
            'training': {'format': 'leapp'},
        }
        if self.leapp.period is not None:
            values['control_period'] = self.leapp.period
        return values

    def gains(self, pipeline: Pipeline) -> dict[str, Any]:
        """Of the position loop, where the models say them for each joint and as constants."""
        ports = [port for port in self.leapp.outputs.values() if port.kind in GAINS]
        if not ports:
            return {}
        given: dict[str, dict[str, float]] = {name: {} for name in GAINS.values()}
        try:
            low, high = (pipeline.ends(value) for value in (0.0, 1.0))
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

    def targets(self) -> tuple[str, list[Port]]:
        """What is commanded, and by which outputs."""
        ports = self.leapp.commanded
        found = [port for port in ports if port.kind in OUTPUTS]
        meanings = sorted({OUTPUTS[port.kind] for port in found})
        if len(meanings) != 1:
            mend = f'exactly one kind must be commanded, of {", ".join(OUTPUTS)}'
            self.add('pipeline.outputs', {port.name: port.kind for port in ports}, mend)
        known = {*self.leapp.feedback.values(), *(port.name for port in found)}
        for port in ports:
            if port.name not in known and port.kind not in GAINS:
                self.remarks.append(f'output {port.name} ({port.kind or "no kind"}) is not used')
        return (meanings or [''])[0], found

    def terms(self, entries: Sequence[Port]) -> list[dict[str, Any]]:
        """A term for each kind of input."""
        kinds: dict[str, dict[str, Any]] = {}
        for port in entries:
            kind = self.kinds[port.name]
            if kind not in KINDS:
                mend = f'has no counterpart; known: {", ".join(INPUTS)}'
                self.add(f'{port.name}.kind', port.kind, mend)
                continue
            term: dict[str, Any] = {'kind': kind}
            if kind == 'joint_position':  # theirs are absolute, ours count from the default pose
                term['offset'] = (-self.profile.array('default_position')).tolist()
            kinds.setdefault(kind, term)
        return list(kinds.values())

    def pick(self, port: Port, layout: ObservationLayout) -> list[int]:
        """Where the elements of an input are in the observation."""
        kind, names = self.kinds[port.name], port.elements
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

    def order(self, targets: Sequence[Port]) -> list[int]:
        """Where each joint of the robot is in the outputs, one after the other."""
        names = [name for port in targets for name in port.elements]
        joints = self.profile.joint_names
        for port in targets:
            if len(port.elements) != port.size:
                mend = f'must be one name for each element of {list(port.shape)}'
                self.add(f'{port.name}.element_names', list(port.elements), mend)
        for joint in joints:
            if joint not in names:
                mend = f'{joint} of {self.profile.name} gets no command'
                self.add('pipeline.outputs', names, mend)
        others = [name for name in names if name not in joints]
        if others:
            told = f'{self.profile.name} has no {", ".join(others)}: their commands are not used'
            self.remarks.append(told)
        return [names.index(joint) for joint in joints if joint in names]


class Pipeline:
    """The models run one after the other, as LEAPP describes it.

    Args:
        file: what it describes.
        name: named in faults.
    """

    def __init__(self, file: LeappFile, name: str) -> None:
        self._sessions = {
            node: open_session(model.SerializeToString(), f'{name}: {node}')
            for node, model in file.models.items()
        }
        self._file = file
        self.reset()

    def reset(self) -> None:
        """What is fed back begins anew."""
        self._fed = dict(self._file.first)

    def step(self, given: Mapping[str, Array32]) -> dict[str, Array32]:
        """Every value of a step, from those of the inputs that nothing feeds."""
        values = {**self._fed, **given}
        for node, session in self._sessions.items():
            names = [f'{node}/{end.name}' for end in session.get_inputs()]
            inputs = {n.split('/', 1)[1]: values[self._file.wires.get(n, n)] for n in names}
            for end, value in zip(session.get_outputs(), session.run(None, inputs)):
                values[f'{node}/{end.name}'] = value
        self._fed = {target: values[source] for target, source in self._file.feedback.items()}
        return values

    def ends(self, value: float) -> dict[str, Array32]:
        """Every value of a first step in which all inputs are one number."""
        ports = self._file.inputs.items()
        values = self.step({name: np.full(port.shape, value, np.float32) for name, port in ports})
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
