"""Smaller images and point clouds: fewer pixels, fewer points, JPEG or PNG instead of raw.

Messages are taken as CDR and given back as CDR, so that a clip stays what ``ros2 bag`` and
Foxglove read: a compressed image is a sensor_msgs/CompressedImage on ``<topic>/compressed``, as
image_transport has it. What cannot be reduced raises ``ValueError`` and is kept as it is.
"""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.ring import Record
from sim2real_core.errors import MissingError

IMAGE, CLOUD = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/PointCloud2'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CODECS = ('jpeg', 'png')

_PIXEL_BYTES = {'mono8': 1, 'mono16': 2} | {
    f'{order}{bits}': len(order) * bits // 8
    for order in ('rgb', 'bgr', 'rgba', 'bgra')
    for bits in (8, 16)
}
_MATRIX = re.compile(r'(8|16|32|64)[USF]C(\d*)')
_RGB, _BGR, _GREY = [0, 1, 2], [2, 1, 0], [0]
_CHANNELS = {
    **{'rgb8': _RGB, 'rgba8': _RGB, 'bgr8': _BGR, 'bgra8': _BGR, '8UC3': _BGR},
    **{'mono8': _GREY, '8UC1': _GREY},
}
"""Where red, green and blue are in a pixel; an alpha channel is not kept."""
_DEEP = ('mono16', '16UC1')
_FLOATS = {7: 'f4', 8: 'f8'}  # sensor_msgs/PointField's numbers


def reduced(
    record: Record, *, thin: int = 1, voxel: float = 0.0, codec: str = '', quality: int = 90
) -> Record:
    """A smaller Image or PointCloud2; every other message as it is.

    Args:
        record: the message.
        thin: of this many rows and columns of an image, or points of a cloud, one is kept.
        voxel: edge of the cubes of which a cloud keeps one point each [m]; 0 keeps all.
        codec: ``jpeg`` or ``png`` for images, ``''`` leaves them raw.
        quality: of JPEG, 1 to 95.

    Raises:
        ValueError: the message is not what its fields say, or in a form that does not allow it.
        MissingError: rosbags or Pillow is not installed.
    """
    wanted = thin > 1 or (codec if record.type == IMAGE else voxel > 0)
    if record.type not in (IMAGE, CLOUD) or not wanted:
        return record
    store = typestore()
    message = _decoded(store, record)
    if record.type == IMAGE:
        message = _thin_image(message, thin)
        if codec:
            message = _compressed(message, codec, quality, store.types[COMPRESSED])
            data = bytes(store.serialize_cdr(message, COMPRESSED))
            return record._replace(
                topic=compressed_topic(record.topic), type=COMPRESSED, data=data
            )
    else:
        message = _fewer_points(message, thin, voxel)
    return record._replace(data=bytes(store.serialize_cdr(message, record.type)))


def compressed_topic(topic: str) -> str:
    """Where the compressed images of a topic are, as image_transport has it."""
    return f'{topic}/compressed'


def typestore() -> Any:
    """Message classes and their serialization.

    Raises:
        MissingError: rosbags is not installed.
    """
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingError('rosbags is needed to thin messages: pip install rosbags') from error
    return get_typestore(Stores.LATEST)


