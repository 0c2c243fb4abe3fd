"""Draws, applied to the first simulation and answered with what the engine has."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_core.records import Draw
from sim2real_sim.mujoco_simulator import MujocoSimulator


def differ(simulator: MujocoSimulator, file: str) -> None:
    """Make a robot differ from its model as a JSON file says.

    Args:
        simulator: the robot; draws start from these values from now on.
        file: ``{address: value}``, or ``{"values": {...}}`` as ``sim2real randomize draw`` writes.

    Raises:
        InputError: the file or a value in it; every fault is named.
    """
    try:
        data = json.loads(Path(file).read_text(encoding='utf-8'))
        values = {str(a): float(v) for a, v in data.get('values', data).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        mend = f'give a JSON file of address: number ({error})'
        raise InputError(Fault('parameters_file', file, mend)) from error
    try:
        outcomes = simulator.set_baseline(values)
    except InputError as error:
        raise InputError(*(replace(fault, file=file) for fault in error.faults)) from error
    wrong = [a for a, outcome in outcomes.items() if outcome != 'verified']
    if wrong:
        raise InputError(*(Fault(a, values[a], outcomes[a], file) for a in wrong))


def apply(simulator: MujocoSimulator, draw: Draw) -> tuple[Draw, str]:
    """Apply a draw, whole or not at all.

    Returns:
        The draw with the values that the engine has now (nan for what it does not have) and
        outcomes; and why nothing was applied, or ``''``. An address that cannot be parsed is
        named there alone: no record holds it.
    """
    outcomes, trouble = dict.fromkeys(draw.values, 'failed'), ''
    try:
        outcomes = simulator.apply(draw.values)
    except InputError as error:
        trouble = str(error)
    values = {}
    for address in draw.values:
        if not _parses(address):
            del outcomes[address]
        elif simulator.has(address):
            values[address] = float(simulator.get(address)[0])
        else:
            values[address] = math.nan
    return replace(draw, values=values, outcomes=outcomes), trouble


def _parses(address: str) -> bool:
    try:
        parse_address(address)
    except InputError:
        return False
    return True
