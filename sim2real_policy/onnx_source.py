"""A network in an ONNX file: a bundle, one with metadata of others, or a plain one."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_policy.bundle import load_bundle, open_session
from sim2real_policy.description import HOW, Description
from sim2real_policy.export import Network
from sim2real_policy.foreign_mjlab import is_mjlab, read_mjlab
from sim2real_policy.foreign_motion import Motion, MotionReference, insert_motion, is_motion
from sim2real_policy.metadata import PREFIX, BundleMetadata
from sim2real_policy.onnx_graph import keep_outputs, load_model, recurrent_pairs, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim2real_core.profile import RobotProfile

Array32 = npt.NDArray[np.float32]

ACTIONS = ('actions', 'action')
"""Names that outputs with actions have, where there are several outputs."""


def read_onnx(path: Path, profile: RobotProfile, told: Collection[str]) -> Network:
    """Read an ONNX file.

    Args:
        path: the file.
        profile: the robot it is for.
        told: keys that the YAML says.

    Raises:
        InputError: no model, a changed bundle, or metadata of others that cannot be read.
    """
    model = load_model(str(path))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if any(key.startswith(PREFIX) for key in properties):
        described = describe(load_bundle(path).meta)
    elif is_mjlab(properties) and is_motion(model):
        return _following(path, model, properties, profile, told)
    else:
        state = recurrent_pairs(model)
        described = Description({'state': state} if state else {})
        _only_actions(model, state, path)
        if is_mjlab(properties):
            size = _observed(model, state)
            foreign = read_mjlab(properties, size, profile, told, str(path))
            described = described.over(foreign)
    original = path.read_bytes() if not _external(model) else model.SerializeToString()
    changed = model.SerializeToString()
    return Network(
        lambda meta: changed,
        described,
        lambda meta: OnnxReference(original, meta, str(path)),
    )


def _following(
    path: Path,
    model: Any,
    properties: Mapping[str, str],
    profile: RobotProfile,
    told: Collection[str],
) -> Network:
    """A policy that follows the motion in its file."""
    original, motion = model.SerializeToString(), Motion(properties, profile, told, str(path))
    foreign = read_mjlab(properties, None, profile, {*told, 'observation'}, str(path))
    insert_motion(model, motion)
    changed = model.SerializeToString()
    return Network(
        lambda meta: changed,
        motion.described.over(foreign),
        lambda meta: MotionReference(original, motion, str(path)),
    )


def describe(meta: BundleMetadata) -> Description:
    """Metadata in the words of the YAML."""
    texts = meta.to_properties()
    values = {key.removeprefix(PREFIX): json.loads(text) for key, text in texts.items()}
    for name in ('schema', 'suite_version'):
        del values[name]
    for term in values['observation']:
        del term['size']
    for limit, items in values['limits'].items():
        endless = -np.inf if limit == 'lower' else np.inf
        values['limits'][limit] = [endless if value is None else value for value in items]
    return Description({name: value for name, value in values.items() if value is not None})


def _only_actions(model: Any, state: list[dict[str, Any]], path: Path) -> None:
    """Leave the action and the states as the only outputs."""
    kept = [pair['output'] for pair in state]
    left = [end.name for end in model.graph.output if end.name not in kept]
    named = [name for name in ACTIONS if name in left]
    if len(left) > 1 and named:
        keep_outputs(model, [*kept, named[0]])


def _observed(model: Any, state: list[dict[str, Any]]) -> int | None:
    """Elements of the observation, where the model says so."""
    weights = {tensor.name for tensor in model.graph.initializer}
    known = weights | {pair['input'] for pair in state}
    left = [end for end in model.graph.input if end.name not in known]
    shape = shape_of(left[0]) if left else []
    return shape[-1] if shape else None


def _external(model: Any) -> bool:
    """Whether weights lie in another file."""
    return any(tensor.data_location == 1 for tensor in model.graph.initializer)


class OnnxReference:
    """An ONNX model run as it is.

    Args:
        model: the original file.
        meta: says which input is what.
        file: for faults.
    """

    def __init__(self, model: bytes, meta: BundleMetadata, file: str) -> None:
        self._session = open_session(model, file)
        self._meta = meta
        known = {image.name for image in meta.images} | {s.input for s in meta.state}
        entries = [end.name for end in self._session.get_inputs() if end.name not in known]
        if len(entries) != 1:
            mend = f'exactly one input must be neither image nor state; images and state: {HOW}'
            raise InputError(Fault('model.inputs', entries, mend, file))
        self._entry = entries[0]
        states = [s.output for s in meta.state]
        results = [end.name for end in self._session.get_outputs() if end.name not in states]
        action = next((name for name in ACTIONS if name in results), results[0])
        self._outputs = [action, *states]
        self._normalizer = meta.normalizer
        self.reset()

    def reset(self) -> None:
        """Zero the states."""
        self._state = {s.input: np.zeros(s.shape, np.float32) for s in self._meta.state}

    def infer(self, observation: Array32, others: Mapping[str, Array32]) -> npt.NDArray[Any]:
        """See :class:`sim2real_policy.export.Reference`."""
        if self._normalizer is not None:
            mean, std = np.array(self._normalizer.mean), np.array(self._normalizer.std)
            observation = ((observation - mean) / std).astype(np.float32)
        inputs = {self._entry: observation, **others, **self._state}
        action, *after = self._session.run(self._outputs, inputs)
        self._state = dict(zip(self._state, after))
        return np.asarray(action)
