"""Trajectory: a periodic motion as a Fourier series, and its file.

Every joint moves as ``mean + sum over k of cos[k] cos(2 pi k f t) + sin[k] sin(2 pi k f t)`` with
k = 1, 2, ... and one base frequency f, so that motion, velocity and acceleration are exact at any
time, and whoever averages over periods averages over equal ones. ::

    robot: arm6
    profile: 3f2a...            # content hash of the robot's profile
    duration: 60.0              # s, a whole number of periods
    base_frequency: 0.1         # Hz
    joints:
      base:                     # rad
        mean: 0.1
        cos: [-0.2, 0.1]
        sin: [0.3, -0.15]

The file is YAML; ``made`` in it says how it came about, and is not read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_core.profile import RobotProfile
from sim2real_core.yaml_file import read_yaml

Array = npt.NDArray[np.float64]

MOST_HARMONICS = 200
KEYS = ('robot', 'profile', 'duration', 'base_frequency', 'joints', 'made')
DIGITS = 6
"""Decimals of the numbers in a file [rad or m]."""


class Series(NamedTuple):
    """Fourier series of nj signals.

    Attributes:
        mean: (nj,).
        cos: (nj, h) of the harmonics 1 to h.
        sin: (nj, h).
    """

    mean: Array
    cos: Array
    sin: Array

    def at(self, angle: npt.ArrayLike, order: int = 0) -> Array:
        """Values (..., nj) at angles (...) of the first harmonic [rad].

        Args:
            angle: ``2 pi f t``.
            order: of the derivative with respect to the angle.
        """
        harmonics = np.arange(1, self.cos.shape[1] + 1)
        phase = np.multiply.outer(np.asarray(angle, dtype=float), harmonics)
        phase += 0.5 * math.pi * order  # each derivative of a sine leads by a quarter
        factor = harmonics.astype(float) ** order
        values = (np.cos(phase) * factor) @ self.cos.T + (np.sin(phase) * factor) @ self.sin.T
        return np.asarray(values + self.mean if order == 0 else values)


class Motion(NamedTuple):
    """Position, velocity and acceleration (..., nj) of every joint, SI units."""

    position: Array
    velocity: Array
    acceleration: Array


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A periodic motion of one robot that starts, and ends, at rest.

    Attributes:
        robot: its name.
        profile: content hash of its profile.
        joints: their names; the order of the series.
        duration: of the whole motion [s], a whole number of periods.
        base_frequency: of the first harmonic [Hz].
        position: of the joints [rad or m].
    """

    robot: str
    profile: str
    joints: tuple[str, ...]
    duration: float
    base_frequency: float
    position: Series

    @property
    def periods(self) -> int:
        """How often the motion repeats in ``duration``."""
        return round(self.duration * self.base_frequency)

    def at(self, time: npt.ArrayLike) -> Motion:
        """Where the joints are and how they move at times (...) [s] of any period."""
        rate = 2.0 * math.pi * self.base_frequency
        angle = rate * np.asarray(time, dtype=float)
        return Motion(
            self.position.at(angle),
            rate * self.position.at(angle, 1),
            rate * rate * self.position.at(angle, 2),
        )

    def to_yaml(self, profile: RobotProfile, made: Mapping[str, Any] | None = None) -> str:
        """The text of its file.

        Args:
            profile: of its robot; gives the units.
            made: how it came about, name to a number or a text.
        """
        lines = [
            '# A periodic motion: for each joint mean + sum over k = 1, 2, ... of',
            '#   cos[k] cos(2 pi k f t) + sin[k] sin(2 pi k f t),  f = base_frequency.',
            f'robot: {self.robot}',
            f'profile: {self.profile}',
            f'duration: {self.duration!r}  # s',
            f'base_frequency: {self.base_frequency!r}  # Hz',
        ]
        if made:
            lines += ['made:', *(f'  {key}: {value}' for key, value in made.items())]
        lines.append('joints:')
        for index, name in enumerate(self.joints):
            linear = profile.joint(name).type == 'prismatic'
            lines += [
                f'  {name}:  # {"m" if linear else "rad"}',
                f'    mean: {_number(self.position.mean[index])}',
                f'    cos: [{", ".join(map(_number, self.position.cos[index]))}]',
                f'    sin: [{", ".join(map(_number, self.position.sin[index]))}]',
            ]
        return '\n'.join(lines) + '\n'


