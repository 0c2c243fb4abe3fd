"""The logic of the TensorRT runtime, on doubles: nothing here says that it works on a GPU."""

import dataclasses
import json
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from sim2real_core.errors import InputError, MissingError
from sim2real_policy import engine, runtime_tensorrt
from sim2real_policy.bundle import write_bundle
from sim2real_policy.cuda import CudaError
from sim2real_policy.gpu import Gpu
from sim2real_policy.parity import ParityError
from sim2real_policy.random_policy import random_policy
from sim2real_policy.runtime import OnnxRuntime
from sim2real_policy.runtime_tensorrt import TensorRtRuntime
from test.unit.policy.doubles import cuda_double, pycuda_double, tensorrt_double

onnx = pytest.importorskip('onnx')
ORIN = Gpu('Orin', '8.7', True, True, 8 << 30, '12.6')
CARD = Gpu('RTX', '8.9', False, True, 8 << 30, '12.6')


@pytest.fixture(params=[ORIN, CARD], ids=['mapped', 'copied'])
def device(request, monkeypatch):
    """A device with TensorRT 10 and cuda-python."""
    monkeypatch.setattr(runtime_tensorrt, 'probe', lambda number: request.param)
    monkeypatch.setitem(sys.modules, 'tensorrt', tensorrt_double)
    monkeypatch.setitem(sys.modules, 'cuda.bindings.runtime', cuda_double)
    monkeypatch.setattr(tensorrt_double.Builder, 'built', 0)
    return cuda_double.reset()


@pytest.fixture
def bundle(tmp_path, metadata):
    return random_policy(metadata(), tmp_path / 'a.onnx', np.random.default_rng(0), hidden=(8, 8))


