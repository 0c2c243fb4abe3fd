"""Settings of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile_sections import Rates

LEAST_SAMPLES = 2.5  # joint states that must be missing before an input is stale


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(Config):
    """Parameters of the policy node; they take effect when it is configured."""

    robot: str = parameter('arm6', 'Robot profile: a path, or the name of a shipped one.')
    bundle: str = parameter('', 'Policy bundle: a path, or the name of a shipped one.')
    trajectory: str = parameter(
        '', 'File of a trajectory to run instead of a bundle; sim2real sysid excite makes one.'
    )
    periods: int = parameter(
        0, 'Periods of the trajectory to run; 0 is as many as its file says.', low=0
    )
    autostart: bool = parameter(
        False, 'Configure and activate without being asked.', read_only=True
    )
    control: str = parameter(
        'sensor',
        'Act when a joint state is due, or by a timer on the newest one.',
        choices=('sensor', 'timer'),
    )
    paced: bool = parameter(
        False,
        'Acknowledge every joint state on `pace` and act on stamps only (replay, lockstep).',
        read_only=True,
    )
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

    def check(self, faults: Faults) -> None:
        """Pacing and a timer exclude each other; so do a bundle and a trajectory."""
        if self.bundle and self.trajectory:
            faults.add('trajectory', self.trajectory, 'give a bundle or a trajectory, not both')
        if self.paced is True and self.control == 'timer':
            faults.add('control', self.control, 'must be sensor where paced is true')


def check_rates(config: PolicyConfig, rates: Rates) -> None:
    """Whether a robot's joint states come often enough not to look stale.

    Raises:
        InputError: they do not.
    """
    least = LEAST_SAMPLES / rates.joint_state_rate
    if config.stale_after < least - 1e-9:
        rate = f'rates.joint_state_rate ({rates.joint_state_rate:g} Hz)'
        mend = f'must be at least {least:.3g} s, {LEAST_SAMPLES} samples at {rate} of the profile'
        raise InputError(Fault('stale_after', config.stale_after, mend))
