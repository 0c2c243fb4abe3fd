"""Measured logs become a rosbag2: columns of a table, mapped to joints, as ROS messages.

A mapping (:mod:`sim2real_bringup.bag_mapping`) says which column is what. Each row becomes a
command, where the mapping has commands, and a ``sensor_msgs/JointState``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_bringup.bag_mapping import (
    AMPERES,
    ANGULAR,
    IMU,
    LINEAR,
    MEASURED,
    TIME_UNITS,
    Column,
    LogMapping,
    read_mapping,
)
from sim2real_bringup.bags import BagWriter, summary
from sim2real_bringup.catalog import ACTION_APPLIED
from sim2real_bringup.tables import Table, read_table
from sim2real_core.errors import Fault, Faults
from sim2real_core.profile_sections import COMMAND_TYPES, Topics

Array = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]
Progress = Callable[[float], None]
TOLD = 10_000  # rows between words about them
LATEST = 2.0**31  # [s], where a stamp's seconds overflow
JOINT_STATE = 'sensor_msgs/msg/JointState'
IMU_TYPE = 'sensor_msgs/msg/Imu'


def import_log(
    log: str | Path,
    mapping: str | Path,
    out: str | Path,
    progress: Progress = lambda share: None,
) -> dict[str, Any]:
    """Turn a measured log into a rosbag2 with MCAP storage; same input, same bytes.

    Args:
        log: CSV or MATLAB file.
        mapping: YAML file.
        out: folder of the bag; must not exist.
        progress: told the share that is written.

    Returns:
        What is in the bag, as :func:`sim2real_bringup.bags.summary` gives it, and ``notes``:
        what was made of lines of the log that hold no numbers.

    Raises:
        InputError: every fault of mapping or log.
    """
    chosen = read_mapping(mapping)
    table = read_table(log)
    times, series = joint_series(table, chosen)
    write_bag(out, chosen, times, series, imu_series(table, chosen, len(times)), progress)
    return {**summary(out), 'notes': table.notes}


def joint_series(table: Table, mapping: LogMapping) -> tuple[Stamps, dict[str, Array]]:
    """Joint-side series in SI units.

    Returns:
        Times (n,) [ns], and per quantity (``position``, ``velocity``, ``effort``,
        ``command``; those that the mapping has) an array (n, nj) in message order.

    Raises:
        InputError: a column is missing or holds something that is not finite, or time does not
            advance; every fault is named.
    """
    faults = Faults(str(mapping.path), mapping.lines)
    raw: dict[tuple[str, str], Array] = {}
    for name, joint in mapping.joints.items():
        for quantity, column in joint.columns.items():
            values = _column(table, column.column, f'joints.{name}.{quantity}', faults)
            if values is not None:
                raw[name, quantity] = _value(column, values)
    rows = len(next(iter(raw.values()), ()))
    times = _times(table, mapping, rows, faults)
    lengths = {'time': len(times), **{f'{n}.{q}': len(v) for (n, q), v in raw.items()}}
    if len(set(lengths.values())) > 1:
        faults.add('joints', lengths, f'{table.path}: must all have the same number of rows')
    faults.check()
    series = {}
    for quantity in mapping.joints[mapping.names[0]].columns:
        motor = {
            name: _motor(mapping, name, quantity, raw[name, quantity]) for name in mapping.joints
        }
        for coupled, matrix in mapping.couplings:
            if _kind(mapping, quantity) == 'effort':
                matrix = np.linalg.inv(matrix).T
            stacked = np.stack([motor[name] for name in coupled])
            motor.update(zip(coupled, matrix @ stacked))
        series[quantity] = np.stack([motor[name] for name in mapping.names], axis=1)
    return times, series


def imu_series(table: Table, mapping: LogMapping, rows: int) -> dict[str, Array]:
    """Vectors (n, 3) of the IMU in SI units, those that the mapping has.

    Args:
        table: the log.
        mapping: where they are.
        rows: number of times, n.

    Raises:
        InputError: as :func:`joint_series`.
    """
    faults = Faults(str(mapping.path), mapping.lines)
    found: dict[str, Array] = {}
    for what, columns in mapping.imu.items():
        axes = []
        for axis, column in zip('xyz', columns):
            values = _column(table, column.column, f'imu.{what}.{axis}', faults)
            if values is not None:
                axes.append(IMU[what].get(column.unit, 1.0) * _value(column, values))
        lengths = [len(values) for values in axes]
        if set(lengths) - {rows}:
            mend = f'{table.path}: must have {rows} rows, as the times'
            faults.add(f'imu.{what}', lengths, mend, path=('imu', what))
        elif len(axes) == len(columns):
            found[what] = np.stack(axes, axis=1)
    faults.check()
    return found


def _value(column: Column, values: Array) -> Array:
    return column.scale * values + column.offset


def _kind(mapping: LogMapping, quantity: str) -> str:
    """What a quantity is: a command is what the robot's interface says."""
    return mapping.command.interface if quantity == 'command' else quantity


