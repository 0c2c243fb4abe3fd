"""A policy by TensorRT, on an NVIDIA GPU."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sim2real_core.errors import Fault, Faults, InputError, MissingError
from sim2real_policy import engine as engines
from sim2real_policy.bundle import Bundle
from sim2real_policy.cuda import ALIGNMENT, Buffer, Cuda, CudaError, open_cuda
from sim2real_policy.engine import EngineKey
from sim2real_policy.gpu import probe
from sim2real_policy.in_turn import in_turn
from sim2real_policy.parity import Parity, ParityError, compare
from sim2real_policy.runtime import NOTHING, Array32, OnnxRuntime
from sim2real_policy.runtime_names import TOLERANCE

BUILD_WITHIN = 3600.0  # [s]
SEED = 1  # of the observations that a new engine is compared on


def import_tensorrt() -> Any:
    """The ``tensorrt`` module. Call it after ``gpu.probe`` alone: without a GPU it may crash.

    Raises:
        MissingError: it is not installed, or older than 10.
    """
    try:
        trt = importlib.import_module('tensorrt')
    except ImportError as error:
        raise MissingError(f'TensorRT comes with JetPack, see docs/jetson.md ({error})') from error
    if int(trt.__version__.partition('.')[0]) < 10:
        raise MissingError(f'TensorRT {trt.__version__} is too old: 10 or 11 is needed')
    return trt


class TensorRtRuntime:
    """TensorRT, one robot at a time, from an engine that is kept.

    The engine of this bundle, GPU, TensorRT and precision is taken from the cache; when it is not
    there it is built, which takes a minute or more, and compared with ONNX Runtime before it is
    kept. Where possible a step is one launch of a CUDA graph.

    Args:
        bundle: whose network.
        precision: one of ``runtime_names.PRECISIONS``.
        device: number of the GPU.
        folder: of the engines; ``engine.cache_folder()`` if not given.
        tolerance: of the parity with ONNX Runtime; ``runtime_names.TOLERANCE`` if not given, and
            for an engine that is there what it was kept under.
        graph: replay a CUDA graph, where it can be recorded.
        rebuild: build the engine even if it is there.
        warm_up: steps done at once, so that the first real one is not slow.

    Raises:
        MissingError: no GPU, no TensorRT, or neither cuda-python nor pycuda.
        InputError: TensorRT cannot run this network.
        ParityError: the engine's actions differ too much; a new one is not kept.

    Attributes:
        key: of the engine.
        engine: its file.
        built: seconds that the build took; 0 when the engine was there.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: str = 'fp32',
        *,
        device: int = 0,
        folder: Path | None = None,
        tolerance: float | None = None,
        graph: bool = True,
        rebuild: bool = False,
        warm_up: int = 20,
    ) -> None:
        gpu = probe(device)  # before anything of TensorRT
        trt = import_tensorrt()
        self.name = 'tensorrt' if precision == 'fp32' else f'tensorrt-{precision}'
        self.key = EngineKey.of(bundle, precision, gpu, trt.__version__)
        self.built = 0.0
        self._bundle = bundle
        self._about = {'gpu': gpu.name, 'tensorrt': trt.__version__, 'precision': precision}
        folder = folder or engines.cache_folder()
        self.engine = folder / f'{self.key.stem}.engine'
        self._cuda = cuda = open_cuda(device)
        self._step: _Step | None = None
        try:
            plan, new = self._plan(trt, bundle, rebuild)
            self._step = step = _Step(trt, cuda, plan, bundle, gpu.integrated and gpu.mappable)
            self._observation = step.host[bundle.ends.observation]
            self._action = step.host[bundle.ends.action]
            # What is given away stays readable after the memory of the GPU's side is freed.
            self._given = np.zeros_like(self._action)
            self._images = [(image.name, step.host[image.name]) for image in bundle.meta.images]
            self._run = step.run
            for _ in range(warm_up):
                self._run()
            if graph:
                step.record()
            self.reset()
            if new:
                self._keep(bundle, plan, tolerance or TOLERANCE[precision])
            elif tolerance is not None:
                self._compare_kept(tolerance)
        except BaseException:
            self.close()
            raise

    def _plan(self, trt: Any, bundle: Bundle, rebuild: bool) -> tuple[bytes, bool]:
        """The serialized engine, and whether it is a new one."""
        plan = None if rebuild else engines.cached(self.key, self.engine)
        if plan is not None:
            return plan, False
        start = time.monotonic()
        logger = trt.Logger(trt.Logger.WARNING)
        arguments = trt, logger, bundle, self.key.precision
        plan = self._cuda.run(engines.build, *arguments, within=BUILD_WITHIN)
        self.built = time.monotonic() - start
        return plan, True

    def _keep(self, bundle: Bundle, plan: bytes, tolerance: float) -> None:
        """Store a new engine, if its actions are right."""
        rng = np.random.default_rng(SEED)
        parity = compare(OnnxRuntime(bundle), self, bundle, rng, tolerance=tolerance)
        if not parity.ok:
            raise ParityError(self.name, parity)
        self.reset()
        about = {'built_in': self.built, 'parity': parity.as_json()}
        engines.store(plan, self.key, self.engine, about)

    def _compare_kept(self, tolerance: float) -> None:
        """Refuse an engine that was kept under a wider tolerance."""
        figures = {name: self.about['parity'][name] for name in ('absolute', 'relative', 'steps')}
        parity = Parity(**figures, tolerance=tolerance)
        if not parity.ok:
            raise ParityError(self.name, parity)

    @property
    def about(self) -> dict[str, Any]:
        """What lies beside the engine: ``key``, ``parity`` (as measured when it was new), ..."""
        return engines.about(self.engine)

    def infer(self, observation: Array32, others: Mapping[str, Array32] = NOTHING) -> Array32:
        """Actions (n, a) for observations (n, d); see :class:`sim2real_policy.runtime.Runtime`.

        Raises:
            InputError: several robots at a time, and the policy is recurrent.
            CudaError: the GPU failed.
        """
        if len(observation) != 1:
            return in_turn(self, self._bundle, observation, others)
        self._observation[:] = observation
        for name, image in self._images:
            image[:] = others[name]
        self._run()
        self._given[:] = self._action
        return self._given

    def rehearse(self) -> None:
        """Run once; not where the GPU would carry a recurrent state on."""
        if not self._bundle.meta.state:
            self._run()

    def reset(self) -> None:
        """Zero the recurrent state."""
        if self._step is not None:
            self._step.clear()

    def report(self) -> dict[str, object]:
        """The GPU, and how steps are given to it."""
        step = self._step
        return {
            **self._about,
            'cuda': self._cuda.name,
            'cuda_graph': step.graph if step else '',
            'buffers': 'mapped' if step and step.mapped else 'copied',
        }

    @property
    def replays(self) -> bool:
        """Whether a step is one launch of a CUDA graph."""
        return self._step is not None and self._step.replays

    def free_memory(self) -> int:
        """Of the device [bytes]."""
        return self._cuda.run(self._cuda.free_memory)

    def close(self) -> None:
        """Free the engine, its buffers and what holds them."""
        if self._step is not None:
            self._step.close()
        self._cuda.close()


