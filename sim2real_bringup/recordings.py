"""Bags to arrays for identification: joint states and commands in the profile's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_bringup.bags import Bag, open_bag
from sim2real_bringup.catalog import ACTION_APPLIED, JOINT_STATES
from sim2real_bringup.playlist import playlist
from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.data import RawRecording

Array = npt.NDArray[np.float64]
OTHER_CLOCK = 1.0
"""Log times that differ from the stamps by more than this [s] are of another clock."""
_TRAJECTORY_FIELDS = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}


def read_recording(path: str | Path, profile: RobotProfile, namespace: str = '') -> RawRecording:
    """Read a robot's joint states and commands from a bag.

    Joints are matched by name. Commands are those that were really sent
    (``policy/action_applied``, stamped) where recorded, else those on the command topic, at their
    log times.

    Args:
        path: rosbag2 folder or MCAP file.
        profile: the robot.
        namespace: that the bag was recorded under; found out when empty.

    Raises:
        InputError: unreadable, or no joint states of this robot.
    """
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    with open_bag(path) as bag:
        chosen = playlist(bag.topics, profile, (), namespace)
        prefix = chosen.sensor[: -len(profile.topics.joint_states)]
        stamps, offsets, rows = _joint_states(bag, chosen.sensor, profile, store)
        late = float(np.median(offsets)) if len(offsets) else 0.0
        times, values = _commands(
            bag, prefix, profile, store, late if abs(late) > OTHER_CLOCK else 0.0
        )
    if not len(stamps):
        mend = f'no {JOINT_STATES.name} names a joint of {profile.name}'
        raise InputError(Fault('bag', str(path), mend))
    return RawRecording(Path(path).name, stamps, rows[:, 0], rows[:, 1], times, values)


def _joint_states(
    bag: Bag, topic: str, profile: RobotProfile, store: Any
) -> tuple[Array, Array, Array]:
    """Stamps (n,), log time minus stamp (n,), positions and efforts (n, 2, nj)."""
    stamps, offsets, rows = [], [], []
    for message in bag.messages({topic}):
        state = store.deserialize_cdr(message.data, message.type)
        places = {name: k for k, name in enumerate(state.name)}
        index = [places.get(name, -1) for name in profile.joint_names]
        if max(index) < 0:
            continue
        stamp = state.header.stamp.sec + 1e-9 * state.header.stamp.nanosec
        stamps.append(stamp)
        offsets.append(1e-9 * message.time - stamp)
        rows.append(
            [_picked(values, index, len(places)) for values in (state.position, state.effort)]
        )
    shape = (len(rows), 2, len(profile.joints))
    return np.array(stamps), np.array(offsets), np.array(rows, dtype=float).reshape(shape)


def _picked(values: Array, index: list[int], named: int) -> Array:
    padded = np.full(named + 1, np.nan)  # the last place: joints not named
    given = np.asarray(values, dtype=float)[:named]
    padded[: len(given)] = given
    return padded[index]


def _commands(
    bag: Bag, prefix: str, profile: RobotProfile, store: Any, late: float
) -> tuple[Array, Array]:
    """Stamps (m,) and commands (m, nj), in order; ``late``: of the log's clock [s]."""
    interface, nj = profile.command.interface, len(profile.joints)
    applied, sent = f'{prefix}{ACTION_APPLIED.name}', f'{prefix}{profile.command.topic}'
    topic = next((t for t in (applied, sent) if t in bag.topics and bag.topics[t].messages), '')
    times, values = [], []
    for message in bag.messages({topic}) if topic else ():
        record = store.deserialize_cdr(message.data, message.type)
        time, names = 1e-9 * message.time - late, list(profile.joint_names)
        if topic == applied:
            names, row = list(record.name), getattr(record, interface)
            time = record.header.stamp.sec + 1e-9 * record.header.stamp.nanosec
        elif hasattr(record, 'points'):
            if not len(record.points):
                continue
            names = list(record.joint_names)
            row = getattr(record.points[-1], _TRAJECTORY_FIELDS[interface])
        elif hasattr(record, 'data'):
            row = record.data
        else:
            continue
        if len(row) == len(names) and set(profile.joint_names) <= set(names):
            times.append(time)
            values.append([float(row[names.index(name)]) for name in profile.joint_names])
    order = np.argsort(times, kind='stable')
    return np.array(times)[order], np.array(values, dtype=float).reshape(-1, nj)[order]
