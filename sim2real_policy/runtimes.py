"""The runtimes there are, which of them this machine has, and the choice among them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim2real_core.errors import Fault, InputError, MissingError, Sim2RealError
from sim2real_policy import engine as engines
from sim2real_policy.bundle import Bundle
from sim2real_policy.parity import Parity, ParityError, compare, random_inputs
from sim2real_policy.runtime import OnnxRuntime, Runtime
from sim2real_policy.runtime_names import AUTO, NAMES, REFERENCE, TOLERANCE, precision_of

SEED = 2  # of what runtimes are compared and timed on
CALLS = 300  # steps that a runtime is timed with


def _tensorrt(precision: str) -> Callable[[Bundle], Runtime]:
    def make(bundle: Bundle) -> Runtime:
        from sim2real_policy.runtime_tensorrt import TensorRtRuntime

        return TensorRtRuntime(bundle, precision)

    return make


def _provider(provider: str) -> Callable[[Bundle], Runtime]:
    def make(bundle: Bundle) -> Runtime:
        from sim2real_policy.runtime_providers import ProviderRuntime

        return ProviderRuntime(bundle, provider)

    return make


def _torch(device: str) -> Callable[[Bundle], Runtime]:
    def make(bundle: Bundle) -> Runtime:
        from sim2real_policy.runtime_torch import TorchRuntime

        return TorchRuntime(bundle, device)

    return make


RUNTIMES: Mapping[str, Callable[[Bundle], Runtime]] = {
    REFERENCE: OnnxRuntime,
    'onnxruntime-cuda': _provider('cuda'),
    'onnxruntime-tensorrt': _provider('tensorrt'),
    'tensorrt': _tensorrt('fp32'),
    'tensorrt-fp16': _tensorrt('fp16'),
    'tensorrt-int8': _tensorrt('int8'),
    'torch': _torch('cpu'),
    'torch-cuda': _torch('cuda'),
}
"""Makes each, by name."""


def make_runtime(name: str, bundle: Bundle) -> Runtime:
    """A runtime, warmed up and compared with ONNX Runtime: a loss is found here, not in motion.

    Args:
        name: one of :data:`NAMES`; ``auto`` is what :func:`choose` chooses.
        bundle: whose network.

    Raises:
        InputError: no such runtime, or it cannot run this network.
        MissingError: this machine has not what it needs.
        ParityError: it gives other actions than ONNX Runtime.
    """
    if name == AUTO:
        return choose(bundle).runtime
    runtime = _made(name, bundle)
    if name == REFERENCE or name.startswith('tensorrt'):  # compared when its engine was built
        return runtime
    try:
        parity = _parity(name, runtime, bundle)
        if not parity.ok:
            raise ParityError(name, parity)
        runtime.reset()
    except Sim2RealError:
        runtime.close()
        raise
    return runtime


def _made(name: str, bundle: Bundle) -> Runtime:
    if name not in RUNTIMES:
        raise InputError(Fault('runtime', name, f'must be one of {", ".join(NAMES)}'))
    return RUNTIMES[name](bundle)


def _parity(name: str, runtime: Runtime, bundle: Bundle) -> Parity:
    """How much a runtime differs from ONNX Runtime on the CPU."""
    rng, tolerance = np.random.default_rng(SEED), TOLERANCE[precision_of(name)]
    return compare(OnnxRuntime(bundle), runtime, bundle, rng, tolerance=tolerance)


@dataclass
class Candidate:
    """A runtime and what was found out about it.

    Attributes:
        name: one of :data:`RUNTIMES`.
        missing: why it is not there, or failed; ``''`` when it runs.
        absent: this machine has not what it needs: no failure.
        parity: with ONNX Runtime on the CPU.
        latency: time of a step [s]: ``p50``, ``p99``, ``max``.
        report: what it says of itself.
    """

    name: str
    missing: str = ''
    absent: bool = False
    parity: Parity | None = None
    latency: dict[str, float] = field(default_factory=dict)
    report: dict[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it may be used."""
        return self.parity is not None and self.parity.ok

    def as_json(self) -> dict[str, Any]:
        """For reports."""
        parity = self.parity.as_json() if self.parity else None
        return {
            **vars(self),
            'parity': parity,
            'report': {k: str(v) for k, v in self.report.items()},
        }


@dataclass(frozen=True)
class Choice:
    """What was chosen, and among what."""

    runtime: Runtime
    candidates: list[Candidate]


def candidates(bundle: Bundle) -> list[str]:
    """Names of what ``auto`` tries: fp32, and the engines of less that somebody built here."""
    names = [name for name in RUNTIMES if precision_of(name) == 'fp32']
    built = {path.name.split('-')[1] for path in _engines(bundle)}
    return names + [name for name in RUNTIMES if precision_of(name) in built - {'fp32'}]


def _engines(bundle: Bundle) -> Iterable[Path]:
    folder = engines.cache_folder()
    return folder.glob(f'{bundle.content_hash[:12]}-*.engine') if folder.is_dir() else ()


def examine(
    bundle: Bundle,
    name: str,
    *,
    calls: int = CALLS,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Candidate, Runtime | None]:
    """Make a runtime, compare it with ONNX Runtime on the CPU, and time it.

    Returns:
        What was found, and the runtime, warm; None when it cannot be had or failed.
    """
    candidate = Candidate(name)
    try:
        runtime = _made(name, bundle)
    except Sim2RealError as error:
        candidate.missing, candidate.absent = str(error), isinstance(error, MissingError)
        return candidate, None
    try:
        candidate.parity = _parity(name, runtime, bundle)
        candidate.latency = latency(runtime, bundle, calls=calls, clock=clock)
        candidate.report = runtime.report()
    except Sim2RealError as error:
        candidate.missing = str(error)
        runtime.close()
        return candidate, None
    return candidate, runtime


def latency(
    runtime: Runtime,
    bundle: Bundle,
    *,
    calls: int = CALLS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time of a step for one robot [s]: ``p50``, ``p99`` and ``max`` of so many."""
    inputs = list(random_inputs(bundle, 8, np.random.default_rng(SEED)))
    taken = np.empty(calls)
    for call in range(calls):
        observation, images = inputs[call % len(inputs)]
        start = clock()
        runtime.infer(observation, images)
        taken[call] = clock() - start
    runtime.reset()
    return percentiles(taken)


def percentiles(taken: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """``p50``, ``p99`` and ``max`` of durations [s]."""
    p50, p99 = np.percentile(taken, (50, 99))
    return {'p50': float(p50), 'p99': float(p99), 'max': float(taken.max())}


def choose(
    bundle: Bundle,
    names: Iterable[str] = (),
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """The runtime with the shortest median step among those that give the right actions.

    Args:
        bundle: whose network.
        names: to choose among; what :func:`candidates` gives if empty.
        clock: steady time [s].

    Raises:
        MissingError: none of them can be had.
    """
    best: Runtime | None = None
    fastest, found = float('inf'), []
    for name in names or candidates(bundle):
        candidate, runtime = examine(bundle, name, clock=clock)
        found.append(candidate)
        if runtime is None:
            continue
        if candidate.ok and candidate.latency['p50'] < fastest:
            best, runtime, fastest = runtime, best, candidate.latency['p50']
        if runtime is not None:
            runtime.close()
    if best is None:
        raise MissingError(
            '\n'.join(f'{one.name}: {one.missing or "wrong actions"}' for one in found)
        )
    best.reset()
    return Choice(best, found)
