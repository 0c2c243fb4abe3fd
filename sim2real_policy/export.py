"""Makes a bundle of a network, wherever it comes from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim2real_core.profile import RobotProfile
from sim2real_policy.agreement import Reference, agreement, check_agreement
from sim2real_policy.bundle import Bundle, BundleMetadata, check_robot, write_bundle
from sim2real_policy.description import Description, metadata_of


@dataclass(frozen=True)
class Network:
    """A network to make a bundle of.

    Attributes:
        model: gives, for the metadata, ONNX with the inputs and outputs that it names.
        described: what the network's file says of it.
        reference: gives, for the metadata, the network as it was given.
    """

    model: Callable[[BundleMetadata], bytes]
    described: Description
    reference: Callable[[BundleMetadata], Reference]


@dataclass(frozen=True)
class Exported:
    """A bundle that was written.

    Attributes:
        bundle: as it was read back.
        difference: largest one to the network that it was made of.
        remarks: what was taken for granted.
    """

    bundle: Bundle
    difference: float
    remarks: tuple[str, ...]


def export_network(
    network: Network, told: Description, profile: RobotProfile, source: Path, path: Path
) -> Exported:
    """Write a bundle and compare it with its network.

    Args:
        network: the network.
        told: what the YAML says; it goes before what the network's file says.
        profile: the robot, which fills what neither says.
        source: file of the network; its name and hash are kept in the bundle.
        path: the bundle to write.

    Raises:
        InputError: what is missing or wrong, or why the robot cannot run it.
        Sim2RealError: bundle and network differ by more than 1e-5.
    """
    described = told.over(network.described)
    meta = metadata_of(described, profile)
    made_of = {'file': source.name, 'sha256': hashlib.sha256(source.read_bytes()).hexdigest()}
    meta = dataclasses.replace(meta, training={**meta.training, 'source': made_of})
    check_robot(meta, profile)
    part = path.with_name(path.name + '.unchecked')
    try:
        bundle = write_bundle(network.model(meta), meta, part)
        difference = agreement(network.reference(meta), bundle, np.random.default_rng(0))
        check_agreement(difference)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Exported(dataclasses.replace(bundle, path=path), difference, described.remarks)
