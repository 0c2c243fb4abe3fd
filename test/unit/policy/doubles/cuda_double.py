"""A double of ``cuda.bindings.runtime``, as far as ``sim2real_policy.cuda`` uses it.

It follows the documented behaviour that the runtime's logic depends on, and no GPU: device memory
is memory apart, work given to a stream is done when somebody asks whether it is done, a capture
records and does nothing, and a thread in which no device was set may do nothing. What it says
proves nothing about a GPU; that its functions and their parameters are the real ones is checked by
``test_bindings.py``.
"""

# Names are those of the library.
# ruff: noqa: N801, N802, N815, N816

import ctypes
import enum
import threading

import numpy as np

cudaStreamNonBlocking = 1
cudaHostAllocDefault, cudaHostAllocMapped = 0, 2


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorDeviceUninitialized = 201
    cudaErrorNotReady = 600
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorLaunchFailure = 719


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyDefault = 4


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


OK = cudaError_t.cudaSuccess
TOTAL = 1 << 30


class Device:
    """What a device has, and what a test may ask of it.

    Attributes:
        calls: names of the functions called, in order.
        refuse_capture: ``cudaStreamEndCapture`` fails, as after an operation that cannot be.
        wrong_replay: a graph does nothing.
        fail_next: the next work given to the stream fails when it is done.
    """

    def __init__(self):
        self.calls = []
        self.memory = {}
        self.pending, self.captured = [], None
        self.threads, self.capturing_thread = set(), None
        self.refuse_capture = self.wrong_replay = self.fail_next = False
        self.error = OK

    @property
    def used(self):
        return sum(block.nbytes for block in self.memory.values())

    def allocate(self, size):
        block = np.zeros(size + 256, np.uint8)
        address = -(-block.ctypes.data // 256) * 256
        self.memory[address] = block
        return address

    def give(self, work):
        """Work for the stream: recorded, or done later."""
        if self.captured is not None:
            self.captured.append(work)
        else:
            self.pending.append(work)

    def finish(self):
        for work in self.pending:
            work()
        self.pending.clear()


device = Device()


def reset():
    """A new device; returns it."""
    global device
    device = Device()
    return device


def _counted(function):
    def call(*args):
        device.calls.append(function.__name__)
        if threading.get_ident() not in device.threads and function.__name__ != 'cudaSetDevice':
            return (cudaError_t.cudaErrorDeviceUninitialized, *_NOTHING.get(function.__name__, ()))
        return function(*args)

    call.__name__, call.real = function.__name__, function
    return call


_NOTHING = {
    'cudaStreamCreateWithFlags': (None,), 'cudaHostAlloc': (None,), 'cudaMalloc': (None,),
    'cudaHostGetDevicePointer': (None,), 'cudaStreamEndCapture': (None,),
    'cudaGraphInstantiate': (None,), 'cudaMemGetInfo': (None, None),
    'cudaRuntimeGetVersion': (None,),
}  # fmt: skip


@_counted
def cudaSetDevice(device):
    globals()['device'].threads.add(threading.get_ident())
    return (OK,)


@_counted
def cudaRuntimeGetVersion():
    return OK, 12060


@_counted
def cudaGetLastError():
    return (device.error,)


@_counted
def cudaStreamCreateWithFlags(flags):
    assert flags == cudaStreamNonBlocking
    return OK, 77


@_counted
def cudaStreamDestroy(stream):
    return (OK,)


@_counted
def cudaHostAlloc(size, flags):
    return OK, device.allocate(size)


@_counted
def cudaHostGetDevicePointer(pHost, flags):
    assert flags == 0
    return OK, pHost


@_counted
def cudaMalloc(size):
    return OK, device.allocate(size)


@_counted
def cudaFree(devPtr):
    if devPtr:
        device.memory.pop(devPtr)
    return (OK,)


@_counted
def cudaFreeHost(ptr):
    device.memory.pop(ptr)
    return (OK,)


@_counted
def cudaMemGetInfo():
    return OK, TOTAL - device.used, TOTAL


@_counted
def cudaMemcpyAsync(dst, src, count, kind, stream):
    assert stream == 77 and kind == cudaMemcpyKind.cudaMemcpyDefault
    device.give(lambda: ctypes.memmove(dst, src, count))
    return (OK,)


@_counted
def cudaStreamQuery(stream):
    if device.pending:
        device.finish()
        return (cudaError_t.cudaErrorNotReady,)
    if device.fail_next:
        device.fail_next = False
        return (cudaError_t.cudaErrorLaunchFailure,)
    return (OK,)


@_counted
def cudaStreamBeginCapture(stream, mode):
    assert mode == cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    device.captured, device.capturing_thread = [], threading.get_ident()
    return (OK,)


@_counted
def cudaStreamEndCapture(stream):
    assert device.capturing_thread == threading.get_ident()
    work, device.captured = device.captured, None
    if device.refuse_capture:
        return cudaError_t.cudaErrorStreamCaptureUnsupported, None
    return OK, work


@_counted
def cudaGraphInstantiate(graph, flags):
    return OK, list(graph)


@_counted
def cudaGraphDestroy(graph):
    return (OK,)


@_counted
def cudaGraphExecDestroy(graphExec):
    graphExec.clear()
    return (OK,)


@_counted
def cudaGraphLaunch(graphExec, stream):
    if not device.wrong_replay:
        for work in graphExec:
            device.give(work)
    return (OK,)