def _number(value: float) -> str:
    return f'{value + 0.0:.{DIGITS}f}'


def read_trajectory(path: str | Path, profile: RobotProfile) -> Trajectory:
    """Read a trajectory for a robot.

    Raises:
        InputError: every fault, with file and line: it is for another robot, or for this one as
            it was before its profile changed; a joint is missing or unknown; a value is wrong.
    """
    file = read_yaml(Path(path).expanduser())
    faults = Faults(str(file.path), file.lines)
    data = file.data
    for key in data:
        if key not in KEYS:
            faults.add(str(key), data[key], f'unknown; known: {", ".join(KEYS)}', path=(key,))
    if data.get('robot') != profile.name:
        mend = f'this robot is {profile.name}: give a trajectory that was made for it'
        faults.add('robot', data.get('robot'), mend, path=('robot',))
    elif data.get('profile') != profile.content_hash:
        mend = (
            f'profile or URDF of {profile.name} have changed since (now {profile.content_hash}): '
            'make the trajectory anew, with sim2real sysid excite'
        )
        faults.add('profile', data.get('profile'), mend, path=('profile',))
    duration = _positive(data, 'duration', faults)
    frequency = _positive(data, 'base_frequency', faults)
    periods = duration * frequency
    if periods and (abs(periods - round(periods)) > 1e-6 * periods or round(periods) < 1):
        mend = f'must be a whole number of periods of {1.0 / frequency:g} s'
        faults.add('duration', duration, mend, path=('duration',))
    joints = data.get('joints')
    if not isinstance(joints, Mapping):
        faults.add('joints', joints, 'give a mapping of joint to its series', path=('joints',))
        joints = {}
    for name in joints:
        if name not in profile.joint_names:
            mend = f'{profile.name} has no such joint; it has: {", ".join(profile.joint_names)}'
            faults.add(f'joints.{name}', name, mend, path=('joints', name))
    rows = [_series(joints.get(name), name, faults) for name in profile.joint_names]
    faults.check()
    return Trajectory(
        robot=profile.name,
        profile=profile.content_hash,
        joints=profile.joint_names,
        duration=duration,
        base_frequency=frequency,
        position=_stacked(rows),
    )


def _positive(data: Mapping[str, Any], key: str, faults: Faults) -> float:
    value = data.get(key)
    if _finite(value) and value > 0:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    faults.add(key, value, 'must be a positive, finite number', path=(key,))
    return 0.0


def _finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _series(values: Any, joint: str, faults: Faults) -> tuple[float, Array]:
    """Mean, and (2, h) cos and sin of one joint; zeros after a fault."""
    name, path = f'joints.{joint}', ('joints', joint)
    if not isinstance(values, Mapping) or set(values) != {'mean', 'cos', 'sin'}:
        faults.add(name, values, 'must have exactly mean, cos and sin', path=path)
        return 0.0, np.zeros((2, 0))
    found = len(faults.found)
    if not _finite(values['mean']):
        faults.add(f'{name}.mean', values['mean'], 'must be a finite number', path=(*path, 'mean'))
    for key in ('cos', 'sin'):
        row = values[key]
        if not isinstance(row, list) or not all(map(_finite, row)) or len(row) > MOST_HARMONICS:
            mend = f'must be a list of finite numbers, {MOST_HARMONICS} at most'
            faults.add(f'{name}.{key}', row, mend, path=(*path, key))
    if len(faults.found) == found and len(values['cos']) != len(values['sin']):
        mend = f'must have {len(values["cos"])} elements, as cos'
        faults.add(f'{name}.sin', values['sin'], mend, path=(*path, 'sin'))
    if len(faults.found) > found:
        return 0.0, np.zeros((2, 0))
    return float(values['mean']), np.array([values['cos'], values['sin']], dtype=float)


def _stacked(rows: list[tuple[float, Array]]) -> Series:
    """One series of all joints; those of fewer harmonics get zeros."""
    most = max(parts.shape[1] for _, parts in rows)
    full = np.zeros((2, len(rows), most))
    for index, (_, parts) in enumerate(rows):
        full[:, index, : parts.shape[1]] = parts
    return Series(np.array([mean for mean, _ in rows]), full[0], full[1])
