"""Whether there is a GPU, asked of the driver itself before anything else touches CUDA.

TensorRT ends the process with a segmentation fault where there is no GPU, which no ``try``
catches; so nothing of it is imported before :func:`probe` returned. The driver's library is
called directly: it is there wherever a GPU can be used, and needs no package.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from sim2real_core.errors import MissingError

DRIVER = 'libcuda.so.1'
# Of CUdevice_attribute, CUDA driver API.
_INTEGRATED, _CAN_MAP, _MAJOR, _MINOR = 18, 19, 75, 76


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: as the driver calls it.
        capability: compute capability, e.g. ``8.7``.
        integrated: it shares the processor's memory, as on a Jetson.
        mappable: host memory can be mapped into its address space.
        memory: in all [bytes].
        driver: newest CUDA version that the driver knows, e.g. ``12.6``.
    """

    name: str
    capability: str
    integrated: bool
    mappable: bool
    memory: int
    driver: str


def probe(device: int = 0) -> Gpu:
    """The GPU of this number.

    Raises:
        MissingError: there is none, or no driver; says which.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise MissingError(f'no NVIDIA driver ({DRIVER}) on this machine') from error
    _call(driver, 'cuInit', 0)
    count, version, handle = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _call(driver, 'cuDriverGetVersion', ctypes.byref(version))
    _call(driver, 'cuDeviceGetCount', ctypes.byref(count))
    if not 0 <= device < count.value:
        raise MissingError(f'no GPU {device}: the driver knows {count.value}')
    _call(driver, 'cuDeviceGet', ctypes.byref(handle), device)
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    _call(driver, 'cuDeviceGetName', name, len(name), handle)
    _call(driver, 'cuDeviceTotalMem_v2', ctypes.byref(memory), handle)
    integrated, can_map, major, minor = (
        _attribute(driver, which, handle) for which in (_INTEGRATED, _CAN_MAP, _MAJOR, _MINOR)
    )
    return Gpu(
        name=name.value.decode(errors='replace'),
        capability=f'{major}.{minor}',
        integrated=bool(integrated),
        mappable=bool(can_map),
        memory=memory.value,
        driver=f'{version.value // 1000}.{version.value % 1000 // 10}',
    )


def _attribute(driver: Any, which: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _call(driver, 'cuDeviceGetAttribute', ctypes.byref(value), which, handle)
    return value.value


def _call(driver: Any, function: str, *args: Any) -> None:
    try:
        status = getattr(driver, function)(*args)
    except AttributeError as error:  # a stand-in of some container, or one of long ago
        raise MissingError(f'no usable NVIDIA driver: {DRIVER} has no {function}') from error
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorName(status, ctypes.byref(text))
        reason = (text.value or b'').decode() or f'error {status}'
        raise MissingError(f'no usable GPU: {function} says {reason}')