def _motor(mapping: LogMapping, name: str, quantity: str, values: Array) -> Array:
    """SI values behind the gear."""
    joint = mapping.joints[name]
    column: Column = joint.columns[quantity]
    kind = _kind(mapping, quantity)
    factor = {**LINEAR[kind], **ANGULAR[kind]}.get(column.unit, 1.0)
    if column.unit in AMPERES:
        factor *= joint.drive.torque_constant
    ratio = joint.drive.gear_ratio
    return values * factor * (ratio if kind == 'effort' else 1.0 / ratio)


def _column(table: Table, name: str, field: str, faults: Faults) -> Array | None:
    values = table.find(name)
    path = tuple(field.split('.'))
    if values is None:
        mend = f'{table.path} has: {table.known()}'
        if name in table.texts:
            mend = f'{table.path} has no numbers there, but {table.texts[name]}'
        faults.add(f'{field}.column', name, mend, path=path)
        return None
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        where = f'{table.path}, {table.place(int(bad[0]))}'
        mend = f'{bad.size} values are not finite; remove these rows'
        faults.found.append(Fault(f'column {name}', float(values[bad[0]]), mend, where))
        return None
    return values


def _times(table: Table, mapping: LogMapping, rows: int, faults: Faults) -> Stamps:
    """Stamps [ns], not negative and increasing."""
    time = mapping.time
    if time.column:
        column = _column(table, time.column, 'time', faults)
        if column is None:
            return np.zeros(rows, dtype=np.int64)
        seconds = column * TIME_UNITS[time.unit]
    else:
        seconds = np.arange(rows) / time.rate
    begun = seconds + time.start
    if begun.min(initial=0.0) < 0:
        mend = 'must not be negative; give time.start'
        faults.add('time', float(begun.min()), mend, path=('time',))
    if begun.max(initial=0.0) >= LATEST:
        mend = f'seconds must be below {LATEST:.0f} (is the unit right?)'
        faults.add('time', float(begun.max()), mend, path=('time',))
        return np.zeros(rows, dtype=np.int64)
    stamps = np.round(begun * 1e9).astype(np.int64)
    exact = table.integers.get(time.column)
    if exact is not None:
        stamps = exact * round(1e9 * TIME_UNITS[time.unit]) + round(1e9 * time.start)
    still = np.flatnonzero(np.diff(stamps) <= 0)
    if still.size:
        k = int(still[0]) + 1
        where = f'{table.path}, {table.place(k)}'
        mend = 'time must advance with every row (is the unit right? one row holds all joints)'
        faults.found.append(Fault(f'column {time.column}', float(seconds[k]), mend, where))
    return stamps


