"""The doubles say what the real bindings say.

The real ones are loaded where they are present: ``cuda.bindings`` and ``tensorrt`` installed, or
unpacked in folders that ``SIM2REAL_BINDINGS`` lists, e.g. of ::

    pip install --no-deps --target /tmp/trt10 tensorrt-cu12-bindings==10.3.0
    pip install --no-deps --target /tmp/trt11 tensorrt-cu13-bindings==11.4.0.106
    pip install --target /tmp/cuda cuda-bindings
    SIM2REAL_BINDINGS=/tmp/trt10:/tmp/trt11:/tmp/cuda

Those of TensorRT need libraries that only its vendor has; libraries that do nothing stand in for
them, since their classes and signatures are all that is asked for. Nothing is run on a GPU.
"""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test.unit.policy.doubles import cuda_double, tensorrt_double

FOLDERS = [Path(p) for p in os.environ.get('SIM2REAL_BINDINGS', '').split(os.pathsep) if p]
# A pybind11 docstring begins with the signature, or lists several under 'Overloaded function.'
TOLD = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
told = {'version': trt.__version__}
for name in dir(trt):
    kind = getattr(trt, name)
    if isinstance(kind, type):
        members = {m: getattr(kind, m) for m in dir(kind)}
        told[name] = {
            m: (v.__doc__ or '') if callable(v) else type(v).__name__ for m, v in members.items()
        }
print(json.dumps(told))
"""


def tensorrt_folders():
    found = [f for f in FOLDERS if (f / 'tensorrt_bindings').is_dir()]
    return found or [None]


def load(folder, tmp_path):
    """Classes of TensorRT's bindings, with the docstrings of their members."""
    if folder is None:
        pytest.skip('no TensorRT bindings (SIM2REAL_BINDINGS)')
    compiler, nm = shutil.which('cc'), shutil.which('nm')
    if compiler is None or nm is None:
        pytest.skip('cc and nm are needed to stand in for the vendor libraries')
    library = folder / 'tensorrt_bindings' / 'tensorrt.so'
    said = subprocess.run([nm, '-D', '--undefined-only', library], capture_output=True, text=True)
    wanted = re.findall(r' U (\w*(?:_INTERNAL|Registry|Version|Plugins))$', said.stdout, re.M)
    assert 'createInferBuilder_INTERNAL' in wanted
    source = tmp_path / 'nothing.c'
    source.write_text(''.join(f'void *{name}(void) {{ return 0; }}\n' for name in wanted))
    for name in set(re.findall(rb'lib\w+\.so\.1[01]', library.read_bytes())):
        path = tmp_path / name.decode()
        flags = ['-shared', '-fPIC', f'-Wl,-soname,{path.name}']
        subprocess.run([compiler, *flags, '-o', path, source], check=True)
    environment = {**os.environ, 'LD_LIBRARY_PATH': str(tmp_path), 'PYTHONPATH': str(folder)}
    command = [sys.executable, '-c', TOLD, 'tensorrt_bindings']
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if 'undefined symbol: _Py' in done.stderr or 'No module named' in done.stderr:
        pytest.skip(f'{folder} is for another Python')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def signatures(docstring):
    """Parameter names of each overload, without self."""
    found = re.findall(r'^(?:\d+\. )?\w+\((.*)\) -> ', docstring, re.M)
    return [re.findall(r'(?:^|, )(\w+): ', text)[1:] for text in found]


def methods(kind):
    """What a double's class has that the real one must have, with its parameters."""
    for name, member in vars(kind).items():
        if inspect.isfunction(member) and (name == '__init__' or not name.startswith('_')):
            yield name, list(inspect.signature(member).parameters)[1:]
        elif isinstance(member, property):
            yield name, None


PARTS = {
    'Logger', 'INetworkDefinition', 'IOptimizationProfile', 'IBuilderConfig', 'ParserError',
    'OnnxParser', 'Builder', 'IExecutionContext', 'ICudaEngine', 'Runtime',
}  # fmt: skip
MADE_BY_OTHERS = {
    'INetworkDefinition', 'IOptimizationProfile', 'IBuilderConfig', 'ParserError',
    'IExecutionContext', 'ICudaEngine',
}  # fmt: skip


