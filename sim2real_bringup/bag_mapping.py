"""How the columns of a measured log map to joints; :mod:`sim2real_bringup.bag_import` uses it.

``config/bags/emps.yaml`` is a mapping. A joint's quantity is::

    value = unit * (scale * column + offset)        # SI, on the motor's side
    position, velocity: joint = motor / gear_ratio
    effort: joint = motor * gear_ratio              # current [A] first times torque_constant

Where several motors move several joints together (a differential wrist), ``coupling`` names
them and gives the matrix: joint position = matrix @ motor position, and, as power is the same
on both sides, joint effort = inverse(matrix)^T @ motor effort. With ``matrix: [[0.5, 0.5],
[0.5, -0.5]]`` motors at (0.2, 0) rad mean joints at (0.1, 0.1) rad, and a torque of 1 N*m on
the first motor is (1, 1) N*m on the joints. A list of couplings is taken, too.

Commands go to the robot's command topic (``commands: sent``, the default) or, with their times, to
``policy/action_applied`` (``commands: applied``), where the online identification hears them and
finds their delay. ``imu`` names columns of the axes::

    imu:
      angular_velocity: {x: gx, y: gy, z: {column: gz, unit: deg/s}}
      linear_acceleration: {x: ax, y: ay, z: {column: az, unit: g}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults, InputError
from sim2real_core.profile import RobotProfile, load_profile
from sim2real_core.profile_sections import Command
from sim2real_core.yaml_file import read_yaml

Array = npt.NDArray[np.float64]
MEASURED = ('position', 'velocity', 'effort')
QUANTITIES = (*MEASURED, 'command')
TOP_KEYS = ('robot', 'time', 'joints', 'coupling', 'commands', 'imu')
TIME_UNITS = {'s': 1.0, 'ms': 1e-3, 'us': 1e-6, 'ns': 1e-9}
LINEAR = {
    'position': {'m': 1.0, 'cm': 1e-2, 'mm': 1e-3, 'um': 1e-6},
    'velocity': {'m/s': 1.0, 'mm/s': 1e-3, 'm/min': 1 / 60},
    'effort': {'N': 1.0, 'kN': 1e3, 'A': 1.0, 'mA': 1e-3},
}
ANGULAR = {
    'position': {'rad': 1.0, 'mrad': 1e-3, 'deg': math.pi / 180, 'rev': 2 * math.pi},
    'velocity': {
        'rad/s': 1.0, 'deg/s': math.pi / 180, 'rpm': math.pi / 30, 'rev/s': 2 * math.pi
    },
    'effort': {'N*m': 1.0, 'mN*m': 1e-3, 'kN*m': 1e3, 'A': 1.0, 'mA': 1e-3},
}  # fmt: skip
AMPERES = ('A', 'mA')
IMU = {
    'angular_velocity': {'rad/s': 1.0, 'deg/s': math.pi / 180},
    'linear_acceleration': {'m/s^2': 1.0, 'g': 9.80665, 'mg': 9.80665e-3},
}
AXES = ('x', 'y', 'z')
COMMANDS = ('sent', 'applied')


@dataclass(frozen=True, kw_only=True)
class Column(Config):
    """Where a quantity comes from: ``unit * (scale * column + offset)``."""

    column: str = parameter('', 'Name of the column; its number where the file has no names.')
    unit: str = parameter('', 'Unit of scale * column + offset; SI when not given.')
    scale: float = parameter(1.0, 'Factor.')
    offset: float = parameter(0.0, 'Added after the factor.')

    def check(self, faults: Faults) -> None:
        """A column is named, and a factor of zero would erase it."""
        if not self.column:
            faults.add('column', self.column, 'name a column')
        if self.scale == 0:
            faults.add('scale', self.scale, 'must not be 0')


@dataclass(frozen=True, kw_only=True)
class Time(Config):
    """When each row was measured: a column, or a rate."""

    column: str = parameter('', 'Column of times; none where the rate is given.')
    unit: str = parameter('s', 'Its unit.', choices=tuple(TIME_UNITS))
    rate: float = parameter(0.0, 'Rows a second, where there is no column.', unit='Hz', low=0.0)
    start: float = parameter(0.0, 'Added to every time.', unit='s')

    def check(self, faults: Faults) -> None:
        """Exactly one of column and rate."""
        if bool(self.column) == (self.rate > 0):
            faults.add('column', self.column, 'give either column or rate')


@dataclass(frozen=True, kw_only=True)
class Drive(Config):
    """What lies between a motor and its joint."""

    gear_ratio: float = parameter(1.0, 'Motor position per joint position; may be negative.')
    torque_constant: float = parameter(0.0, 'Motor effort per ampere.', low=0.0)

    def check(self, faults: Faults) -> None:
        """A gear has a ratio."""
        if self.gear_ratio == 0:
            faults.add('gear_ratio', self.gear_ratio, 'must not be 0')


@dataclass(frozen=True, kw_only=True)
class JointMapping:
    """One joint: its drive, and the columns of its quantities."""

    drive: Drive
    columns: Mapping[str, Column]


@dataclass(frozen=True, kw_only=True)
class LogMapping:
    """A whole mapping; see the module. Build it with :func:`read_mapping`.

    Attributes:
        path: its file.
        time: when.
        joints: by joint name, in the order of the file.
        profile: the robot, when the mapping names one.
        couplings: joints that share their motors, and the matrix (n, n) of joint position per
            motor position, of each coupling.
        applied: commands are those that were applied, with their times.
        imu: columns of the axes x, y, z of ``angular_velocity`` and ``linear_acceleration``.
        lines: line of each key of the file.
    """

    path: Path
    time: Time
    joints: Mapping[str, JointMapping]
    profile: RobotProfile | None = None
    couplings: tuple[tuple[tuple[str, ...], Array], ...] = ()
    applied: bool = False
    imu: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)
    lines: Mapping[tuple[object, ...], int] = field(default_factory=dict)

    @property
    def command(self) -> Command:
        """How the robot is commanded."""
        return self.profile.command if self.profile else Command()

    @property
    def names(self) -> tuple[str, ...]:
        """Joint names in message order: the robot's, where it is known."""
        if self.profile is None:
            return tuple(self.joints)
        return tuple(name for name in self.profile.joint_names if name in self.joints)


