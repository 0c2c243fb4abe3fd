"""Applies a draw to a simulator and says what became of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sim2real_core.records import Draw
from sim2real_sim.simulator import Ids, Simulator

ABSOLUTE = 1e-12


def apply_draw(simulator: Simulator, draw: Draw, ids: Ids = None) -> Draw:
    """Apply a draw and read it back.

    Args:
        simulator: where.
        draw: what; its values are absolute.
        ids: which simulations get it; all when None.

    Returns:
        The draw with an outcome for every address. The simulator's word is not enough:
        ``verified`` means that :meth:`Simulator.get` gives the drawn value in each simulation.

    Raises:
        InputError: a value that cannot be; nothing was applied.
    """
    said = simulator.apply(draw.values, ids)
    rows = slice(None) if ids is None else np.asarray(ids)
    read = {
        address: simulator.get(address)[rows]
        for address in draw.values
        if said.get(address) == 'verified'
    }
    return checked(draw, said, read)


def checked(
    draw: Draw,
    said: Mapping[str, str],
    read: Mapping[str, float | np.ndarray],
    tolerance: float = Draw.tolerance,
) -> Draw:
    """The draw with outcomes that hold.

    Args:
        draw: what was asked for.
        said: outcome by address, as the simulator says; a missing one is a failure.
        read: values read back, by address.
        tolerance: see :class:`~sim2real_core.records.Draw`.

    Returns:
        The draw as asked for; an outcome of ``verified`` becomes ``failed`` where the value that
        was read back is another one or was not read.
    """
    outcomes = {}
    for address, value in draw.values.items():
        outcome = said.get(address, 'failed')
        if outcome == 'verified' and not np.allclose(
            read.get(address, np.nan), value, rtol=tolerance, atol=ABSOLUTE
        ):
            outcome = 'failed'
        outcomes[address] = outcome
    return replace(draw, outcomes=outcomes)


def failed(draw: Draw) -> tuple[str, ...]:
    """Addresses of a draw that are not as drawn: unsupported or failed."""
    return tuple(a for a, o in draw.outcomes.items() if o not in ('verified', 'applied'))
