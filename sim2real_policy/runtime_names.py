"""Names of the runtimes and what each computes with; nothing here is imported but Python."""

from __future__ import annotations

AUTO, REFERENCE = 'auto', 'onnxruntime'

RUNTIME_NAMES = (
    REFERENCE,
    'onnxruntime-cuda',
    'onnxruntime-tensorrt',
    'tensorrt',
    'tensorrt-fp16',
    'tensorrt-int8',
    'torch',
    'torch-cuda',
)
"""Each there is."""

NAMES = (AUTO, *RUNTIME_NAMES)
"""What the parameter ``runtime`` of the node may be."""

PRECISIONS = ('fp32', 'fp16', 'int8')
"""What a TensorRT engine may compute with."""

TOLERANCE = {'fp32': 1e-4, 'fp16': 1e-2, 'int8': 2e-2}
"""Difference from ONNX Runtime that is admitted, relative to the largest action."""


def precision_of(runtime: str) -> str:
    """What a runtime computes with."""
    tail = runtime.rpartition('-')[2]
    return tail if tail in PRECISIONS else 'fp32'
