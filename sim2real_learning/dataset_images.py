"""Images in a data set: each a file inside its row, as LeRobot keeps those that are no video.

An image that several frames show is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_learning.clips_images import Pictures, digest
from sim2real_learning.image_files import TURNED, decoded, encoded
from sim2real_policy.images import ENCODINGS, ImageInput

Pixels = npt.NDArray[Any]
Statistics = dict[str, npt.NDArray[np.float64]]

DEPTH = {'16UC1': 'mm', '32FC1': 'm'}
"""Encodings of depth, and their units (REP 118)."""
SAMPLED, SIDE = 100, 150
"""Images of an episode, and pixels of a side, that its statistics are made from at most."""


def column_of(image: ImageInput) -> str:
    """Name of an image's column; a slash separates parts of such names."""
    return f'observation.images.{image.name.replace("/", "_")}'


def feature_of(image: ImageInput) -> dict[str, Any]:
    """What ``info.json`` says of an image."""
    feature: dict[str, Any] = {
        'dtype': 'image',
        'shape': [image.height, image.width, image.channels],
        'names': ['height', 'width', 'channels'],
    }
    if image.encoding in DEPTH:
        feature['info'] = {'is_depth_map': True, 'depth_unit': DEPTH[image.encoding]}
    return feature


def files_of(pictures: Pictures, image: ImageInput, count: int) -> tuple[list[bytes], Statistics]:
    """The images of an episode as files, and their statistics.

    Args:
        pictures: of the episode.
        image: the input they are for.
        count: of frames.

    Raises:
        InputError: they are not those that were there when the clip, or the version before, was
            read.
    """
    files: list[bytes] = []
    sample: list[Pixels] = []
    last, total = None, ''
    step, every = -(-count // SAMPLED), -(-max(image.height, image.width) // SIDE)
    for number, (pixels, so_far) in enumerate(digest(pictures.read())):
        files.append(files[-1] if pixels is last else encoded(pixels, image.encoding))
        last, total = pixels, so_far
        if number % step == 0:
            sample.append(pixels[::every, ::every])
    if total != pictures.sha256:
        mend = 'the images have changed since they were read: begin again'
        raise InputError(Fault(column_of(image), total, mend))
    return files, _statistics(np.stack(sample), image)


def _statistics(sample: Pixels, image: ImageInput) -> Statistics:
    """Of each channel, (channels, 1, 1), from 0 to 1 where a value is a byte."""
    channels, kind = ENCODINGS[image.encoding]
    order = TURNED.get(image.encoding, list(range(channels)))
    scale = 255.0 if kind is np.uint8 else 1.0
    values = sample.reshape(-1, channels)[:, order].astype(np.float64) / scale
    found = vector_statistics(values)
    shaped = {name: v.reshape(channels, 1, 1) for name, v in found.items() if name != 'count'}
    return {**shaped, 'count': np.array([len(sample)])}


QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)


def vector_statistics(numbers: npt.NDArray[np.float64]) -> Statistics:
    """Of each element of rows (n, k): arrays of k, and how many rows."""
    quantiles = np.quantile(numbers, QUANTILES, axis=0)
    return {
        'min': numbers.min(axis=0),
        'max': numbers.max(axis=0),
        'mean': numbers.mean(axis=0),
        'std': numbers.std(axis=0),
        'count': np.array([len(numbers)]),
        **{f'q{round(100 * q):02d}': row for q, row in zip(QUANTILES, quantiles)},
    }


def together(parts: Sequence[Statistics]) -> Statistics:
    """Of several episodes, from those of each; quantiles as the outermost of theirs."""
    count = np.array([part['count'][0] for part in parts], dtype=np.float64)
    share = (count / count.sum()).reshape(-1, *[1] * parts[0]['mean'].ndim)
    all_of = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    mean = (share * all_of['mean']).sum(axis=0)
    square = (share * (all_of['std'] ** 2 + (all_of['mean'] - mean) ** 2)).sum(axis=0)
    outer = {
        name: all_of[name].min(axis=0)
        if name == 'min' or name in ('q01', 'q10', 'q50')
        else all_of[name].max(axis=0)
        for name in parts[0]
        if name not in ('mean', 'std', 'count')
    }
    counted = np.array([round(count.sum())])
    return {**outer, 'mean': mean, 'std': np.sqrt(square), 'count': counted}


def reread(
    files: Callable[[], Iterator[bytes]], image: ImageInput, sha256: str, source: Path
) -> Pictures:
    """Images of a data set on disk, decoded when they are asked for.

    Args:
        files: reads them, frame by frame.
        image: the input they are for.
        sha256: that they must have.
        source: the file they lie in, for messages; reading raises an ``InputError`` that names it
            where one is damaged.
    """

    def again() -> Iterator[Pixels]:
        before, pixels = b'', np.zeros(0)
        try:
            for data in files():
                if data != before:
                    before, pixels = data, decoded(data, image.encoding)
                yield pixels
        except (OSError, ValueError, KeyError, TypeError) as error:
            mend = f'damaged after it was written: take it from a copy, or export anew ({error})'
            raise InputError(Fault(column_of(image), source.name, mend, str(source))) from error

    return Pictures(sha256, again)
