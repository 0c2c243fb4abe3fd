"""What a controller is made of, from the metadata of a policy, the robot and the settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_policy.bundle import BundleMetadata, check_robot
from sim2real_policy.config import OPEN, PolicyConfig
from sim2real_policy.guard import Guard
from sim2real_policy.novelty import NoveltyGate
from sim2real_policy.observation import COMMANDED, INPUT_SIZES, TOPICS
from sim2real_policy.workspace import workspace_of

Array = npt.NDArray[np.float64]

SENSORS = ('imu', 'odometry')
"""Topics of a profile that must not be older than the joint states allow."""


def make_guard(meta: BundleMetadata, profile: RobotProfile, config: PolicyConfig) -> Guard:
    """The guard of a policy on a robot.

    Raises:
        InputError: the robot cannot run this policy; every reason.
        MissingError: a workspace, but pinocchio is not installed.
    """
    limits = check_robot(meta, profile)
    speeds = tuple(value * config.speed_factor for value in limits.velocity)
    workspace, novelty, seen = None, None, meta.training_range
    if config.confined:
        corners = (
            [value if abs(value) < OPEN else math.copysign(math.inf, value) for value in corner]
            for corner in (config.workspace_low, config.workspace_high)
        )
        workspace = workspace_of(profile, meta.joints, *corners)
    if seen is not None and config.novelty_time > 0:
        novelty = NoveltyGate(
            np.array(seen.low, np.float32),
            np.array(seen.high, np.float32),
            period=meta.control_period,
            persistence=config.novelty_time,
        )
    continuous = [profile.joint(name).type == 'continuous' for name in meta.joints]
    return Guard(
        replace(limits, velocity=speeds),
        interface=profile.command.interface,
        period=meta.control_period,
        hold_time=config.hold_time,
        damp_time=config.damp_time,
        stop_time=config.stop_time,
        continuous=continuous,
        effort_rate=[profile.joint(name).effort_rate for name in meta.joints],
        workspace=workspace,
        novelty=novelty,
    )


def input_arrays(meta: BundleMetadata) -> dict[str, Array]:
    """Zeros (1, size) for each input of an observation, by name."""
    joints, commands = len(meta.joints), len(meta.command_names)
    return {
        name: np.zeros((1, size or (commands if name in COMMANDED else joints)))
        for name, size in INPUT_SIZES.items()
    }


def source_names(meta: BundleMetadata) -> list[str]:
    """What a policy depends on beside joint states and goals: sensors and images."""
    heard = {TOPICS[name] for name in meta.observation.inputs if name in TOPICS}
    return [name for name in SENSORS if name in heard] + [image.name for image in meta.images]


def tool_position(meta: BundleMetadata, profile: RobotProfile) -> Callable[[Array], Array] | None:
    """The ``tool`` of a :class:`Controller`, where the policy sees one.

    Raises:
        InputError: the robot cannot run this policy; every reason.
        MissingError: pinocchio is not installed.
    """
    if 'tool' not in meta.observation.inputs:
        return None
    check_robot(meta, profile)
    from sim2real_core.kinematics import Kinematics

    kinematics = Kinematics(profile)
    order = [meta.joints.index(name) for name in profile.joint_names]
    link = meta.observation.tool_link or None
    if order == sorted(order):
        return lambda position: kinematics.position(position, link)
    return lambda position: kinematics.position(position[order], link)
