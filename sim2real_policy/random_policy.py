"""A policy of random weights, to try a robot's wiring before there is a trained one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from sim2real_core.errors import MissingError
from sim2real_policy.bundle import Bundle, BundleMetadata, write_bundle


def random_policy(
    meta: BundleMetadata,
    path: str | Path,
    rng: np.random.Generator,
    hidden: tuple[int, ...] = (128, 128),
    gain: float = 0.1,
) -> Bundle:
    """Write a bundle of an ELU network with random weights.

    Args:
        meta: its metadata; gives the sizes.
        path: file to write.
        rng: draws the weights.
        hidden: sizes of the hidden layers.
        gain: scale of the last layer's weights, hence of the actions.

    Raises:
        MissingError: onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise MissingError('onnx is needed to make a policy: pip install onnx') from error
    sizes = (meta.observation.size, *hidden, len(meta.command_names))
    nodes, weights, name = [], [], 'observation'
    for layer, (rows, columns) in enumerate(pairwise(sizes)):
        last = layer == len(hidden)
        scale = gain if last else 1.0
        matrix = rng.normal(0.0, scale / np.sqrt(rows), (rows, columns)).astype(np.float32)
        weights += [
            numpy_helper.from_array(matrix, f'w{layer}'),
            numpy_helper.from_array(np.zeros(columns, np.float32), f'b{layer}'),
        ]
        out = 'action' if last else f'h{layer}'
        nodes.append(helper.make_node('Gemm', [name, f'w{layer}', f'b{layer}'], [out]))
        name = out
        if not last:
            nodes.append(helper.make_node('Elu', [out], [f'e{layer}']))
            name = f'e{layer}'
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n', size])
        for name, size in (('observation', sizes[0]), ('action', sizes[-1]))
    ]
    graph = helper.make_graph(nodes, 'policy', ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return write_bundle(model.SerializeToString(), meta, path)
