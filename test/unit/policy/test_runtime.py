import numpy as np
import pytest

from sim2real_policy.bundle import write_bundle
from sim2real_policy.random_policy import random_policy
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')


@pytest.fixture
def bundle(tmp_path, metadata):
    return random_policy(metadata(), tmp_path / 'a.onnx', np.random.default_rng(0), hidden=(8, 8))


def expected(bundle, observation):
    """The same network in NumPy."""
    from onnx import numpy_helper

    graph = onnx.load_from_string(bundle.model).graph
    weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    values = observation
    for layer in range(3):
        values = values @ weights[f'w{layer}'] + weights[f'b{layer}']
        if layer < 2:
            values = np.where(values > 0, values, np.expm1(values))
    return values


def test_infers_one_and_many(bundle):
    runtime = OnnxRuntime(bundle)
    observation = np.random.default_rng(1).normal(size=(5, bundle.meta.observation.size))
    observation = observation.astype(np.float32)
    np.testing.assert_allclose(
        runtime.infer(observation), expected(bundle, observation), rtol=1e-4, atol=1e-6
    )
    for row in observation:
        action = runtime.infer(row[None])
        assert action.shape == (1, 2) and action.dtype == np.float32
        np.testing.assert_allclose(action[0], expected(bundle, row), rtol=1e-4, atol=1e-6)


def test_gives_the_same_bits_every_time(bundle):
    runtime, other = OnnxRuntime(bundle), OnnxRuntime(bundle, warm_up=0)
    observation = np.full((1, bundle.meta.observation.size), 0.3, np.float32)
    first = runtime.infer(observation).copy()
    for _ in range(20):
        np.testing.assert_array_equal(runtime.infer(observation), first)
    np.testing.assert_array_equal(other.infer(observation), first)


def test_a_model_of_fixed_batch_takes_many_one_by_one(bundle, tmp_path):
    model = onnx.load_from_string(bundle.model)
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = 1
    fixed = write_bundle(model.SerializeToString(), bundle.meta, tmp_path / 'fixed.onnx')
    observation = np.random.default_rng(2).normal(size=(3, bundle.meta.observation.size))
    observation = observation.astype(np.float32)
    np.testing.assert_allclose(
        OnnxRuntime(fixed).infer(observation), OnnxRuntime(bundle).infer(observation), rtol=1e-5
    )