class _Step:
    """An engine with its buffers: from inputs to outputs and recurrent state, on the host.

    Attributes:
        host: input and output arrays, by name.
        mapped: the GPU works on these arrays themselves.
        graph: ``replayed``, or why there is no CUDA graph.
    """

    def __init__(self, trt: Any, cuda: Cuda, plan: bytes, bundle: Bundle, mapped: bool) -> None:
        self._cuda, self.mapped = cuda, mapped
        self.graph = 'not recorded'
        self._replay: Callable[[], Any] | None = None
        cuda.run(self._open, trt, plan, bundle)
        self.host = {name: buffer.host for name, buffer in self._buffers.items()}

    def _open(self, trt: Any, plan: bytes, bundle: Bundle) -> None:
        ends, cuda, state = bundle.ends, self._cuda, bundle.meta.state
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)  # the engine needs both for as long as it lives
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            mend = 'of another TensorRT or GPU, or damaged: sim2real policy build --rebuild'
            raise InputError(Fault('engine', f'{len(plan)} bytes', mend, str(bundle.path)))
        _check_ends(trt, engine, bundle)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise CudaError('TensorRT could not make a context: is the device memory full?')
        self._buffers: dict[str, Buffer] = {}
        for name, shape in {**ends.inputs, **ends.outputs}.items():
            buffer = self._buffers[name] = cuda.buffer(shape, self.mapped)
            if buffer.device % ALIGNMENT:
                raise CudaError(f'address of {name} is not aligned to {ALIGNMENT} bytes')
            if name in ends.inputs and not self._context.set_input_shape(name, shape):
                raise InputError(Fault(f'engine.{name}', shape, 'TensorRT refuses this shape'))
            if not self._context.set_tensor_address(name, buffer.device):
                raise CudaError(f'TensorRT refuses the address of {name}')
        kept = {part.input for part in state}
        self._state = [self._buffers[name] for name in kept]
        self._memory = [(self._buffers[s.output], self._buffers[s.input]) for s in state]
        self._action = self._buffers[ends.action]
        self._uploads: list[Buffer] = []
        self._downloads: list[Buffer] = []
        if not self.mapped:
            self._uploads = [self._buffers[name] for name in ends.inputs if name not in kept]
            self._downloads = [self._action]

    def _enqueue(self) -> None:
        cuda = self._cuda
        for buffer in self._uploads:
            cuda.upload(buffer)
        if not self._context.execute_async_v3(cuda.stream):
            raise CudaError('TensorRT could not enqueue the network')
        for source, target in self._memory:
            cuda.move(source, target)
        for buffer in self._downloads:
            cuda.download(buffer)

    def run(self) -> None:
        """One step."""
        self._cuda.run(self._run)

    def _run(self) -> None:
        (self._replay or self._enqueue)()
        self._cuda.synchronize()

    @property
    def replays(self) -> bool:
        """Whether a step is one launch of a CUDA graph."""
        return self._replay is not None

    def record(self) -> None:
        """Record a step as a CUDA graph, if it can be and gives what the step gives."""
        self._cuda.run(self._record)

    def _record(self) -> None:
        rng = np.random.default_rng(SEED)
        for buffer in self._buffers.values():
            buffer.host[:] = rng.uniform(-1.0, 1.0, buffer.host.shape)
        wanted = self._outcome()  # TensorRT wants one ordinary step before a recording
        try:
            self._replay = self._cuda.capture(self._enqueue)
        except CudaError as error:
            self.graph = f'not used: {error}'
            return
        if np.array_equal(self._outcome(), wanted):
            self.graph = 'replayed'
        else:
            self._replay = None
            self.graph = 'not used: the replay gave other actions'

    def _outcome(self) -> Array32:
        """The action of a step that starts without memory, and without an action before it."""
        self._action.host.fill(np.nan)  # else a step that does nothing would look right
        if not self.mapped:
            self._cuda.upload(self._action)
        self._clear()
        self._run()
        return self._action.host.copy()

    def clear(self) -> None:
        """Zero the recurrent state."""
        if self._state:
            self._cuda.run(self._clear)

    def _clear(self) -> None:
        for buffer in self._state:
            buffer.host.fill(0.0)
            if not self.mapped:
                self._cuda.upload(buffer)
        self._cuda.synchronize()

    def close(self) -> None:
        """Let go of the engine."""
        self._cuda.run(self._drop)

    def _drop(self) -> None:
        self._replay = None
        del self._context, self._runtime, self._logger


def _check_ends(trt: Any, engine: Any, bundle: Bundle) -> None:
    """Whether an engine takes and gives what the bundle says.

    Raises:
        InputError: every difference.
    """
    faults, ends = Faults(str(bundle.path)), bundle.ends
    there = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    wanted = {**ends.inputs, **ends.outputs}
    if sorted(there) != sorted(wanted):
        faults.add('engine', sorted(there), f'must have {sorted(wanted)}')
    for name in set(there) & set(wanted):
        mode, kind = engine.get_tensor_mode(name), engine.get_tensor_dtype(name)
        if (mode == trt.TensorIOMode.INPUT) != (name in ends.inputs):
            faults.add(
                f'engine.{name}',
                str(mode),
                'must be ' + ('an input' if name in ends.inputs else 'an output'),
            )
        if kind != trt.DataType.FLOAT:
            faults.add(f'engine.{name}', str(kind), 'must be float32')
        shape = tuple(engine.get_tensor_shape(name))
        if len(shape) != len(wanted[name]) or any(
            a not in (-1, b) for a, b in zip(shape, wanted[name])
        ):
            faults.add(f'engine.{name}', shape, f'must be {wanted[name]}')
    faults.check()
