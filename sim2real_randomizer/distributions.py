"""Distributions, each sampled by its inverse distribution function.

``sample`` maps uniform numbers in [0, 1] of any shape to values of the same shape, so that one
keyed uniform gives one value and a whole batch is one NumPy expression; 0 and 1 give the ends.
A distribution of no width gives its value exactly, bit for bit.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicHermiteSpline
from scipy.special import betaincinv, betaln, expit, logit, ndtr, ndtri

from sim2real_core.errors import Faults, InputError

Array = npt.NDArray[np.float64]
INFINITY = math.inf
MIN_SHAPE, MAX_SHAPE = 0.1, 1e4
ODDS = 40.0  # beyond the log odds of any uniform number that can occur
KNOTS = 4097


@dataclass(frozen=True)
class Distribution(ABC):
    """Base of all distributions: checks itself when built and names every fault.

    Raises:
        InputError: a parameter that is not finite or does not fit the others.
    """

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        faults = Faults()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == 'float':
                value = self._number(field.name, value, faults)
            else:
                values = value if isinstance(value, (list, tuple)) else [value]
                value = tuple(self._number(field.name, v, faults) for v in values)
            object.__setattr__(self, field.name, value)
        if not faults.found:
            self._check(faults)
        faults.check()

    def _number(self, name: str, value: Any, faults: Faults) -> float:
        # Numbers of NumPy come from a computed space.
        number = isinstance(value, (int, float, np.integer, np.floating))
        if isinstance(value, bool) or not number or math.isnan(value):
            faults.add(name, value, 'must be a number')
            return 0.0
        if math.isinf(value) and not self._may_be_infinite(name):
            faults.add(name, value, 'must be finite')
        return float(value)

    def _may_be_infinite(self, name: str) -> bool:
        return False

    def _check(self, faults: Faults) -> None:
        """Rules that tie parameters together; most have none."""
        return

    @abstractmethod
    def sample(self, uniforms: Array) -> Array:
        """Values for uniform numbers in [0, 1], of the same shape."""

    @property
    @abstractmethod
    def support(self) -> tuple[float, float]:
        """Smallest and largest value it can give."""

    def within(self, low: float, high: float) -> Distribution:
        """The same, cut to a range where it is one that has tails."""
        return self

    def as_mapping(self) -> dict[str, Any]:
        """What a space file says of it; infinite bounds are left out."""
        mapping: dict[str, Any] = {'distribution': self.kind}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                if value:
                    mapping[field.name] = list(value)
            elif math.isfinite(value):
                mapping[field.name] = value
        return mapping


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value."""

    kind = 'constant'
    value: float

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        return np.full(np.shape(uniforms), self.value)

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return self.value, self.value


def _check_order(low: float, high: float, faults: Faults) -> None:
    if low > high:
        faults.add('low', low, f'must not exceed high ({high:g}); is the range reversed?')


@dataclass(frozen=True)
class Uniform(Distribution):
    """Every value between ``low`` and ``high`` alike."""

    kind = 'uniform'
    low: float
    high: float

    def _check(self, faults: Faults) -> None:
        _check_order(self.low, self.high, faults)

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        return np.minimum(self.low + uniforms * (self.high - self.low), self.high)

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return self.low, self.high


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Every order of magnitude between ``low`` and ``high`` alike; both positive."""

    kind = 'log_uniform'
    low: float
    high: float

    def _check(self, faults: Faults) -> None:
        _check_order(self.low, self.high, faults)
        if self.low <= 0:
            faults.add('low', self.low, 'must be positive: the logarithm is what is uniform')

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        return np.minimum(self.low * np.exp(uniforms * math.log(self.high / self.low)), self.high)

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return self.low, self.high


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal of ``mean`` and standard deviation ``std`` (not the variance), cut to [low, high].

    ``std`` is that of the whole normal distribution; cutting makes what remains narrower.
    """

    kind = 'normal'
    mean: float
    std: float
    low: float = -INFINITY
    high: float = INFINITY

    def _may_be_infinite(self, name: str) -> bool:
        return name in ('low', 'high')

    def _check(self, faults: Faults) -> None:
        _check_order(self.low, self.high, faults)
        if self.std < 0:
            faults.add('std', self.std, 'must not be negative')
        elif not self.low <= self.mean <= self.high:
            faults.add('mean', self.mean, f'must lie within [{self.low:g}, {self.high:g}]')

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        if self.std == 0:
            return np.full(np.shape(uniforms), self.mean)
        below = float(ndtr((self.low - self.mean) / self.std))
        above = float(ndtr((self.high - self.mean) / self.std))
        values = self.mean + self.std * ndtri(below + uniforms * (above - below))
        return np.clip(values, self.low, self.high)

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return (self.mean, self.mean) if self.std == 0 else (self.low, self.high)

    def within(self, low: float, high: float) -> Distribution:
        """Bounds that were not given become those of the range."""
        return dataclasses.replace(
            self,
            low=low if math.isinf(self.low) else self.low,
            high=high if math.isinf(self.high) else self.high,
        )


