import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_policy.bundle import ImageInput, RecurrentState, load_bundle, write_bundle
from sim2real_policy.random_policy import random_policy
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
networks = pytest.importorskip('test.unit.policy.networks')


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


def recurrent(metadata, path, **changed):
    meta = metadata()
    model, u, v = networks.integrator(meta.observation.size, 2, **changed)
    state = RecurrentState(input='h_in', output='h_out', shape=(1, 3))
    return write_bundle(model, dataclasses.replace(meta, state=(state,)), path), u, v


def observations(bundle, n, seed=4):
    return np.random.default_rng(seed).normal(size=(n, bundle.meta.observation.size)).astype('f4')


def test_a_recurrent_network_remembers_until_it_is_reset(metadata, tmp_path):
    bundle, u, v = recurrent(metadata, tmp_path / 'a.onnx')
    runtime = OnnxRuntime(bundle)
    seen = observations(bundle, 5)
    expected = np.cumsum(seen @ u, axis=0) @ v
    for rehearsals in (0, 2):
        actions = []
        for row in seen:
            actions.append(runtime.infer(row[None]).copy())
            for _ in range(rehearsals):
                runtime.rehearse()
        np.testing.assert_allclose(np.concatenate(actions), expected, rtol=1e-4, atol=1e-4)
        runtime.reset()


def test_warming_up_leaves_no_memory(metadata, tmp_path):
    bundle, _, _ = recurrent(metadata, tmp_path / 'a.onnx')
    seen = observations(bundle, 1)
    np.testing.assert_array_equal(
        OnnxRuntime(bundle, warm_up=50).infer(seen), OnnxRuntime(bundle, warm_up=0).infer(seen)
    )


def test_several_robots_have_a_memory_each(metadata, tmp_path):
    bundle, _, _ = recurrent(metadata, tmp_path / 'a.onnx')
    together, alone = OnnxRuntime(bundle), [OnnxRuntime(bundle) for _ in range(3)]
    for step in range(4):
        seen = observations(bundle, 3, seed=step)
        expected = [one.infer(row[None]).copy() for one, row in zip(alone, seen)]
        np.testing.assert_array_equal(together.infer(seen), np.concatenate(expected))
    together.reset()
    alone[2].reset()
    seen = observations(bundle, 3)
    np.testing.assert_array_equal(together.infer(seen)[2:], alone[2].infer(seen[2:]))


def seeing(metadata, path, layout='NCHW'):
    meta = metadata()
    image = ImageInput(
        name='camera', topic='camera/image_raw', height=3, width=4, encoding='rgb8', layout=layout
    )
    model, u = networks.seeing(meta.observation.size, 2, image.shape)
    return write_bundle(model, dataclasses.replace(meta, images=(image,)), path), u


@pytest.mark.parametrize('layout', ['NCHW', 'NHWC'])
def test_a_network_sees_images_beside_its_observation(metadata, tmp_path, layout):
    bundle, u = seeing(metadata, tmp_path / 'a.onnx', layout)
    runtime = OnnxRuntime(bundle)
    seen = observations(bundle, 3)
    images = np.random.default_rng(2).normal(size=(3, *bundle.meta.images[0].shape))
    images = images.astype(np.float32)
    expected = seen @ u + images.mean(axis=(1, 2, 3))[:, None]
    np.testing.assert_allclose(
        runtime.infer(seen, {'camera': images}), expected, rtol=1e-4, atol=1e-5
    )
    for row in range(3):
        action = runtime.infer(seen[row : row + 1], {'camera': images[row : row + 1]})
        np.testing.assert_allclose(action[0], expected[row], rtol=1e-4, atol=1e-5)


def test_an_image_that_is_missing_is_not_taken_for_the_last_one(metadata, tmp_path):
    bundle, _ = seeing(metadata, tmp_path / 'a.onnx')
    with pytest.raises(KeyError, match='camera'):
        OnnxRuntime(bundle).infer(observations(bundle, 1))


def test_shapes_that_a_file_leaves_open_are_found_when_it_is_made_ready(metadata, tmp_path):
    meta = metadata()
    open_ = {'obs': [None, None]}, {'actions': [None, None]}
    pick = onnx.helper.make_node('Compress', ['obs', 'which'], ['actions'], axis=1)
    model = networks.model([pick], *open_, {'which': np.array([True] * 3)})
    bundle = write_bundle(model, meta, tmp_path / 'wide.onnx')
    with pytest.raises(InputError) as caught:
        OnnxRuntime(bundle)
    assert [f.field for f in caught.value.faults] == ['model.output[actions]']
    nodes = [
        onnx.helper.make_node('Compress', ['obs', 'which'], ['some'], axis=1),
        onnx.helper.make_node('MatMul', ['some', 'w'], ['actions']),
    ]
    weights = {'which': np.array([True] * 3), 'w': np.zeros((4, 2), np.float32)}
    bundle = write_bundle(networks.model(nodes, *open_, weights), meta, tmp_path / 'odd.onnx')
    with pytest.raises(InputError, match='cannot be run'):
        OnnxRuntime(bundle)


@pytest.mark.parametrize('schema', [1, 2])
def test_a_bundle_of_any_schema_acts_bit_for_bit_as_its_network(schema, bundle):
    import onnxruntime

    if schema == 1:
        bundle = load_bundle(Path(__file__).parents[2] / 'golden' / 'bundle_schema_1.onnx')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        bundle.model, options, providers=['CPUExecutionProvider']
    )
    runtime = OnnxRuntime(bundle)
    for row in observations(bundle, 20):
        (expected,) = session.run(None, {'observation': row[None]})
        np.testing.assert_array_equal(runtime.infer(row[None]), expected)
