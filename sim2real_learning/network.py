"""A bundle's network as a function: what it saw and remembered, to what it says and remembers.

On a robot the memory of a recurrent network lives in its runtime. To find out what a network did
in a clip it is in the caller's hands here: a step can be tried, taken back and begun anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import Bundle, open_session

Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]
Memory = tuple[Array32, ...]


class Network:
    """What a bundle says, on the CPU; what the controller does around it included.

    Args:
        bundle: whose network.

    Raises:
        InputError: ONNX Runtime cannot run it.
        MissingError: onnxruntime is not installed.

    Attributes:
        bundle: whose it is.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        meta, ends = bundle.meta, bundle.ends
        self._session = open_session(bundle.model, str(bundle.path))
        self._observation = ends.observation
        self._outputs = [ends.action, *(state.output for state in meta.state)]
        self._limited = ActionMap(meta.action, np.array(meta.default_position)).limited
        normal = meta.normalizer
        self._normal = None if normal is None else (np.array(normal.mean), np.array(normal.std))

    def fresh(self) -> Memory:
        """What it remembers after a reset: zeros."""
        return tuple(np.zeros(s.shape, np.float32) for s in self.bundle.meta.state)

    def step(
        self, observation: Array32, images: Mapping[str, Array32], memory: Memory
    ) -> tuple[Array, Memory]:
        """One step.

        Args:
            observation: (d,) as the robot saw it, not normalized.
            images: (1, ...) each, as the model wants it, by the name of its input.
            memory: what it remembered before.

        Returns:
            The action (na,) within the bundle's ``clip`` (NaN where the network says nothing
            finite), and what it remembers now.
        """
        seen = observation[None]
        if self._normal is not None:
            mean, std = self._normal
            seen = ((seen - mean) / std).astype(np.float32)
        told = {state.input: part for state, part in zip(self.bundle.meta.state, memory)}
        try:
            action, *after = self._session.run(
                self._outputs, {self._observation: seen, **images, **told}
            )
        except Exception as error:  # its errors have no common base but this
            fault = Fault('model', str(self.bundle.path), f'cannot be run: {error}')
            raise InputError(fault) from error
        said = action[0].astype(np.float64)
        if not np.isfinite(said).all():  # a limit would hide it
            said = np.full(len(said), np.nan)
        return self._limited(said), tuple(after)
