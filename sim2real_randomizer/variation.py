"""How one address varies: what numbers, from where, when, and how its range grows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import combine, parse_address
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_randomizer.distributions import Array, Distribution
from sim2real_randomizer.expressions import Expression, Interval, parse

INERTIA = tuple(f'inertia.{axes}' for axes in ('xx', 'yy', 'zz', 'xy', 'xz', 'yz'))
_VALUES = {
    'start': (),
    'reset': (),
    'interval': ('shortest [s]', 'longest [s]'),
    'walk': ('standard deviation after one second, as a share of the range',),
    'ornstein_uhlenbeck': ('time constant [s]',),
}


@dataclass(frozen=True)
class When:
    """When an address is drawn.

    Attributes:
        kind: ``start``: once, the same in all episodes (as in episode 0); ``reset``: once an
            episode; ``interval``: anew whenever a time between two values [s] has passed, itself
            drawn; ``walk``: it wanders, reflected at the ends of its range;
            ``ornstein_uhlenbeck``: it wanders and returns.
        values: of an interval (shortest, longest) [s]; of a walk its standard deviation after
            one second, as a share of the range; of Ornstein-Uhlenbeck its time constant [s].

    Raises:
        InputError: unknown, or the wrong values.
    """

    kind: str = 'reset'
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = _VALUES.get(self.kind)
        if names is None:
            raise InputError(Fault('when', self.kind, f'must be one of {", ".join(_VALUES)}'))
        ok = len(self.values) == len(names) and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < math.inf
            for v in self.values
        )
        if not ok or list(self.values) != sorted(self.values):
            mend = f'{self.kind} takes {" and ".join(names) or "nothing"}, positive and in order'
            raise InputError(Fault('when', list(self.values), mend))
        object.__setattr__(self, 'values', tuple(map(float, self.values)))

    @property
    def within(self) -> bool:
        """Whether it changes within an episode."""
        return bool(self.values)

    @classmethod
    def read(cls, given: Any) -> When:
        """From a file: ``reset``, or ``{walk: 0.1}``, ``{interval: [2, 5]}``."""
        if isinstance(given, Mapping) and len(given) == 1:
            ((kind, values),) = given.items()
            return cls(str(kind), tuple(values) if isinstance(values, list) else (values,))
        return cls(given if isinstance(given, str) else repr(given))

    def written(self) -> Any:
        """What :meth:`read` takes."""
        if not self.values:
            return self.kind
        return {self.kind: list(self.values) if len(self.values) > 1 else self.values[0]}


@dataclass(frozen=True)
class Growth:
    """How the range of an address grows to the whole of its distribution.

    Attributes:
        low: lower end at the beginning.
        high: upper end at the beginning.
        episodes: whole from this episode on, in proportion before; 0: not by schedule.
        delta: step by which the automatic curriculum moves an end; 0: not automatic.

    Raises:
        InputError: not exactly one of the two, or not a range.
    """

    low: float
    high: float
    episodes: int = 0
    delta: float = 0.0

    def __post_init__(self) -> None:
        faults = Faults()
        if not -math.inf < self.low <= self.high < math.inf:
            faults.add('grow.from', [self.low, self.high], 'give [low, high], finite and in order')
        if (self.episodes > 0) == (self.delta > 0) or not math.isfinite(self.delta):
            faults.add(
                'grow', self.written(), 'give either episodes (a schedule) or delta (automatic)'
            )
        faults.check()

    @classmethod
    def read(cls, given: Any) -> Growth:
        """From a file: ``{from: [low, high], episodes: 2000}`` or ``{..., delta: 0.1}``."""
        mend = 'write {from: [low, high], episodes: N} or {from: [low, high], delta: step}'
        try:
            (low, high), rest = given['from'], {k: v for k, v in given.items() if k != 'from'}
            numbers = all(type(v) in (int, float) for v in (low, high, *rest.values()))
            whole = type(rest.get('episodes', 0)) is int
            if not numbers or not whole or not set(rest) <= {'episodes', 'delta'}:
                raise ValueError
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(Fault('grow', given, mend)) from error
        return cls(float(low), float(high), rest.get('episodes', 0), float(rest.get('delta', 0)))

    def written(self) -> dict[str, Any]:
        """What :meth:`read` takes."""
        how = {'episodes': self.episodes} if self.episodes else {'delta': self.delta}
        return {'from': [self.low, self.high], **how}


@dataclass(frozen=True)
class Variation:
    """How one address varies.

    Attributes:
        distribution: what numbers are drawn.
        combine: how a number meets the value it starts from.
        of: the value it starts from, as an expression of drawn values; the address's own nominal
            value when empty.
        when: when it is drawn.
        grow: how its range grows; it is whole from the start when None.
        coupled: of a mass: whether the link's inertia follows it.
    """

    distribution: Distribution
    combine: str = 'absolute'
    of: str = ''
    when: When = When()
    grow: Growth | None = None
    coupled: bool = True

    def numbers(self, uniforms: Array, episodes: npt.ArrayLike) -> Array:
        """Numbers before they are combined, one for each uniform number.

        Args:
            uniforms: any shape.
            episodes: number or numbers of the episode, for a range that grows by schedule.
        """
        if self.grow is None or not self.grow.episodes:
            return self.distribution.sample(uniforms)
        shares = np.clip(np.asarray(episodes) / self.grow.episodes, 0.0, 1.0)
        shares = np.broadcast_to(shares, np.shape(uniforms))
        numbers = np.empty(np.shape(uniforms))
        for share in np.unique(shares):
            here = shares == share
            numbers[here] = self.at(float(share)).sample(np.asarray(uniforms)[here])
        return numbers

    def at(self, share: float) -> Distribution:
        """The distribution when its range has grown by a share (0: as it begins, 1: whole)."""
        low, high = self.distribution.support
        assert self.grow is not None  # else there is nothing to ask
        return self.between(
            self.grow.low + share * (low - self.grow.low),
            self.grow.high + share * (high - self.grow.high),
        )

    def between(self, low: float, high: float) -> Distribution:
        """The distribution, cut to other ends.

        Raises:
            InputError: it has none, or these do not fit it.
        """
        fields = {f.name for f in dataclasses.fields(self.distribution)}
        if not {'low', 'high'} <= fields or not all(map(math.isfinite, self.distribution.support)):
            mend = f'{self.distribution.kind} has no low and high to grow to; give both'
            raise InputError(Fault('grow', self.distribution.kind, mend))
        return dataclasses.replace(self.distribution, low=low, high=high)  # type: ignore[call-arg]

    def range(self, starts: Interval) -> Interval:
        """Smallest and largest absolute value [SI] when it starts from between these two."""
        ends = [combine(self.combine, s, x) for s in starts for x in self.distribution.support]
        return min(ends), max(ends)

    def as_mapping(self) -> dict[str, Any]:
        """What a space file says of it, but for the unit; what is as ever is left out."""
        mapping = {**self.distribution.as_mapping(), 'combine': self.combine}
        if self.of:
            mapping['of'] = self.of
        if self.when != When():
            mapping['when'] = self.when.written()
        if self.grow is not None:
            mapping['grow'] = self.grow.written()
        if not self.coupled:
            mapping['coupled'] = False
        return mapping


def starting_point(address: str, variations: Mapping[str, Variation]) -> Expression | None:
    """The expression whose value an address starts from; None: nothing, or its own nominal.

    A link's inertia that is not told otherwise starts from the nominal one in proportion to the
    drawn mass.

    Raises:
        InputError: the expression cannot be read.
    """
    variation = variations[address]
    parsed = parse_address(address)
    owner = f'{parsed.kind}.{parsed.name}' if parsed.name else parsed.kind
    if variation.of:
        return parse(variation.of, owner)
    mass = variations.get(f'{owner}.mass')
    if parsed.quantity not in INERTIA or mass is None or not mass.coupled:
        return None
    return None if variation.combine == 'absolute' else _coupled(address, f'{owner}.mass')


@lru_cache(maxsize=1024)
def _coupled(inertia: str, mass: str) -> Expression:
    # The ratio first: a mass that stays nominal then leaves the inertia as it is, to the bit.
    return parse(f'nominal({inertia!r}) * ({mass!r} / nominal({mass!r}))')
