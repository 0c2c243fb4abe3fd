"""Measured logs become a rosbag2: columns of a table, mapped to joints, as ROS messages.

A mapping (:mod:`sim2real_bringup.bag_mapping`) says which column is what. Each row becomes a
command, where the mapping has commands, and a ``sensor_msgs/JointState``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_bringup.bag_mapping import (
    AMPERES,
    ANGULAR,
    LINEAR,
    MEASURED,
    TIME_UNITS,
    Column,
    LogMapping,
    read_mapping,
)
from sim2real_bringup.bags import BagWriter, summary
from sim2real_bringup.tables import Table, read_table
from sim2real_core.errors import Fault, Faults
from sim2real_core.profile import COMMAND_TYPES, Topics

Array = npt.NDArray[np.float64]
JOINT_STATE = 'sensor_msgs/msg/JointState'


def import_log(log: str | Path, mapping: str | Path, out: str | Path) -> dict[str, Any]:
    """Turn a measured log into a rosbag2 with MCAP storage; same input, same bytes.

    Args:
        log: CSV or MATLAB file.
        mapping: YAML file.
        out: folder of the bag; must not exist.

    Returns:
        What is in the bag, as :func:`sim2real_bringup.bags.summary` gives it.

    Raises:
        InputError: every fault of mapping or log.
    """
    chosen = read_mapping(mapping)
    times, series = joint_series(read_table(log), chosen)
    write_bag(out, chosen, times, series)
    return summary(out)


def joint_series(table: Table, mapping: LogMapping) -> tuple[Array, dict[str, Array]]:
    """Joint-side series in SI units.

    Returns:
        Times (n,) [ns, integers], and per quantity (``position``, ``velocity``, ``effort``,
        ``command``; those that the mapping has) an array (n, nj) in message order.

    Raises:
        InputError: a column is missing or holds something that is not finite, or time does not
            advance; every fault is named.
    """
    faults = Faults(str(mapping.path))
    raw: dict[tuple[str, str], Array] = {}
    for name, joint in mapping.joints.items():
        for quantity, column in joint.columns.items():
            values = _column(table, column.column, f'joints.{name}.{quantity}', faults)
            if values is not None:
                raw[name, quantity] = column.scale * values + column.offset
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
        if mapping.coupled:
            matrix = mapping.matrix
            if _kind(mapping, quantity) == 'effort':
                matrix = np.linalg.inv(matrix).T
            stacked = np.stack([motor[name] for name in mapping.coupled])
            motor.update(zip(mapping.coupled, matrix @ stacked))
        series[quantity] = np.stack([motor[name] for name in mapping.names], axis=1)
    return times, series


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
        faults.add(f'{field}.column', name, f'{table.path} has: {table.known()}', path=path)
        return None
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        where = f'{table.path}, {table.place(int(bad[0]))}'
        mend = f'{bad.size} values are not finite; remove these rows'
        faults.found.append(Fault(f'column {name}', float(values[bad[0]]), mend, where))
        return None
    return values


def _times(table: Table, mapping: LogMapping, rows: int, faults: Faults) -> Array:
    """Stamps [ns], not negative and increasing."""
    time = mapping.time
    if time.column:
        column = _column(table, time.column, 'time', faults)
        if column is None:
            return np.zeros(rows)
        seconds = column * TIME_UNITS[time.unit]
    else:
        seconds = np.arange(rows) / time.rate
    stamps: Array = np.round((seconds + time.start) * 1e9)
    if len(stamps) and stamps[0] < 0:
        faults.add(
            'time', float(seconds[0]), 'must not be negative; give time.start', path=('time',)
        )
    still = np.flatnonzero(np.diff(stamps) <= 0)
    if still.size:
        k = int(still[0]) + 1
        where = f'{table.path}, {table.place(k)}'
        mend = 'time must advance with every row (is the unit right?)'
        faults.found.append(Fault(f'column {time.column}', float(seconds[k]), mend, where))
    return stamps


def write_bag(
    out: str | Path, mapping: LogMapping, times: Array, series: dict[str, Array]
) -> None:
    """Write the series; see :func:`joint_series` for their shapes.

    Raises:
        InputError: ``out`` exists.
    """
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    names = list(mapping.names)
    topics = mapping.profile.topics if mapping.profile else Topics()
    states = f'/{topics.joint_states}'
    command = f'/{mapping.command.topic}'
    make_command = _command_maker(store, mapping)
    header, stamp_type = (
        store.types['std_msgs/msg/Header'],
        store.types['builtin_interfaces/msg/Time'],
    )
    joint_state = store.types[JOINT_STATE]
    empty = np.zeros(0)
    with BagWriter(out) as bag:
        bag.topic(states, JOINT_STATE)
        if 'command' in series:
            bag.topic(command, mapping.command.type)
        for k, time in enumerate(times.astype(np.int64).tolist()):
            head = header(stamp_type(*divmod(time, 10**9)), '')
            if 'command' in series:  # in force while the sample is taken
                message = make_command(head, series['command'][k])
                bag.write(command, time, bytes(store.serialize_cdr(message, mapping.command.type)))
            rows = [np.ascontiguousarray(series[q][k]) if q in series else empty for q in MEASURED]
            message = joint_state(head, names, *rows)
            bag.write(states, time, bytes(store.serialize_cdr(message, JOINT_STATE)))


def _command_maker(store: Any, mapping: LogMapping) -> Any:
    """Makes a command message of the robot's type from (header, values)."""
    command = mapping.command
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
