"""Narrows a space to what an Estimate knows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim2real_core.addresses import quantity
from sim2real_core.errors import Faults
from sim2real_core.records import Estimate, ParameterEstimate
from sim2real_randomizer.config import FLOOR, K_SIGMA, SHAPES
from sim2real_randomizer.distributions import Distribution, Normal, Uniform
from sim2real_randomizer.space import Space, Variation


@dataclass(frozen=True)
class Change:
    """What narrowing did to one address, in absolute SI values.

    Attributes:
        address: which.
        before: smallest and largest value it could take; None when it did not vary.
        after: the same, now; None when it does not vary.
        reason: ``narrowed``, ``added``, or why nothing changed.
    """

    address: str
    before: tuple[float, float] | None
    after: tuple[float, float] | None
    reason: str


def narrow(
    space: Space,
    estimate: Estimate,
    *,
    k_sigma: float = K_SIGMA,
    floor: float = FLOOR,
    shape: str = 'normal',
) -> Space:
    """The space that remains once an estimate is known. See :func:`narrow_with_report`."""
    return narrow_with_report(space, estimate, k_sigma=k_sigma, floor=floor, shape=shape)[0]


def narrow_with_report(
    space: Space,
    estimate: Estimate,
    *,
    k_sigma: float = K_SIGMA,
    floor: float = FLOOR,
    shape: str = 'normal',
) -> tuple[Space, tuple[Change, ...]]:
    """The space that remains once an estimate is known, and what changed.

    An identified address gets a normal distribution around its mean, cut at ``k_sigma`` standard
    deviations, or a uniform one as wide, whether it varied before or not; both are cut to what
    the address admits. The prior does not bound it: what was measured is believed. Every other
    address keeps its prior distribution.

    Args:
        space: the prior.
        estimate: what is known.
        k_sigma: half-width in standard deviations, positive.
        floor: smallest half-width, as a fraction of the mean's size; an estimate that thinks too
            well of itself would else leave nothing to be robust against.
        shape: ``normal`` or ``uniform``.

    Raises:
        InputError: a bad argument, or an estimate of something that the robot does not have.
    """
    _check(k_sigma, floor, shape)
    variations = dict(space.variations)
    reasons = dict.fromkeys(variations, 'not estimated')
    for address, known in estimate.parameters.items():
        what = quantity(address, space.profile)
        if known.status != 'identified' or not math.isfinite(known.std):
            reasons[address] = known.status if known.status != 'identified' else 'std is infinite'
            continue
        reach = max(k_sigma * known.std, floor * abs(known.mean))
        low, high = max(known.mean - reach, what.low), min(known.mean + reach, what.high)
        if not low <= high:
            reasons[address] = f'{known.mean:g} {what.unit} is not admissible'
            continue
        reasons[address] = 'narrowed' if address in variations else 'added'
        variations[address] = Variation(_within(known, low, high, reach / k_sigma, shape))
    after = Space(space.profile, variations)
    changes = (
        Change(
            address,
            space.range(address) if address in space.variations else None,
            after.range(address) if address in variations else None,
            reason,
        )
        for address, reason in reasons.items()
    )
    return after, tuple(changes)


def _check(k_sigma: float, floor: float, shape: str) -> None:
    faults = Faults()
    if not 0 < k_sigma < math.inf:
        faults.add('k_sigma', k_sigma, 'must be positive and finite')
    if not 0 <= floor < math.inf:
        faults.add('floor', floor, 'must be finite and not negative')
    if shape not in SHAPES:
        faults.add('shape', shape, f'must be one of {", ".join(SHAPES)}')
    faults.check()


def _within(
    known: ParameterEstimate, low: float, high: float, std: float, shape: str
) -> Distribution:
    if shape == 'uniform':
        return Uniform(low, high)
    return Normal(min(max(known.mean, low), high), std, low, high)
