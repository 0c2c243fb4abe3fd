"""A trained checkpoint as a bundle: one ONNX file that says everything about itself."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rsl_rl.modules import MLP

from sim2real_core.errors import Sim2RealError
from sim2real_learning.train import HIDDEN
from sim2real_policy.bundle import BundleMetadata, write_bundle

OPSET = 17
PARITY = 1e-5


def actor_of(checkpoint: Mapping[str, Any], metadata: BundleMetadata) -> torch.nn.Module:
    """The deterministic actor of a checkpoint: observations (n, size) to actions (n, nj)."""
    actor = MLP(metadata.observation.size, len(metadata.joints), list(HIDDEN), 'elu')
    weights = {
        key[len('mlp.') :]: value
        for key, value in checkpoint['actor_state_dict'].items()
        if key.startswith('mlp.')
    }
    actor.load_state_dict(weights)
    return actor.eval()


def export(checkpoint: Mapping[str, Any], metadata: BundleMetadata, path: Path) -> float:
    """Write a bundle and compare it with torch on random observations.

    Args:
        checkpoint: see :mod:`sim2real_learning.train`.
        metadata: what the bundle says of itself.
        path: where to write it.

    Returns:
        The largest difference between torch and ONNX Runtime over 256 observations.

    Raises:
        Sim2RealError: they differ by more than 1e-5.
    """
    actor = actor_of(checkpoint, metadata)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn((256, metadata.observation.size), generator=generator)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / 'actor.onnx'
        torch.onnx.export(
            actor,
            (sample[:1],),
            str(plain),
            opset_version=OPSET,
            input_names=['observation'],
            output_names=['action'],
            dynamic_axes={'observation': {0: 'n'}, 'action': {0: 'n'}},
            dynamo=False,
        )
        write_bundle(plain, metadata, path)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    (action,) = session.run(None, {session.get_inputs()[0].name: sample.numpy()})
    with torch.no_grad():
        difference = float(np.abs(action - actor(sample).numpy()).max())
    if difference > PARITY:
        raise Sim2RealError(f'torch and ONNX differ by {difference:.1e}, more than {PARITY:g}')
    return difference
