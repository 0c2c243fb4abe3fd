"""A policy by torch, on the CPU or an NVIDIA GPU, from the network in its bundle.

The network is walked through node by node. That covers what policies are made of (perceptrons,
convolutions, recurrent layers); a network with any other operator is refused by name when the
runtime is made, and runs by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim2real_core.errors import MissingError
from sim2real_policy.bundle import Bundle
from sim2real_policy.gpu import probe
from sim2real_policy.in_turn import in_turn
from sim2real_policy.runtime import NOTHING, Array32
from sim2real_policy.torch_operators import operators

Values = dict[str, Any]


class TorchRuntime:
    """torch, without gradients.

    Args:
        bundle: whose network.
        device: ``cpu`` or ``cuda``.
        warm_up: runs done at once, so that the first real one is not slow.

    Raises:
        MissingError: torch or onnx is not installed, there is no GPU, or the network has an
            operator that is not known here.
    """

    def __init__(self, bundle: Bundle, device: str = 'cpu', warm_up: int = 20) -> None:
        self.name = 'torch' if device == 'cpu' else f'torch-{device}'
        if device != 'cpu':
            self._gpu = probe()
        try:
            import onnx
            import torch
        except ImportError as error:
            raise MissingError(f'{error.name} is needed: pip install {error.name}') from error
        if device != 'cpu' and not torch.cuda.is_available():
            raise MissingError('this torch was built without CUDA')
        self._torch, self._device = torch, torch.device(device)
        self._bundle, self._ends, self._state = bundle, bundle.ends, bundle.meta.state
        graph = onnx.load_from_string(bundle.model).graph
        self._constants: Values = {
            weight.name: self._put(onnx.numpy_helper.to_array(weight).copy())
            for weight in graph.initializer
        }
        known = operators(torch)
        unknown = sorted({node.op_type for node in graph.node} - set(known))
        if unknown:
            raise MissingError(f'torch runs no {", ".join(unknown)} here; ONNX Runtime does')
        self._steps = [self._step(onnx, known[node.op_type], node) for node in graph.node]
        self._memory: list[Any] = []
        self.reset()
        zeros = bundle.ends.zeros()
        images = {image.name: zeros[image.name] for image in bundle.meta.images}
        self._nothing = zeros[bundle.ends.observation], images
        try:
            for _ in range(warm_up):
                self.infer(*self._nothing)
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
            # An attribute that is not known here, or a use of an operator that is not.
            why = f'torch cannot run this network ({error}); ONNX Runtime does'
            raise MissingError(why) from error
        self.reset()

    def _put(self, array: Any) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _step(
        self, onnx: Any, operator: Callable[..., Any], node: Any
    ) -> tuple[Callable[..., Any], dict[str, Any], list[str], list[str]]:
        settings = {}
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                value = self._put(onnx.numpy_helper.to_array(value).copy())
            settings[attribute.name] = value.decode() if isinstance(value, bytes) else value
        return operator, settings, list(node.input), list(node.output)

    def infer(self, observation: Array32, others: Mapping[str, Array32] = NOTHING) -> Array32:
        """Actions (n, a) for observations (n, d); see :class:`sim2real_policy.runtime.Runtime`.

        Raises:
            InputError: several robots at a time, and the policy is recurrent.
        """
        if self._ends.single and len(observation) != 1:
            return in_turn(self, self._bundle, observation, others)
        torch, values = self._torch, dict(self._constants)
        with torch.inference_mode():
            values[self._ends.observation] = self._put(observation)
            for name, image in others.items():
                values[name] = self._put(image)
            for part, before in zip(self._state, self._memory):
                values[part.input] = before
            for operator, settings, inputs, outputs in self._steps:
                given = [values[name] if name else None for name in inputs]
                results = operator(*given, **settings)
                if not isinstance(results, tuple):
                    results = (results,)
                values.update(zip(outputs, results))
            self._memory = [values[part.output] for part in self._state]
            action: Array32 = values[self._ends.action].cpu().numpy()
        return action

    def rehearse(self) -> None:
        """Run once on zeros, and carry no recurrent state on."""
        kept = self._memory
        self.infer(*self._nothing)
        self._memory = kept

    def reset(self) -> None:
        """Zero the recurrent state."""
        self._memory = [self._put(np.zeros(s.shape, np.float32)) for s in self._state]

    def report(self) -> dict[str, object]:
        """Version and device."""
        return {'torch': self._torch.__version__, 'device': str(self._device)}

    def close(self) -> None:
        """Let go of the weights."""
        self._constants, self._memory = {}, []
