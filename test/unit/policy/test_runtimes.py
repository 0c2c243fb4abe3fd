import subprocess
import sys

import numpy as np
import pytest

from sim2real_core.errors import InputError, MissingError
from sim2real_policy import check, engine, gpu, runtimes
from sim2real_policy.parity import Parity, ParityError, compare, random_inputs
from sim2real_policy.random_policy import random_policy
from sim2real_policy.runtime import OnnxRuntime
from sim2real_policy.runtime_names import RUNTIME_NAMES

pytest.importorskip('onnx')


@pytest.fixture
def bundle(tmp_path, metadata):
    return random_policy(metadata(), tmp_path / 'a.onnx', np.random.default_rng(0), hidden=(8, 8))


class Off(OnnxRuntime):
    """Gives actions that are wrong by a little."""

    name, by = 'off', 0.0

    def infer(self, observation, others={}):  # noqa: B006
        return super().infer(observation, others) * (1 + self.by)


def steady(step=1e-3):
    """A clock that goes on by a step at each look."""
    state = [0.0]

    def clock():
        state[0] += step
        return state[0]

    return clock


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(gpu, 'DRIVER', 'libcuda-that-is-not-there.so.1')


def offered(monkeypatch, **made):
    """These are the runtimes there are, beside the reference."""
    there = {'onnxruntime': OnnxRuntime, **made}
    monkeypatch.setattr(runtimes, 'RUNTIMES', there)


def missing(bundle):
    raise MissingError('not installed')


@pytest.mark.parametrize('by, ok', [(0.0, True), (5e-5, True), (2e-4, False), (np.nan, False)])
def test_parity_is_relative_to_the_largest_action(bundle, by, ok):
    off = Off(bundle)
    off.by = by
    rng = np.random.default_rng(0)
    parity = compare(OnnxRuntime(bundle), off, bundle, rng, tolerance=1e-4)
    assert parity.ok is ok
    if np.isfinite(by):
        assert parity.relative == pytest.approx(abs(by), rel=0.02, abs=1e-12)


def test_parity_of_silent_policies_is_not_a_division_by_zero(bundle, monkeypatch):
    class Silent(Off):
        def infer(self, observation, others={}):  # noqa: B006
            return np.zeros((1, 2), np.float32)

    rng = np.random.default_rng(0)
    assert compare(Silent(bundle), Silent(bundle), bundle, rng, tolerance=1e-4).relative == 0.0
    assert not compare(Silent(bundle), OnnxRuntime(bundle), bundle, rng, tolerance=1e-4).ok


def test_random_inputs_fill_the_training_range(bundle, metadata, tmp_path):
    from sim2real_policy.bundle import Normalizer, Range

    size = bundle.meta.observation.size
    low, high = np.arange(size) - 10.0, np.arange(size) + 30.0
    meta = metadata(normalizer=Normalizer(mean=(5.0,) * size, std=(2.0,) * size))
    fields = {name: getattr(meta, name) for name in meta.__dataclass_fields__}
    fields['training_range'] = Range(low=tuple(low), high=tuple(high))
    ranged = random_policy(type(meta)(**fields), tmp_path / 'r.onnx', np.random.default_rng(0))
    seen = np.concatenate([row for row, _ in random_inputs(ranged, 500, np.random.default_rng(1))])
    seen = seen * 2.0 + 5.0
    assert (seen >= low - 1e-4).all() and (seen <= high + 1e-4).all()
    assert np.ptp(seen, axis=0).min() > 35.0 and seen.shape == (500, size)


