"""ONNX Runtime on an NVIDIA GPU, by its CUDA or its TensorRT provider."""

from __future__ import annotations

from typing import Any

from sim2real_core.errors import MissingError
from sim2real_policy import engine as engines
from sim2real_policy.bundle import Bundle, open_session
from sim2real_policy.gpu import probe
from sim2real_policy.runtime import OnnxRuntime

CUDA = 'CUDAExecutionProvider'
TENSORRT = 'TensorrtExecutionProvider'


class ProviderRuntime(OnnxRuntime):
    """As :class:`OnnxRuntime`, but the network runs on the GPU; inputs and outputs are copied.

    Args:
        bundle: whose network.
        provider: ``cuda`` or ``tensorrt``.
        device: number of the GPU.
        warm_up: runs done at once, so that the first real one is not slow.

    Raises:
        InputError: what the model gives is not what its file says.
        MissingError: no GPU, or this ONNX Runtime has not the provider.
    """

    def __init__(
        self, bundle: Bundle, provider: str, *, device: int = 0, warm_up: int = 20
    ) -> None:
        self.name = f'onnxruntime-{provider}'
        self._gpu = probe(device)
        # TensorFloat-32 would be no fp32.
        cuda = (CUDA, {'device_id': device, 'use_tf32': 0})
        folder = str(engines.cache_folder() / self.name)
        options = {
            'device_id': device,
            'trt_engine_cache_enable': True,
            'trt_engine_cache_path': folder,
        }
        kinds: dict[str, list[Any]] = {'cuda': [cuda], 'tensorrt': [(TENSORRT, options), cuda]}
        self._providers = kinds[provider]
        super().__init__(bundle, warm_up)

    def _open(self, bundle: Bundle) -> Any:
        import onnxruntime

        wanted = self._providers[0][0]
        if wanted not in onnxruntime.get_available_providers():
            how = 'pip install onnxruntime-gpu; on a Jetson see docs/jetson.md'
            raise MissingError(f'this ONNX Runtime has no {wanted}: {how}')
        session = open_session(bundle.model, str(bundle.path), self._providers)
        if wanted not in session.get_providers():  # it goes on with the CPU, and says nothing
            raise MissingError(f'ONNX Runtime could not load {wanted}')
        return session

    def report(self) -> dict[str, object]:
        """The GPU."""
        return {'gpu': self._gpu.name, 'provider': self._providers[0][0]}
