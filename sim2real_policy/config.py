"""Settings of the policy node."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from sim2real_core.config import Config, fault_of, parameter
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile import RobotProfile
from sim2real_core.profile_sections import GuardTimes, Rates
from sim2real_policy.runtime_names import NAMES, REFERENCE

OPEN = 1000.0
"""Where a workspace is open [m]."""

OF_THE_PROFILE = -1.0
"""A time of the guard that is not set: that of the robot's profile is taken."""

LEAST_SAMPLES = 2.5  # joint states that must be missing before an input is stale


_GUARD_TIMES = {row.name: row for row in GuardTimes.table()}


def _guard_time(name: str) -> Any:
    """A parameter that overrides a time of the profile."""
    row = _GUARD_TIMES[name]
    about = f"{row.description} {OF_THE_PROFILE:g}: as the profile's guard.{name} says."
    return parameter(OF_THE_PROFILE, about, unit=row.unit, low=OF_THE_PROFILE, high=row.high)


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(Config):
    """Parameters of the policy node; they take effect when it is configured."""

    robot: str = parameter('arm6', 'Robot profile: a path, or the name of a shipped one.')
    bundle: str = parameter('', 'Policy bundle: a path, or the name of a shipped one.')
    runtime: str = parameter(
        REFERENCE,
        'What runs the network; auto takes the fastest there is that gives the right actions.',
        choices=NAMES,
    )
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
    stale_after: float = _guard_time('stale_after')
    hold_time: float = _guard_time('hold_time')
    damp_time: float = _guard_time('damp_time')
    stop_time: float = _guard_time('stop_time')
    goal_time: float = parameter(
        0.5,
        'A velocity goal that is not repeated for this long is taken back: stand still.',
        unit='s',
        low=0.01,
        high=1e6,
    )
    novelty_time: float = parameter(
        1.0,
        'It holds when observations were unlike those of training for this long; 0 for never.',
        unit='s',
        low=0.0,
        high=60.0,
    )
    start_speed: float = parameter(
        0.1,
        'Share of the speed limits at which an activated policy first moves the joints to its '
        'default pose; 0 to act from wherever they are.',
        low=0.0,
        high=1.0,
    )
    shadow: bool = parameter(
        False, 'Everything runs and is published, but the robot is not commanded.'
    )
    speed_factor: float = parameter(1.0, 'Share of the speed limits.', low=0.01, high=1.0)
    workspace_low: tuple[float, ...] = parameter(
        (-OPEN,) * 3, f'Lower corner of the box for the tool; -{OPEN:g} is open.', unit='m'
    )
    workspace_high: tuple[float, ...] = parameter(
        (OPEN,) * 3, f'Upper corner of the box for the tool; {OPEN:g} is open.', unit='m'
    )
    realtime_priority: int = parameter(
        0, 'Of the whole process, SCHED_FIFO; 0 leaves it as it is.', low=0, high=99
    )
    processors: str = parameter('', 'Those the control loop may use, like 2,4-6; all when empty.')
    lock_memory: bool = parameter(False, 'Keep all memory from being paged out.')

    @property
    def confined(self) -> bool:
        """Whether there is a box that the tool may not leave."""
        corners = (*self.workspace_low, *self.workspace_high)
        return any(abs(value) < OPEN for value in corners)

    def on(self, profile: RobotProfile) -> PolicyConfig:
        """The same on a robot: guard times that are not set are those of its profile.

        Raises:
            InputError: they do not fit together.
        """
        times = replace(profile.guard, **{n: getattr(self, n) for n in self._set_times})
        return replace(self, **asdict(times))

    @property
    def _set_times(self) -> list[str]:
        return [name for name in _GUARD_TIMES if getattr(self, name) != OF_THE_PROFILE]

    def check(self, faults: Faults) -> None:
        """Pacing and a timer exclude each other; so do a bundle and a trajectory."""
        for name in self._set_times:
            mend = fault_of(_GUARD_TIMES[name], getattr(self, name))
            if mend:
                faults.add(name, getattr(self, name), f"{mend}, or -1 for the profile's")
        for name in ('workspace_low', 'workspace_high'):
            if len(getattr(self, name)) != 3:
                faults.add(name, getattr(self, name), 'must be x, y and z')
        for axis, low, high in zip('xyz', self.workspace_low, self.workspace_high):
            if not low < high:
                mend = f'{axis} must be less than that of workspace_high ({high:g})'
                faults.add('workspace_low', low, mend)
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
