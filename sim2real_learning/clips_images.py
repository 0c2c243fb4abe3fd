"""The images of a clip: those a policy may have seen in a frame, and their pixels once more later.

A policy sees the image that came last before the joint state it answers. Recorder and policy hear
of images each on a way of their own: one that was recorded within ``NEAR`` of a joint state may
have come before it or after. Which one it was is then told by what the policy did
(``clips_replay.py``).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_learning.clips import Clip, messages
from sim2real_learning.image_files import decoded
from sim2real_policy.images import ImageInput, absurd

Array32 = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]

KINDS = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
COMPRESSED = '/compressed'
"""End of the topic under which a rule of the capture node has images that it compressed."""
NEAR = round(0.05e9)
"""By so much may the order of an image and a joint state be another one for the recorder [ns]."""


@dataclass(frozen=True)
class Pictures:
    """What one camera showed in the frames of an episode, read when it is asked for.

    Attributes:
        sha256: of the pixels of all frames, in order; see :func:`digest`.
        read: yields them, (height, width, channels) each, of the input's encoding; the same array
            again where a frame showed the same image.
    """

    sha256: str
    read: Callable[[], Iterator[Pixels]] = field(compare=False, repr=False)


def digest(pictures: Iterator[Pixels]) -> Iterator[tuple[Pixels, str]]:
    """Images, each with the SHA-256 of the pixels of all up to it, whatever their byte order."""
    total = hashlib.sha256()
    for pixels in pictures:
        total.update(_bytes(pixels))
        yield pixels, total.hexdigest()


def _bytes(pixels: Pixels) -> bytes:
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder('<')).tobytes()


class _Film:
    """The images of a clip by their numbers, read when they are asked for.

    Of those it went through, the last ``KEPT`` stay: going back further means reading anew.
    """

    KEPT = 16

    def __init__(self, folder: Path, topic: str, image: ImageInput) -> None:
        self._begin = partial(_usable, folder, {topic: image})
        self._rest, self._next = self._begin(), 0
        self._kept: dict[int, Pixels] = {}

    def __getitem__(self, number: int) -> Pixels:
        if number < self._next and number not in self._kept:
            self._rest, self._next = self._begin(), 0
            self._kept.clear()
        while number >= self._next:
            _, self._kept[self._next] = next(self._rest)
            self._kept.pop(self._next - self.KEPT, None)
            self._next += 1
        return self._kept[number]


class Camera:
    """The images of a clip that a policy's input could take; read when they are asked for.

    Args:
        image: the input.
        folder: of the clip.
        topic: full name.
        times: when each was recorded [ns].
        hashes: of the pixels of each.
    """

    def __init__(
        self,
        image: ImageInput,
        folder: Path,
        topic: str,
        times: Sequence[int],
        hashes: Sequence[bytes],
    ) -> None:
        self.image = image
        self._folder, self._topic = folder, topic
        self._times = np.array(times, dtype=np.int64)
        self._hashes = hashes
        self._film = _Film(folder, topic, image)
        self._seen: dict[int, Array32] = {}

    def choices(self, stamp: int, answered: int) -> tuple[list[int], bool]:
        """The images that may have been the last ones when a joint state was answered.

        Args:
            stamp: of the joint state [ns].
            answered: when the answer was recorded [ns].

        Returns:
            Numbers of images, the likeliest first, without those that look the same; and whether
            it was surely one of them: none from before the clip.
        """
        first, likely, last = (
            int(k) - 1
            for k in np.searchsorted(self._times, [stamp - NEAR, stamp, answered + NEAR], 'right')
        )
        near = sorted(range(max(first, 0), last + 1), key=lambda k: (abs(k - likely), k))
        kept: list[int] = []
        for k in near:
            if all(self._hashes[k] != self._hashes[other] for other in kept):
                kept.append(k)
        return kept, first >= 0

    def seen(self, number: int) -> Array32:
        """An image as the network sees it (1, ...)."""
        if number not in self._seen:
            if len(self._seen) == _Film.KEPT:
                self._seen.pop(min(self._seen))
            made = np.zeros((1, *self.image.shape), np.float32)
            self.image.fill(self._film[number], made[0])
            self._seen[number] = made
        return self._seen[number]

    def pictures(self, numbers: Sequence[int]) -> Pictures:
        """Of an episode that showed these images, in order."""
        folder, topic, image, wanted = self._folder, self._topic, self.image, tuple(numbers)

        def again() -> Iterator[Pixels]:
            film = _Film(folder, topic, image)
            return (film[number] for number in wanted)

        ((_, total),) = deque(digest(again()), maxlen=1)
        return Pictures(total, again)


def read_cameras(clip: Clip, inputs: Sequence[ImageInput]) -> list[Camera]:
    """The images of a clip, one camera for each input of a policy.

    Raises:
        InputError: for every input whose images are not in the clip as the robot had them.
    """
    faults = Faults(str(clip.folder))
    found = []
    for image in inputs:
        topic = clip.resolved(image.topic)
        why = _lacking(clip.manifest, topic)
        times, hashes = [], []
        for time, pixels in () if why else _usable(clip.folder, {topic: image}):
            times.append(time)
            hashes.append(hashlib.sha256(_bytes(pixels)).digest())
        if not why and not times:
            right = f'{image.height} x {image.width} {image.encoding}'
            why = f'has no image of {right}: no rule may thin it out, or compress it but as PNG'
        if why:
            faults.add('clip.topics', topic, f'the policy sees it, and the clip {why}')
        found.append(Camera(image, clip.folder, topic, times, hashes))
    faults.check()
    return found


def _lacking(manifest: Mapping[str, Any], topic: str) -> str:
    """Why the images of a topic are not in a clip as the robot had them; ``''`` if they may be."""
    found = manifest['topics'].get(topic) or manifest['topics'].get(topic + COMPRESSED)
    if topic in (manifest.get('private') or {}):
        return 'says that it stayed on the robot, as its rule is private'
    if found is None:
        return "lacks it: add it to the capture node's topics"
    if found['type'] not in KINDS:
        return f'has it as {found["type"]}: that is no image'
    left_out = (manifest.get('thinned_out') or {}).get(topic, 0)
    if left_out:
        return f'lacks {left_out} of its messages: keep every one of them'
    return ''


def _usable(folder: Path, wanted: Mapping[str, ImageInput]) -> Iterator[tuple[int, Pixels]]:
    """Log times [ns] and pixels of the images that the policy took."""
    inputs = {**wanted, **{topic + COMPRESSED: image for topic, image in wanted.items()}}
    for topic, time, message in messages(folder, lambda connection: connection.topic in inputs):
        image = inputs[topic]
        pixels = _unpacked(message, image) if topic.endswith(COMPRESSED) else image.usable(message)
        if pixels is not None and not absurd(pixels):
            yield time, pixels


def _unpacked(message: Any, image: ImageInput) -> Pixels | None:
    """What a sensor_msgs/CompressedImage holds without a loss; None otherwise."""
    encoding, _, how = message.format.partition(';')
    if encoding != image.encoding or image.channels > 3 or not how.strip().startswith('png'):
        return None
    try:
        pixels = decoded(bytes(message.data), encoding)
    except ValueError:  # damaged: one image less, and the clip goes on
        return None
    return pixels if pixels.shape[:2] == (image.height, image.width) else None


def check_published(clip: Clip, what: str) -> None:
    """What a policy with images or a memory did is told by its published observations alone.

    Raises:
        InputError: the clip has none.
    """
    if not clip.labels:
        mend = f'lacks it, and what a policy with {what} saw cannot be told without: {_ADD}'
        raise InputError(Fault('clip.topics', 'policy/observation', mend, str(clip.folder)))


_ADD = "add it to the capture node's topics"
