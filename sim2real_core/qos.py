"""Quality of service, in one place. Never KEEP_ALL."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _keep_last(depth: int, reliability: ReliabilityPolicy, latched: bool = False) -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


SENSOR = _keep_last(5, ReliabilityPolicy.BEST_EFFORT)
"""Sensor topics: a lost sample does not matter. Deep enough for several publishers at once."""
SENSOR_RELIABLE = _keep_last(100, ReliabilityPolicy.RELIABLE)
"""Sensor topics of a paced run (replay, lockstep simulation): nothing may be lost."""
COMMAND = _keep_last(1, ReliabilityPolicy.RELIABLE)
"""Commands: the newest, certainly."""
RELIABLE = _keep_last(50, ReliabilityPolicy.RELIABLE)
"""Events, requests, diagnostics, acknowledgements."""
ANSWERS = _keep_last(100, ReliabilityPolicy.RELIABLE, latched=True)
"""What answers the sensor samples of a paced run: all of it, also for one who was found late."""
LATCHED = _keep_last(1, ReliabilityPolicy.RELIABLE, latched=True)
"""Records and descriptions that a late subscriber needs too."""


def sensor_qos(reliable: bool) -> QoSProfile:
    """Sensor quality of service: reliable in a paced run, best effort otherwise."""
    return SENSOR_RELIABLE if reliable else SENSOR


def recorder_qos(reliable: bool, latched: bool = False, depth: int = 100) -> QoSProfile:
    """For one who records all: deep, and no stricter than the publishers are.

    Args:
        reliable: every publisher offers it (or the run is paced).
        latched: every publisher offers it.
        depth: messages that may wait; more for small ones that come often.
    """
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return _keep_last(depth, reliability, latched)


def offered_qos(offers: Sequence[QoSProfile], depth: int = 100) -> QoSProfile:
    """The strictest recorder's quality of service that hears every one of these publishers."""
    return recorder_qos(
        all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers),
        all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers),
        depth,
    )