def read_mapping(path: str | Path) -> LogMapping:
    """Read and check a mapping.

    Raises:
        InputError: every fault, with file, line and what is right.
    """
    file = read_yaml(path)
    faults = Faults(str(file.path), file.lines)
    for key in file.data:
        if key not in TOP_KEYS:
            faults.add(
                str(key), file.data[key], f'unknown; known: {", ".join(TOP_KEYS)}', path=(key,)
            )
    profile = None
    if 'robot' in file.data:
        try:
            profile = load_profile(file.data['robot'])
        except InputError as error:
            faults.extend(error)
    reader = _Reader(faults, profile, 'coupling' in file.data)
    time = reader.time(file.data.get('time'))
    joints = reader.joints(file.data.get('joints'))
    couplings = reader.couplings(file.data.get('coupling'), joints)
    imu = reader.imu(file.data.get('imu', {}), 'imu' in file.data)
    commands = file.data.get('commands', COMMANDS[0])
    if commands not in COMMANDS:
        mend = f'must be one of {", ".join(COMMANDS)}'
        faults.add('commands', commands, mend, path=('commands',))
    faults.check()
    return LogMapping(
        path=file.path,
        time=time,
        joints=joints,
        profile=profile,
        couplings=couplings,
        applied=commands == COMMANDS[1],
        imu=imu,
        lines=file.lines,
    )


