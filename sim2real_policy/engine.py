"""TensorRT engines: built from a bundle on the GPU that runs them, and kept.

An engine fits one network, one TensorRT, one kind of GPU and one precision: these are its key, and
the key is part of its file's name. Beside each engine lies what is known of it as JSON, with the
SHA-256 of the engine: one that was damaged is not given to TensorRT, but built again.

Nothing here imports TensorRT; whoever calls did that, after ``gpu.probe``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sim2real_core.errors import Fault, InputError, MissingError, Sim2RealError
from sim2real_core.files import write_json
from sim2real_policy.bundle import Bundle
from sim2real_policy.gpu import Gpu
from sim2real_policy.runtime_names import PRECISIONS


@dataclass(frozen=True)
class EngineKey:
    """What an engine is for.

    Attributes:
        model: content hash of the bundle.
        tensorrt: version.
        gpu: name of the GPU.
        capability: its compute capability.
        precision: one of :data:`runtime_names.PRECISIONS`.
    """

    model: str
    tensorrt: str
    gpu: str
    capability: str
    precision: str

    @classmethod
    def of(cls, bundle: Bundle, precision: str, gpu: Gpu, tensorrt: str) -> EngineKey:
        """The key of a bundle's engine here.

        Raises:
            InputError: no such precision.
        """
        if precision not in PRECISIONS:
            raise InputError(
                Fault('precision', precision, f'must be one of {", ".join(PRECISIONS)}')
            )
        return cls(bundle.content_hash, tensorrt, gpu.name, gpu.capability, precision)

    @property
    def stem(self) -> str:
        """Of the files' names."""
        text = json.dumps(asdict(self), sort_keys=True)
        return (
            f'{self.model[:12]}-{self.precision}-{hashlib.sha256(text.encode()).hexdigest()[:16]}'
        )


def cache_folder() -> Path:
    """Where engines are kept: ``$XDG_CACHE_HOME/sim2real/engines``, by default in ``~/.cache``."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'sim2real' / 'engines'


def store(engine: bytes, key: EngineKey, path: Path, about: Mapping[str, object]) -> None:
    """Keep an engine and what is known of it; either file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f'.{os.getpid()}.part')
    part.write_bytes(engine)
    part.replace(path)
    digest = hashlib.sha256(engine).hexdigest()
    write_json(path.with_suffix('.json'), {**about, 'key': asdict(key), 'sha256': digest})


def about(path: Path) -> dict[str, Any]:
    """What is known of an engine; nothing, when that cannot be read."""
    try:
        known = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def cached(key: EngineKey, path: Path) -> bytes | None:
    """The engine of this key, or None when there is none that is whole."""
    known = about(path)
    try:
        engine = path.read_bytes()
    except OSError:
        return None
    whole = known.get('sha256') == hashlib.sha256(engine).hexdigest()
    return engine if whole and known.get('key') == asdict(key) else None


def build(trt: Any, logger: Any, bundle: Bundle, precision: str) -> bytes:
    """Build a serialized engine for one robot at a time, with float32 inputs and outputs.

    Args:
        trt: the ``tensorrt`` module, 10 or 11.
        logger: a ``trt.Logger``.
        bundle: whose network.
        precision: ``fp32`` (TensorFloat-32 is off, else it would be no fp32), ``fp16``, or
            ``int8``, for models that say themselves how they are quantized.

    Raises:
        InputError: TensorRT cannot take the model, or there is nothing to quantize by.
        MissingError: the model must be converted first, and onnx is not installed.
        Sim2RealError: the build failed.
    """
    if precision == 'int8' and not quantized(bundle):
        mend = (
            'has no QuantizeLinear and DequantizeLinear nodes: quantize it before export, or '
            'build fp16'
        )
        raise InputError(Fault('precision', precision, mend, str(bundle.path)))
    builder, flags = trt.Builder(logger), 0
    if precision == 'int8':  # types are as the model says; always so from TensorRT 11 on
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    model = bundle.model
    if precision == 'fp16':
        if hasattr(trt.BuilderFlag, 'FP16'):  # until TensorRT 10
            config.set_flag(trt.BuilderFlag.FP16)
        else:
            model = half_precision(model)
    _parse(trt, logger, network, model, str(bundle.path))
    profile = builder.create_optimization_profile()
    for name, shape in bundle.ends.inputs.items():
        profile.set_shape(name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise Sim2RealError(f'TensorRT {trt.__version__} could not build it; see its messages')
    return bytes(memoryview(plan))


def _parse(trt: Any, logger: Any, network: Any, model: bytes, file: str) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(model):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [Fault('model', error.desc(), 'TensorRT cannot take this', file) for error in errors]
    raise InputError(*(told or [Fault('model', '', 'TensorRT cannot take it', file)]))


def quantized(bundle: Bundle) -> bool:
    """Whether a model says itself how it is quantized, by pairs of explicit nodes.

    They are looked for as protobuf writes the ``op_type`` of a node (field 4: tag, length, text),
    since ``onnx`` need not be installed here; so neither words of the metadata nor operators that
    quantize while they run (``DynamicQuantizeLinear``) count.
    """
    pair = (b'QuantizeLinear', b'DequantizeLinear')
    return all(b'\x22' + bytes([len(name)]) + name in bundle.model for name in pair)


def half_precision(model: bytes) -> bytes:
    """A model with float16 inside; inputs and outputs stay float32.

    Raises:
        MissingError: onnx is not installed.
    """
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingError(
            'onnx is needed for fp16 with this TensorRT: pip install onnx'
        ) from error
    converted = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
    result: bytes = converted.SerializeToString()
    return result