def write_bag(
    out: str | Path,
    mapping: LogMapping,
    times: Stamps | Array,
    series: dict[str, Array],
    imu: Mapping[str, Array] | None = None,
    progress: Progress = lambda share: None,
) -> None:
    """Write the series; see :func:`joint_series` and :func:`imu_series` for their shapes.

    Raises:
        InputError: ``out`` exists.
    """
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    names = list(mapping.names)
    topics = mapping.profile.topics if mapping.profile else Topics()
    states = f'/{topics.joint_states}'
    command, command_type = f'/{mapping.command.topic}', mapping.command.type
    if mapping.applied:
        command, command_type = f'/{ACTION_APPLIED.name}', ACTION_APPLIED.type
    make_command = _command_maker(store, mapping)
    make_imu = _imu_maker(store, mapping, imu or {})
    header, stamp_type = (
        store.types['std_msgs/msg/Header'],
        store.types['builtin_interfaces/msg/Time'],
    )
    joint_state = store.types[JOINT_STATE]
    empty = np.zeros(0)
    with BagWriter(out) as bag:
        bag.topic(states, JOINT_STATE)
        if 'command' in series:
            bag.topic(command, command_type)
        if imu:
            bag.topic(f'/{topics.imu}', IMU_TYPE)
        for k, time in enumerate(np.asarray(times, dtype=np.int64).tolist()):
            if k % TOLD == 0:
                progress(k / len(times))
            stamp = stamp_type(*divmod(time, 10**9))
            head = header(stamp, '')
            if 'command' in series:  # in force while the sample is taken
                message = make_command(head, series['command'][k])
                bag.write(command, time, bytes(store.serialize_cdr(message, command_type)))
            rows = [np.ascontiguousarray(series[q][k]) if q in series else empty for q in MEASURED]
            message = joint_state(head, names, *rows)
            bag.write(states, time, bytes(store.serialize_cdr(message, JOINT_STATE)))
            if imu:
                message = make_imu(stamp, k)
                bag.write(f'/{topics.imu}', time, bytes(store.serialize_cdr(message, IMU_TYPE)))


def _command_maker(store: Any, mapping: LogMapping) -> Any:
    """Makes a command message from (header, values): as applied, or of the robot's type."""
    command, names = mapping.command, list(mapping.names)
    if mapping.applied:
        joint_state, slot = store.types[JOINT_STATE], MEASURED.index(command.interface)

        def applied(head: Any, values: Array) -> Any:
            rows = [np.zeros(0)] * 3
            rows[slot] = np.ascontiguousarray(values)
            return joint_state(head, names, *rows)

        return applied
    if command.type == COMMAND_TYPES[0]:
        layout = store.types['std_msgs/msg/MultiArrayLayout']([], 0)
        array = store.types[command.type]
        return lambda head, values: array(layout, np.ascontiguousarray(values))
    trajectory = store.types[command.type]
    point = store.types['trajectory_msgs/msg/JointTrajectoryPoint']
    at_once = store.types['builtin_interfaces/msg/Duration'](0, 0)
    none = np.zeros(0)
    slots = ('position', 'velocity', 'acceleration', 'effort')
    slot = slots.index(command.interface)

    def make(head: Any, values: Array) -> Any:
        parts = [none] * 4
        parts[slot] = np.ascontiguousarray(values)
        return trajectory(head, list(mapping.names), [point(*parts, at_once)])

    return make


def _imu_maker(store: Any, mapping: LogMapping, imu: Mapping[str, Array]) -> Any:
    """Makes an IMU message from (stamp, row); a covariance of -1 says what it does not measure."""
    frame = mapping.profile.imu_link if mapping.profile else ''
    vector = store.types['geometry_msgs/msg/Vector3']
    unturned = store.types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0)
    header, message = store.types['std_msgs/msg/Header'], store.types[IMU_TYPE]
    unknown, missing = np.zeros(9), np.array([-1.0] + [0.0] * 8)

    def make(stamp: Any, row: int) -> Any:
        parts = []
        for what in IMU:
            values = imu[what][row].tolist() if what in imu else [0.0] * 3
            parts += [vector(*values), unknown if what in imu else missing]
        return message(header(stamp, frame), unturned, missing, *parts)

    return make
