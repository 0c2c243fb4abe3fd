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


def missing_values(message: Any, names: Sequence[str], field: str) -> str:
    """Why :func:`joint_values` gives None."""
    lacking = [name for name in names if name not in message.name]
    if lacking:
        return f'joint states lack {", ".join(lacking)}'
    given = len(getattr(message, field))
    if given != len(message.name):
        return f'joint states have {given} of {len(message.name)} {field} values'
    return f'a measured {field} is not finite'


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


def bundle_of(message: DiagnosticArray, namespace: str) -> str:
    """Content hash of the bundle of the policy in this namespace, where it tells; else ``''``."""
    name = f'{namespace.rstrip("/")}/policy: health'
    told = [p for status in message.status if status.name == name for p in status.values]
    return next((str(pair.value) for pair in told if pair.key == 'content_hash'), '')


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
