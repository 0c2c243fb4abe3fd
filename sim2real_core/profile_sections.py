"""Sections of a robot profile: command, rates, guard, topics, twist; numbers with units."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults, InputError
from sim2real_core.mobile import TWIST_TYPES, TWIST_UNITS, TwistElement
from sim2real_core.yaml_file import YamlFile

Section = TypeVar('Section', bound=Config)
COMMAND_TYPES = (
    'std_msgs/msg/Float64MultiArray',
    'trajectory_msgs/msg/JointTrajectory',
    *TWIST_TYPES,
)


@dataclass(frozen=True, kw_only=True)
class Command(Config):
    """How the robot is commanded."""

    interface: str = parameter(
        'position', 'What a command means.', choices=('position', 'velocity', 'effort', 'twist')
    )
    topic: str = parameter('position_controller/commands', 'Topic of the commands.')
    type: str = parameter(COMMAND_TYPES[0], 'Message type.', choices=COMMAND_TYPES)
    timeout: float = parameter(
        0.25, 'Without commands for this long the robot holds.', unit='s', low=1e-3, high=10.0
    )

    @property
    def drives(self) -> str:
        """What the joints' own drives are told: a twist becomes wheel speeds."""
        return 'velocity' if self.interface == 'twist' else self.interface

    @property
    def types(self) -> tuple[str, ...]:
        """Message types that can say what is commanded."""
        twist = self.interface == 'twist'
        return tuple(kind for kind in COMMAND_TYPES if (kind in TWIST_TYPES) == twist)

    def check(self, faults: Faults) -> None:
        """A topic is relative, and its type can say what is commanded."""
        _relative(self, ('topic',), faults)
        if self.type not in self.types:
            mend = f'a {self.interface} command is {" or ".join(self.types)}'
            faults.add('type', self.type, mend)


@dataclass(frozen=True, kw_only=True)
class Rates(Config):
    """How fast the robot talks and is commanded."""

    control_period: float = parameter(0.02, 'Time between commands.', unit='s', low=1e-4, high=1.0)
    joint_state_rate: float = parameter(
        250.0, 'Joint state messages a second.', unit='Hz', low=1.0, high=1e4
    )
    timestep: float = parameter(
        0.001, 'Step of the simulated physics.', unit='s', low=1e-5, high=0.05
    )

    def check(self, faults: Faults) -> None:
        """Nothing can happen more often than the physics steps."""
        if self.timestep > self.control_period:
            mend = f'must be at most the control period, {self.control_period:g} s'
            faults.add('timestep', self.timestep, mend)
        if self.joint_state_rate * self.timestep > 1.0 + 1e-9:
            mend = f'must be at most one a timestep, {1.0 / self.timestep:g} Hz'
            faults.add('joint_state_rate', self.joint_state_rate, mend)


@dataclass(frozen=True, kw_only=True)
class GuardTimes(Config):
    """When a policy's guard holds the robot, lets go of it and stops it."""

    stale_after: float = parameter(
        0.1,
        'Without a usable joint state for this long the policy holds; at least 2.5 times the '
        'time between two.',
        unit='s',
        low=1e-3,
        high=10.0,
    )
    hold_time: float = parameter(
        0.5, 'After holding this long it damps.', unit='s', low=0.0, high=60.0
    )
    damp_time: float = parameter(0.3, 'Time constant of damping.', unit='s', low=1e-3, high=60.0)
    stop_time: float = parameter(
        60.0,
        'So long after it began to hold it stops until reset.',
        unit='s',
        low=0.01,
        high=1e6,
    )

    def check(self, faults: Faults) -> None:
        """A stop comes last."""
        if self.stop_time < self.hold_time:
            mend = f'must be at least hold_time, {self.hold_time:g} s'
            faults.add('stop_time', self.stop_time, mend)