@pytest.fixture
def recurrent(tmp_path, metadata):
    """A bundle that adds what it saw to what it remembers."""
    from onnx import TensorProto, helper, numpy_helper

    from sim2real_policy.bundle import RecurrentState

    size = metadata().observation.size
    weights = np.random.default_rng(3).normal(size=(size, 2)).astype(np.float32)

    def end(name, width):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])

    graph = helper.make_graph(
        [
            helper.make_node('MatMul', ['obs', 'w'], ['seen']),
            helper.make_node('Add', ['seen', 'h'], ['h_next']),
            helper.make_node('Tanh', ['h_next'], ['act']),
        ],
        'recurrent',
        [end('obs', size), end('h', 2)],
        [end('act', 2), end('h_next', 2)],
        [numpy_helper.from_array(weights, 'w')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    meta = metadata(terms=None)
    fields = {name: getattr(meta, name) for name in meta.__dataclass_fields__}
    state = (RecurrentState(input='h', output='h_next', shape=(1, 2)),)
    meta = type(meta)(**{**fields, 'state': state})
    return write_bundle(model.SerializeToString(), meta, tmp_path / 'recurrent.onnx')


def observations(bundle, count, seed=1):
    shape = (count, bundle.meta.observation.size)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.3


def same(runtime, bundle, count=4):
    reference = OnnxRuntime(bundle)
    reference.reset()
    for row in observations(bundle, count):
        wanted = reference.infer(row[None])
        runtime.rehearse()
        np.testing.assert_allclose(runtime.infer(row[None]), wanted, rtol=1e-6, atol=1e-7)


def test_gives_what_onnx_runtime_gives_and_replays_a_graph(device, bundle, tmp_path):
    runtime = TensorRtRuntime(bundle, folder=tmp_path)
    assert runtime.replays and runtime.report()['cuda_graph'] == 'replayed'
    assert runtime.about['parity']['ok'] and runtime.about['parity']['tolerance'] == 1e-4
    same(runtime, bundle)
    many = observations(bundle, 3)
    np.testing.assert_allclose(runtime.infer(many), OnnxRuntime(bundle).infer(many), rtol=1e-5)
    device.calls.clear()
    runtime.infer(many[:1])
    assert device.calls[0] == 'cudaGraphLaunch'
    assert set(device.calls[1:]) == {'cudaStreamQuery'}


def test_without_a_graph_copies_only_where_memory_is_not_shared(device, bundle, tmp_path):
    runtime = TensorRtRuntime(bundle, folder=tmp_path, graph=False)
    same(runtime, bundle)
    device.calls.clear()
    runtime.infer(observations(bundle, 1))
    mapped = runtime.report()['buffers'] == 'mapped'
    assert device.calls.count('cudaMemcpyAsync') == (0 if mapped else 2)


def test_a_recurrent_policy_remembers_and_forgets(device, recurrent, tmp_path):
    runtime = TensorRtRuntime(recurrent, folder=tmp_path)
    assert runtime.replays
    same(runtime, recurrent)
    runtime.reset()
    same(runtime, recurrent)
    with pytest.raises(InputError, match='one robot at a time'):
        runtime.infer(observations(recurrent, 2))


@pytest.mark.parametrize('fault', ['refuse_capture', 'wrong_replay'])
def test_falls_back_when_the_graph_cannot_be_used(device, bundle, tmp_path, fault):
    setattr(device, fault, True)
    runtime = TensorRtRuntime(bundle, folder=tmp_path)
    assert not runtime.replays and 'not used' in runtime.report()['cuda_graph']
    same(runtime, bundle)


def test_works_from_another_thread(device, bundle, tmp_path):
    runtime, answers = TensorRtRuntime(bundle, folder=tmp_path), []
    rows = observations(bundle, 2)
    thread = threading.Thread(target=lambda: answers.append(runtime.infer(rows[:1]).copy()))
    thread.start()
    thread.join(10)
    np.testing.assert_allclose(answers[0], OnnxRuntime(bundle).infer(rows[:1]), rtol=1e-5)
    same(runtime, bundle)  # and from this one again
    closer = threading.Thread(target=runtime.close)
    closer.start()
    closer.join(10)
    assert device.used == 0


def test_takes_no_more_memory_with_more_calls_and_frees_all(device, bundle, tmp_path):
    runtime = TensorRtRuntime(bundle, folder=tmp_path)
    free, row = runtime.free_memory(), observations(bundle, 1)
    for _ in range(200):
        runtime.infer(row)
    assert runtime.free_memory() == free
    action = runtime.infer(row)
    runtime.close()
    assert device.used == 0 and np.isfinite(action).all()


def test_an_engine_is_kept_and_a_damaged_one_is_built_again(device, bundle, tmp_path):
    built = tensorrt_double.Builder
    first = TensorRtRuntime(bundle, folder=tmp_path)
    assert first.built > 0 == TensorRtRuntime(bundle, folder=tmp_path).built
    assert built.built == 1
    (engine,) = tmp_path.glob('*.engine')
    about = json.loads(engine.with_suffix('.json').read_text())
    assert about['key']['model'] == bundle.content_hash and about['parity']['ok']
    assert first.engine == engine
    engine.write_bytes(engine.read_bytes()[:-1])
    same(TensorRtRuntime(bundle, folder=tmp_path), bundle)
    assert built.built == 2
    TensorRtRuntime(bundle, folder=tmp_path, rebuild=True)
    assert built.built == 3


def test_another_precision_tensorrt_or_gpu_is_another_engine(
    device, bundle, tmp_path, monkeypatch
):
    stems = {TensorRtRuntime(bundle, folder=tmp_path).key.stem}
    stems.add(TensorRtRuntime(bundle, 'fp16', folder=tmp_path).key.stem)
    monkeypatch.setattr(tensorrt_double, '__version__', '10.13.0')
    stems.add(TensorRtRuntime(bundle, folder=tmp_path).key.stem)
    other = Gpu('Thor', '11.0', True, True, 8 << 30, '13.0')
    monkeypatch.setattr(runtime_tensorrt, 'probe', lambda number: other)
    stems.add(TensorRtRuntime(bundle, folder=tmp_path).key.stem)
    assert len(stems) == 4 == len(list(tmp_path.glob('*.engine')))


@pytest.mark.parametrize('version', ['10.3.0', '11.4.0'])
def test_half_precision_is_measured_and_refused_where_it_is_too_coarse(
    device, bundle, tmp_path, monkeypatch, version
):
    if version.startswith('11'):
        flags = SimpleNamespace(TF32=tensorrt_double.BuilderFlag.TF32)
        monkeypatch.setattr(tensorrt_double, 'BuilderFlag', flags)
        monkeypatch.setattr(tensorrt_double, '__version__', version)
    runtime = TensorRtRuntime(bundle, 'fp16', folder=tmp_path)
    assert runtime.name == 'tensorrt-fp16'
    assert 1e-6 < runtime.about['parity']['relative'] < 1e-2
    with pytest.raises(ParityError, match='fp16 differs from ONNX Runtime'):
        TensorRtRuntime(bundle, 'fp16', folder=tmp_path / 'b', tolerance=1e-6)
    assert not list((tmp_path / 'b').glob('*')) and device.calls[-1] == 'cudaStreamDestroy'
    with pytest.raises(ParityError, match='1e-06 is admitted'):  # nor one that was kept before
        TensorRtRuntime(bundle, 'fp16', folder=tmp_path, tolerance=1e-6)


def test_int8_comes_from_the_model_alone(device, bundle, tmp_path):
    with pytest.raises(InputError, match='no QuantizeLinear'):
        TensorRtRuntime(bundle, 'int8', folder=tmp_path)
    with pytest.raises(InputError, match='fp32, fp16, int8'):
        TensorRtRuntime(bundle, 'fp8', folder=tmp_path)
    assert device.used == 0


def test_only_pairs_of_nodes_are_explicit_quantization(bundle, tmp_path):
    def said(words, *operators):
        model = onnx.load_from_string(bundle.model)
        model.doc_string = words
        first = model.graph.input[0].name
        for index, operator in enumerate(operators):
            many = [f'{index}{x}' for x in 'abc'][: 3 if operator.startswith('Dynamic') else 1]
            model.graph.node.append(onnx.helper.make_node(operator, [first], many))
        return dataclasses.replace(bundle, model=model.SerializeToString())

    assert engine.quantized(said('', 'QuantizeLinear', 'DequantizeLinear'))
    assert not engine.quantized(said('with QuantizeLinear and DequantizeLinear'))
    assert not engine.quantized(said('', 'DynamicQuantizeLinear', 'DequantizeLinear'))
    assert not engine.quantized(said('', 'QuantizeLinear'))


def test_what_tensorrt_cannot_take_is_named(device, bundle, tmp_path, monkeypatch):
    def refuses(self, model, path=None):
        self.errors = [tensorrt_double.ParserError('No importer registered for op: Foo')]
        return False

    monkeypatch.setattr(tensorrt_double.OnnxParser, 'parse', refuses)
    with pytest.raises(InputError, match='No importer registered for op: Foo'):
        TensorRtRuntime(bundle, folder=tmp_path)


def test_an_engine_that_cannot_be_read_or_does_not_fit_is_named(
    device, bundle, recurrent, tmp_path, monkeypatch
):
    monkeypatch.setattr(tensorrt_double, 'MAGIC', b'plan of another device:')
    TensorRtRuntime(bundle, folder=tmp_path)
    monkeypatch.setattr(tensorrt_double, 'MAGIC', b'plan of this device:')
    with pytest.raises(InputError, match='of another TensorRT or GPU'):
        TensorRtRuntime(bundle, folder=tmp_path)
    monkeypatch.setattr(
        runtime_tensorrt.engines, 'cached', lambda *_: tensorrt_double.MAGIC + recurrent.model
    )
    with pytest.raises(InputError, match='engine'):
        TensorRtRuntime(bundle, folder=tmp_path)


def test_a_failing_gpu_is_an_error_not_an_action(device, bundle, tmp_path):
    runtime = TensorRtRuntime(bundle, folder=tmp_path)
    device.fail_next = True
    with pytest.raises(CudaError, match='LaunchFailure'):
        runtime.infer(observations(bundle, 1))


def test_without_tensorrt_or_cuda_library_it_says_what_is_missing(
    device, bundle, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, 'cuda.bindings.runtime', None)
    monkeypatch.setitem(sys.modules, 'cuda.cudart', None)
    monkeypatch.setitem(sys.modules, 'pycuda.driver', None)
    with pytest.raises(MissingError, match='cuda-python'):
        TensorRtRuntime(bundle, folder=tmp_path)
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    with pytest.raises(MissingError, match='JetPack'):
        TensorRtRuntime(bundle, folder=tmp_path)


def test_pycuda_works_in_the_one_thread_that_owns_its_context(
    device, recurrent, tmp_path, monkeypatch
):
    for name in ('cuda.bindings.runtime', 'cuda.cudart'):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, 'pycuda', SimpleNamespace(VERSION=(2025, 1)))
    monkeypatch.setitem(sys.modules, 'pycuda.driver', pycuda_double)
    runtime = TensorRtRuntime(recurrent, folder=tmp_path)
    report = runtime.report()
    assert report['cuda'] == 'pycuda 2025.1' and 'has no CUDA graphs' in report['cuda_graph']
    assert len(pycuda_double.threads) == 1
    assert threading.get_ident() not in pycuda_double.threads
    same(runtime, recurrent)
    runtime.reset()
    row, answers = observations(recurrent, 1), []
    other = threading.Thread(target=lambda: answers.append(runtime.infer(row).copy()))
    other.start()
    other.join(10)
    np.testing.assert_allclose(answers[0], OnnxRuntime(recurrent).infer(row), rtol=1e-5)
    assert runtime.free_memory() < cuda_double.TOTAL
    runtime.close()
    assert device.used == 0 and not pycuda_double.threads


def test_a_quantized_model_is_built_with_its_own_types(device, bundle, tmp_path):
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(bundle.model)
    graph = model.graph
    constants = {'scale': np.float32(0.02), 'zero': np.int8(0)}
    graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
    graph.node[0].input[0] = 'coarse'
    for name, ends in (
        ('QuantizeLinear', ('observation', 'q')),
        ('DequantizeLinear', ('q', 'coarse')),
    ):
        node = helper.make_node(name, [ends[0], 'scale', 'zero'], [ends[1]])
        graph.node.insert(name == 'DequantizeLinear', node)
    quantized = write_bundle(model.SerializeToString(), bundle.meta, tmp_path / 'q.onnx')
    runtime = TensorRtRuntime(quantized, 'int8', folder=tmp_path)
    assert runtime.name == 'tensorrt-int8' and runtime.about['parity']['tolerance'] == 2e-2
    strongly_typed = tensorrt_double.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert tensorrt_double.Builder.flags == 1 << strongly_typed
    TensorRtRuntime(quantized, folder=tmp_path)
    assert tensorrt_double.Builder.flags == 0


class Clock:
    """Goes on by a microsecond a look, and by more for each call that enqueues."""

    def __init__(self, device, enqueue):
        self._device, self._enqueue, self._looks = device, enqueue, 0

    def __call__(self):
        self._looks += 1
        enqueued = self._device.calls.count('cudaMemcpyAsync')
        return self._looks * 1e-6 + enqueued * self._enqueue


def checked(bundle, monkeypatch, tmp_path, clock):
    from sim2real_policy import check

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(check, 'OVERHEAD', 1.0)
    monkeypatch.setattr(check, 'probe', lambda: runtime_tensorrt.probe(0))
    return check.check(bundle, ['tensorrt'], calls=20, memory_calls=100, clock=clock)


@pytest.mark.parametrize('device', [CARD], indirect=True)
def test_check_measures_graph_and_memory(device, bundle, tmp_path, monkeypatch):
    good = checked(bundle, monkeypatch, tmp_path, Clock(device, 1e-3))
    assert good['ok'], good['failures']
    assert good['machine']['gpu']['name'] == 'RTX'
    figures = good['tensorrt']
    assert figures['replay']['p50'] < figures['enqueue']['p50']
    assert figures['memory'] == {'calls': 100, 'growth': 0, 'bar': 1 << 20}
    slow = checked(bundle, monkeypatch, tmp_path, Clock(device, 0.0))
    assert slow['failures'] == ['CUDA graph: replay is not faster than enqueue']


@pytest.mark.parametrize('device', [CARD], indirect=True)
def test_check_finds_memory_that_is_not_given_back(device, bundle, tmp_path, monkeypatch):
    launch = cuda_double.cudaGraphLaunch

    def leaking(*given):
        device.allocate(1 << 15)
        return launch(*given)

    monkeypatch.setattr(cuda_double, 'cudaGraphLaunch', leaking)
    report = checked(bundle, monkeypatch, tmp_path, Clock(device, 1e-3))
    assert any(words.startswith('device memory grew by') for words in report['failures'])