@pytest.mark.parametrize('folder', tensorrt_folders(), ids=lambda f: getattr(f, 'name', 'none'))
def test_the_double_of_tensorrt_has_the_signatures_of_the_real_one(folder, tmp_path):
    real, checked = load(folder, tmp_path), 0
    for part in PARTS:
        for name, parameters in methods(getattr(tensorrt_double, part)):
            if name == '__init__' and part in MADE_BY_OTHERS:
                continue
            assert name in real[part], f'{part}.{name}'
            if parameters is None:
                assert real[part][name] == 'property', f'{part}.{name}'
                continue
            offered = signatures(real[part][name])
            assert any(has[: len(parameters)] == parameters for has in offered), (part, name)
            checked += 1
    assert checked >= 20


@pytest.mark.parametrize('folder', tensorrt_folders(), ids=lambda f: getattr(f, 'name', 'none'))
def test_the_enumerations_are_the_real_ones(folder, tmp_path):
    real = load(folder, tmp_path)
    for name in ('TensorIOMode', 'DataType', 'NetworkDefinitionCreationFlag', 'BuilderFlag'):
        for member in getattr(tensorrt_double, name).__members__:
            until_10 = member == 'FP16'  # what the suite asks of each TensorRT it meets
            there = member in real[name]
            assert there or (until_10 and not real['version'].startswith('10')), member
    assert ('FP16' in real['BuilderFlag']) == real['version'].startswith('10')
    assert 'WARNING' in real['Logger']


@pytest.fixture(scope='module')
def cuda():
    """``cuda.bindings``, runtime and driver: what each function's docstring begins with."""
    code = (
        'import json; from cuda.bindings import runtime as r, driver as d\n'
        'ints = {n: v for n, v in vars(r).items() if isinstance(v, int)}\n'
        'docs = {n: v.__doc__.splitlines()[0] for n, v in vars(r).items()'
        " if n.startswith('cuda') and callable(v) and v.__doc__}\n"
        'a = d.CUdevice_attribute\n'
        "names = ['INTEGRATED', 'CAN_MAP_HOST_MEMORY', 'COMPUTE_CAPABILITY_MAJOR',"
        " 'COMPUTE_CAPABILITY_MINOR']\n"
        'attributes = [int(getattr(a, "CU_DEVICE_ATTRIBUTE_" + n)) for n in names]\n'
        'enums = {k: {m.name: int(m) for m in getattr(r, k)} for k in'
        " ('cudaError_t', 'cudaMemcpyKind', 'cudaStreamCaptureMode')}\n"
        'count = [str(x) for x in r.cudaGetDeviceCount()]\n'
        'print(json.dumps([ints, docs, attributes, enums, count]))'
    )
    path = os.pathsep.join(map(str, FOLDERS))
    environment = {**os.environ, 'PYTHONPATH': path}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True
    )
    if 'ModuleNotFoundError' in done.stderr:
        pytest.skip('cuda.bindings is not installed (SIM2REAL_BINDINGS)')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_double_of_cuda_python_has_the_signatures_of_the_real_one(cuda):
    constants, docs, _, enums, _ = cuda
    functions = {
        n: f
        for n, f in vars(cuda_double).items()
        if n.startswith('cuda') and inspect.isfunction(f)
    }
    assert len(functions) > 15
    for name, function in functions.items():
        text = re.fullmatch(rf'{name}\((.*)\)', docs[name])[1]
        real = [part.partition(':')[0].split()[-1] for part in text.split(', ') if part]
        assert list(inspect.signature(function.real).parameters) == real, name
    for name in ('cudaStreamNonBlocking', 'cudaHostAllocDefault', 'cudaHostAllocMapped'):
        assert constants[name] == getattr(cuda_double, name)
    for kind, members in enums.items():
        for member in getattr(cuda_double, kind):
            assert members[member.name] == member.value


def test_the_probe_asks_the_driver_for_the_right_attributes(cuda):
    from sim2real_policy import gpu

    assert cuda[2] == [gpu._INTEGRATED, gpu._CAN_MAP, gpu._MAJOR, gpu._MINOR]
