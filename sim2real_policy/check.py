"""Everything about running a policy on this machine, verified and measured, in one report.

Made for a Jetson or a GPU machine; without a GPU it says why and checks what is there.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sim2real_core.errors import MissingError, Sim2RealError
from sim2real_core.files import version
from sim2real_policy import runtimes
from sim2real_policy.bench import OVERHEAD, overhead
from sim2real_policy.bundle import Bundle
from sim2real_policy.engine import quantized
from sim2real_policy.gpu import probe
from sim2real_policy.parity import random_inputs
from sim2real_policy.runtime import Runtime

Clock = Callable[[], float]
Tell = Callable[[str, float, str], None]
GROWTH = 1 << 20  # less than this is no growth of the device's memory: others allocate too [bytes]
PACKAGES = (
    'onnxruntime', 'onnxruntime-gpu', 'tensorrt', 'cuda-python', 'cuda-bindings', 'pycuda',
    'torch', 'numpy',
)  # fmt: skip
JETPACK = Path('/etc/nv_tegra_release')
MODEL = Path('/proc/device-tree/model')
STAGES = {
    'runtimes': 'comparing and timing runtimes',
    'graph': 'CUDA graph against enqueue',
    'memory': 'device memory over many calls',
    'overhead': 'overhead over ONNX Runtime',
}


def machine() -> dict[str, Any]:
    """This machine and what is installed on it; nothing that names it."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    about: dict[str, Any] = {
        'suite': version(),
        'system': f'{platform.system()} {platform.release()}',
        'processor': platform.machine(),
        'python': platform.python_version(),
        'packages': versions,
    }
    for name, path in (('jetpack', JETPACK), ('board', MODEL)):
        if path.is_file():
            about[name] = path.read_text(errors='replace').strip('\0\n ').partition('\n')[0]
    try:
        about['gpu'] = asdict(probe())
    except MissingError as error:
        about['gpu'] = {'missing': str(error)}
    return about


def check(
    bundle: Bundle,
    names: Iterable[str] = (),
    *,
    calls: int = 1000,
    memory_calls: int = 10_000,
    clock: Clock = time.perf_counter,
    tell: Tell = lambda stage, share, more: None,
) -> dict[str, Any]:
    """Verify and measure every runtime there is.

    Args:
        bundle: the policy.
        names: of ``runtimes.RUNTIMES``, each of which must then be there; all that are there if
            empty.
        calls: steps that each runtime is timed with.
        memory_calls: steps over which the device's memory must not grow.
        clock: steady time [s].
        tell: is told of the progress: a key of :data:`STAGES`, the share done, more words.

    Returns:
        JSON data. ``ok`` is whether nothing in ``failures`` was found.
    """
    asked = list(names)
    wanted = asked or [n for n in runtimes.RUNTIMES if 'int8' not in n or quantized(bundle)]
    failures: list[str] = []
    rows = []
    for index, name in enumerate(wanted):
        tell('runtimes', index / len(wanted), name)
        row, runtime = runtimes.examine(bundle, name, calls=calls, clock=clock)
        rows.append(row.as_json())
        failures += _faults(row, required=bool(asked))
        if runtime is not None:
            runtime.close()
    report: dict[str, Any] = {
        'bundle': bundle.path.name,
        'content_hash': bundle.content_hash,
        'machine': machine(),
        'runtimes': rows,
    }
    if any(row['name'] == 'tensorrt' and not row['missing'] for row in rows):
        report['tensorrt'] = tensorrt_figures(bundle, calls, memory_calls, clock, tell)
        failures += report['tensorrt'].pop('failures')
    tell('overhead', 0.0, '')
    report['overhead'] = overhead(bundle, calls, clock)
    report['overhead']['bar'] = OVERHEAD
    if report['overhead']['overhead'] > OVERHEAD:
        taken = report['overhead']['overhead'] * 1e6
        failures.append(
            f'the runtime adds {taken:.1f} us to ONNX Runtime, {OVERHEAD * 1e6:g} allowed'
        )
    report.update(failures=failures, ok=not failures)
    return report


def _faults(row: runtimes.Candidate, required: bool) -> list[str]:
    """What is wrong with a runtime. Absence is wrong only where it was asked for."""
    if row.missing:
        absent = row.absent and not required
        return [] if absent else [f'{row.name}: {row.missing}']
    if row.parity is not None and not row.parity.ok:
        return [
            f'{row.name}: differs by {row.parity.relative:.2e}, {row.parity.tolerance:g} allowed'
        ]
    return []


def tensorrt_figures(
    bundle: Bundle, calls: int, memory_calls: int, clock: Clock, tell: Tell
) -> dict[str, Any]:
    """CUDA graph against enqueue in turns, and the device's memory before and after many calls."""
    from sim2real_policy.runtime_tensorrt import TensorRtRuntime

    tell('graph', 0.0, '')
    replay, enqueue = TensorRtRuntime(bundle), TensorRtRuntime(bundle, graph=False)
    figures: dict[str, Any] = {'failures': []}
    try:
        taken: dict[str, list[np.ndarray[Any, Any]]] = {'replay': [], 'enqueue': []}
        for turn in range(10):
            tell('graph', turn / 10, '')
            for name, runtime in (('replay', replay), ('enqueue', enqueue)):
                taken[name].append(_timed(runtime, bundle, max(1, calls // 10), clock))
        for name, blocks in taken.items():
            figures[name] = runtimes.percentiles(np.concatenate(blocks))
        if not replay.replays:
            figures['failures'].append(f'CUDA graph {replay.report()["cuda_graph"]}')
        elif figures['replay']['p50'] >= figures['enqueue']['p50']:
            figures['failures'].append('CUDA graph: replay is not faster than enqueue')
        before = replay.free_memory()
        for turn in range(100):
            tell('memory', turn / 100, '')
            _timed(replay, bundle, max(1, memory_calls // 100), clock)
        growth = before - replay.free_memory()
        figures['memory'] = {'calls': memory_calls, 'growth': growth, 'bar': GROWTH}
        if growth >= GROWTH:
            figures['failures'].append(f'device memory grew by {growth} bytes')
    except Sim2RealError as error:
        figures['failures'].append(f'tensorrt: {error}')
    finally:
        replay.close()
        enqueue.close()
    return figures


def _timed(
    runtime: Runtime, bundle: Bundle, calls: int, clock: Clock
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Durations [s] of so many steps."""
    ((row, images),) = random_inputs(bundle, 1, np.random.default_rng(runtimes.SEED))
    taken = np.empty(calls)
    for call in range(calls):
        start = clock()
        runtime.infer(row, images)
        taken[call] = clock() - start
    return taken
