"""Waiting for what can only be asked for again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from sim2real_sim.world import WorldError

PAUSE = 0.002  # [s]


def until(condition: Callable[[], object], what: str, timeout: float) -> None:
    """Ask until a condition holds.

    Raises:
        WorldError: it does not by the deadline [s].
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise WorldError(f'Gazebo: no {what} within {timeout:g} s')
        time.sleep(PAUSE)
