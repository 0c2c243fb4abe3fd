"""What a guard may do about an order, as bits and by name."""

from __future__ import annotations

from functools import cache

INTERVENTIONS = (
    'position_limit',
    'velocity_limit',
    'acceleration_limit',
    'effort_limit',
    'rate_limit',
    'workspace',
    'non_finite',
    'hold',
    'damp',
    'stop',
    'novelty',
    'override',
)
"""Name of each bit of ``Guard.flags``, lowest first."""

(
    POSITION,
    VELOCITY,
    ACCELERATION,
    EFFORT,
    RATE,
    WORKSPACE,
    NON_FINITE,
    HOLD,
    DAMP,
    STOP,
    NOVELTY,
    OVERRIDE,
) = (1 << bit for bit in range(len(INTERVENTIONS)))


@cache
def names_of(flags: int) -> tuple[str, ...]:
    """Names of the bits that are set; the same object for the same bits."""
    return tuple(name for bit, name in enumerate(INTERVENTIONS) if flags >> bit & 1)
