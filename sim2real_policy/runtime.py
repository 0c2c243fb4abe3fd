"""What gives actions: the network of a bundle here, a trajectory in ``follow.py``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_policy.bundle import Bundle, open_session

Array32 = npt.NDArray[np.float32]

NOTHING: Mapping[str, Array32] = MappingProxyType({})
"""What a policy without images sees beside its observation."""


class Runtime(Protocol):
    """What gives actions. It is made ready (warmed up) when it is made.

    Attributes:
        name: which kind it is, for diagnostics.
    """

    name: str

    def infer(
        self, observation: Array32, others: Mapping[str, Array32] = NOTHING
    ) -> npt.NDArray[Any]:
        """One step.

        Args:
            observation: (n, d); normalized, where the metadata has a normalizer.
            others: (n, ...) for each image, by the name of the model's input.

        Returns:
            Actions (n, a); may be overwritten by the next.
        """
        ...

    def rehearse(self) -> None:
        """Run without effect, so that the next step finds in the processor what it needs."""
        ...

    def reset(self) -> None:
        """Forget what was: the next observation does not follow the last."""
        ...

    def report(self) -> dict[str, object]:
        """For diagnostics."""
        ...

    def close(self) -> None:
        """Free what it holds; it is not used afterwards."""
        ...


class OnnxRuntime:
    """ONNX Runtime on the CPU, one thread, deterministic.

    For one robot at a time, inputs and outputs live in memory that is bound once. A model that
    takes only one at a time is run for several in turn, each with a recurrent state of its own.

    Args:
        bundle: whose network.
        warm_up: runs done at once, so that the first real one is not slow.

    Raises:
        InputError: what the model gives is not what its file says.
    """

    name = 'onnxruntime'

    def __init__(self, bundle: Bundle, warm_up: int = 20) -> None:
        self._session = self._open(bundle)
        self._ends = ends = bundle.ends
        self._inputs = ends.zeros()
        self._outputs: dict[str, Array32] = {
            name: np.zeros(shape, np.float32) for name, shape in ends.outputs.items()
        }
        self._observation = self._inputs[ends.observation]
        self._action = self._outputs[ends.action]
        self._images = [(image.name, self._inputs[image.name]) for image in bundle.meta.images]
        self._memory = [
            (self._inputs[state.input], self._outputs[state.output]) for state in bundle.meta.state
        ]
        self._others: list[list[Array32]] = []  # recurrent state of the second robot and on
        self._try(bundle)
        self._binding = self._session.io_binding()
        for bind, arrays in (
            (self._binding.bind_input, self._inputs),
            (self._binding.bind_output, self._outputs),
        ):
            for name, array in arrays.items():
                bind(name, 'cpu', 0, np.float32, array.shape, array.ctypes.data)
        for _ in range(warm_up):
            self._step()
        self.reset()

    def _open(self, bundle: Bundle) -> Any:
        return open_session(bundle.model, str(bundle.path))

    def _try(self, bundle: Bundle) -> None:
        """Run it once where nothing is bound: its shapes are then what they really are."""
        names = list(self._outputs)
        try:
            results = self._session.run(names, self._inputs)
        except Exception as error:  # its errors have no common base but this
            fault = Fault('model', self._shapes(self._inputs), f'cannot be run: {error}')
            raise InputError(fault) from error
        faults = Faults(str(bundle.path))
        for name, result in zip(names, results):
            if result.shape != self._outputs[name].shape:
                mend = f'must be {self._outputs[name].shape}'
                faults.add(f'model.output[{name}]', result.shape, mend)
        faults.check()

    @staticmethod
    def _shapes(arrays: Mapping[str, Array32]) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in arrays.items()}

    def reset(self) -> None:
        """Zero the recurrent state."""
        for before, _ in self._memory:
            before.fill(0.0)
        self._others.clear()

    def report(self) -> dict[str, object]:
        """Nothing that its file does not say."""
        return {}

    def close(self) -> None:
        """Nothing to free that does not go with it."""

    def infer(self, observation: Array32, others: Mapping[str, Array32] = NOTHING) -> Array32:
        """Actions (n, a) for observations (n, d); see :class:`Runtime`."""
        if len(observation) == 1:
            self._observation[:] = observation
            for name, image in self._images:
                image[:] = others[name]
            self._step()
            return self._action
        if not self._ends.single:
            inputs = {self._ends.observation: observation, **others}
            actions: Array32 = self._session.run([self._ends.action], inputs)[0]
            return actions
        return self._in_turn(observation, others)

    def rehearse(self) -> None:
        """Run once, and carry no recurrent state on; see :class:`Runtime`."""
        self._session.run_with_iobinding(self._binding)

    def _step(self) -> None:
        self.rehearse()
        for before, after in self._memory:
            before[:] = after

    def _in_turn(self, observation: Array32, others: Mapping[str, Array32]) -> Array32:
        """One robot after the other; each finds the state it left."""
        while len(self._others) < len(observation) - 1:
            self._others.append([np.zeros_like(before) for before, _ in self._memory])
        actions = np.empty((len(observation), self._action.shape[1]), np.float32)
        for row in range(len(observation)):
            kept = self._others[row - 1] if row else []
            self._swap(kept)
            mine = {name: image[row : row + 1] for name, image in others.items()}
            actions[row] = self.infer(observation[row : row + 1], mine)[0]
            self._swap(kept)
        return actions

    def _swap(self, kept: list[Array32]) -> None:
        """Exchange the bound state with one that was kept."""
        for (bound, _), other in zip(self._memory, kept):
            bound_copy = bound.copy()
            bound[:] = other
            other[:] = bound_copy