@dataclass(frozen=True)
class Beta(Distribution):
    """Beta distribution of shape ``a``, ``b``, stretched from [0, 1] to [low, high].

    Its quantiles come from a spline through exact ones, to 1e-9 of the range: in logarithmic odds
    of both sides they are nearly straight, tails included.
    """

    kind = 'beta'
    a: float
    b: float
    low: float = 0.0
    high: float = 1.0

    def _check(self, faults: Faults) -> None:
        _check_order(self.low, self.high, faults)
        for name in ('a', 'b'):
            if not MIN_SHAPE <= getattr(self, name) <= MAX_SHAPE:
                mend = f'must lie within [{MIN_SHAPE:g}, {MAX_SHAPE:g}]'
                faults.add(name, getattr(self, name), mend)

    @cached_property
    def _spline(self) -> CubicHermiteSpline:
        """Log odds of the quantile over log odds of the uniform number."""
        odds = np.linspace(-ODDS, ODDS, KNOTS)
        u, rest = expit(odds), expit(-odds)
        # Each tail from its own side: 1 - x of a small x says nothing more of it.
        x = np.where(odds < 0, betaincinv(self.a, self.b, u), 0.0)
        y = np.where(odds < 0, 1.0 - x, betaincinv(self.b, self.a, rest))
        x = np.where(odds < 0, x, 1.0 - y)
        tiny = np.finfo(float).tiny
        x, y = np.maximum(x, tiny), np.maximum(y, tiny)
        log_x, log_y = np.log(x), np.log(y)
        density = np.exp(self.a * log_x + self.b * log_y - betaln(self.a, self.b))  # of log odds
        return CubicHermiteSpline(odds, log_x - log_y, u * rest / np.maximum(density, tiny))

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        odds = np.clip(logit(uniforms), -ODDS, ODDS)
        values = self.low + expit(self._spline(odds)) * (self.high - self.low)
        values = np.where(np.less_equal(uniforms, 0.0), self.low, values)
        values = np.where(np.greater_equal(uniforms, 1.0), self.high, values)
        return np.asarray(np.clip(values, self.low, self.high))

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return self.low, self.high


@dataclass(frozen=True)
class Categorical(Distribution):
    """One of ``values``, with probabilities in proportion to ``weights`` (equal when empty)."""

    kind = 'categorical'
    values: tuple[float, ...]
    weights: tuple[float, ...] = ()

    def _check(self, faults: Faults) -> None:
        if not self.values:
            faults.add('values', [], 'give at least one')
        if self.weights and len(self.weights) != len(self.values):
            faults.add('weights', list(self.weights), f'give {len(self.values)}, one a value')
        elif self.weights and (min(self.weights) < 0 or sum(self.weights) <= 0):
            faults.add('weights', list(self.weights), 'must not be negative, nor all zero')

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        weights = np.array(self.weights or [1.0] * len(self.values))
        edges = np.cumsum(weights / weights.sum())
        # 'right' skips values of weight 0; rounding may leave the last edge just below 1.
        index = np.searchsorted(edges, uniforms, side='right')
        last = int(np.flatnonzero(weights)[-1])
        return np.asarray(np.array(self.values)[np.minimum(index, last)])

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Empirical(Distribution):
    """One of many samples, each as likely: of a posterior, say, or of what was measured."""

    kind = 'empirical'
    samples: tuple[float, ...]

    def _check(self, faults: Faults) -> None:
        if not self.samples:
            faults.add('samples', [], 'give at least one')

    @cached_property
    def _array(self) -> Array:
        return np.array(self.samples)

    def sample(self, uniforms: Array) -> Array:
        """See Distribution."""
        return np.asarray(self._array[pick(uniforms, len(self.samples))])

    @property
    def support(self) -> tuple[float, float]:
        """See Distribution."""
        return min(self.samples), max(self.samples)


def pick(uniforms: Array, count: int) -> npt.NDArray[np.intp]:
    """An index below ``count`` for each uniform number, all alike."""
    return np.minimum(np.asarray(uniforms * count, dtype=np.intp), count - 1)


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    d.kind: d for d in (Constant, Uniform, LogUniform, Normal, Beta, Categorical, Empirical)
}


def from_mapping(mapping: Mapping[str, Any]) -> Distribution:
    """Build a distribution from ``{'distribution': kind, parameter: value, ...}``.

    Raises:
        InputError: every fault; the field is the key of the mapping.
    """
    faults = Faults()
    kind = mapping.get('distribution')
    found = DISTRIBUTIONS.get(kind) if isinstance(kind, str) else None
    if found is None:
        faults.add('distribution', kind, f'must be one of {", ".join(DISTRIBUTIONS)}')
        faults.check()
    assert found is not None  # else there was a fault
    fields = {f.name: f for f in dataclasses.fields(found)}
    for key, value in mapping.items():
        if key != 'distribution' and key not in fields:
            faults.add(str(key), value, f'unknown; {kind} takes {", ".join(fields)}')
    for name, field in fields.items():
        if name not in mapping and field.default is dataclasses.MISSING:
            faults.add(name, None, f'{kind} needs it')
    if not faults.found:
        try:
            return found(**{k: v for k, v in mapping.items() if k in fields})
        except InputError as error:
            faults.extend(error)
    faults.check()
    raise AssertionError('unreachable: there was a fault')
