"""The reach task: bring the tool to a goal and keep it there. Works for any fixed-base arm.

Goals come as a chain, as on a real robot: a new one every ``duration`` seconds, from wherever
the arm is. Each goal is the tool position of a joint configuration that was drawn, so that it can
be reached.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.config import ReachTask
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.observation import Term
from sim2real_sim.mujoco_simulator import MujocoSimulator

Array = npt.NDArray[np.float64]
MOST_TRIES = 50


class Goals(NamedTuple):
    """``configuration`` (n, nj) [rad or m] and the tool ``position`` (n, 3) [m] it gives."""

    configuration: Array
    position: Array


def draw_goals(
    profile: RobotProfile, task: ReachTask, count: int, rng: np.random.Generator
) -> Goals:
    """Draw goals that the arm can reach without touching the floor.

    Args:
        profile: the robot.
        task: range and clearance.
        count: how many.
        rng: source of randomness; the same state gives the same goals.

    Raises:
        InputError: hardly any configuration keeps the tool above the clearance.
    """
    lower, middle, upper = _ranges(profile)
    low, high = middle + task.reach * (lower - middle), middle + task.reach * (upper - middle)
    simulator = MujocoSimulator(profile, nsim=count, contacts=False)
    configurations: list[Array] = []
    positions: list[Array] = []
    found = 0
    for _ in range(MOST_TRIES):
        candidates = rng.uniform(low, high, (count, len(middle)))
        simulator.reset(position=candidates)
        tool = simulator.link_position(profile.tool_link)
        free = tool[:, 2] >= task.clearance
        configurations.append(candidates[free])
        positions.append(tool[free])
        found += int(free.sum())
        if found >= count:
            return Goals(np.concatenate(configurations)[:count], np.concatenate(positions)[:count])
    raise InputError(
        Fault(
            'clearance',
            task.clearance,
            f'only {found} of {MOST_TRIES * count} drawn poses of {profile.name} are above it; '
            'lower it, or raise reach',
        )
    )


def _ranges(profile: RobotProfile) -> tuple[Array, Array, Array]:
    """Lower end, default and upper end of what each joint may use, (nj,) each.

    A continuous joint has no range of its own: half a turn either way.
    """
    middle = profile.array('default_position')
    return (
        np.maximum(profile.array('lower'), middle - np.pi),
        middle,
        np.minimum(profile.array('upper'), middle + np.pi),
    )


def reach_metadata(profile: RobotProfile, task: ReachTask, **more: Any) -> BundleMetadata:
    """What a reach policy of a robot sees and does: joint positions around the default pose.

    Every element is scaled to about one over the goals of the task.

    Args:
        profile: the robot.
        task: the task.
        more: further fields of the metadata, e.g. ``space``.

    Raises:
        InputError: the robot takes no position commands.
    """
    interface = profile.command.interface
    if interface != 'position':
        raise InputError(
            Fault('command.interface', interface, 'the reach task needs position commands')
        )
    goals = draw_goals(profile, task, 256, np.random.default_rng(0))
    spread = np.maximum(goals.position.std(axis=0), 1e-3)
    lower, _, upper = _ranges(profile)
    used = task.reach * (upper - lower)
    return BundleMetadata.for_robot(
        profile,
        [
            Term(kind='joint_position', scale=tuple(2.0 / used)),
            Term(kind='joint_velocity', scale=tuple(1.0 / profile.array('velocity'))),
            Term(
                kind='goal_position',
                offset=tuple(goals.position.mean(axis=0)),
                scale=tuple(0.7 / spread),
            ),
        ],
        Action(meaning='position', scale=tuple(0.35 * used)),
        **more,
    )


def reward(distance: Array, action_change: Array, velocity: Array) -> Array:
    """Reward of one control period, (n,).

    Coarse and fine attraction to the goal, less a price on jerky actions and on motion near the
    goal. The fine term is what makes millimetres worth while.

    Args:
        distance: (n,) tool to goal [m].
        action_change: (n, nj) change of the action since the last period.
        velocity: (n, nj) joint velocity as a share of its limit.
    """
    near = np.exp(-((distance / 0.12) ** 2))
    fine = near + np.exp(-((distance / 0.04) ** 2)) + np.exp(-((distance / 0.013) ** 2))
    still = near * np.square(velocity).sum(axis=1)
    return np.asarray(
        0.4 * fine - 1.0 * distance - 0.02 * np.square(action_change).sum(axis=1) - 0.1 * still
    )
