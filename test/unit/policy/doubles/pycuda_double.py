"""A double of ``pycuda.driver``, as far as ``sim2real_policy.cuda`` uses it.

Names and parameters as in pycuda's documentation and sources (2025.1). As there, a thread in which
no context was pushed may do nothing; the device is that of ``cuda_double``.
"""

import ctypes
import threading
import types

import numpy as np

from test.unit.policy.doubles import cuda_double

host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
threads = set()
"""In which a context is current."""


def _here():
    assert threading.get_ident() in threads, 'no currently active context'
    return cuda_double.device


def init():
    """Nothing to be made ready."""


class Context:
    def push(self):
        threads.add(threading.get_ident())

    @staticmethod
    def pop():
        _here()
        threads.remove(threading.get_ident())


class Device:
    def __init__(self, number):
        self.number = number

    def retain_primary_context(self):
        return Context()


class Stream:
    handle = 77

    def __init__(self):
        _here()

    def synchronize(self):
        _here().finish()


class Memory:
    """Device memory or page-locked host memory."""

    def __init__(self, size):
        self.address = _here().allocate(size)

    def free(self):
        _here().memory.pop(self.address)

    def get_device_pointer(self):
        _here()
        return self.address

    def __int__(self):
        return self.address


class Pinned(Memory):
    def __init__(self, shape, dtype):
        super().__init__(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self.__array_interface__ = {
            'shape': tuple(shape),
            'typestr': np.dtype(dtype).str,
            'data': (self.address, False),
            'version': 3,
        }


def pagelocked_zeros(shape, dtype, order='C', mem_flags=0):
    host = np.asarray(Pinned(shape, dtype))
    host.fill(0)
    return host


def mem_alloc(size):
    return Memory(size)


def mem_get_info():
    return cuda_double.TOTAL - _here().used, cuda_double.TOTAL


def memcpy_htod_async(dest, src, stream=None):
    _here().give(lambda: ctypes.memmove(dest, src.ctypes.data, src.nbytes))


def memcpy_dtoh_async(dest, src, stream=None):
    _here().give(lambda: ctypes.memmove(dest.ctypes.data, src, dest.nbytes))


def memcpy_dtod_async(dest, src, size, stream=None):
    _here().give(lambda: ctypes.memmove(dest, src, size))