class _Reader:
    """Reads the parts of a mapping; notes every fault."""

    def __init__(self, faults: Faults, profile: RobotProfile | None, coupled: bool) -> None:
        self._faults = faults
        self._profile = profile
        self._coupled = coupled

    def _mapping(self, given: Any, path: tuple[object, ...], mend: str) -> dict[str, Any]:
        if isinstance(given, Mapping) and given:
            return dict(given)
        self._faults.add('.'.join(map(str, path)), given, mend, path=path)
        return {}

    def config(self, kind: type[Config], given: Any, path: tuple[object, ...]) -> Any:
        """A part that is a Config; its defaults after a fault."""
        values = self._mapping(given, path, 'must be a mapping')
        if isinstance(values.get('column'), int) and not isinstance(values['column'], bool):
            values['column'] = str(values['column'])
        try:
            if values:
                return kind.from_mapping(
                    values, file=self._faults.file, lines=self._faults.lines, path=path
                )
        except InputError as error:
            self._faults.extend(error)
        return None

    def time(self, given: Any) -> Any:
        """When: a column's name, or a mapping."""
        if isinstance(given, (str, int)) and not isinstance(given, bool):
            given = {'column': given}
        return self.config(Time, given, ('time',))

    def joints(self, given: Any) -> dict[str, JointMapping]:
        """The joints; all must have the same quantities, since a message holds all or none."""
        found = {}
        entries = self._mapping(given, ('joints',), 'map each joint to its columns')
        for name, entry in entries.items():
            path = ('joints', name)
            if self._profile is not None and name not in self._profile.joint_names:
                has = ', '.join(self._profile.joint_names)
                self._faults.add(
                    f'joints.{name}', name, f'{self._profile.name} has: {has}', path=path
                )
                continue
            found[str(name)] = self._joint(
                str(name), self._mapping(entry, path, 'must be a mapping')
            )
        quantities = {quantity for joint in found.values() for quantity in joint.columns}
        for name, joint in found.items():
            for quantity in quantities - set(joint.columns):
                self._faults.add(
                    f'joints.{name}.{quantity}', None,
                    'another joint has it; give it for every joint or for none',
                    path=('joints', name),
                )  # fmt: skip
        if 'command' in quantities and self._profile is not None:
            for name in set(self._profile.joint_names) - set(found):
                self._faults.add(
                    f'joints.{name}', None, 'a command needs every joint of the robot',
                    path=('joints',),
                )  # fmt: skip
        return found

    def _joint(self, name: str, entry: dict[str, Any]) -> JointMapping:
        path = ('joints', name)
        columns = {}
        for quantity in QUANTITIES:
            if quantity in entry:
                column = self._column(entry.pop(quantity), (*path, quantity))
                if column is not None:
                    columns[quantity] = column
            elif quantity == 'position':
                self._faults.add(f'joints.{name}.position', None, 'is needed', path=path)
        drive = self.config(Drive, entry, path) if entry else Drive()
        drive = drive or Drive()
        for quantity, column in columns.items():
            self._unit(name, quantity, column, drive)
        return JointMapping(drive=drive, columns=columns)

    def _unit(self, name: str, quantity: str, column: Column, drive: Drive) -> None:
        """The unit must be one of the quantity, and fit the joint where no drive is between."""
        kind = 'position' if quantity == 'command' else quantity
        command = self._profile.command.interface if self._profile else 'position'
        if quantity == 'command':
            kind = command
        admissible = {**LINEAR[kind], **ANGULAR[kind]}
        direct = drive == Drive() and not self._coupled
        if self._profile is not None and direct and name in self._profile.joint_names:
            linear = self._profile.joint(name).type == 'prismatic'
            admissible = LINEAR[kind] if linear else ANGULAR[kind]
        path = ('joints', name, quantity, 'unit')
        field_name = f'joints.{name}.{quantity}.unit'
        if column.unit and column.unit not in admissible:
            mend = f'must be one of {", ".join(admissible)}'
            self._faults.add(field_name, column.unit, mend, path=path)
        elif column.unit in AMPERES and not drive.torque_constant:
            mend = 'a current needs the torque_constant of the joint'
            self._faults.add(field_name, column.unit, mend, path=path)

    def imu(self, given: Any, wanted: bool) -> dict[str, tuple[Column, ...]]:
        """Columns of the IMU; a vector has all three axes."""
        if not wanted:
            return {}
        values = self._mapping(given, ('imu',), f'map {" and ".join(IMU)} to their axes')
        found = {}
        for what, axes in values.items():
            path = ('imu', what)
            if what not in IMU:
                self._faults.add(f'imu.{what}', axes, f'known: {", ".join(IMU)}', path=path)
                continue
            entries = self._mapping(axes, path, 'map x, y and z to their columns')
            for axis in set(entries) ^ set(AXES) if entries else ():
                mend = 'is needed' if axis in AXES else f'known: {", ".join(AXES)}'
                where = (*path, axis) if axis in entries else path
                self._faults.add(f'imu.{what}.{axis}', entries.get(axis), mend, path=where)
            read = {a: self._column(entries[a], (*path, a)) for a in AXES if a in entries}
            for axis, column in read.items():
                if column is not None and column.unit and column.unit not in IMU[what]:
                    mend = f'must be one of {", ".join(IMU[what])}'
                    field_name = f'imu.{what}.{axis}.unit'
                    self._faults.add(field_name, column.unit, mend, path=(*path, axis, 'unit'))
            found[what] = tuple(column for column in read.values() if column is not None)
        return found

    def _column(self, given: Any, path: tuple[object, ...]) -> Column | None:
        """A column: its name, or a mapping; None after a fault."""
        if isinstance(given, (str, int)) and not isinstance(given, bool):
            given = {'column': given}
        column: Column | None = self.config(Column, given, path)
        return column

    def couplings(
        self, given: Any, joints: Mapping[str, JointMapping]
    ) -> tuple[tuple[tuple[str, ...], Array], ...]:
        """Couplings: one, or a list; none shares a joint with another."""
        if given is None:
            return ()
        if not isinstance(given, list):
            return (self.coupling(given, joints, ('coupling',)),)
        found = tuple(
            self.coupling(entry, joints, ('coupling', k)) for k, entry in enumerate(given)
        )
        seen: set[str] = set()
        for k, (names, _) in enumerate(found):
            for name in seen & set(names):
                mend = 'is in a coupling before this one'
                self._faults.add(f'coupling.{k}.joints', name, mend, path=('coupling', k))
            seen |= set(names)
        return found

    def coupling(
        self, given: Any, joints: Mapping[str, JointMapping], here: tuple[object, ...]
    ) -> tuple[tuple[str, ...], Array]:
        """Coupled joints and their matrix."""
        name = '.'.join(map(str, here))
        values = self._mapping(given, here, 'give joints and matrix')
        for key in set(values) - {'joints', 'matrix'}:
            mend = 'known: joints, matrix'
            self._faults.add(f'{name}.{key}', values[key], mend, path=(*here, key))
        names = values.get('joints')
        known = list(joints)
        if not isinstance(names, list) or not all(
            joint in known and names.count(joint) == 1 for joint in names
        ):
            mend = f'list joints of this mapping, each once: {", ".join(joints)}'
            self._faults.add(f'{name}.joints', names, mend, path=(*here, 'joints'))
            return (), np.zeros((0, 0))
        path = (*here, 'matrix')
        try:
            matrix = np.array(values.get('matrix'), dtype=float)
        except (TypeError, ValueError):
            matrix = np.zeros(0)
        n = len(names)
        if matrix.shape != (n, n) or not np.isfinite(matrix).all():
            mend = f'must be {n} rows of {n} numbers'
            self._faults.add(f'{name}.matrix', values.get('matrix'), mend, path=path)
        elif abs(np.linalg.det(matrix)) < 1e-12:
            mend = 'must be invertible: different motor positions, different joint positions'
            self._faults.add(f'{name}.matrix', values['matrix'], mend, path=path)
        return tuple(names), matrix
