"""The few CUDA calls that a runtime needs, from cuda-python or from pycuda.

Everything is done in :meth:`Cuda.run`, where the device's primary context is current. cuda-python
makes it current in whichever thread asks (one at a time: the node makes a runtime in one thread
and asks it for actions in another); pycuda's contexts belong to one thread for good, which it gets
for itself, at the price of a hand-over for each call.

Buffers have a host and a device side. On a GPU with memory of its own these are page-locked memory
and device memory, with a copy between; on an integrated one the host side is mapped and there is
nothing to copy.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import MissingError, Sim2RealError
from sim2real_policy.owner import Owner

Array32 = npt.NDArray[np.float32]
Result = TypeVar('Result')

ALIGNMENT = 256  # of addresses given to TensorRT [bytes]
DEADLINE = 10.0  # for the device to finish [s]; an engine takes milliseconds
POLLED = 2e-3  # so long it is asked again and again whether it is done, then now and then [s]


class CudaError(Sim2RealError):
    """A CUDA call failed."""


@dataclass
class Buffer:
    """float32 values that both sides see.

    Attributes:
        host: the host's view; allocated once, never moved.
        device: address for the GPU.
        mapped: both are the same memory.
        held: what keeps the memory, where that is an object.
    """

    host: Array32
    device: int
    mapped: bool
    held: list[Any] = field(default_factory=list)


class Cuda(Protocol):
    """What both libraries offer here. Copies and ``capture`` are of one stream.

    Attributes:
        name: the library and its version.
        stream: handle of the stream.
    """

    name: str
    stream: int

    def run(self, function: Callable[..., Result], *args: Any, within: float = DEADLINE) -> Result:
        """``function(*args)`` where the context is current.

        All other methods but ``close`` are called there, and ``function`` is to come back within
        so many seconds.
        """
        ...

    def buffer(self, shape: Sequence[int], mapped: bool) -> Buffer:
        """A buffer of zeros, whose host side is mapped or copied."""
        ...

    def upload(self, buffer: Buffer) -> None:
        """Copy host to device; returns before it is done."""
        ...

    def download(self, buffer: Buffer) -> None:
        """Copy device to host; returns before it is done."""
        ...

    def move(self, source: Buffer, target: Buffer) -> None:
        """Copy the device sides of two buffers of one size; returns before it is done."""
        ...

    def synchronize(self) -> None:
        """Wait until everything given to the stream is done.

        Raises:
            CudaError: something of it failed, or it takes longer than ``DEADLINE``.
        """
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` gives to the stream as a CUDA graph; returns what replays it.

        Raises:
            CudaError: it cannot be recorded.
        """
        ...

    def free_memory(self) -> int:
        """Of the device [bytes]."""
        ...

    def close(self) -> None:
        """Free buffers, graphs and stream."""
        ...


def open_cuda(device: int = 0) -> Cuda:
    """Whichever library is installed, cuda-python first: TensorRT's own samples use it.

    Call it after ``gpu.probe``.

    Raises:
        MissingError: neither is installed.
        CudaError: the device cannot be used.
    """
    for kind in (CudaPython, PyCuda):
        try:
            return kind(device)
        except ImportError:
            continue
    raise MissingError('cuda-python (or pycuda) is needed for TensorRT: pip install cuda-python')


