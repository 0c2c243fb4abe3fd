"""Settings of the online identification."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults
from sim2real_sysid.torque_constants import (
    check_torque_constants,
    parameter_of_torque_constants,
)


@dataclass(frozen=True, kw_only=True)
class SysidConfig(Config):
    """Settings of the identifier and its node; none but ``robot`` is particular to a robot."""

    robot: str = parameter('arm6', 'Robot profile: a file, or the name of a shipped one.')
    publish_period: float = parameter(
        1.0, 'Time between estimates, in message time.', unit='s', low=0.01, high=3600.0
    )
    paced: bool = parameter(
        False, 'Acknowledge every sample on the topic pace; for replay and lockstep simulation.'
    )
    commander: str = parameter(
        '', 'Paced node whose commands are waited for: a replay then ends alike each time.'
    )
    bandwidth: float = parameter(
        40.0,
        'Bandwidth of the filters; lower where the joint states come too slowly for it.',
        unit='Hz',
        low=0.5,
        high=100.0,
    )
    low_speed: float = parameter(
        0.02,
        'Share of the highest speed seen below which a joint tells nothing: friction is not '
        'Coulomb friction there.',
        low=0.0,
        high=0.5,
    )
    torque_constants: tuple[float, ...] = parameter_of_torque_constants()
    timing_error: float = parameter(
        0.002,
        'Standard deviation of an unknown delay between measured effort and position; at least '
        'half a sample period is assumed.',
        unit='s',
        low=1e-6,
        high=0.1,
    )
    model_error: float = parameter(
        0.001,
        'Relative standard deviation of every term of the model: what the URDF gets wrong, say. '
        'No amount of data makes an estimate better than this.',
        low=0.0,
        high=0.5,
    )
    servo_error: float = parameter(
        0.05,
        'Relative standard deviation of an effort that is made from commands and the gains of the '
        'profile, where none is measured.',
        low=0.0,
        high=1.0,
    )
    zero_error: float = parameter(
        0.03,
        "How far an encoder's zero may be off (standard deviation). To gravity a zero that is off "
        'looks much like a constant effort, so less is better where encoders were homed. 0: the '
        'zeros are known, and none is looked for.',
        unit='rad or m',
        low=0.0,
        high=1.0,
    )
    relative_std: float = parameter(
        0.1,
        'A parameter counts as identified up to this standard deviation, as a share of its value '
        'or of the smallest value that matters.',
        low=0.001,
        high=1.0,
    )
    memory: float = parameter(
        600.0, 'Seconds of motion that are remembered.', unit='s', low=10.0, high=1e6
    )
    stale_after: float = parameter(
        60.0,
        'Without telling motion for this long an identified parameter is stale.',
        unit='s',
        low=1.0,
        high=1e6,
    )

    def check(self, faults: Faults) -> None:
        """Every effort is worth something."""
        check_torque_constants(self.torque_constants, faults)
