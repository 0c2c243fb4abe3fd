"""Networks by torch against the same by ONNX Runtime."""

import numpy as np
import pytest

from sim2real_core.errors import InputError, MissingError
from sim2real_policy.bundle import RecurrentState, write_bundle
from sim2real_policy.parity import compare
from sim2real_policy.random_policy import random_policy
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
torch = pytest.importorskip('torch')
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from sim2real_policy.runtime_torch import TorchRuntime  # noqa: E402
from sim2real_policy.torch_operators import operators  # noqa: E402

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values):
    return np.array(values, np.int64)


# Operator, inputs, attributes; one line for each that is known, and more where it has ways.
ONE = [(name, [real(2, 3)], {}) for name in (
    'Abs', 'Neg', 'Exp', 'Erf', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Relu', 'Reciprocal', 'Identity',
    'Softplus', 'Softsign', 'Mish', 'Gelu', 'Elu', 'Selu', 'LeakyRelu', 'HardSigmoid', 'Softmax',
    'Flatten', 'Transpose', 'ReduceMean', 'ReduceSum', 'ReduceMax', 'Shape',
)]  # fmt: skip
TWO = [(name, [real(2, 3), real(2, 3)], {}) for name in ('Add', 'Sub', 'Mul', 'Div', 'Max', 'Min')]
CASES = [
    *ONE, *TWO,
    ('Add', [real(2, 3), real(3)], {}),
    ('Div', [whole(7, 8, 9), whole(2, 3, 4)], {}),
    ('Pow', [np.abs(real(2, 3)), np.float32(1.5)], {}),
    ('Sqrt', [np.abs(real(2, 3))], {}),
    ('Log', [np.abs(real(2, 3)) + 0.1], {}),
    ('Elu', [real(2, 3)], {'alpha': 0.5}),
    ('Gelu', [real(2, 3)], {'approximate': 'tanh'}),
    ('Clip', [real(2, 3), np.float32(-0.5), np.float32(0.5)], {}),
    ('Where', [np.array([[True, False, True]]), real(2, 3), real(2, 3)], {}),
    ('Cast', [real(2, 3)], {'to': TensorProto.INT64}),
    ('Concat', [real(2, 3), real(2, 2)], {'axis': 1}),
    ('Gather', [real(4, 3), whole(1, -1)], {'axis': 0}),
    ('Gather', [real(4, 3), np.array(2)], {'axis': 1}),
    ('Reshape', [real(2, 3, 4), whole(0, -1)], {}),
    ('Slice', [real(4, 6), whole(1), whole(-1), whole(1), whole(2)], {}),
    ('Split', [real(4, 6), whole(2, 4)], {'axis': 1}),
    ('Squeeze', [real(1, 3, 1), whole(0)], {}),
    ('Unsqueeze', [real(3, 2), whole(0, -1)], {}),
    ('Transpose', [real(2, 3, 4)], {'perm': [1, 2, 0]}),
    ('Gemm', [real(2, 3), real(4, 3), real(4)], {'transB': 1, 'alpha': 0.5, 'beta': 2.0}),
    ('Gemm', [real(3, 2), real(3, 4)], {'transA': 1}),
    ('MatMul', [real(2, 3), real(3, 4)], {}),
    ('Conv', [real(1, 2, 8), real(4, 2, 3), real(4)], {'strides': [2], 'pads': [0, 1]}),
    ('Conv', [real(1, 4, 8, 7), real(4, 2, 3, 3)], {'group': 2, 'pads': [1, 0, 2, 1]}),
    ('MaxPool', [real(1, 2, 8, 7)], {'kernel_shape': [2, 3], 'strides': [2, 2],
                                     'pads': [0, 1, 1, 1]}),
    ('GlobalAveragePool', [real(1, 2, 4, 5)], {}),
    ('LayerNormalization', [real(2, 5), real(5), real(5)], {'epsilon': 1e-3}),
    ('BatchNormalization', [real(2, 3, 4), real(3), real(3), real(3), np.abs(real(3))], {}),
    ('ReduceMean', [real(2, 3, 4), whole(1)], {'keepdims': 0}),
    ('GRU', [real(3, 1, 4), real(1, 15, 4), real(1, 15, 5), real(1, 30)], {'hidden_size': 5}),
    ('GRU', [real(3, 2, 4), real(1, 15, 4), real(1, 15, 5), real(1, 30), None, real(1, 2, 5)],
     {'hidden_size': 5, 'linear_before_reset': 1}),
    ('GRU', [real(3, 1, 4), real(1, 15, 4), real(1, 15, 5)], {'hidden_size': 5}),
    ('LSTM', [real(3, 2, 4), real(1, 20, 4), real(1, 20, 5), real(1, 40), None, real(1, 2, 5),
              real(1, 2, 5)], {'hidden_size': 5}),
    ('LSTM', [real(3, 1, 4), real(1, 20, 4), real(1, 20, 5)], {'hidden_size': 5}),
]  # fmt: skip


