"""What detectors are fed: one small record per message, without ROS.

Arrays may carry leading batch dimensions, as many episodes side by side in a simulator; on a
robot there are none. Shapes below are those of one robot with ``nj`` joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sim2real_core.records import Change

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One instant of the robot, in command order.

    Attributes:
        stamp: of the sensor message [s].
        measured: (nj,) the commanded quantity as measured [rad, rad/s or N*m; m for slides].
        command: (nj,) the command in force until now, same unit, or None when there is none.
        position: (nj,) [rad or m], or None where the message has none that is usable.
        velocity: (nj,) [rad/s or m/s], or None.
        effort: (nj,) [N*m or N], or None.
    """

    stamp: float
    measured: Array
    command: Array | None = None
    position: Array | None = None
    velocity: Array | None = None
    effort: Array | None = None


@dataclass(frozen=True)
class ImuSample:
    """An IMU message: ``angular_velocity`` (3,) [rad/s], ``linear_acceleration`` (3,) [m/s^2]."""

    stamp: float
    angular_velocity: Array
    linear_acceleration: Array


@dataclass(frozen=True)
class Seen:
    """What the policy saw: ``values`` (size,) of its observation."""

    stamp: float
    values: Array


@dataclass(frozen=True)
class Status:
    """One status of a diagnostics message; ``level`` 0 OK, 1 WARN, 2 ERROR, 3 STALE."""

    name: str
    level: int
    message: str = ''
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Statuses:
    """A diagnostics message."""

    stamp: float
    statuses: tuple[Status, ...]


@dataclass(frozen=True)
class Changes:
    """An estimate: the changes of parameters it tells of, the latest ones, old ones again."""

    stamp: float
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Press:
    """A button of the operator.

    Attributes:
        stamp: when [s].
        topic: full name of the one that told it.
        index: which of several; None where there is but one.
        pressed: or not.
    """

    stamp: float
    topic: str
    index: int | None
    pressed: bool


@dataclass(frozen=True)
class Ages:
    """How long ago each topic was heard [s]; counted from the start where it never was."""

    stamp: float
    ages: Mapping[str, float]


Signal = Sample | ImuSample | Seen | Statuses | Changes | Press | Ages
