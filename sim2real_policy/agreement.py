"""How well a bundle agrees with the network that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Sim2RealError
from sim2real_policy.bundle import Bundle, BundleMetadata
from sim2real_policy.images import ENCODINGS
from sim2real_policy.runtime import OnnxRuntime

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]

PARITY = 1e-5
"""Largest difference, of an action or as a share of it where it is more than one."""
SEQUENCES, STEPS = 16, 16


class Reference(Protocol):
    """The network as it was given, against which the bundle is compared."""

    def reset(self) -> None:
        """Forget what was."""
        ...

    def infer(self, observation: Array32, others: Mapping[str, Array32]) -> npt.NDArray[Any]:
        """Action (1, a) for an observation (1, d), not normalized, and images."""
        ...


def agreement(reference: Reference, bundle: Bundle, rng: np.random.Generator) -> float:
    """The largest difference over random observations, in sequences that begin with a reset.

    Both see the same observations before normalizing, drawn from the range of training where it
    is known, and the same images; the bundle is run as the controller runs it.

    Args:
        reference: the network as it was given.
        bundle: what was written.
        rng: draws.

    Returns:
        Difference of an action, as a share of it where that is more than one.
    """
    runtime, meta = OnnxRuntime(bundle, warm_up=0), bundle.meta
    worst = 0.0
    for _ in range(SEQUENCES):
        reference.reset()
        runtime.reset()
        for _ in range(STEPS):
            observation = drawn(meta, rng)
            images = {image.name: _image(meta, image.name, rng) for image in meta.images}
            expected = np.asarray(reference.infer(observation, images), np.float64)
            action = runtime.infer(normalized(meta, observation), images)
            off = np.abs(action - expected) / np.maximum(1.0, np.abs(expected))
            worst = max(worst, float(off.max()) if np.isfinite(off).all() else np.inf)
    return worst


def check_agreement(difference: float) -> float:
    """The difference, when it is small enough.

    Raises:
        Sim2RealError: it is not.
    """
    if difference == np.inf:
        raise Sim2RealError('the network gives actions that are not finite, or the bundle does')
    if not difference <= PARITY:
        raise Sim2RealError(
            f'the bundle differs from the network by {difference:.1e}, more than {PARITY:g}'
        )
    return difference


def drawn(meta: BundleMetadata, rng: np.random.Generator) -> Array32:
    """A random observation (1, size), before normalizing, as training may have seen it."""
    size = meta.observation.size
    if meta.training_range is not None:
        values = rng.uniform(meta.training_range.low, meta.training_range.high)
    elif meta.normalizer is not None:
        values = np.array(meta.normalizer.mean) + meta.normalizer.std * rng.normal(size=size)
    else:
        values = rng.normal(size=size)
    return np.asarray(values, np.float32)[None]


def normalized(meta: BundleMetadata, observation: Array32) -> Array32:
    """As the network sees an observation, computed as on the robot."""
    if meta.normalizer is None:
        return observation
    mean, std = np.array(meta.normalizer.mean), np.array(meta.normalizer.std)
    return np.asarray((observation - mean) / std, np.float32)


def _image(meta: BundleMetadata, name: str, rng: np.random.Generator) -> Array32:
    image = next(image for image in meta.images if image.name == name)
    kind: Any = ENCODINGS[image.encoding][1]
    most = 10.0 if kind is np.float32 else float(np.iinfo(kind).max)
    pixels = rng.uniform(0, most, (image.height, image.width, image.channels)).astype(kind)
    seen = np.zeros((1, *image.shape), np.float32)
    image.fill(pixels, seen[0])
    return seen
