"""Small networks of every kind, as ONNX models."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def model(nodes, inputs, outputs, weights=None, types=None):
    """A model from nodes; inputs and outputs are name -> shape, float32 where no type is given."""

    def ends(described):
        for name, shape in described.items():
            yield helper.make_tensor_value_info(name, (types or {}).get(name, FLOAT), shape)

    constants = [numpy_helper.from_array(v, k) for k, v in (weights or {}).items()]
    graph = helper.make_graph(nodes, 'net', list(ends(inputs)), list(ends(outputs)), constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return made.SerializeToString()


def integrator(size, actions, width=3, state_shape=None):
    """h' = h + observation U; action = h' V; returns the model, U and V."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(size, width)).astype(np.float32)
    v = rng.normal(size=(width, actions)).astype(np.float32)
    nodes = [
        helper.make_node('MatMul', ['obs', 'u'], ['push']),
        helper.make_node('Add', ['h_in', 'push'], ['h_out']),
        helper.make_node('MatMul', ['h_out', 'v'], ['actions']),
    ]
    state = state_shape or [1, width]
    inputs = {'obs': [1, size], 'h_in': state}
    outputs = {'actions': [1, actions], 'h_out': state}
    return model(nodes, inputs, outputs, {'u': u, 'v': v}), u, v


def seeing(size, actions, shape):
    """action = observation U + the image's mean, for any number of robots; and U."""
    u = np.random.default_rng(1).normal(size=(size, actions)).astype(np.float32)
    nodes = [
        helper.make_node('MatMul', ['obs', 'u'], ['felt']),
        helper.make_node('Flatten', ['camera'], ['flat'], axis=1),
        helper.make_node('ReduceMean', ['flat'], ['seen'], axes=[1], keepdims=1),
        helper.make_node('Add', ['felt', 'seen'], ['actions']),
    ]
    inputs = {'obs': ['n', size], 'camera': ['n', *shape]}
    return model(nodes, inputs, {'actions': ['n', actions]}, {'u': u}), u
