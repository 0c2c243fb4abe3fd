"""Changes to ONNX models, so that networks of others have the inputs and outputs of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim2real_core.errors import Fault, InputError, MissingError


def onnx_package() -> Any:
    """The ``onnx`` package, with helper and compose.

    Raises:
        MissingError: it is not installed.
    """
    try:
        import onnx
        import onnx.compose
    except ImportError as error:
        raise MissingError('onnx is needed to write a bundle: pip install onnx') from error
    return onnx


def load_model(path: str) -> Any:
    """An ONNX model of a file, with its external data.

    Raises:
        InputError: it is none.
    """
    onnx = onnx_package()
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors and the system's have no common base but this
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(Fault('model', path, f'give an ONNX model ({why})')) from error
    if not model.graph.output:
        raise InputError(Fault('model', path, 'give an ONNX model; this has no output'))
    return model


def shape_of(end: Any) -> list[int | None]:
    """Shape of an input or output; None for a dimension that is open."""
    dims = end.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField('dim_value') else None for d in dims]


def recurrent_pairs(model: Any) -> list[dict[str, Any]]:
    """States by the names that rsl-rl and others use: ``h_in``, ``h_out``, of one fixed shape."""
    outputs = {end.name: shape_of(end) for end in model.graph.output}
    weights = {tensor.name for tensor in model.graph.initializer}
    found = []
    for end in model.graph.input:
        shape, partner = shape_of(end), f'{end.name.removesuffix("_in")}_out'
        paired = end.name.endswith('_in') and outputs.get(partner) == shape
        if paired and end.name not in weights and None not in shape:
            found.append({'input': end.name, 'output': partner, 'shape': shape})
    return found


def keep_outputs(model: Any, names: Sequence[str]) -> list[str]:
    """Drop the outputs that are not named; returns those that were dropped."""
    dropped = [end.name for end in model.graph.output if end.name not in names]
    kept = [end for end in model.graph.output if end.name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return dropped


def joined(models: Mapping[str, Any], wires: Mapping[str, str]) -> Any:
    """Several models as one.

    Args:
        models: by a name that is put before all that is inside, ``name/...``; in the order in
            which they run.
        wires: input to the output that it takes its values from, both ``name/...``.

    Returns:
        A model whose inputs and outputs are those of all, except the inputs that are wired.

    Raises:
        InputError: they are of different operator sets.
    """
    onnx = onnx_package()
    opsets = {
        name: sorted((o.domain, o.version) for o in model.opset_import)
        for name, model in models.items()
    }
    first = next(iter(opsets.values()))
    if any(opset != first for opset in opsets.values()):
        raise InputError(Fault('models', opsets, 'must all be of one ONNX operator set'))
    nodes, weights, inputs, outputs = [], [], [], []
    for name, model in models.items():
        graph = onnx.compose.add_prefix(model, f'{name}/').graph
        mine = [end for end in graph.input if end.name in wires]
        for end in mine:
            nodes.append(onnx.helper.make_node('Identity', [wires[end.name]], [end.name]))
        nodes += graph.node
        weights += graph.initializer
        known = {tensor.name for tensor in graph.initializer}
        inputs += [end for end in graph.input if end.name not in wires and end.name not in known]
        outputs += graph.output
    graph = onnx.helper.make_graph(nodes, 'policy', inputs, outputs, weights)
    any_model = next(iter(models.values()))
    return onnx.helper.make_model(
        graph, opset_imports=list(any_model.opset_import), ir_version=any_model.ir_version
    )


def picked_inputs(
    model: Any, name: str, size: int, picks: Mapping[str, tuple[Sequence[int], Sequence[int]]]
) -> None:
    """Make one input of several: each takes some elements of it.

    Args:
        model: changed in place.
        name: of the new input (1, size), the first one.
        size: its number of elements.
        picks: input to (indices of its elements, its shape).
    """
    onnx = onnx_package()
    graph = model.graph
    nodes = []
    for target, (indices, shape) in picks.items():
        constant(graph, f'{target}.indices', np.array(indices, np.int64))
        constant(graph, f'{target}.shape', np.array(shape, np.int64))
        nodes += [
            onnx.helper.make_node(
                'Gather', [name, f'{target}.indices'], [f'{target}.flat'], axis=1
            ),
            onnx.helper.make_node('Reshape', [f'{target}.flat', f'{target}.shape'], [target]),
        ]
    left = [end for end in graph.input if end.name not in picks]
    first = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
    _replace(graph.input, [first, *left])
    _replace(graph.node, [*nodes, *graph.node])


def begun_state(model: Any, first: Mapping[str, Any]) -> dict[str, Any]:
    """Let states begin with other values than zeros, with which a runtime begins.

    A further state is zero in the first step and one ever after; it chooses between the values
    given and the state as it is fed back, so that either comes through to the bit.

    Args:
        model: changed in place; its inputs keep their names.
        first: values in the first step, by the input they are for.

    Returns:
        The further state: names of its ``input`` and ``output``, and its ``shape``.
    """
    onnx = onnx_package()
    graph, before, after = model.graph, 'begun_in', 'begun_out'
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    for name, value in (('begun.half', 0.5), ('begun.one', 1.0)):
        constant(graph, name, np.array([value], np.float32))
    nodes = [
        helper.make_node('Greater', [before, 'begun.half'], ['begun']),
        # Not a constant: some runtimes take no output that depends on no input.
        helper.make_node('Max', [before, 'begun.one'], [after]),
    ]
    for name, values in first.items():
        _rename_uses(graph, name, f'{name}.begun')
        constant(graph, f'{name}.first', np.asarray(values, np.float32))
        nodes.append(
            helper.make_node('Where', ['begun', name, f'{name}.first'], [f'{name}.begun'])
        )
    _replace(graph.node, [*nodes, *graph.node])
    graph.input.append(helper.make_tensor_value_info(before, kind, [1]))
    graph.output.append(helper.make_tensor_value_info(after, kind, [1]))
    return {'input': before, 'output': after, 'shape': [1]}


def _rename_uses(graph: Any, old: str, new: str) -> None:
    """Let all nodes take another value in a value's place."""
    for node in graph.node:
        _replace(node.input, [new if name == old else name for name in node.input])


