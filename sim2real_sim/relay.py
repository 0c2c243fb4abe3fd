"""Realism for a simulator that has none, or a robot: what :mod:`sim2real_sim.relay_node` does.

The relay stands between who commands a robot and the robot (or a simulator of it). What the
sensors of that robot say and what it is told passes through the same models that the embedded
simulator and training use. A command is worked on in steps of the profile's timestep, on the time
of the joint states; between two of these, joints are taken to move evenly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import IMU_SENSORS, SENSED, parse_address, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.joint_states import BACKWARD
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Draw
from sim2real_sim.realism import Actuators, Sensors

Array = npt.NDArray[np.float64]
LOST = 1.0
"""Joint states this far apart [s] have nothing to do with each other."""
ON_COMMANDS = (
    'delay', 'time_constant', 'natural_frequency', 'damping_ratio', 'dead_zone', 'backlash',
)  # fmt: skip
"""What a drive with a loop of its own can be made to do by its commands."""
WITHOUT_EFFECT = ('damping_ratio', 'ripple_periods')
"""Of these the first is without effect while there is no lag, the second while no ripple."""


class Relay:
    """One robot's realism on both ways.

    Args:
        profile: the robot.
        seed: of the sensor noise.
    """

    def __init__(self, profile: RobotProfile, seed: int = 0) -> None:
        if profile.twist:
            mend = 'the relay stands before drives of joints, and a twist commands none'
            raise InputError(Fault('command.interface', 'twist', mend, str(profile.path)))
        self.profile = profile
        nj = len(profile.joints)
        none = np.zeros(nj)
        self._actuators = Actuators(
            profile.command.interface,
            profile.array('stiffness'),
            profile.array('damping'),
            profile.array('effort'),
            1,
            (none, none),
            np.array([1.0 if j.type == 'prismatic' else 2.0 * math.pi for j in profile.joints]),
        )
        self._sensors = Sensors((1, 3 * nj), parts=3)
        self._imu = Sensors((1, 6), tag=1)
        self._seed = np.array([seed], dtype=np.uint64)
        self._step_length = np.full((1, 1), profile.rates.timestep)
        self._columns = {name: j for j, name in enumerate(profile.joint_names)}
        self._places: dict[str, tuple[Array, list[int]]] = self._owned()
        self._nominal = {address: nominal(profile, address) for address in self._places}
        self._state = np.zeros((3, nj))  # position, velocity, effort as heard last
        self._began = self._time = math.nan
        self._imu_past = math.nan, math.nan, np.zeros((1, 6))  # beginning, time, values
        self._ahead = 0
        self._commanded = -math.inf
        self._told: Array | None = None
        self._acts = self._senses = False
        self._addresses = [parse_address(a) for a in self._places]
        self.apply({})

    def _owned(self) -> dict[str, tuple[Array, list[int]]]:
        """Every address that the relay has, and where its value is."""
        profile, drives = self.profile, self._actuators.parameters
        nj, effort = len(profile.joints), profile.command.interface == 'effort'
        places: dict[str, tuple[Array, list[int]]] = {}
        for joint, j in self._columns.items():
            places[f'joint.{joint}.position_offset'] = (drives['position_offset'], [j])
            for name, values in drives.items():
                if name in ON_COMMANDS or (effort and name != 'position_offset'):
                    places[f'actuator.{joint}.{name}'] = (values, [j])
            for k, measured in enumerate(SENSED):
                for name, values in self._sensors.parameters.items():
                    places[f'sensor.{joint}_{measured}.{name}'] = (values, [k * nj + j])
        if profile.imu_link:
            for k, sensor in enumerate(IMU_SENSORS):
                for name, values in self._imu.parameters.items():
                    places[f'sensor.{sensor}.{name}'] = (values, [3 * k, 3 * k + 1, 3 * k + 2])
        return places

    # Settings

    def has(self, address: str) -> bool:
        """Whether the relay has an address."""
        return address in self._places

    def get(self, address: str) -> float:
        """Value of an address that the relay has."""
        values, columns = self._places[address]
        return float(values[0, columns[0]])

    def check(self, values: Mapping[str, float]) -> None:
        """Whether these values can be applied; those of others' addresses are not looked at.

        Raises:
            InputError: a value is out of range; all are named.
        """
        faults = Faults()
        for address, value in values.items():
            if self.has(address):
                limits = quantity(address, self.profile)
                if not limits.low <= value <= limits.high:
                    mend = f'must be within [{limits.low:g}, {limits.high:g}] {limits.unit}'
                    faults.add(address, value, mend)
        faults.check()

    def apply(self, values: Mapping[str, float]) -> dict[str, str]:
        """Make the relay one draw away from its nominal settings.

        Args:
            values: address to absolute SI value; those of others are left aside.

        Returns:
            Outcome of every address that the relay has.

        Raises:
            InputError: see :meth:`check`; nothing is applied then.
        """
        self.check(values)
        for address, (array, columns) in self._places.items():
            array[0, columns] = values.get(address, self._nominal[address])
        self._actuators.update(self._step_length)
        self._sensors.update(self._step_length)
        self._imu.update(self._step_length)
        did, drives = (self._acts, self._senses), self._actuators.parameters
        self._acts = any(
            self.get(str(a)) != self._nominal[str(a)]
            for a in self._addresses
            if a.kind != 'sensor' and a.quantity not in WITHOUT_EFFECT
        )
        bent = any(drives[k].any() for k in ('backlash', 'compliance', 'position_offset'))
        self._senses = self._sensors.active or bent
        if (self._acts, self._senses) != did:
            self._time = math.nan  # begin anew with the next joint states
        return {
            a: 'verified' if self.get(a) == v else 'failed'
            for a, v in values.items()
            if self.has(a)
        }

    # Messages

    @property
    def acts(self) -> bool:
        """Whether commands are changed."""
        return self._acts

    @property
    def senses(self) -> bool:
        """Whether joint states are changed."""
        return self._senses

    @property
    def senses_imu(self) -> bool:
        """Whether what the IMU says is changed."""
        return self._imu.active

    def advance(
        self,
        time: float,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        effort: Sequence[float],
    ) -> None:
        """Take over a message of joint states, and go to its time.

        Args:
            time: its stamp [s].
            names: joints that it is about; others than the robot's are left aside.
            position: of these, or none.
            velocity: likewise.
            effort: likewise.
        """
        before = self._state.copy()
        for values, row in zip((position, velocity, effort), self._state):
            if len(values) == len(names):
                for name, value in zip(names, values):
                    if name in self._columns and math.isfinite(value):
                        row[self._columns[name]] = value
        passed = time - self._time
        if not -BACKWARD <= passed <= LOST:
            self._begin(time)
            return
        h = self.profile.rates.timestep
        steps = max(0, int(passed / h + 0.5))
        self._time += steps * h
        driven = max(0, steps - self._ahead)
        self._ahead = max(0, self._ahead - steps)
        for k in range(1, steps + 1):
            now = before + (k / steps) * (self._state - before)
            if self._acts and k <= driven:
                self._told = self._actuators.faultless()
            self._measure(now, self._time - (steps - k) * h)
        if not steps:
            self._measure(self._state, self._time)

    def _begin(self, time: float) -> None:
        """Begin anew at a time [s]: nothing was before."""
        rows, (position, velocity, effort) = np.zeros(1, dtype=np.intp), self._state[:, None]
        self._began = self._time = time
        self._ahead = 0
        self._told = None
        self._commanded = -math.inf
        self._actuators.reset(rows, position, velocity)
        self._actuators.measured[2] = effort
        self._sensors.reset(rows, self._actuators.measured.reshape(1, -1), self._seed)
        self._measure(self._state, time)

    def _measure(self, state: Array, time: float) -> None:
        """Let the encoders measure a state (3, nj) and the sensors take note."""
        position, velocity, effort = state.copy()[:, None]
        self._actuators.measure(position, velocity)
        self._actuators.measured[2] = effort
        self._sensors.record(self._actuators.measured, time - self._began)

    def sense(
        self,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        effort: Sequence[float],
    ) -> tuple[list[float], list[float], list[float]]:
        """What the robot's sensors make of the message that was taken over last.

        Args:
            names: as in :meth:`advance`, like the rest.
            position: of these, or none.
            velocity: likewise.
            effort: likewise.

        Returns:
            Positions, velocities and efforts; what is not the robot's is as it was.
        """
        readings = self._sensors.sample(np.zeros(1, dtype=np.intp)).reshape(3, -1)
        told: tuple[list[float], ...] = (list(position), list(velocity), list(effort))
        for values, reading in zip(told, readings):
            if len(values) == len(names):
                for k, name in enumerate(names):
                    if name in self._columns:
                        values[k] = float(reading[self._columns[name]])
        return told[0], told[1], told[2]

    def sense_imu(self, time: float, values: Sequence[float]) -> list[float]:
        """What the IMU says, of true angular velocity and acceleration (6,) at a time [s]."""
        now, rows = np.reshape(np.asarray(values, dtype=float), (1, 6)), np.zeros(1, dtype=np.intp)
        began, before_time, before = self._imu_past
        passed, h = time - before_time, self.profile.rates.timestep
        steps = 1
        if not -BACKWARD <= passed <= LOST:
            began, before = time, now
            self._imu.reset(rows, now, self._seed)
        else:
            steps = max(0, int(passed / h + 0.5))
            time = before_time + steps * h
        for k in range(1, steps + 1):
            between = before + (k / steps) * (now - before)
            self._imu.record([between], time - (steps - k) * h - began)
        self._imu_past = began, time, now
        reading: list[float] = self._imu.sample(rows)[0].tolist()
        return reading

    def command(self, values: Array) -> Array:
        """Take a command (nj,); it acts from now on.

        Returns:
            What the robot is to be told now, (nj,).
        """
        if math.isnan(self._time):  # no joint states so far: nothing to work on
            return values
        if self._commanded < self._began and self.profile.command.interface != 'position':
            self._actuators.settle(np.zeros(1, dtype=np.intp), values[None])  # a brake held so far
        self._actuators.command(slice(None), values[None])
        self._commanded = self._time
        self._ahead += 1
        self._told = self._actuators.faultless()
        return self._told[0].copy()

    def pending(self) -> Array | None:
        """What the robot is to be told (nj,) after :meth:`advance`; None for nothing new.

        Nothing is new while commands stay away for longer than the robot would wait for one.
        """
        if self._told is None:
            return None
        late = float(self._actuators.parameters['delay'].max())
        if self._time - self._commanded > self.profile.command.timeout + late:
            self._told = None
            return None
        return self._told[0].copy()


def answered(asked: Draw, answer: Draw | None, relay: Relay) -> Draw:
    """The answer to a draw, of the relay and of the simulator behind it; applied whole.

    Args:
        asked: the draw.
        answer: the simulator's, to what the relay does not have; None where there is none.
        relay: is set, unless the simulator refused its part.
    """
    own = {a: v for a, v in asked.values.items() if relay.has(a)}
    if answer is None:
        answer = replace(refused(asked), outcomes=dict.fromkeys(asked.values, 'unsupported'))
    elif answer.values and set(answer.outcomes.values()) == {'failed'}:
        return refused(asked)
    outcomes = {**answer.outcomes, **relay.apply(own)}
    values = {**answer.values, **{a: relay.get(a) for a in own}}
    kept = [a for a in asked.values if a in values]
    return replace(
        asked, values={a: values[a] for a in kept}, outcomes={a: outcomes[a] for a in kept}
    )


def passed_on(draw: Draw, relay: Relay) -> Draw:
    """The part of a draw that is the simulator's."""
    return replace(draw, values={a: v for a, v in draw.values.items() if not relay.has(a)})


def refused(draw: Draw) -> Draw:
    """The answer to a draw of which nothing was applied."""
    kept = {a: math.nan for a in draw.values if _parses(a)}
    return replace(draw, values=kept, outcomes=dict.fromkeys(kept, 'failed'))


def _parses(address: str) -> bool:
    try:
        parse_address(address)
    except InputError:
        return False
    return True
