"""The files of a LEAPP export: a YAML file and the ONNX models and first values that it names.

Everything is held against what it must be before anything is made of it: the YAML's own parts, and
what the models really take and give. ``foreign_leapp.py`` makes a policy of it.

See https://nvidia-isaac.github.io/leapp for the format (``generated_configs``).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.yaml_file import read_yaml
from sim2real_policy.onnx_graph import load_model, onnx_package

Array32 = npt.NDArray[np.float32]

CHUNKS = '__temporal_axis__'
"""Name of an axis along which there are several steps."""


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    Attributes:
        name: ``model/name``.
        shape: fixed.
        kind: what it is; ``''`` where nothing is said.
        connection: what of Isaac Lab's simulation it was; ``''`` where nothing is said.
        elements: names along the last axis.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    connection: str
    elements: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class LeappFile:
    """What a LEAPP export says, checked.

    Attributes:
        models: ONNX models by name, in the order in which they run.
        inputs: by ``model/name``.
        outputs: by ``model/name``.
        wires: input to the output it is fed from.
        feedback: input to the output of the step before that it is fed from.
        first: values of these inputs in the first step; zeros, where nothing else is said.
        commanded: outputs of the whole.
        period: control period [s]; None where it is not said.
    """

    models: Mapping[str, Any]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    wires: Mapping[str, str]
    feedback: Mapping[str, str]
    first: Mapping[str, Array32]
    commanded: Sequence[Port]
    period: float | None


def read_leapp_file(path: Path) -> LeappFile:
    """Read and check what LEAPP exported.

    Args:
        path: its YAML file; the other files lie beside it.

    Raises:
        InputError: everything that is wrong, by its name.
        MissingError: onnx is not installed.
    """
    return _Reader(path).read()


class _Reader(Faults):
    """Reads the YAML and what it names, collecting faults."""

    def __init__(self, path: Path) -> None:
        file = read_yaml(path)
        super().__init__(str(path), file.lines)
        if not {'models', 'pipeline'} <= set(file.data):
            raise InputError(Fault('models', None, 'not a file of LEAPP', str(path)))
        self.folder = path.parent
        self.nodes = {
            str(name): self.mapping('models', about, name)
            for name, about in self.mapping('models', file.data['models']).items()
        }
        self.pipeline = self.mapping('pipeline', file.data['pipeline'])

    def read(self) -> LeappFile:
        """See :func:`read_leapp_file`."""
        models = self.models()
        inputs, outputs = self.ports('inputs'), self.ports('outputs')
        wires, feedback = (
            self.edges(flow, inputs, outputs) for flow in ('data_flow', 'feedback_flow')
        )
        fed = list(feedback.values())
        if len(set(fed)) != len(fed):
            self.add('pipeline.feedback_flow', fed, 'an output may feed one input only')
        first = self.first_values([inputs[name] for name in feedback])
        chosen = self.mapping('pipeline', self.pipeline.get('outputs'), 'outputs')
        names = [
            f'{node}/{name}'
            for node in chosen
            for name in self.names('pipeline', chosen[node], 'outputs', node)
        ]
        commanded = [outputs[name] for name in names if name in outputs]
        configs = self.mapping('pipeline', self.pipeline.get('configs'), 'configs')
        frequency = configs.get('frequency')
        period = None
        if isinstance(frequency, (int, float)) and 0 < frequency < math.inf:
            period = 1.0 / frequency
        self.check()
        self.ends(models, inputs, outputs)
        self.check()
        return LeappFile(models, inputs, outputs, wires, feedback, first, commanded, period)

    def mapping(self, top: str, found: Any, *keys: object) -> Mapping[Any, Any]:
        """A mapping, empty when it is left out."""
        if found is None or isinstance(found, Mapping):
            return found or {}
        self.add('.'.join(map(str, (top, *keys))), found, 'must be a mapping', path=(top, *keys))
        return {}

    def listing(self, top: str, found: Any, *keys: object) -> Sequence[Any]:
        """A list, empty when it is left out."""
        if found is None or isinstance(found, list):
            return found or []
        self.add('.'.join(map(str, (top, *keys))), found, 'must be a list', path=(top, *keys))
        return []

    def names(self, top: str, found: Any, *keys: object) -> list[str]:
        """A list of names."""
        return [str(name) for name in self.listing(top, found, *keys)]

    def models(self) -> dict[str, Any]:
        """Each model, whose hash is what the YAML says."""
        found = {}
        for name, node in self.nodes.items():
            about = self.mapping('models', node.get('parameters'), name, 'parameters')
            here, file = ('models', name, 'parameters'), str(about.get('model_path'))
            backend, said = str(about.get('backend', '')), about.get('sha256sum')
            path = self.folder / file
            if not backend.startswith('onnx'):
                mend = 'must be onnx: export with onnx-dynamo or onnx-torchscript'
                self.add(f'models.{name}.parameters.backend', backend, mend, path=here)
            elif not path.is_file():
                mend = 'no such file beside the YAML'
                self.add(f'models.{name}.parameters.model_path', file, mend, path=here)
            elif said and hashlib.sha256(path.read_bytes()).hexdigest() != str(said):
                mend = f'{file} was changed after it was exported'
                self.add(f'models.{name}.parameters.sha256sum', said, mend, path=here)
            else:
                found[name] = load_model(str(path))
        return found

    def ports(self, side: str) -> dict[str, Port]:
        """Inputs or outputs of all models."""
        found = {}
        for node, model in self.nodes.items():
            for index, given in enumerate(self.listing('models', model.get(side), node, side)):
                item = self.mapping('models', given, node, side, index)
                name = f'{node}/{item.get("name")}'
                if item.get('dtype', 'float32') != 'float32':
                    self.add(f'{name}.dtype', item['dtype'], 'must be float32')
                shape = item.get('shape') or []
                if not isinstance(shape, list) or any(type(n) is not int or n < 1 for n in shape):
                    self.add(f'{name}.shape', shape, 'must be a list of fixed sizes')
                    continue
                kind, connection = (
                    str(item.get(k) or '') for k in ('kind', 'isaaclab_connection')
                )
                elements = self.elements(f'{name}.element_names', item.get('element_names'))
                found[name] = Port(name, tuple(shape), kind, connection, elements)
        return found

    def elements(self, field: str, named: Any) -> tuple[str, ...]:
        """Names of the elements, along the last axis; the others must be of size one."""
        axes = [named] if isinstance(named, str) else named or []
        if not isinstance(axes, list):
            self.add(field, named, 'must be a list of names')
            return ()
        if CHUNKS in axes:
            self.add(field, CHUNKS, 'chunks are not supported')
            return ()
        last = axes[-1] if axes and isinstance(axes[-1], list) else axes
        return tuple(str(word) for word in last)

    def edges(
        self, flow: str, inputs: Mapping[str, Port], outputs: Mapping[str, Port]
    ) -> dict[str, str]:
        """Input -> the output it is fed from."""
        given, found = self.mapping('pipeline', self.pipeline.get(flow), flow), {}
        for source in given:
            for target in self.names('pipeline', given[source], flow, source):
                if target in inputs and source in outputs:
                    found[target] = str(source)
                else:
                    mend, here = 'no such ports', ('pipeline', flow, source)
                    self.add(f'pipeline.{flow}', f'{source}: {target}', mend, path=here)
        return found

    def first_values(self, fed: Sequence[Port]) -> dict[str, Array32]:
        """What each input that is fed back starts with."""
        field, file = 'pipeline.initial_values', self.pipeline.get('initial_values')
        told = _safetensors(self.folder / str(file)) if file else {}
        for name in sorted(set(told) - {port.name for port in fed}):
            if np.any(told[name]):
                self.add(field, name, 'nothing is fed back to such an input')
        found = {}
        for port in fed:
            values = told.get(port.name, np.zeros(port.shape)).astype(np.float32)
            if values.shape != port.shape or not np.isfinite(values).all():
                mend = f'must be {list(port.shape)} finite numbers'
                self.add(field, f'{port.name}: {list(values.shape)}', mend)
            found[port.name] = values
        return found

    def ends(
        self, models: Mapping[str, Any], inputs: Mapping[str, Port], outputs: Mapping[str, Port]
    ) -> None:
        """Whether the models have the ports that the YAML names, and all are float32."""
        kinds = onnx_package().TensorProto
        for node, model in models.items():
            weights = {tensor.name for tensor in model.graph.initializer}
            taken = [end for end in model.graph.input if end.name not in weights]
            for side, ports, ends in (
                ('inputs', inputs, taken),
                ('outputs', outputs, model.graph.output),
            ):
                there = {f'{node}/{end.name}': end.type.tensor_type.elem_type for end in ends}
                mine = {name for name in ports if name.startswith(f'{node}/')}
                lacking = mine - set(there)
                if side == 'inputs':  # what comes out need not all be named
                    lacking |= set(there) - mine
                if lacking:
                    mend = f'the model has {sorted(there)}, the YAML {sorted(mine)}'
                    here = ('models', node, side)
                    self.add(f'models.{node}.{side}', sorted(lacking), mend, path=here)
                for name in sorted(mine & set(there)):
                    if there[name] != kinds.FLOAT:
                        said = kinds.DataType.Name(there[name]).lower()
                        self.add(f'{name}.dtype', said, 'must be float32, as the YAML says')


def _safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Tensors of a safetensors file: a length (8 bytes), a JSON header, then the data."""
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        mend = f'give a readable safetensors file ({error})'
        raise InputError(Fault('pipeline.initial_values', str(path), mend)) from error