@pytest.mark.parametrize('name, inputs, settings', CASES, ids=[case[0] for case in CASES])
def test_an_operator_does_what_onnx_runtime_does(name, inputs, settings):
    import onnxruntime

    given = {f'i{k}': np.asarray(value) for k, value in enumerate(inputs) if value is not None}
    names = [f'i{k}' if value is not None else '' for k, value in enumerate(inputs)]
    outputs = {'Split': ['a', 'b'], 'GRU': ['a', 'b'], 'LSTM': ['a', 'b', 'c']}.get(name, ['a'])
    ends = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in given.items()
    ]
    results = [helper.make_empty_tensor_value_info(n) for n in outputs]
    node = helper.make_node(name, names, outputs, **settings)
    model = helper.make_model(
        helper.make_graph([node], 'one', ends, results),
        opset_imports=[helper.make_opsetid('', 20)],
        ir_version=9,
    )
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    tensors = [None if v is None else torch.from_numpy(np.array(v)) for v in inputs]
    told = operators(torch)[name](*tensors, **settings)
    told = told if isinstance(told, tuple) else (told,)
    for one, other in zip(told, wanted, strict=True):
        assert tuple(one.shape) == other.shape
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-5)


def test_every_operator_is_compared():
    assert {case[0] for case in CASES} == set(operators(torch)) - {'Constant'}


def test_a_perceptron_is_right_for_one_and_for_many(metadata, tmp_path):
    bundle = random_policy(metadata(), tmp_path / 'a.onnx', np.random.default_rng(0), (32, 32))
    runtime, reference = TorchRuntime(bundle), OnnxRuntime(bundle)
    parity = compare(reference, runtime, bundle, np.random.default_rng(1), tolerance=1e-5)
    assert parity.ok and runtime.report()['device'] == 'cpu'
    many = np.random.default_rng(2).normal(size=(7, bundle.meta.observation.size))
    many = many.astype(np.float32)
    np.testing.assert_allclose(runtime.infer(many), reference.infer(many), rtol=1e-4, atol=1e-6)


def recurrent(metadata, path, node='GRU'):
    """A bundle of one GRU layer and a linear one."""
    meta = metadata()
    size, hidden = meta.observation.size, 6
    weights = {'w': (1, 3 * hidden, size), 'r': (1, 3 * hidden, hidden), 'b': (1, 6 * hidden)}
    weights['out'] = (hidden, 2)
    tensors = [numpy_helper.from_array(real(*shape) * 0.5, n) for n, shape in weights.items()]
    tensors += [numpy_helper.from_array(whole(0), 'zero'), numpy_helper.from_array(whole(1), '1')]
    nodes = [
        helper.make_node('Unsqueeze', ['obs', 'zero'], ['x']),
        helper.make_node(node, ['x', 'w', 'r', 'b', '', 'h'], ['y', 'h2'], hidden_size=hidden),
        helper.make_node('Squeeze', ['h2', 'zero'], ['s']),
        helper.make_node('MatMul', ['s', 'out'], ['act']),
    ]

    def end(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [end('obs', 1, size), end('h', 1, 1, hidden)]
    outputs = [end('act', 1, 2), end('h2', 1, 1, hidden)]
    graph = helper.make_graph(nodes, 'g', inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    fields = {name: getattr(meta, name) for name in meta.__dataclass_fields__}
    fields['state'] = (RecurrentState(input='h', output='h2', shape=(1, 1, hidden)),)
    return write_bundle(model.SerializeToString(), type(meta)(**fields), path)


def test_a_recurrent_policy_remembers_and_forgets(metadata, tmp_path):
    bundle = recurrent(metadata, tmp_path / 'r.onnx')
    runtime, reference = TorchRuntime(bundle), OnnxRuntime(bundle)
    parity = compare(reference, runtime, bundle, np.random.default_rng(1), tolerance=1e-5)
    assert parity.ok and parity.steps > 100
    row = np.ones((1, bundle.meta.observation.size), np.float32)
    runtime.reset()
    first, second = runtime.infer(row).copy(), runtime.infer(row).copy()
    runtime.reset()
    np.testing.assert_array_equal(runtime.infer(row), first)
    runtime.rehearse()
    np.testing.assert_array_equal(runtime.infer(row), second)
    assert np.abs(second - first).max() > 1e-3
    with pytest.raises(InputError, match='one robot at a time'):
        runtime.infer(np.concatenate([row, row]))


def test_an_operator_that_is_not_known_is_named(metadata, tmp_path):
    bundle = random_policy(metadata(), tmp_path / 'a.onnx', np.random.default_rng(0), (4,))
    model = onnx.load_from_string(bundle.model)
    for node in model.graph.node:
        if node.op_type == 'Elu':
            node.op_type = 'Celu'
    celu = write_bundle(model.SerializeToString(), bundle.meta, tmp_path / 'celu.onnx')
    with pytest.raises(MissingError, match='torch runs no Celu here'):
        TorchRuntime(celu)
