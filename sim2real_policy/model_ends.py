"""Inputs and outputs of a bundle's model, and whether they are what its metadata says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_policy.metadata import BundleMetadata

Array32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ends:
    """Inputs and outputs of a model, by what they are for.

    Attributes:
        observation: name of the input that takes the observation.
        action: name of the output that gives the action.
        inputs: shape of each input for one robot, by name.
        outputs: shape of each output that a runtime reads, for one robot, by name.
        single: the model takes one robot at a time (its leading dimension is fixed, or it has a
            recurrent state, which belongs to one robot).
    """

    observation: str
    action: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    single: bool

    def zeros(self) -> dict[str, Array32]:
        """An input of zeros for each name."""
        return {name: np.zeros(shape, np.float32) for name, shape in self.inputs.items()}


def model_ends(session: Any, meta: BundleMetadata, file: str) -> Ends:
    """What an ONNX Runtime session takes and gives, checked against the metadata.

    Raises:
        InputError: inputs or outputs are missing, too many, or of another type or shape.
    """
    faults = Faults(file)
    inputs: dict[str, tuple[int, ...]] = {i.name: (1, *i.shape) for i in meta.images}
    inputs |= {state.input: state.shape for state in meta.state}
    outputs = {state.output: state.shape for state in meta.state}
    entries, results = session.get_inputs(), session.get_outputs()
    size, commands = meta.observation.size, len(meta.command_names)
    observation = _only('input', entries, inputs, faults)
    action = _only('output', results, outputs, faults)
    if observation:
        inputs[observation] = (1, size)
    if action:
        outputs[action] = (1, commands)
    for kind, ends, wanted in (('input', entries, inputs), ('output', results, outputs)):
        there = {end.name: end for end in ends}
        for name, shape in wanted.items():
            mine = name in (observation, action)
            field = f'model.{kind}' + ('' if mine else f'[{name}]')
            if name not in there:
                faults.add(field, sorted(there), f'the model has no {kind} of this name')
            else:
                _check_end(there[name], shape, mine, field, faults)
    faults.check()
    leading = next(end.shape[0] for end in entries if end.name == observation)
    single = leading == 1 or bool(meta.state)
    return Ends(observation, action, inputs, outputs, single)


def _only(kind: str, ends: Sequence[Any], known: Iterable[str], faults: Faults) -> str:
    """Name of the one input or output that is neither image nor state."""
    left = [end.name for end in ends if end.name not in known]
    if len(left) == 1:
        return left[0]
    what = {'input': 'observation', 'output': 'action'}[kind]
    mend = f'exactly one {kind} must be neither image nor state: the {what}'
    faults.add(f'model.{kind}s', left, mend)
    return ''


def _check_end(end: Any, shape: tuple[int, ...], leads: bool, field: str, faults: Faults) -> None:
    """Type and shape of one input or output; a dimension with a name fits any size."""
    first = ('n', *shape[1:]) if leads else shape
    if end.type != 'tensor(float)' or len(end.shape) != len(shape):
        said = f'{end.type} {end.shape}'
        faults.add(field, said, f'must be tensor(float) ({", ".join(map(str, first))})')
        return
    for is_, wanted in zip(end.shape[leads:], shape[leads:]):
        if isinstance(is_, int) and is_ != wanted:
            faults.add(field, end.shape, f'must be ({", ".join(map(str, first))})')
            return
