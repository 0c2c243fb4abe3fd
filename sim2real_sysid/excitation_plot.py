"""Draws a trajectory: joints within their limits, and the way of the tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.dynamics import InverseDynamics
from sim2real_core.kinematics import Kinematics
from sim2real_core.trajectory import Trajectory

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

INSTANTS = 400
BLUE, RED, GREY = '#2a6f97', '#c8553d', '#9aa0a6'
WIDTH, ROW, LEAST = 12.0, 1.15, 4.2  # [inch]


def tool_path(profile: RobotProfile, trajectory: Trajectory, instants: int = INSTANTS) -> Array:
    """Where the tool is over one period, (instants, 3) in the base frame [m]; closed."""
    kinematics = Kinematics(profile)
    times = np.linspace(0.0, 1.0 / trajectory.base_frequency, instants)
    return np.array([kinematics.position(pose) for pose in trajectory.at(times).position])


def plot(profile: RobotProfile, trajectory: Trajectory, path: Path, title: str) -> None:
    """Write a picture of one period as PNG.

    Args:
        profile: the robot.
        trajectory: of it.
        path: file to write.
        title: first line of the picture.
    """
    from matplotlib.figure import Figure

    times = np.linspace(0.0, 1.0 / trajectory.base_frequency, INSTANTS)
    motion, dynamics = trajectory.at(times), InverseDynamics(profile)
    effort = np.array([dynamics.efforts(*state) for state in zip(*motion)])
    effort += profile.array('coulomb_friction') * np.sign(motion.velocity)
    rows = len(profile.joints)
    figure = Figure(figsize=(WIDTH, max(ROW * rows + 0.8, LEAST)), layout='constrained')
    figure.suptitle(title, fontsize=10, x=0.01, ha='left')
    left, right = np.ravel(figure.subfigures(1, 2, width_ratios=(2.6, 1.0), squeeze=False))
    axes = left.subplots(rows, 3, sharex=True, squeeze=False)
    for index, joint in enumerate(profile.joints):
        linear = joint.type == 'prismatic'
        unit, push = ('m', 'N') if linear else ('rad', 'N·m')
        for axis, values, low, high, name in (
            (axes[index, 0], motion.position, joint.lower, joint.upper, f'position [{unit}]'),
            (axes[index, 1], motion.velocity, -joint.velocity, joint.velocity,
             f'velocity [{unit}/s]'),
            (axes[index, 2], effort, -joint.effort, joint.effort, f'effort [{push}]'),
        ):  # fmt: skip
            _panel(axis, times, values[:, index], low, high)
            if index == 0 or profile.joints[index - 1].type != joint.type:
                axis.set_title(name, fontsize=8, loc='left')
        axes[index, 0].set_ylabel(joint.name, fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel('time within a period [s]', fontsize=8)
    _tool(right, tool_path(profile, trajectory), profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format='png')


def _panel(axis: Any, times: Array, values: Array, low: float, high: float) -> None:
    """One joint's signal, its limits in red where there are any."""
    axis.plot(times, values, color=BLUE, linewidth=1.2)
    for limit in (low, high):
        if np.isfinite(limit):
            axis.axhline(limit, color=RED, linewidth=0.9, linestyle='--')
    axis.axhline(0.0, color=GREY, linewidth=0.5)
    axis.margins(x=0.0)
    _plain(axis)


def _tool(figure: Any, path: Array, profile: RobotProfile) -> None:
    """The tool's way from above and from the side; a dot where it begins and ends."""
    figure.suptitle(f'way of {profile.tool_link} in {profile.base_link}', fontsize=8)
    for axis, (across, up) in zip(figure.subplots(2, 1), ((0, 1), (0, 2))):
        axis.plot(path[:, across], path[:, up], color=BLUE, linewidth=1.0)
        axis.plot(*path[0, [across, up]], 'o', color=RED, markersize=5)
        axis.set_aspect('equal', adjustable='datalim')
        axis.set_xlabel(f'{"xyz"[across]} [m]', fontsize=8)
        axis.set_ylabel(f'{"xyz"[up]} [m]', fontsize=8)
        _plain(axis)


def _plain(axis: Any) -> None:
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
