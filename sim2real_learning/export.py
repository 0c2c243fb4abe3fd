"""A trained network as a bundle: one ONNX file that says everything about itself."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sim2real_core.errors import Fault, InputError
from sim2real_learning.torch_network import TorchNetwork, TorchReference, read_network, rebuilt
from sim2real_policy.agreement import agreement, check_agreement
from sim2real_policy.bundle import BundleMetadata, write_bundle
from sim2real_policy.description import Description
from sim2real_policy.export import Network

OPSET = 17
ACTIVATION = 'elu'  # of what is trained here


def export(checkpoint: Mapping[str, Any], metadata: BundleMetadata, path: Path) -> float:
    """Write a bundle and compare it with torch on random observations.

    Args:
        checkpoint: see :mod:`sim2real_learning.train`.
        metadata: what the bundle says of itself.
        path: where to write it.

    Returns:
        The largest difference between torch and ONNX Runtime, see
        :func:`sim2real_policy.agreement.agreement`.

    Raises:
        Sim2RealError: they differ by more than 1e-5.
    """
    told = Description({'network': {'activation': ACTIVATION}})
    network = rebuilt(checkpoint['actor_state_dict'], told, str(path))
    bundle = write_bundle(to_onnx(network, metadata), metadata, path)
    reference = TorchReference(network, metadata)
    return check_agreement(agreement(reference, bundle, np.random.default_rng(0)))


def read_torch(source: str, told: Description) -> Network:
    """A network of torch, to make a bundle of; see :func:`read_network`."""
    network = read_network(source, told)
    return Network(
        lambda meta: to_onnx(network, meta),
        network.described,
        lambda meta: TorchReference(network, meta),
    )


def to_onnx(network: TorchNetwork, meta: BundleMetadata) -> bytes:
    """A network as an ONNX model with the inputs and outputs that the metadata names.

    Without a recurrent state it takes any number of robots at once.

    Raises:
        InputError: the network does not take what the metadata says, or cannot be exported.
    """
    sample = [torch.zeros(1, meta.observation.size)]
    sample += [torch.zeros(1, *image.shape) for image in meta.images]
    sample += [torch.zeros(state.shape) for state in meta.state]
    inputs = ['observation', *(image.name for image in meta.images)]
    inputs += [state.input for state in meta.state]
    outputs = ['action', *(state.output for state in meta.state)]
    robots = {} if meta.state else {name: {0: 'n'} for name in (*inputs, *outputs)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the exporter that every torch since 2.0 has
        file = Path(folder) / 'network.onnx'
        try:
            torch.onnx.export(
                network.module,
                tuple(sample),
                str(file),
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=robots,
                dynamo=False,
            )
        except Exception as error:  # it raises whatever the network raises
            shapes = [tuple(tensor.shape) for tensor in sample]
            why = (str(error) or type(error).__name__).splitlines()[0]
            mend = f'cannot be exported with inputs of these shapes ({why})'
            raise InputError(Fault('network', shapes, mend)) from error
        return file.read_bytes()
