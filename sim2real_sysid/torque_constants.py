"""What the efforts in joint states are worth: some drivers report currents."""

from __future__ import annotations

from typing import Any

from sim2real_core.config import parameter
from sim2real_core.errors import Fault, Faults, InputError


def parameter_of_torque_constants() -> Any:
    """The parameter ``torque_constants``, the same online and in batch."""
    return parameter(
        (1.0,),
        'What one unit of effort in the joint states is worth; for a current the torque constant '
        'times the gear ratio, negative where it counts the other way. One for all joints, or '
        "each joint's in the order of the profile.",
        unit='N*m or N per unit',
        low=-1e6,
        high=1e6,
    )


def check_torque_constants(given: tuple[float, ...], faults: Faults) -> None:
    """Every effort is worth something."""
    if not given or not all(given):
        mend = 'must be numbers other than 0, one for all joints or one each'
        faults.add('torque_constants', given, mend)


def torque_constants_of(given: tuple[float, ...], joints: int) -> tuple[float, ...]:
    """One torque constant for each joint.

    Raises:
        InputError: neither one nor one a joint.
    """
    if len(given) not in (1, joints):
        mend = f'must be one number, or {joints}, one a joint'
        raise InputError(Fault('torque_constants', given, mend))
    return given if len(given) == joints else given * joints
