"""Images that a policy sees beside its observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_policy.action import is_number, one_of, vector
from sim2real_policy.guard_input import FAR

Array32 = npt.NDArray[np.float32]

ENCODINGS = {
    'rgb8': (3, np.uint8),
    'bgr8': (3, np.uint8),
    'rgba8': (4, np.uint8),
    'bgra8': (4, np.uint8),
    'mono8': (1, np.uint8),
    'mono16': (1, np.uint16),
    '16UC1': (1, np.uint16),
    '32FC1': (1, np.float32),
}
"""Encoding, as sensor_msgs/Image names it -> its channels and the type of one value."""

LAYOUTS = ('NCHW', 'NHWC')


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """One image input of a model.

    The network sees ``(value - offset) * scale``, as of a term of an observation.

    Attributes:
        name: of the model's input.
        topic: relative topic of the sensor_msgs/Image.
        height: rows.
        width: columns.
        encoding: one of :data:`ENCODINGS`; also gives the order of the channels.
        layout: order of the axes of the model's input, ``NCHW`` or ``NHWC``.
        scale: factor; one number, or one for each channel.
        offset: subtracted before scaling, in the encoding's unit; one number or one each.
    """

    name: str
    topic: str
    height: int
    width: int
    encoding: str
    layout: str = 'NCHW'
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ('name', 'topic'):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                faults.add(name, value, 'must be text')
        for name in ('height', 'width'):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= 8192:
                faults.add(name, value, 'must be a whole number from 1 to 8192')
        one_of(faults, 'encoding', self.encoding, ENCODINGS)
        one_of(faults, 'layout', self.layout, LAYOUTS)
        faults.check()
        for name in ('scale', 'offset'):
            value = getattr(self, name)
            single = is_number(value)
            values = vector(faults, name, (value,) if single else value)
            object.__setattr__(self, name, values[0] if single and values else values)
            if not single and len(values) != self.channels:
                faults.add(name, value, f'must have 1 or {self.channels} elements')
            if name == 'scale' and 0.0 in values:
                faults.add('scale', value, 'must not be zero')
        faults.check()

    @property
    def channels(self) -> int:
        """Values of one pixel."""
        return ENCODINGS[self.encoding][0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image as the model wants it."""
        size = self.height, self.width
        return (self.channels, *size) if self.layout == 'NCHW' else (*size, self.channels)

    def usable(self, message: Any) -> npt.NDArray[Any] | None:
        """What is taken of a sensor_msgs/Image; None where it is not as the model wants it.

        Args:
            message: the image, whatever made it.

        Returns:
            (height, width, channels), of the encoding; no copy.
        """
        channels, kind = ENCODINGS[self.encoding]
        if message.encoding != self.encoding:
            return None
        seen = pixels(message, kind, channels)
        return seen if seen is None or seen.shape[:2] == (self.height, self.width) else None

    def fill(self, pixels: npt.NDArray[np.generic], out: Array32) -> None:
        """Write what the network sees of an image.

        Args:
            pixels: (height, width, channels), of the encoding.
            out: of :attr:`shape`; written in place.
        """
        seen = out.transpose(1, 2, 0) if self.layout == 'NCHW' else out
        np.subtract(pixels, np.asarray(self.offset, np.float32), out=seen, dtype=np.float32)
        seen *= np.asarray(self.scale, np.float32)


def absurd(pixels: npt.NDArray[Any]) -> bool:
    """Whether a pixel is not finite, or too large to mean anything."""
    return pixels.dtype.kind == 'f' and not bool((np.abs(pixels) <= FAR).all())  # NaN is, too


def pixels(message: Any, kind: Any, channels: int) -> npt.NDArray[Any] | None:
    """An image (height, width, channels) without a copy; None when its data are too few.

    Args:
        message: the image.
        kind: type of one value.
        channels: values of one pixel.
    """
    kind = np.dtype(kind).newbyteorder('>' if message.is_bigendian else '<')
    row, rows = message.width * channels * kind.itemsize, message.height
    if message.step < row or len(message.data) < message.step * rows:
        return None
    flat = np.frombuffer(message.data, np.uint8, message.step * rows).reshape(rows, message.step)
    return flat[:, :row].view(kind).reshape(rows, message.width, channels)
