"""What gives actions: the network of a bundle here, a trajectory in ``follow.py``."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim2real_policy.bundle import Bundle, open_session

Array32 = npt.NDArray[np.float32]


class Runtime(Protocol):
    """What gives actions."""

    def infer(self, observation: Array32) -> npt.NDArray[Any]:
        """Actions (n, a) for observations (n, d); may be overwritten by the next."""
        ...

    def reset(self) -> None:
        """Forget what was: the next observation does not follow the last."""
        ...

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        ...


class OnnxRuntime:
    """ONNX Runtime on the CPU, one thread, deterministic.

    For one observation at a time, input and output live in memory that is bound once.

    Args:
        bundle: whose network.
        warm_up: runs done at once, so that the first real one is not slow.
    """

    def __init__(self, bundle: Bundle, warm_up: int = 20) -> None:
        self._session = open_session(bundle.model, str(bundle.path))
        entry, result = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._names = entry.name, result.name
        # Some exporters fix the leading dimension at 1; several observations then go one by one.
        self._single = entry.shape[0] == 1
        self._input: Array32 = np.zeros((1, bundle.meta.observation.size), np.float32)
        self._output: Array32 = np.zeros((1, len(bundle.meta.joints)), np.float32)
        self._binding = self._session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, entry.name, self._input),
            (self._binding.bind_output, result.name, self._output),
        ):
            bind(name, 'cpu', 0, np.float32, array.shape, array.ctypes.data)
        for _ in range(warm_up):
            self.infer(self._input)

    def reset(self) -> None:
        """A network sees all it knows; nothing is to be forgotten."""

    def report(self) -> dict[str, object]:
        """Nothing that its file does not say."""
        return {}

    def infer(self, observation: Array32) -> Array32:
        """Actions (n, a) for observations (n, d); see :class:`Runtime`."""
        if len(observation) == 1:
            self._input[:] = observation
            self._session.run_with_iobinding(self._binding)
            return self._output
        if self._single:
            return np.concatenate([self.infer(row[None]).copy() for row in observation])
        entry, result = self._names
        actions: Array32 = self._session.run([result], {entry: observation})[0]
        return actions
