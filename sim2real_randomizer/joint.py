"""Several addresses drawn together: a normal distribution with covariance, samples of a posterior.

Each address has a :class:`Member` of the joint distribution as its distribution. The normal one
takes one uniform number of each of its addresses, so that who leaves it changes nothing for the
rest; samples take one for all.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_randomizer.distributions import Array, Distribution, pick

INFINITY = math.inf


@dataclass(frozen=True)
class Joint(ABC):
    """Base: a distribution over several addresses.

    Attributes:
        name: a name of one's own.
        addresses: what is drawn together.
    """

    kind: ClassVar[str]
    name: str
    addresses: tuple[str, ...]

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """Keys of the uniform numbers it takes."""

    @abstractmethod
    def numbers(self, uniforms: Callable[[str], Array]) -> dict[str, Array]:
        """Numbers by address, for uniform numbers by key."""

    @abstractmethod
    def support(self, address: str) -> tuple[float, float]:
        """Smallest and largest number of an address."""

    @abstractmethod
    def marginal(self, address: str, uniforms: Array) -> Array:
        """Numbers of one address alone, without its bounds."""

    @abstractmethod
    def as_mapping(self) -> dict[str, Any]:
        """What a space file says of it."""


@dataclass(frozen=True)
class JointNormal(Joint):
    """Normal with ``mean`` and ``covariance`` (symmetric, positive semidefinite).

    Raises:
        InputError: every fault.
    """

    kind = 'normal'
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        faults = Faults()
        n = len(self.addresses)
        mean = _numbers(self.mean, (n,), 'mean', f'give {n} numbers, one an address', faults)
        mend = f'give {n} rows of {n} numbers'
        covariance = _numbers(self.covariance, (n, n), 'covariance', mend, faults)
        faults.check()
        if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0.0):
            faults.add('covariance', self.covariance, 'must be symmetric')
        elif np.linalg.eigvalsh(covariance)[0] < -1e-9 * max(np.trace(covariance), 0.0):
            faults.add('covariance', self.covariance, 'must be positive semidefinite')
        faults.check()
        object.__setattr__(self, 'mean', tuple(mean.tolist()))
        object.__setattr__(self, 'covariance', tuple(map(tuple, covariance.tolist())))

    @property
    def keys(self) -> tuple[str, ...]:
        """See Joint."""
        return self.addresses

    @cached_property
    def _factor(self) -> tuple[list[int], Array]:
        """Order of the addresses, by name, and the Cholesky factor in that order.

        By name, so that the order in the file does not matter.
        """
        order = sorted(range(len(self.addresses)), key=self.addresses.__getitem__)
        covariance = np.array(self.covariance)[np.ix_(order, order)]
        factor = np.zeros_like(covariance)
        for j, variance in enumerate(np.diag(covariance)):
            left = variance - factor[j] @ factor[j]
            if left > 1e-12 * variance:  # else it follows from those before
                factor[j, j] = math.sqrt(left)
                below = covariance[j + 1 :, j] - factor[j + 1 :] @ factor[j]
                factor[j + 1 :, j] = below / factor[j, j]
        return order, factor

    def numbers(self, uniforms: Callable[[str], Array]) -> dict[str, Array]:
        """See Joint."""
        order, factor = self._factor
        standard: list[Array] = []
        numbers = {}
        for row, index in zip(factor, order):
            standard.append(ndtri(uniforms(self.addresses[index])))
            # Term by term: a matrix product rounds otherwise for another number of worlds.
            number = np.full(np.shape(standard[0]), self.mean[index])
            for weight, value in zip(row, standard):
                if weight:
                    number = number + weight * value
            numbers[self.addresses[index]] = number
        return numbers

    def support(self, address: str) -> tuple[float, float]:
        """See Joint."""
        index = self.addresses.index(address)
        mean = self.mean[index]
        return (-INFINITY, INFINITY) if self.covariance[index][index] > 0 else (mean, mean)

    def marginal(self, address: str, uniforms: Array) -> Array:
        """See Joint."""
        index = self.addresses.index(address)
        std = math.sqrt(max(self.covariance[index][index], 0.0))
        if std == 0:
            return np.full(np.shape(uniforms), self.mean[index])
        return np.asarray(self.mean[index] + std * ndtri(uniforms))

    def as_mapping(self) -> dict[str, Any]:
        """See Joint."""
        return {
            'distribution': self.kind,
            'addresses': list(self.addresses),
            'mean': list(self.mean),
            'covariance': [list(row) for row in self.covariance],
        }


@dataclass(frozen=True)
class JointEmpirical(Joint):
    """One of many samples, each a row with a number for every address.

    Raises:
        InputError: not a table of numbers.
    """

    kind = 'empirical'
    samples: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        faults = Faults()
        rows, n = len(self.samples), len(self.addresses)
        mend = f'give at least one row of {n} numbers, one an address'
        table = _numbers(self.samples, (max(rows, 1), n), 'samples', mend, faults)
        faults.check()
        object.__setattr__(self, 'samples', tuple(map(tuple, table.tolist())))

    @property
    def keys(self) -> tuple[str, ...]:
        """See Joint."""
        return (f'joint {self.name}',)

    @cached_property
    def _columns(self) -> Array:
        return np.array(self.samples).T.copy()

    def numbers(self, uniforms: Callable[[str], Array]) -> dict[str, Array]:
        """See Joint."""
        rows = pick(uniforms(self.keys[0]), len(self.samples))
        return {a: np.asarray(c[rows]) for a, c in zip(self.addresses, self._columns)}

    def support(self, address: str) -> tuple[float, float]:
        """See Joint."""
        column = self._columns[self.addresses.index(address)]
        return float(column.min()), float(column.max())

    def marginal(self, address: str, uniforms: Array) -> Array:
        """See Joint."""
        column = np.sort(self._columns[self.addresses.index(address)])
        return np.asarray(column[pick(uniforms, len(column))])

    def as_mapping(self) -> dict[str, Any]:
        """See Joint."""
        return {
            'distribution': self.kind,
            'addresses': list(self.addresses),
            'samples': [list(row) for row in self.samples],
        }


JOINTS: dict[str, type[Joint]] = {j.kind: j for j in (JointNormal, JointEmpirical)}


@dataclass(frozen=True)
class Member(Distribution):
    """One address of a joint distribution, cut to [low, high].

    What falls outside is drawn again, together with all that is drawn with it.
    """

    kind = 'joint'
    joint: Joint
    address: str
    low: float = -INFINITY
    high: float = INFINITY

    def __post_init__(self) -> None:
        faults = Faults()
        if self.low > self.high:
            faults.add('low', self.low, f'must not exceed high ({self.high:g})')
        if self.address not in self.joint.addresses:
            faults.add('addresses', self.address, f'{self.joint.name} does not have it')
        faults.check()

    def sample(self, uniforms: Array) -> Array:
        """Numbers of this address alone."""
        return np.clip(self.joint.marginal(self.address, uniforms), self.low, self.high)

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        low, high = self.joint.support(self.address)
        return max(low, self.low), min(high, self.high)

    def within(self, low: float, high: float) -> Distribution:
        """See Distribution; samples are not cut: one outside is a fault of the file."""
        if isinstance(self.joint, JointEmpirical):
            return self
        cut = dataclasses.replace(self, low=max(low, self.low), high=min(high, self.high))
        mean = float(self.joint.marginal(self.address, np.array(0.5)))
        if not cut.low <= mean <= cut.high:
            mend = f'the mean of {self.address} must lie within [{cut.low:g}, {cut.high:g}]'
            raise InputError(Fault('mean', mean, mend))
        return cut

    def as_mapping(self) -> dict[str, Any]:
        """What it means; in a file it stands under ``joint``."""
        ends = {k: v for k, v in (('low', self.low), ('high', self.high)) if math.isfinite(v)}
        meaning = {'joint': self.joint.name, 'address': self.address, **ends}
        return {**self.joint.as_mapping(), **meaning}


def _numbers(
    given: Any, shape: tuple[int, ...], name: str, mend: str, faults: Faults
) -> npt.NDArray[np.float64]:
    try:
        array = np.array(given, dtype=float)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        faults.add(name, given, mend + ', finite')
    return array


def make(kind: str, name: str, addresses: tuple[str, ...], given: dict[str, Any]) -> Joint:
    """A joint distribution from what a file says of it.

    Raises:
        InputError: every fault; the field is the key.
    """
    faults = Faults()
    fields = [f.name for f in dataclasses.fields(JOINTS[kind])][2:]
    for key in given:
        if key not in fields:
            faults.add(key, given[key], f'unknown; a joint {kind} takes {", ".join(fields)}')
    for field in fields:
        if field not in given:
            faults.add(field, None, f'a joint {kind} needs it')
    if len(set(addresses)) < len(addresses):
        faults.add('addresses', list(addresses), 'each once')
    faults.check()
    try:
        return JOINTS[kind](name, addresses, **given)
    except InputError as error:
        faults.extend(error)
    faults.check()
    raise AssertionError('unreachable: there was a fault')
