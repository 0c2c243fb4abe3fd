"""Where the actions come from: the network of a bundle, or a trajectory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim2real_core.files import find
from sim2real_core.profile import RobotProfile
from sim2real_core.trajectory import read_trajectory
from sim2real_policy import follow
from sim2real_policy.bundle import BundleMetadata, load_bundle
from sim2real_policy.config import PolicyConfig
from sim2real_policy.runtime import Runtime
from sim2real_policy.runtimes import make_runtime


@dataclass(frozen=True)
class Source:
    """What a controller runs.

    Attributes:
        meta: what it must know of it.
        runtime: gives the actions.
        about: which file that is, for diagnostics.
    """

    meta: BundleMetadata
    runtime: Runtime
    about: Mapping[str, object]


def load_source(config: PolicyConfig, profile: RobotProfile) -> Source:
    """Load what the settings name.

    Raises:
        InputError: every fault of the file, or that it is for another robot.
        MissingError: what the runtime needs (bundle) or pinocchio (trajectory) is not there.
        ParityError: the runtime gives other actions than ONNX Runtime.
    """
    if config.trajectory:
        path = Path(config.trajectory).expanduser()
        motion = follow.TrajectoryRuntime(read_trajectory(path, profile), profile, config.periods)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        about = {'trajectory': path, 'content_hash': digest}
        return Source(follow.describe(profile), motion, about)
    bundle = load_bundle(find('policies', config.bundle, '.onnx'))
    runtime = make_runtime(config.runtime, bundle)
    about = {
        'bundle': bundle.path,
        'content_hash': bundle.content_hash,
        'runtime': runtime.name,
    }
    return Source(bundle.meta, runtime, about)
