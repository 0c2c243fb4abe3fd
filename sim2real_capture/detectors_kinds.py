"""The kinds of detectors there are: the settings of each, and how its scorer is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_capture.detectors import Scorer
from sim2real_capture.detectors_friction import FrictionResidual
from sim2real_capture.detectors_motion import (
    EffortSpike,
    FrozenSensor,
    ImuShock,
    JointLimit,
    TipOver,
)
from sim2real_capture.detectors_novelty import Distillation, Mahalanobis, Nearest
from sim2real_capture.detectors_reports import (
    Button,
    ExternalError,
    GuardInterventions,
    ParameterChange,
    PolicyFault,
    Silence,
)
from sim2real_capture.detectors_residual import DriveResidual, DynamicsResidual
from sim2real_capture.detectors_tracking import TrackingError, default_lag, default_threshold
from sim2real_core.config import Config, parameter
from sim2real_core.errors import Fault, Faults, InputError

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

POLICY = 'policy'
"""Name of the policy node; its status is called after it."""


@dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """What every detector has; those of one kind add their own."""

    threshold: tuple[float, ...] = parameter(
        (0.0,), 'One, or one per element; 0 takes the calibrated or suggested one.', low=0.0
    )
    persistence: float = parameter(
        0.0, 'How long the score must stay above it.', unit='s', low=0.0, high=60.0
    )
    rearm: float = parameter(
        0.5, 'Part of the threshold below which it is armed again.', low=1e-3, high=1.0
    )


@dataclass(frozen=True, kw_only=True)
class TrackingSettings(Settings):
    """Of ``tracking_error``."""

    persistence: float = parameter(
        0.1, 'How long the error must last.', unit='s', low=0.0, high=60.0
    )
    lag: tuple[float, ...] = parameter(
        (0.0,), 'Time from command to motion, one or one per joint; 0: as the profile suggests.',
        unit='s', low=0.0, high=10.0,
    )  # fmt: skip
    settling: float = parameter(
        1.5, 'Averaging time of the steady error (sag), which is no alarm.', unit='s', low=1e-2,
        high=600.0,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AveragedSettings(Settings):
    """Of kinds that compare with an average, or average what they find."""

    time: float = parameter(0.05, 'Time constant of the average.', unit='s', low=1e-3, high=60.0)


@dataclass(frozen=True, kw_only=True)
class DynamicsSettings(AveragedSettings):
    """Of ``dynamics_residual``."""

    smoothing: float = parameter(
        0.02, 'Time constant of the filter of motion and efforts.', unit='s', low=1e-3, high=1.0
    )


@dataclass(frozen=True, kw_only=True)
class FrictionSettings(Settings):
    """Of ``friction_residual``."""

    time: float = parameter(
        0.25, 'How long it is summed up (time constant).', unit='s', low=1e-2, high=60.0
    )


@dataclass(frozen=True, kw_only=True)
class LimitSettings(Settings):
    """Of ``joint_limit``."""

    margin: float = parameter(
        0.02, 'Width of the margin before a limit, in parts of the range.', low=1e-4, high=0.5
    )


@dataclass(frozen=True, kw_only=True)
class TipSettings(AveragedSettings):
    """Of ``tip_over``."""

    time: float = parameter(1.0, 'Time constant of the filter.', unit='s', low=1e-2, high=60.0)
    up: tuple[float, ...] = parameter((0.0, 0.0, 1.0), "Upward axis in the IMU's frame.")

    def check(self, faults: Faults) -> None:
        """It must be an axis."""
        if len(self.up) != 3 or not any(self.up):
            faults.add('up', self.up, 'must be three numbers, not all zero')


@dataclass(frozen=True, kw_only=True)
class GuardSettings(Settings):
    """Of ``guard_intervention``."""

    counters: tuple[str, ...] = parameter(
        ('non_finite', 'hold', 'damp'), "Counters of the policy's guard that are watched."
    )
    window: float = parameter(
        1.0, 'How long an intervention counts.', unit='s', low=0.1, high=600.0
    )


@dataclass(frozen=True, kw_only=True)
class ErrorSettings(Settings):
    """Of ``external_error``."""

    ignore: str = parameter(
        ': health$',
        "Regular expression of status names that do not count: this suite's own.",
    )

    def check(self, faults: Faults) -> None:
        """It must be one."""
        try:
            re.compile(self.ignore)
        except re.error as error:
            faults.add('ignore', self.ignore, f'must be a regular expression ({error})')


@dataclass(frozen=True, kw_only=True)
class SilenceSettings(Settings):
    """Of ``silence``."""

    topics: tuple[str, ...] = parameter((), 'Topics that must be heard; they are recorded too.')
    longest: tuple[float, ...] = parameter(
        (0.5,), 'Longest silence, one or one per topic.', unit='s', low=1e-3, high=3600.0
    )

    def check(self, faults: Faults) -> None:
        """There must be topics, and one or as many times."""
        if not self.topics:
            faults.add('topics', self.topics, 'name at least one')
        if len(self.longest) not in (1, len(self.topics)):
            faults.add('longest', self.longest, f'give one value, or {len(self.topics)}')


@dataclass(frozen=True, kw_only=True)
class ButtonSettings(Settings):
    """Of ``button``."""

    topic: str = parameter('joy', 'Of sensor_msgs/Joy, std_msgs/Bool or std_msgs/Empty.')
    index: int = parameter(0, 'Which button of a Joy.', low=0, high=255)


@dataclass(frozen=True, kw_only=True)
class NearestSettings(Settings):
    """Of ``nearest``."""

    neighbours: int = parameter(5, 'Distance to the neighbour of this number.', low=1, high=100)
    kept: int = parameter(1000, 'Observations that are kept.', low=10, high=20000)


@dataclass(frozen=True, kw_only=True)
class DistillationSettings(Settings):
    """Of ``distillation``."""

    width: int = parameter(256, "Number of the student's features.", low=8, high=4096)


@dataclass(frozen=True)
class Kind:
    """One kind of detector.

    Attributes:
        settings: its class of settings.
        make: a scorer from settings, the robot, and the resolver of topic names.
        least: the smallest threshold that calibration may set, in the score's unit; None for
            kinds that have a natural threshold and are not calibrated.
    """

    settings: type[Settings]
    make: Callable[[Any, RobotProfile, Callable[[str], str]], Scorer]
    least: float | None = 1e-6


def _tracking(given: TrackingSettings, robot: RobotProfile, _: object) -> Scorer:
    default = default_lag(robot)
    if len(given.lag) not in (1, len(default)):
        mend = f'give one value, or one for each of {len(default)}'
        raise InputError(Fault('lag', given.lag, mend))
    lag = np.array(given.lag)
    return TrackingError(
        robot.joint_names,
        suggested=default_threshold(robot),
        lag=np.where(lag > 0, lag, default),
        settling=given.settling,
        continuous=_wraps(robot) & (robot.command.drives == 'position'),
    )


def _dynamics(given: DynamicsSettings, robot: RobotProfile, _: object) -> Scorer:
    from sim2real_core.dynamics import InverseDynamics

    inverse = InverseDynamics(robot).efforts
    velocities = robot.array('velocity')
    return DynamicsResidual(robot.joint_names, velocities, inverse, given.smoothing, given.time)


def _friction(given: FrictionSettings, robot: RobotProfile, _: object) -> Scorer:
    from sim2real_core.dynamics import InverseDynamics

    inverse = InverseDynamics(robot).efforts
    return FrictionResidual(robot.joint_names, robot.array('velocity'), inverse, given.time)


def _drive(given: AveragedSettings, robot: RobotProfile, _: object) -> Scorer:
    interface = robot.command.drives
    continuous = _wraps(robot) & (interface == 'position')
    limits = robot.array('effort')
    return DriveResidual(robot.joint_names, interface, limits, continuous, given.time)


def _silence(given: SilenceSettings, robot: RobotProfile, resolve: Callable[[str], str]) -> Scorer:
    limits = np.broadcast_to(given.longest, len(given.topics)).tolist()
    return Silence({resolve(topic): limit for topic, limit in zip(given.topics, limits)})


def _wraps(robot: RobotProfile) -> npt.NDArray[np.bool_]:
    return np.array([joint.type == 'continuous' for joint in robot.joints])


KINDS = {
    'tracking_error': Kind(TrackingSettings, _tracking),
    'dynamics_residual': Kind(DynamicsSettings, _dynamics, least=1.0),
    'drive_residual': Kind(AveragedSettings, _drive, least=1.0),
    'friction_residual': Kind(FrictionSettings, _friction, least=1.0),
    'effort_spike': Kind(
        AveragedSettings,
        lambda s, robot, _: EffortSpike(robot.joint_names, robot.array('effort'), s.time),
    ),
    'frozen_sensor': Kind(
        Settings, lambda s, robot, _: FrozenSensor(robot.joint_names), least=0.05
    ),
    'joint_limit': Kind(
        LimitSettings,
        lambda s, robot, _: JointLimit(
            robot.joint_names, robot.array('lower'), robot.array('upper'), s.margin
        ),
        least=None,
    ),
    'imu_shock': Kind(AveragedSettings, lambda s, robot, _: ImuShock(s.time)),
    'tip_over': Kind(TipSettings, lambda s, robot, _: TipOver(s.up, s.time), least=None),
    'guard_intervention': Kind(
        GuardSettings,
        lambda s, robot, resolve: GuardInterventions(
            f'{resolve(POLICY)}: health', s.counters, s.window
        ),
        least=None,
    ),
    'policy_fault': Kind(
        Settings,
        lambda s, robot, resolve: PolicyFault(f'{resolve(POLICY)}: health'),
        least=None,
    ),
    'external_error': Kind(ErrorSettings, lambda s, robot, _: ExternalError(s.ignore), least=None),
    'parameter_change': Kind(Settings, lambda s, robot, _: ParameterChange(), least=None),
    'silence': Kind(SilenceSettings, _silence, least=None),
    'button': Kind(
        ButtonSettings, lambda s, robot, resolve: Button(resolve(s.topic), s.index), least=None
    ),
    'mahalanobis': Kind(Settings, lambda s, robot, _: Mahalanobis()),
    'nearest': Kind(NearestSettings, lambda s, robot, _: Nearest(s.neighbours, s.kept)),
    'distillation': Kind(DistillationSettings, lambda s, robot, _: Distillation(s.width)),
}
