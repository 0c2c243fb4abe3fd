"""Limits of a robot's commands, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_policy.action import vector

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of each joint, (nj,) each; infinite where there is none. SI units.

    Attributes:
        lower: smallest position.
        upper: largest position.
        velocity: largest speed.
        effort: largest effort.
        acceleration: largest acceleration of the command.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    velocity: tuple[float, ...]
    effort: tuple[float, ...]
    acceleration: tuple[float, ...]

    def __post_init__(self) -> None:
        faults = Faults()
        for name in LIMITS:
            values = vector(faults, name, getattr(self, name), finite=False)
            object.__setattr__(self, name, values)
            if len(values) != len(self.lower) and not faults.found:
                faults.add(name, values, f'must have {len(self.lower)} elements, as lower')
            for index, value in enumerate(values):
                if name not in ('lower', 'upper') and value <= 0:
                    faults.add(f'{name}[{index}]', value, 'must be positive')
        for index, (low, high) in enumerate(zip(self.lower, self.upper)):
            if not low < high:
                faults.add(f'lower[{index}]', low, f'must be less than upper ({high:g})')
        faults.check()

    @classmethod
    def of(cls, profile: RobotProfile, names: Sequence[str] | None = None) -> Limits:
        """Those of a robot, for some joints or elements of a twist (of a command when None)."""
        chosen = [profile.limited(name) for name in names or profile.command_names]
        return cls(**{n: tuple(getattr(one, n) for one in chosen) for n in LIMITS})

    def tightest(self, other: Limits) -> Limits:
        """The narrower of both, limit by limit.

        Raises:
            InputError: position ranges that do not overlap.
        """
        narrow = {name: min for name in LIMITS} | {'lower': max}
        return Limits(
            **{
                name: tuple(map(narrow[name], getattr(self, name), getattr(other, name)))
                for name in LIMITS
            }
        )

    def array(self, name: str) -> Array:
        """One limit as an array (nj,)."""
        return np.array(getattr(self, name))


LIMITS = tuple(field.name for field in fields(Limits))
