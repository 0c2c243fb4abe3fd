"""What the capture node reads out of messages about what was in force."""

from __future__ import annotations

import dataclasses
import importlib
from functools import cache
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from sim2real_core.errors import InputError
from sim2real_core.messages import draw_from_message, estimate_from_message


@cache
def message_class(type_name: str) -> Any:
    """The class of ``package/msg/Name``, or None where the package is not installed."""
    package, _, name = type_name.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name, None)
    except ImportError:
        return None


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
