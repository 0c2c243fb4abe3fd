"""What a guard keeps to on a robot, and which of its stages have nothing to do there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from sim2real_core.profile import RobotProfile
from sim2real_core.profile_sections import GuardTimes
from sim2real_policy.bundle import BundleMetadata, check_robot
from sim2real_policy.config import PolicyConfig
from sim2real_policy.guard_limits import Limits

COMMANDED = {
    'position': ('position_limit', 'velocity_limit', 'acceleration_limit'),
    'velocity': ('position_limit', 'velocity_limit', 'acceleration_limit'),
    'effort': ('position_limit', 'velocity_limit', 'effort_limit', 'rate_limit'),
    'twist': ('velocity_limit', 'acceleration_limit'),
}
"""Command interface -> limits that such a command can be held to."""


def about_guard(
    meta: BundleMetadata, profile: RobotProfile, config: PolicyConfig
) -> dict[str, object]:
    """The guard's times, and under ``guard_off`` what :func:`switched_off` says; for diagnostics.

    Args:
        meta: of the policy.
        profile: the robot.
        config: with its times, see ``PolicyConfig.on``.
    """
    off = switched_off(meta, profile, config)
    times = {f'{field.name} [s]': getattr(config, field.name) for field in fields(GuardTimes)}
    return {**times, 'guard_off': '; '.join(f'{name}: {why}' for name, why in off.items())}


def switched_off(
    meta: BundleMetadata, profile: RobotProfile, config: PolicyConfig
) -> dict[str, str]:
    """Stages of the guard that have nothing to do, by name (``INTERVENTIONS``), and why.

    A limit that only some joints lack names these joints.
    """
    interface = profile.command.interface
    limits = check_robot(meta, profile)
    found = {}
    for stage in ('position', 'velocity', 'acceleration', 'effort', 'rate'):
        name = f'{stage}_limit'
        if name not in COMMANDED[interface]:
            found[name] = f'{interface} commands have none'
            continue
        free = _unlimited(stage, limits, meta, profile)
        if free:
            found[name] = f'not given for {", ".join(free)}'
    if not config.confined:
        found['workspace'] = 'workspace_low and workspace_high are open'
    if meta.training_range is None:
        found['novelty'] = 'the policy names no ranges of its training'
    elif not config.novelty_time:
        found['novelty'] = 'novelty_time is 0'
    return found


def _unlimited(
    stage: str, limits: Limits, meta: BundleMetadata, profile: RobotProfile
) -> Sequence[str]:
    """Elements of a command that have no such limit."""
    if stage == 'rate':
        values = np.array([profile.joint(name).effort_rate for name in meta.joints])
    elif stage == 'position':
        values = np.maximum(-limits.array('lower'), limits.array('upper'))
    else:
        values = limits.array(stage)
    return [name for name, value in zip(meta.command_names, values) if np.isinf(value)]