def reordered_input(model: Any, end: Any, order: Sequence[int]) -> None:
    """Let an input (n, size) be reordered before the model sees it.

    Args:
        model: changed in place; the input keeps its name, type and shape.
        end: the input.
        order: index in the new input of each element of the old one.
    """
    onnx = onnx_package()
    inner = f'{end.name}.reordered'
    _rename_uses(model.graph, end.name, inner)
    constant(model.graph, f'{end.name}.order', np.array(order, np.int64))
    gather = onnx.helper.make_node('Gather', [end.name, f'{end.name}.order'], [inner], axis=1)
    _replace(model.graph.node, [gather, *model.graph.node])


def picked_output(model: Any, name: str, sources: Sequence[str], indices: Sequence[int]) -> None:
    """Make one output (1, len(indices)) of several, flattened one after the other and picked.

    Args:
        model: changed in place; the sources are no outputs any more.
        name: of the new output, the first one.
        sources: outputs it is made of.
        indices: of its elements in all of theirs.
    """
    onnx = onnx_package()
    graph = model.graph
    constant(graph, f'{name}.row', np.array([1, -1], np.int64))
    constant(graph, f'{name}.indices', np.array(indices, np.int64))
    nodes = [
        onnx.helper.make_node('Reshape', [source, f'{name}.row'], [f'{name}.{index}'])
        for index, source in enumerate(sources)
    ]
    rows = [f'{name}.{index}' for index in range(len(sources))]
    nodes += [
        onnx.helper.make_node('Concat', rows, [f'{name}.all'], axis=1),
        onnx.helper.make_node('Gather', [f'{name}.all', f'{name}.indices'], [name], axis=1),
    ]
    left = [end for end in graph.output if end.name not in sources]
    first = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, len(indices)])
    _replace(graph.output, [first, *left])
    graph.node.extend(nodes)


def in_order(nodes: Sequence[Any], known: set[str]) -> list[Any]:
    """Nodes such that each comes after those whose outputs it takes, as ONNX wants them.

    Args:
        nodes: in any order.
        known: inputs and weights.

    Raises:
        InputError: some take what nothing gives.
    """
    left, ready, ordered = list(nodes), known | {''}, []
    while left:
        now = [node for node in left if ready.issuperset(node.input)]
        if not now:
            lacking = sorted({name for node in left for name in node.input} - ready)
            raise InputError(Fault('model', lacking, 'nothing in the model gives these'))
        ordered += now
        ready |= {name for node in now for name in node.output}
        left = [node for node in left if not ready.issuperset(node.output)]
    return ordered


def constant(graph: Any, name: str, values: Any) -> None:
    """Add a weight to a graph."""
    graph.initializer.append(onnx_package().numpy_helper.from_array(values, name))


def _replace(repeated: Any, items: Sequence[Any]) -> None:
    items = list(items)
    del repeated[:]
    repeated.extend(items)