class CudaPython:
    """By ``cuda.bindings.runtime`` (``cuda.cudart`` before cuda-python 12.8)."""

    def __init__(self, device: int = 0) -> None:
        try:
            self._rt: Any = importlib.import_module('cuda.bindings.runtime')
        except ImportError:
            self._rt = importlib.import_module('cuda.cudart')
        self._device, self._thread = device, threading.get_ident()
        self._buffers: list[Buffer] = []
        self._graphs: list[Any] = []
        self._call('cudaSetDevice', device)
        self._call('cudaFree', 0)  # makes the primary context
        self._busy = self._rt.cudaError_t.cudaErrorNotReady
        version = self._call('cudaRuntimeGetVersion')
        self.name = f'cuda-python (runtime {version // 1000}.{version % 1000 // 10})'
        self._stream = self._call('cudaStreamCreateWithFlags', self._rt.cudaStreamNonBlocking)
        self.stream = int(self._stream)

    def run(self, function: Callable[..., Result], *args: Any, within: float = DEADLINE) -> Result:
        thread = threading.get_ident()
        if thread != self._thread:
            self._call('cudaSetDevice', self._device)
            self._thread = thread
        return function(*args)

    def _call(self, function: str, *args: Any) -> Any:
        status, *results = getattr(self._rt, function)(*args)
        if int(status):
            self._rt.cudaGetLastError()  # else it would be blamed on the next call
            raise CudaError(f'{function}: {status.name}')
        return results[0] if len(results) == 1 else results

    def buffer(self, shape: Sequence[int], mapped: bool) -> Buffer:
        rt, size = self._rt, 4 * math.prod(shape)
        flag = rt.cudaHostAllocMapped if mapped else rt.cudaHostAllocDefault
        address = int(self._call('cudaHostAlloc', size, flag))
        memory = (ctypes.c_char * size).from_address(address)
        host = np.frombuffer(memoryview(memory), np.float32).reshape(shape)
        host.fill(0.0)
        if mapped:
            device = int(self._call('cudaHostGetDevicePointer', address, 0))
        else:
            device = int(self._call('cudaMalloc', size))
        buffer = Buffer(host, device, mapped)
        self._buffers.append(buffer)
        return buffer

    def _copy(self, target: int, source: int, size: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDefault  # the addresses tell which
        self._call('cudaMemcpyAsync', target, source, size, kind, self._stream)

    def upload(self, buffer: Buffer) -> None:
        self._copy(buffer.device, buffer.host.ctypes.data, buffer.host.nbytes)

    def download(self, buffer: Buffer) -> None:
        self._copy(buffer.host.ctypes.data, buffer.device, buffer.host.nbytes)

    def move(self, source: Buffer, target: Buffer) -> None:
        self._copy(target.device, source.device, source.host.nbytes)

    def synchronize(self) -> None:
        query, stream, busy = self._rt.cudaStreamQuery, self._stream, self._busy
        (status,) = query(stream)
        start = time.monotonic()
        while status == busy:
            waited = time.monotonic() - start
            if waited > DEADLINE:
                raise CudaError(f'the GPU was not done within {DEADLINE:g} s')
            if waited > POLLED:
                time.sleep(1e-4)
            (status,) = query(stream)
        if int(status):
            raise CudaError(f'cudaStreamQuery: {status.name}')

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call('cudaStreamBeginCapture', self._stream, mode)
        try:
            work()
        except Exception:
            self._rt.cudaStreamEndCapture(self._stream)  # fails too: the capture is broken
            self._rt.cudaGetLastError()
            raise
        graph = self._call('cudaStreamEndCapture', self._stream)
        try:
            ready = self._call('cudaGraphInstantiate', graph, 0)
        finally:
            self._call('cudaGraphDestroy', graph)
        self._graphs.append(ready)
        return lambda: self._call('cudaGraphLaunch', ready, self._stream)

    def free_memory(self) -> int:
        return int(self._call('cudaMemGetInfo')[0])

    def close(self) -> None:
        self.run(self._free)

    def _free(self) -> None:
        for graph in self._graphs:
            self._call('cudaGraphExecDestroy', graph)
        for buffer in self._buffers:
            if not buffer.mapped:
                self._call('cudaFree', buffer.device)
            self._call('cudaFreeHost', buffer.host.ctypes.data)
        self._call('cudaStreamDestroy', self._stream)
        self._graphs, self._buffers = [], []


class PyCuda:
    """By ``pycuda.driver``; it has no CUDA graphs."""

    def __init__(self, device: int = 0) -> None:
        # Not pycuda.autoinit: its context is current in the importing thread alone.
        self._driver: Any = importlib.import_module('pycuda.driver')
        version = '.'.join(str(part) for part in importlib.import_module('pycuda').VERSION)
        self.name = f'pycuda {version}'
        self._buffers: list[Buffer] = []
        self._owner = Owner('pycuda')
        try:
            self.stream: int = self.run(self._open, device)
        except BaseException:
            self._owner.close()
            raise

    def _open(self, device: int) -> int:
        self._driver.init()
        self._context = self._driver.Device(device).retain_primary_context()
        self._context.push()
        self._stream = self._driver.Stream()
        return int(self._stream.handle)

    def run(self, function: Callable[..., Result], *args: Any, within: float = DEADLINE) -> Result:
        return self._owner.call(function, *args, within=within)

    def buffer(self, shape: Sequence[int], mapped: bool) -> Buffer:
        flags = self._driver.host_alloc_flags.DEVICEMAP if mapped else 0
        host = self._driver.pagelocked_zeros(tuple(shape), np.float32, mem_flags=flags)
        held: list[Any] = [host.base]
        if not mapped:
            held.append(self._driver.mem_alloc(host.nbytes))
        device = int(held[0].get_device_pointer() if mapped else held[1])
        buffer = Buffer(host, device, mapped, held)
        self._buffers.append(buffer)
        return buffer

    def upload(self, buffer: Buffer) -> None:
        self._driver.memcpy_htod_async(buffer.device, buffer.host, self._stream)

    def download(self, buffer: Buffer) -> None:
        self._driver.memcpy_dtoh_async(buffer.host, buffer.device, self._stream)

    def move(self, source: Buffer, target: Buffer) -> None:
        size = source.host.nbytes
        self._driver.memcpy_dtod_async(target.device, source.device, size, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        raise CudaError('pycuda has no CUDA graphs; cuda-python has')

    def free_memory(self) -> int:
        return int(self._driver.mem_get_info()[0])

    def close(self) -> None:
        try:
            self.run(self._free)
        finally:
            self._owner.close()

    def _free(self) -> None:
        for buffer in self._buffers:
            for memory in buffer.held:
                memory.free()
        self._buffers = []
        self._context.pop()
