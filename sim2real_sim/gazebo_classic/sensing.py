"""Sensors of a robot's joints, which Gazebo Classic does not model: the bridge does."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import SENSED, parse_address, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile import RobotProfile
from sim2real_sim.realism import Sensors
from sim2real_sim.simulator import JointReading

Array = npt.NDArray[np.float64]
ROW = np.zeros(1, dtype=np.intp)


class JointSensors:
    """Noise, bias, delay, dropout and quantization of joint states.

    Noise is the profile's unless a draw says otherwise. A delay is one of whole samples.

    Args:
        profile: the robot.
        seed: of the noise.
    """

    def __init__(self, profile: RobotProfile, seed: int = 0) -> None:
        self._profile = profile
        self._sensors = Sensors((1, len(SENSED) * len(profile.joints)), parts=len(SENSED))
        noise = [profile.array(f'{measured}_noise') for measured in SENSED]
        self._sensors.parameters['noise'][0] = np.concatenate(noise)
        self._nominal = {k: v.copy() for k, v in self._sensors.parameters.items()}
        self._seed = np.array([seed], dtype=np.uint64)
        self._begun = False
        self._apply()

    def has(self, address: str) -> bool:
        """Whether an address is of a joint's sensor."""
        parsed = parse_address(address)
        return parsed.kind == 'sensor' and self._column(parsed.name) is not None

    def check(self, values: Mapping[str, float]) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: values out of range; all are named.
        """
        faults = Faults()
        for address, value in values.items():
            try:
                limits = quantity(address, self._profile)
                if not (math.isfinite(value) and limits.low <= value <= limits.high):
                    bounds = f'[{limits.low:g}, {limits.high:g}] {limits.unit}'
                    raise InputError(Fault(address, value, f'must be within {bounds}'))
            except InputError as error:
                faults.extend(error)
        faults.check()

    def apply(self, values: Mapping[str, float]) -> None:
        """Be as a draw says, and nominal for the rest."""
        for name, nominal in self._nominal.items():
            self._sensors.parameters[name][:] = nominal
        for address, value in values.items():
            parsed = parse_address(address)
            self._sensors.parameters[parsed.quantity][0, self._column(parsed.name)] = value
        self._apply()

    def value(self, address: str) -> float:
        """The value of an address."""
        parsed = parse_address(address)
        return float(self._sensors.parameters[parsed.quantity][0, self._column(parsed.name)])

    def read(self, true: JointReading) -> JointReading:
        """What the sensors say of one sample."""
        present = [true.position, true.velocity, true.effort]
        if not self._begun:
            self._sensors.reset(ROW, np.concatenate(present, axis=1), self._seed)
            self._begun = True
        self._sensors.record(present, true.time)
        position, velocity, effort = np.split(self._sensors.sample(ROW), 3, axis=1)
        return JointReading(true.time, position, velocity, effort)

    def _apply(self) -> None:
        period = 1.0 / self._profile.rates.joint_state_rate
        self._sensors.update(np.array([[period]]))

    def _column(self, name: str) -> int | None:
        """Column of a sensor, named ``<joint>_<what it measures>``."""
        joint, _, measured = name.rpartition('_')
        if joint not in self._profile.joint_names or measured not in SENSED:
            return None
        index = self._profile.joint_names.index(joint)
        return SENSED.index(measured) * len(self._profile.joints) + index
