"""Bags to the way of one body: stamped poses or odometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_bringup.bags import open_bag
from sim2real_core.errors import Fault, InputError

Array = npt.NDArray[np.float64]
POSES = {
    'geometry_msgs/msg/PoseStamped': lambda message: message.pose.position,
    'geometry_msgs/msg/PoseWithCovarianceStamped': lambda message: message.pose.pose.position,
    'nav_msgs/msg/Odometry': lambda message: message.pose.pose.position,
    'geometry_msgs/msg/PointStamped': lambda message: message.point,
    'geometry_msgs/msg/TransformStamped': lambda message: message.transform.translation,
}
"""Types of messages that hold where a body is."""


def read_poses(path: str | Path, topic: str = '') -> tuple[str, Array, Array]:
    """Read where a body is, from a bag.

    Args:
        path: rosbag2 folder or MCAP file.
        topic: of the poses; the only one of its kind when empty.

    Returns:
        The topic, stamps (n,) [s] and positions (n, 3) [m].

    Raises:
        InputError: unreadable, or not exactly one such topic.
    """
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    with open_bag(path) as bag:
        fit = [name for name, found in bag.topics.items() if found.type in POSES]
        if topic:
            fit = [name for name in fit if name.strip('/') == topic.strip('/')]
        if len(fit) != 1:
            has = ', '.join(f'{t.name} ({t.type})' for t in bag.topics.values()) or 'nothing'
            mend = f'give --topic, of type {", ".join(POSES)}; the bag has: {has}'
            raise InputError(Fault('topic', topic or fit, mend))
        place = POSES[bag.topics[fit[0]].type]
        rows = [_row(store.deserialize_cdr(m.data, m.type), place) for m in bag.messages(fit)]
    values = np.array(rows, dtype=float).reshape(-1, 4)
    return fit[0], values[:, 0], values[:, 1:]


def _row(message: Any, place: Any) -> tuple[float, float, float, float]:
    stamp, point = message.header.stamp, place(message)
    return stamp.sec + 1e-9 * stamp.nanosec, point.x, point.y, point.z