def pillow() -> Any:
    """Pillow's ``Image``.

    Raises:
        MissingError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingError('Pillow is needed for JPEG and PNG: pip install pillow') from error
    return Image


def _decoded(store: Any, record: Record) -> Any:
    """The message; whatever the library says of bytes that are none, ``ValueError``."""
    try:
        return store.deserialize_cdr(record.data, record.type)
    except Exception as error:
        raise ValueError(f'its bytes are no {record.type}') from error


def _pixels(image: Any) -> npt.NDArray[np.uint8]:
    """Bytes (height, width, bytes of a pixel), without what rows are filled up with."""
    matrix = _MATRIX.fullmatch(image.encoding)
    if matrix:
        size = int(matrix[1]) // 8 * int(matrix[2] or 1)
    elif image.encoding in _PIXEL_BYTES:
        size = _PIXEL_BYTES[image.encoding]
    else:
        raise ValueError(f'{image.encoding} is not known, or not made of whole pixels')
    height, width, step = image.height, image.width, image.step
    if not height or not width or step < width * size or len(image.data) != height * step:
        raise ValueError('its data are not as long as height, width and step say')
    rows = image.data.reshape(height, step)[:, : width * size]
    return np.asarray(rows.reshape(height, width, size))


def _thin_image(image: Any, thin: int) -> Any:
    if thin == 1:
        return image
    pixels = _pixels(image)[::thin, ::thin]
    return dataclasses.replace(
        image,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=pixels.shape[1] * pixels.shape[2],
        data=np.ascontiguousarray(pixels).ravel(),
    )


def _compressed(image: Any, codec: str, quality: int, message: Any) -> Any:
    """A CompressedImage, its ``format`` as image_transport's plugin writes it."""
    pixels, encoding = _pixels(image), image.encoding
    if encoding in _CHANNELS:
        channels = _CHANNELS[encoding]
        values = np.ascontiguousarray(pixels[..., channels])
        values = values[..., 0] if channels is _GREY else values
    elif encoding in _DEEP and codec == 'png':
        order = '>u2' if image.is_bigendian else '<u2'
        values = np.ascontiguousarray(pixels).view(order)[..., 0].astype(np.uint16)
    else:
        raise ValueError(f'{codec} does not hold {encoding}')
    stream, library = io.BytesIO(), pillow()
    options = {'quality': quality} if codec == 'jpeg' else {}
    try:
        library.fromarray(values).save(stream, format=codec, **options)
    except OSError as error:  # nothing of the disk: it is too wide, for one
        raise ValueError(f'{codec}: {error}') from error
    colour = 'bgr8' if values.ndim == 3 else ''
    return message(
        header=image.header,
        format=f'{encoding}; {codec} compressed {colour}',
        data=np.frombuffer(stream.getvalue(), dtype=np.uint8),
    )


def _fewer_points(cloud: Any, thin: int, voxel: float) -> Any:
    """Loses the rows of an ordered cloud."""
    size, width = cloud.point_step, cloud.width
    if (
        not size
        or cloud.row_step < width * size
        or len(cloud.data) != (cloud.height * cloud.row_step)
    ):
        raise ValueError('its data are not as long as its height, width and steps say')
    rows = cloud.data.reshape(cloud.height, cloud.row_step)[:, : width * size]
    points = np.ascontiguousarray(rows.reshape(-1, size)[::thin])
    if voxel > 0:
        points = points[_one_of_each(_coordinates(cloud, points), voxel)]
    return dataclasses.replace(
        cloud,
        height=1,
        width=len(points),
        row_step=len(points) * size,
        data=points.ravel(),
        is_dense=bool(cloud.is_dense or voxel > 0),
    )


def _coordinates(cloud: Any, points: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(n, 3) of points as bytes."""
    fields = {field.name: field for field in cloud.fields}
    order, found = '>' if cloud.is_bigendian else '<', []
    for name in 'xyz':
        kind = _FLOATS.get(fields[name].datatype) if name in fields else None
        if kind is None:
            raise ValueError('it has no x, y and z as floating point numbers')
        first = fields[name].offset
        if first + int(kind[1]) > points.shape[1]:
            raise ValueError(f'its {name} does not fit its point_step')
        values = np.ascontiguousarray(points[:, first : first + int(kind[1])])
        found.append(values.view(order + kind)[:, 0].astype(float))
    return np.stack(found, axis=1)


def _one_of_each(places: npt.NDArray[np.float64], voxel: float) -> npt.NDArray[np.intp]:
    """Indices of the first point in each cube, in order; points that are nowhere are left out."""
    there = np.flatnonzero(np.isfinite(places).all(axis=1))
    cubes = np.floor(places[there] / voxel)
    order = np.lexsort(cubes.T)  # stable: the first of a cube stays its first
    changes = np.any(np.diff(cubes[order], axis=0) != 0.0, axis=1)
    return np.sort(there[order[np.concatenate([[True], changes])]]) if len(there) else there
