"""Images as files' bytes, and back, without a loss.

Colours are PNG, as they are (BGR is turned into RGB and back), depth of 16 bits is PNG of 16 bits,
depth in floats TIFF.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import MissingError
from sim2real_policy.images import ENCODINGS

Pixels = npt.NDArray[Any]

TURNED = {'bgr8': [2, 1, 0], 'bgra8': [2, 1, 0, 3]}
"""Order of the channels in the file, where it is another one; the same turns them back."""


def encoded(pixels: Pixels, encoding: str) -> bytes:
    """An image (height, width, channels) as a file's bytes.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
    """
    from PIL import Image

    turned = pixels[..., TURNED[encoding]] if encoding in TURNED else pixels
    native = np.ascontiguousarray(turned, pixels.dtype.newbyteorder('='))
    made = Image.fromarray(native[..., 0] if native.shape[2] == 1 else native)
    file = io.BytesIO()
    if encoding == '32FC1':
        made.save(file, format='TIFF')
    else:
        made.save(file, format='PNG', compress_level=1)
    return file.getvalue()


def decoded(data: bytes, encoding: str) -> Pixels:
    """What :func:`encoded` was given.

    Raises:
        MissingError: Pillow is not installed.
        ValueError: it is damaged, or an image of another kind.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingError('Pillow is needed to read images: pip install pillow') from error

    channels, kind = ENCODINGS[encoding]
    try:
        with Image.open(io.BytesIO(data)) as opened:
            pixels: Pixels = np.asarray(opened).astype(kind)
        pixels = pixels.reshape(*pixels.shape[:2], channels)
    except Exception as error:  # those of Pillow have no common base but this
        raise ValueError(f'not a readable {encoding} image ({error})') from error
    return pixels[..., TURNED[encoding]] if encoding in TURNED else pixels
