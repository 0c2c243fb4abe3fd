"""What the capture node reads out of messages: joint values, commands, what was in force."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticArray

from sim2real_core.errors import InputError
from sim2real_core.messages import draw_from_message, estimate_from_message

Array = npt.NDArray[np.float64]


def message_class(type_name: str) -> Any:
    """The class of ``package/msg/Name``, or None where the package is not installed."""
    package, _, name = type_name.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name, None)
    except ImportError:
        return None


def joint_values(message: Any, names: Sequence[str], field: str) -> Array | None:
    """One field of a JointState, by joint name.

    Returns:
        (nj,), or None when a joint or its value is missing or not finite.
    """
    values = getattr(message, field)
    if len(values) != len(message.name):
        return None
    by_name = dict(zip(message.name, values))
    return _finite([by_name.get(name) for name in names])


def command_values(message: Any, names: Sequence[str], interface: str) -> Array | None:
    """A command in command order: a JointTrajectory's last point, or a Float64MultiArray.

    Returns:
        (nj,), or None when it does not command every joint, or not with finite values.
    """
    if hasattr(message, 'points'):
        if not message.points:
            return None
        field = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}[interface]
        by_name = dict(zip(message.joint_names, getattr(message.points[-1], field)))
        return _finite([by_name.get(name) for name in names])
    if len(message.data) != len(names):
        return None
    return _finite(list(message.data))


def _finite(values: Sequence[float | None]) -> Array | None:
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    return array if np.isfinite(array).all() else None


def bundle_of(message: DiagnosticArray) -> str:
    """Content hash of the policy bundle, where a policy's health tells it; else ``''``."""
    for status in message.status:
        values = {pair.key: pair.value for pair in status.values}
        if 'bundle' in values and values.get('content_hash'):
            return str(values['content_hash'])
    return ''


def draw_json(message: DiagnosticArray) -> dict[str, Any]:
    """A Draw as JSON data; what is wrong with it where it is not one."""
    try:
        return dataclasses.asdict(draw_from_message(message))
    except InputError as error:
        return {'error': str(error)}


def estimate_json(message: DiagnosticArray) -> dict[str, Any]:
    """An Estimate as JSON data; what is wrong with it where it is not one."""
    try:
        return dict(estimate_from_message(message).as_json())
    except InputError as error:
        return {'error': str(error)}