def test_auto_takes_the_fastest_of_those_that_are_right(bundle, monkeypatch):
    wrong, slow = type('Wrong', (Off,), {'by': 1e-2}), type('Slow', (Off,), {})
    fast = type('Fast', (Off,), {})
    offered(monkeypatch, wrong=wrong, slow=slow, fast=fast, absent=missing)
    seconds = {'onnxruntime': 4e-3, 'wrong': 1e-3, 'slow': 5e-3, 'fast': 2e-3}
    monkeypatch.setattr(runtimes, 'latency', lambda r, *_, **__: {'p50': seconds[names[type(r)]]})
    names = {OnnxRuntime: 'onnxruntime', wrong: 'wrong', slow: 'slow', fast: 'fast'}
    choice = runtimes.choose(bundle)
    assert type(choice.runtime) is fast
    found = {one.name: one for one in choice.candidates}
    assert not found['wrong'].ok and found['slow'].ok and found['absent'].missing
    assert type(runtimes.make_runtime('auto', bundle)) is fast
    with pytest.raises(MissingError, match='absent: not installed'):
        runtimes.choose(bundle, ['absent', 'wrong'])


def test_one_that_is_asked_for_is_compared_before_it_is_used(bundle, monkeypatch):
    closed = []
    methods = {'by': 1e-2, 'close': lambda self: closed.append(self)}
    offered(monkeypatch, wrong=type('Wrong', (Off,), methods), right=type('Right', (Off,), {}))
    with pytest.raises(ParityError, match='wrong differs from ONNX Runtime'):
        runtimes.make_runtime('wrong', bundle)
    assert len(closed) == 1
    assert runtimes.make_runtime('right', bundle).name == 'off'


def test_auto_takes_the_faster_of_the_real_ones(bundle, no_gpu):
    pytest.importorskip('torch')
    choice = runtimes.choose(bundle)
    right = {one.name: one for one in choice.candidates if one.ok}
    assert set(right) == {'onnxruntime', 'torch'}
    fastest = min(right.values(), key=lambda one: one.latency['p50'])
    assert choice.runtime.name == fastest.name
    absent = [one for one in choice.candidates if not one.ok]
    assert absent and all(one.absent and 'no NVIDIA driver' in one.missing for one in absent)
    row = np.ones((1, bundle.meta.observation.size), np.float32)
    np.testing.assert_allclose(choice.runtime.infer(row), OnnxRuntime(bundle).infer(row), 1e-4)


def test_auto_closes_what_it_does_not_take(bundle, monkeypatch):
    closed = []
    kinds = {
        name: type(name, (Off,), {'close': lambda self: closed.append(type(self).__name__)})
        for name in ('first', 'second', 'third')
    }
    offered(monkeypatch, **kinds)
    seconds = {'first': 3e-3, 'second': 1e-3, 'third': 2e-3, 'OnnxRuntime': 9e-3}
    monkeypatch.setattr(
        runtimes, 'latency', lambda r, *_, **__: {'p50': seconds[type(r).__name__]}
    )
    assert type(runtimes.choose(bundle).runtime) is kinds['second']
    assert sorted(closed) == ['first', 'third']


