"""Narrows a space to what an Estimate knows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sim2real_core.addresses import quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.records import STATUSES, Estimate, ParameterEstimate
from sim2real_randomizer.config import CEILING, FLOOR, K_SIGMA, SHAPES
from sim2real_randomizer.distributions import Distribution, Normal, Uniform
from sim2real_randomizer.joint import JointNormal, Member
from sim2real_randomizer.space import Space, Variation

SECTIONS = ('parameters', 'final')
"""Where the results of batch identification and of a replay have their estimate."""


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
    ceiling: float = CEILING,
    shape: str = 'normal',
) -> Space:
    """The space that remains once an estimate is known. See :func:`narrow_with_report`."""
    return narrow_with_report(
        space, estimate, k_sigma=k_sigma, floor=floor, ceiling=ceiling, shape=shape
    )[0]


def narrow_with_report(
    space: Space,
    estimate: Estimate,
    *,
    k_sigma: float = K_SIGMA,
    floor: float = FLOOR,
    ceiling: float = CEILING,
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
        ceiling: largest half-width, as a multiple of that of the prior's range, if the address
            varied before; the floor has precedence.
        shape: ``normal``, ``uniform``, or ``joint``: normal with the estimate's correlations.

    Raises:
        InputError: a bad argument, or an estimate of something that the robot does not have.
    """
    _check(k_sigma, floor, ceiling, shape)
    variations = dict(space.variations)
    narrowed: dict[str, Normal] = {}
    reasons = dict.fromkeys(variations, 'not estimated')
    for address, known in estimate.parameters.items():
        what = quantity(address, space.profile)
        if known.status != 'identified' or not math.isfinite(known.std):
            reasons[address] = known.status if known.status != 'identified' else 'std is infinite'
            continue
        widest = math.inf
        if address in space.variations and (width := np.ptp(space.range(address))) > 0:
            widest = ceiling * float(width) / 2
        reach = max(min(k_sigma * known.std, widest), floor * abs(known.mean))
        low, high = max(known.mean - reach, what.low), min(known.mean + reach, what.high)
        if not low <= high:
            reasons[address] = f'{known.mean:g} {what.unit} is not admissible'
            continue
        reasons[address] = 'narrowed' if address in variations else 'added'
        mean = min(max(known.mean, low), high)
        narrowed[address] = Normal(mean, reach / k_sigma, low, high)
    for address, found in _shaped(narrowed, estimate, shape).items():
        prior = space.variations.get(address, Variation(found))
        variations[address] = Variation(found, when=prior.when, coupled=prior.coupled)
    after = replace(space, variations=variations, path=None)
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


def _check(k_sigma: float, floor: float, ceiling: float, shape: str) -> None:
    faults = Faults()
    if not 0 < k_sigma < math.inf:
        faults.add('k_sigma', k_sigma, 'must be positive and finite')
    if not 0 <= floor < math.inf:
        faults.add('floor', floor, 'must be finite and not negative')
    if not 0 < ceiling < math.inf:
        faults.add('ceiling', ceiling, 'must be positive and finite')
    if shape not in SHAPES:
        faults.add('shape', shape, f'must be one of {", ".join(SHAPES)}')
    faults.check()


def _shaped(
    narrowed: Mapping[str, Normal], estimate: Estimate, shape: str
) -> dict[str, Distribution]:
    """How the narrowed addresses vary."""
    found: dict[str, Distribution] = dict(narrowed)
    if shape == 'uniform':
        found = {address: Uniform(n.low, n.high) for address, n in narrowed.items()}
    tied = tuple(address for address in estimate.order if address in narrowed)
    if shape == 'joint' and len(tied) > 1:
        index = [estimate.order.index(address) for address in tied]
        covariance = np.asarray(estimate.covariance, dtype=float)[np.ix_(index, index)]
        # Floor and ceiling change deviations, not correlations.
        before = np.sqrt(np.diag(covariance))
        factor = np.array([narrowed[a].std for a in tied]) / np.where(before > 0, before, 1.0)
        scaled = covariance * np.outer(factor, factor)
        joint = JointNormal(
            'estimate',
            tied,
            tuple(narrowed[a].mean for a in tied),
            tuple(map(tuple, ((scaled + scaled.T) / 2).tolist())),
        )
        found.update({a: Member(joint, a, narrowed[a].low, narrowed[a].high) for a in tied})
    return found


def read_estimate(path: str | Path) -> Estimate:
    """Read an estimate: JSON of address to ``{mean, std, status}``, as ``Estimate.as_json`` gives.

    What ``sim2real sysid fit`` or ``sim2real replay`` wrote has it under :data:`SECTIONS`.
    ``std`` is null where nothing is known. ``__covariance__``, if there, has the ``order`` of the
    addresses and the rows of the ``value``.

    Raises:
        InputError: every fault.
    """
    file = str(path)
    try:
        data = dict(json.loads(Path(path).read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError) as error:
        mend = f'give a JSON file of address to mean, std and status ({error})'
        raise InputError(Fault('estimate', file, mend, file)) from error
    for section in SECTIONS:
        if isinstance(data.get(section), Mapping):
            data = dict(data[section])
            break
    faults, parameters = Faults(file), {}
    tied = data.pop('__covariance__', {'order': [], 'value': []})
    for address, known in data.items():
        try:
            std = math.inf if known['std'] is None else float(known['std'])
            mean, status = float(known['mean']), known.get('status', 'identified')
            if status not in STATUSES or not math.isfinite(mean) or not std >= 0:
                raise ValueError(f'status is one of {", ".join(STATUSES)}, std not negative')
            parameters[address] = ParameterEstimate(
                mean,
                std,
                status,
                quantity(address).unit,
                tuple(map(str, known.get('confounded', ()))),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.add(address, known, f'give mean, std and status ({error})')
        except InputError as error:
            faults.extend(error)
    order: tuple[str, ...] = ()
    covariance = np.zeros((0, 0))
    try:
        order = tuple(map(str, tied['order']))
        covariance = np.array(tied['value'], dtype=float).reshape(len(order), len(order))
    except (KeyError, TypeError, ValueError) as error:
        faults.add('__covariance__', tied, f'give order and value, a square table ({error})')
    faults.check()
    return Estimate(0.0, parameters, order, covariance)
