"""Bags to the readings of every sensor of a robot, and how they arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_bringup.bags import Bag, open_bag
from sim2real_bringup.playlist import playlist
from sim2real_core.addresses import SENSED, quantity
from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_sysid.sensors import Channel

Array = npt.NDArray[np.float64]
IMU = ('angular_velocity', 'linear_acceleration')


@dataclass(frozen=True)
class SensorLog:
    """What sensors said.

    Attributes:
        channels: every sensor that said something else than nothing.
        stamp: (n,) of the joint states [s], increasing.
        position: (n, nj).
        arrivals: stamps and log times (m,) [s] of every topic, in the order of the log.
    """

    channels: tuple[Channel, ...]
    stamp: Array
    position: Array
    arrivals: dict[str, tuple[Array, Array]] = field(default_factory=dict)


def read_sensors(path: str | Path, profile: RobotProfile, namespace: str = '') -> SensorLog:
    """Read joint states and IMU of a robot from a bag.

    Args:
        path: rosbag2 folder or MCAP file.
        profile: the robot.
        namespace: that the bag was recorded under; found out when empty.

    Raises:
        InputError: unreadable, or no joint states with positions of all joints.
    """
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    with open_bag(path) as bag:
        states = playlist(bag.topics, profile, (), namespace).sensor
        imu = states[: -len(profile.topics.joint_states)] + profile.topics.imu
        stamp, log, values = _joints(bag, states, profile, store)
        arrivals = {states: (stamp, log)}
        keep = _advancing(stamp)
        whole = np.isfinite(values[keep, :, 0]).all(axis=1)
        stamp, values = stamp[keep][whole], values[keep][whole]
        if len(stamp) < 2:
            mend = f'must hold positions of all joints of {profile.name}'
            raise InputError(Fault('bag', str(path), mend))
        channels = list(_joint_channels(profile, stamp, values))
        if profile.imu_link and imu in bag.topics and bag.topics[imu].messages:
            arrivals[imu], more = _imu(bag, imu, profile, store)
            channels += more
    return SensorLog(tuple(channels), stamp, values[:, :, 0], arrivals)


def _advancing(stamp: Array) -> npt.NDArray[np.intp]:
    """Rows whose stamp is later than all before."""
    newest = np.maximum.accumulate(np.concatenate([[-np.inf], stamp[:-1]]))
    return np.flatnonzero(stamp > newest)


def _joints(bag: Bag, topic: str, profile: RobotProfile, store: Any) -> tuple[Array, Array, Array]:
    """Stamps and log times (n,), and positions, velocities, efforts (n, nj, 3)."""
    stamps, logs, rows = [], [], []
    for message in bag.messages({topic}):
        state = store.deserialize_cdr(message.data, message.type)
        places = {name: k for k, name in enumerate(state.name)}
        row = np.full((len(profile.joints), 3), np.nan)
        for j, name in enumerate(profile.joint_names):
            for k, given in enumerate((state.position, state.velocity, state.effort)):
                place = places.get(name, len(given))
                if place < len(given):
                    row[j, k] = given[place]
        if np.isfinite(row).any():
            stamps.append(state.header.stamp.sec + 1e-9 * state.header.stamp.nanosec)
            logs.append(1e-9 * message.time)
            rows.append(row)
    shape = (len(rows), len(profile.joints), 3)
    return np.array(stamps), np.array(logs), np.array(rows).reshape(shape)


def _joint_channels(profile: RobotProfile, stamp: Array, values: Array) -> Iterator[Channel]:
    for k, what in enumerate(SENSED):
        for j, joint in enumerate(profile.joints):
            name, column = f'{joint.name}_{what}', values[:, j, k]
            if np.isfinite(column).all() and np.ptp(column) > 0:
                if what == 'position' and joint.type == 'continuous':
                    column = np.unwrap(column)
                unit = quantity(f'sensor.{name}.noise', profile).unit
                yield Channel(name, stamp, column[:, None], unit, what == 'velocity')


def _imu(
    bag: Bag, topic: str, profile: RobotProfile, store: Any
) -> tuple[tuple[Array, Array], list[Channel]]:
    stamps, logs, rows = [], [], []
    for message in bag.messages({topic}):
        reading = store.deserialize_cdr(message.data, message.type)
        stamps.append(reading.header.stamp.sec + 1e-9 * reading.header.stamp.nanosec)
        logs.append(1e-9 * message.time)
        parts = (getattr(reading, what) for what in IMU)
        rows.append([[part.x, part.y, part.z] for part in parts])
    stamp, log, values = np.array(stamps), np.array(logs), np.array(rows, dtype=float)
    keep = _advancing(stamp)
    channels = []
    for k, name in enumerate(('imu_gyro', 'imu_accelerometer')):
        column = values[keep, k]
        if len(keep) > 1 and np.isfinite(column).all() and np.ptp(column) > 0:
            unit = quantity(f'sensor.{name}.noise', profile).unit
            channels.append(Channel(name, stamp[keep], column, unit, name == 'imu_gyro'))
    return (stamp, log), channels