def test_auto_uses_lower_precision_only_where_somebody_built_it(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert 'tensorrt' in runtimes.candidates(bundle)
    assert not {'tensorrt-fp16', 'tensorrt-int8'} & set(runtimes.candidates(bundle))
    key = engine.EngineKey(bundle.content_hash, '10.3', 'Orin', '8.7', 'fp16')
    engine.store(b'x', key, engine.cache_folder() / f'{key.stem}.engine', {})
    names = runtimes.candidates(bundle)
    assert 'tensorrt-fp16' in names and 'tensorrt-int8' not in names


def test_an_unknown_runtime_is_named_with_those_there_are(bundle):
    with pytest.raises(InputError, match=r'auto, onnxruntime, .*tensorrt-fp16'):
        runtimes.make_runtime('tensorflow', bundle)


@pytest.mark.parametrize(
    'name', [n for n in runtimes.RUNTIMES if n not in ('onnxruntime', 'torch')]
)
def test_without_a_gpu_each_says_so(bundle, no_gpu, name):
    with pytest.raises(MissingError, match='no NVIDIA driver'):
        runtimes.make_runtime(name, bundle)


def test_check_without_a_gpu_verifies_what_is_there(bundle, no_gpu, monkeypatch):
    monkeypatch.setattr(check, 'OVERHEAD', 1.0)  # nothing here judges time
    report = check.check(bundle, calls=200)
    assert report['ok'] and 'no NVIDIA driver' in report['machine']['gpu']['missing']
    rows = {row['name']: row for row in report['runtimes']}
    assert rows['onnxruntime']['parity']['ok'] and rows['tensorrt']['absent']
    assert 'tensorrt-int8' not in rows and 'tensorrt' not in report
    asked = check.check(bundle, ['tensorrt'], calls=200)
    assert not asked['ok'] and 'no NVIDIA driver' in asked['failures'][0]


def test_check_finds_wrong_actions_and_a_slow_runtime(bundle, no_gpu, monkeypatch):
    offered(monkeypatch, off=type('Wrong', (Off,), {'by': 1e-2}))
    monkeypatch.setattr(check, 'OVERHEAD', -1.0)
    report = check.check(bundle, calls=200)
    assert not report['ok'] and len(report['failures']) == 2
    assert report['failures'][0].startswith('off: differs by 1.0')
    assert 'us to ONNX Runtime' in report['failures'][1]


def test_parity_as_json_says_whether_it_is_admitted():
    assert Parity(0.1, 1e-3, 5, 1e-2).as_json()['ok'] and not Parity(0.1, 0.1, 5, 1e-2).ok


def driver(tmp_path, body):
    """A library in the driver's place, and what a process of its own says of it."""
    import shutil

    compiler = shutil.which('cc')
    if compiler is None:
        pytest.skip('cc is not installed')
    source = tmp_path / 'driver.c'
    source.write_text(body)
    library = tmp_path / 'libcuda.so.1'
    subprocess.run([compiler, '-shared', '-fPIC', '-o', library, source], check=True)
    code = (
        f'import sim2real_policy.gpu as g; g.DRIVER = {str(library)!r}\n'
        'try: print(g.probe(0))\n'
        'except g.MissingError as e: print(e)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DRIVER = """
#include <string.h>
int cuInit(unsigned f) { return INIT; }
int cuGetErrorName(int e, const char **s) { *s = "CUDA_ERROR_NO_DEVICE"; return 0; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuDeviceGetCount(int *n) { *n = COUNT; return 0; }
int cuDeviceGet(int *d, int i) { *d = i + 5; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strcpy(s, d == 5 ? "Orin" : "wrong"); return 0; }
int cuDeviceTotalMem_v2(unsigned long *m, int d) { *m = 1ul << 33; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d)
{ *v = a == 75 ? 8 : a == 76 ? 7 : a == 18 || a == 19; return 0; }
"""


def test_probe_reads_what_the_driver_says(tmp_path):
    said = driver(tmp_path, DRIVER.replace('INIT', '0').replace('COUNT', '1'))
    assert said == (
        "Gpu(name='Orin', capability='8.7', integrated=True, mappable=True, "
        "memory=8589934592, driver='12.6')"
    )


@pytest.mark.parametrize(
    'init, count, words',
    [('100', '0', 'cuInit says CUDA_ERROR_NO_DEVICE'), ('0', '0', 'no GPU 0: the driver knows 0')],
)
def test_probe_of_a_driver_without_a_gpu_is_no_crash(tmp_path, init, count, words):
    assert words in driver(tmp_path, DRIVER.replace('INIT', init).replace('COUNT', count))


def test_probe_of_a_library_that_is_no_driver_is_no_crash(tmp_path):
    assert 'has no cuInit' in driver(tmp_path, 'int nothing(void) { return 0; }')
    older = DRIVER.replace('INIT', '0').replace('COUNT', '1').replace('cuDeviceTotalMem_v2', 'old')
    assert 'has no cuDeviceTotalMem_v2' in driver(tmp_path, older)


def test_there_is_a_runtime_for_each_name():
    assert tuple(runtimes.RUNTIMES) == RUNTIME_NAMES
