"""Estimates from wherever they were kept: results of a fit or a replay (JSON), or a bag."""

from __future__ import annotations

from pathlib import Path

from sim2real_bringup.bags import open_bag
from sim2real_bringup.catalog import ESTIMATE
from sim2real_core.errors import Fault, InputError
from sim2real_core.records import Estimate
from sim2real_randomizer.narrow import read_estimate


def load_estimate(path: str | Path) -> Estimate:
    """Read an estimate of a robot.

    Args:
        path: JSON of ``sim2real sysid fit``, ``sim2real replay`` or of addresses alone; or a bag
            (rosbag2 folder, .mcap, .db3), of which the last estimate counts.

    Raises:
        InputError: unreadable, or without an estimate.
        MissingError: a bag, but no ROS to read its messages with.
    """
    path = Path(path).expanduser()
    if path.is_dir() or path.suffix in ('.mcap', '.db3'):
        return _from_bag(path)
    return read_estimate(path)


def _from_bag(path: Path) -> Estimate:
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.serialization import deserialize_message

    from sim2real_core.messages import estimate_from_message

    with open_bag(path) as bag:
        topics = [t for t in bag.topics if f'/{t}'.endswith(f'/{ESTIMATE.name}')]
        if len(topics) > 1:
            mend = 'holds estimates of several robots: give the JSON of one'
            raise InputError(Fault('bag', ', '.join(topics), mend))
        last = None
        for message in bag.messages(topics):
            last = message
    if last is None:
        mend = f'has no message on {ESTIMATE.name}: play it through sysid (sim2real replay)'
        raise InputError(Fault('bag', str(path), mend))
    return estimate_from_message(deserialize_message(last.data, DiagnosticArray))