@dataclass(frozen=True, kw_only=True)
class Topics(Config):
    """Sensor topics, when they are named otherwise on the robot."""

    joint_states: str = parameter('joint_states', 'sensor_msgs/JointState.')
    imu: str = parameter('imu', 'sensor_msgs/Imu.')
    odometry: str = parameter('odom', 'nav_msgs/Odometry.')
    goal: str = parameter('goal', 'geometry_msgs/PoseStamped.')
    velocity_goal: str = parameter('velocity_goal', 'geometry_msgs/Twist.')

    def check(self, faults: Faults) -> None:
        """Topics are relative."""
        _relative(self, tuple(row.name for row in self.table()), faults)


def _relative(section: Config, names: tuple[str, ...], faults: Faults) -> None:
    """Topics must follow their robot into a namespace, and into a bag and out of it again."""
    for name in names:
        topic = getattr(section, name)
        if not re.fullmatch(r'[A-Za-z_]\w*(/[A-Za-z_]\w*)*', topic, re.ASCII):
            near = topic.strip('/~')
            faults.add(name, topic, f'must be a relative topic name, like {near or "a/b"}')


def read_section(
    section: type[Section], given: Any, key: str, file: YamlFile, faults: Faults
) -> Section | None:
    """A section of a profile; None after a fault."""
    if not isinstance(given, Mapping):
        faults.add(key, given, 'must be a mapping', path=(key,))
        return None
    units = {row.name: row.unit for row in section.table()}
    values = {}
    for name, value in given.items():
        values[name] = value
        if units.get(name):
            values[name] = read_number(value, units[name], f'{key}.{name}', (key, name), faults)
            if values[name] is None:
                return None
    try:
        return section.from_mapping(values, file=str(file.path), lines=file.lines, path=(key,))
    except InputError as error:
        faults.extend(error)
        return None


def read_number(
    value: Any, unit: str, name: str, path: tuple[object, ...], faults: Faults
) -> float | None:
    """A finite number, given plain or as text with the right unit; None after a fault."""
    if isinstance(value, str):
        number, _, given = value.strip().partition(' ')
        # YAML 1.1 reads 1e6 (without a sign in the exponent) as text.
        if given.strip() not in ('', unit):
            faults.add(name, value, f'the unit is {unit}; write a plain number in it', path=path)
            return None
        try:
            value = float(number)
        except ValueError:
            faults.add(name, value, f'must be a number [{unit}]', path=path)
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        faults.add(name, value, f'must be a finite number [{unit}]', path=path)
        return None
    return float(value)


def read_twist(given: Any, interface: str, faults: Faults) -> tuple[TwistElement, ...]:
    """The elements of a profile's twist; empty after a fault."""
    if (interface == 'twist') != bool(given) or not isinstance(given or {}, Mapping):
        mend = f'give limits of {", ".join(TWIST_UNITS)}, where command.interface is twist'
        faults.add('twist', given, mend, path=('twist',))
        return ()
    elements = []
    for name, values in (given or {}).items():
        unit = TWIST_UNITS.get(name)
        if unit is None or not isinstance(values, Mapping) or 'velocity' not in values:
            mend = f'one of {", ".join(TWIST_UNITS)}, with velocity and maybe acceleration'
            faults.add(f'twist.{name}', values, mend, path=('twist', name))
            continue
        limits = {}
        for key, value in values.items():
            path, field_name = ('twist', name, key), f'twist.{name}.{key}'
            units = {'velocity': unit, 'acceleration': f'{unit}^2'}
            if key not in units:
                faults.add(field_name, value, f'unknown; known: {", ".join(units)}', path=path)
                continue
            number = read_number(value, units[key], field_name, path, faults)
            if number is not None and number <= 0:
                faults.add(field_name, number, 'must be positive', path=path)
            elif number is not None:
                limits[key] = number
        if 'velocity' in limits:
            elements.append(TwistElement(name=name, **limits))
    return tuple(elements)
