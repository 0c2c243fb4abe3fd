"""Whether two runtimes give the same actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Sim2RealError
from sim2real_policy.bundle import Bundle
from sim2real_policy.runtime import Runtime

Array32 = npt.NDArray[np.float32]
Inputs = tuple[Array32, Mapping[str, Array32]]

EPISODE = 50  # steps between two resets


class ParityError(Sim2RealError):
    """A runtime's actions differ more than admitted; its figures are in ``parity``."""

    def __init__(self, name: str, parity: Parity) -> None:
        self.parity = parity
        super().__init__(
            f'{name} differs from ONNX Runtime by {parity.relative:.2e} of the largest action, '
            f'{parity.tolerance:.0e} is admitted: use a higher precision'
        )


@dataclass(frozen=True)
class Parity:
    """How much actions differ.

    Attributes:
        absolute: largest difference of one element of an action.
        relative: that, divided by the largest element of any action of the reference.
        steps: how many actions were compared.
        tolerance: of ``relative``.
    """

    absolute: float
    relative: float
    steps: int
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the difference is admitted; what is not finite is not."""
        return self.relative <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """For reports."""
        return {**asdict(self), 'ok': self.ok}


def random_inputs(bundle: Bundle, steps: int, rng: np.random.Generator) -> Iterator[Inputs]:
    """What a runtime may see: (1, d) observations as the network takes them, and images.

    Observations are drawn evenly from the training range where the metadata tell it (and
    normalized as they say), else from a standard normal distribution. Images are drawn evenly
    over what their encoding can say.
    """
    meta = bundle.meta
    size, span = meta.observation.size, meta.training_range
    for _ in range(steps):
        if span is None:
            observation = rng.standard_normal((1, size))
        else:
            observation = rng.uniform(span.low, span.high, (1, size))
            if meta.normalizer is not None:
                observation = (observation - meta.normalizer.mean) / meta.normalizer.std
        images = {
            image.name: rng.uniform(0.0, 1.0, bundle.ends.inputs[image.name]).astype(np.float32)
            for image in meta.images
        }
        yield observation.astype(np.float32), images


def compare(
    reference: Runtime,
    other: Runtime,
    bundle: Bundle,
    rng: np.random.Generator,
    *,
    tolerance: float,
    steps: int = 200,
) -> Parity:
    """Run both on the same inputs, one robot at a time, with a reset of both now and then.

    What a recurrent policy remembers is thus compared too: each goes on from its own state.
    """
    largest = absolute = 0.0
    for step, (observation, images) in enumerate(random_inputs(bundle, steps, rng)):
        if step % EPISODE == 0:
            reference.reset()
            other.reset()
        wanted = np.array(reference.infer(observation, images), np.float64)
        given = np.array(other.infer(observation, images), np.float64)
        if wanted.shape != given.shape or not np.isfinite(wanted - given).all():
            return Parity(np.inf, np.inf, step + 1, tolerance)
        largest = max(largest, float(np.abs(wanted).max()))
        absolute = max(absolute, float(np.abs(wanted - given).max()))
    relative = absolute / largest if largest else (np.inf if absolute else 0.0)
    return Parity(absolute, relative, steps, tolerance)
