"""How the values of a space follow from uniform numbers.

Every address takes one uniform number of its own key, or those of the joint distribution it
belongs to; distribution, starting point and combination make it a value. Constraints reject:
worlds that violate one are drawn again, with numbers of other keys, and only the addresses that
the constraint depends on, so that all others keep their values.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import Quantity, combine
from sim2real_core.errors import Fault, InputError
from sim2real_randomizer.distributions import Array
from sim2real_randomizer.expressions import Expression
from sim2real_randomizer.joint import Joint, Member
from sim2real_randomizer.keyed import Integers, uniforms
from sim2real_randomizer.variation import Variation, starting_point

Nominal = Callable[[str], float]
Rows = npt.NDArray[np.intp]
TRIES = 1000
WHOLE = ('world.solver_iterations',)


class Latents(Protocol):
    """Uniform numbers by key, one for each world."""

    @property
    def episodes(self) -> Integers:
        """Number or numbers of the episode, broadcast against the worlds."""
        ...

    def __call__(self, key: str, attempt: int) -> Array:
        """Numbers in (0, 1); ``attempt`` counts from 0 how often they were asked for anew."""
        ...

    def rows(self, rows: Rows) -> Latents:
        """The same for some worlds alone, by index into the flattened shape."""
        ...


@dataclass(frozen=True)
class Keyed:
    """Functions of (seed, key, environment, episode) alone. See :mod:`keyed`.

    Attributes:
        seed: of all.
        environments: index or indices.
        episodes: number or numbers, broadcast against them.
        starts: keys that are drawn once a start: they have in all episodes what they have in
            episode 0.
    """

    seed: int
    environments: Integers
    episodes: Integers
    starts: frozenset[str] = frozenset()

    def __call__(self, key: str, attempt: int) -> Array:
        """See Latents."""
        episodes = np.zeros_like(self.episodes) if key in self.starts else self.episodes
        return uniforms(self.seed, attempted(key, attempt), self.environments, episodes)

    def rows(self, rows: Rows) -> Keyed:
        """See Latents."""
        environments, episodes = np.broadcast_arrays(self.environments, self.episodes)
        return Keyed(self.seed, environments.ravel()[rows], episodes.ravel()[rows], self.starts)


def attempted(key: str, attempt: int) -> str:
    """The key of a further attempt."""
    return f'{key} try {attempt}' if attempt else key


@dataclass(frozen=True)
class _Part:
    """Addresses that constraints, or the bounds of a joint distribution, tie together.

    Attributes:
        conditions: name to what must hold.
        members: addresses whose numbers must stay within bounds.
        again: addresses that are drawn again where anything is violated.
        order: what has to be computed then: these, and all that starts from them.
    """

    conditions: Mapping[str, Expression]
    members: Mapping[str, Member]
    again: frozenset[str]
    order: tuple[str, ...]

    def violations(self, worlds: _Worlds) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
        """Name, text and where, of everything that may be violated."""
        for name, condition in self.conditions.items():
            found = condition.value(worlds.value, worlds.nominal)
            yield f'constraints.{name}', condition.text, ~np.asarray(found, bool)
        for address, member in self.members.items():
            number = worlds.numbers[address]
            wrong = (number < member.low) | (number > member.high)
            text = f'{address} within [{member.low:g}, {member.high:g}]'
            yield f'joint.{member.joint.name}', text, wrong

    def violated(self, worlds: _Worlds) -> npt.NDArray[np.bool_]:
        """Where anything is."""
        wrong = np.zeros(worlds.shape, bool)
        for *_, where in self.violations(worlds):
            wrong |= where
        return wrong


@dataclass(frozen=True)
class _Worlds:
    """Worlds in the making.

    Attributes:
        nominal: nominal value of an address.
        values: absolute values by address.
        numbers: of the members of joint distributions, before they are combined.
    """

    nominal: Nominal
    values: dict[str, Array]
    numbers: dict[str, Array]

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(next(iter(self.values.values())))

    def value(self, address: str) -> Array | float:
        """What does not vary is nominal."""
        return self.values[address] if address in self.values else self.nominal(address)

    def rows(self, rows: Rows, without: Container[str]) -> _Worlds:
        """Some of them, without some addresses."""
        values, numbers = (
            {a: v.reshape(-1)[rows] for a, v in of.items() if a not in without}
            for of in (self.values, self.numbers)
        )
        return _Worlds(self.nominal, values, numbers)

    def put(self, rows: Rows, worlds: _Worlds, addresses: Iterable[str]) -> None:
        """Take over some addresses of some."""
        for address in addresses:
            self.values[address].reshape(-1)[rows] = worlds.values[address]
            if address in worlds.numbers:
                self.numbers[address].reshape(-1)[rows] = worlds.numbers[address]


def ordered(variations: Mapping[str, Variation]) -> list[str]:
    """Addresses, each after those it starts from.

    Raises:
        InputError: they go round in a circle, or an expression cannot be read.
    """
    graph: dict[str, tuple[str, ...]] = {}
    for address in variations:
        start = starting_point(address, variations)
        graph[address] = tuple(a for a in start.addresses if a in variations) if start else ()
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = error.args[1]
        mend = f'goes round in a circle: {" of ".join(circle)}'
        address = next(a for a in variations if a in circle)
        raise InputError(Fault(f'{address}.of', variations[address].of, mend)) from error


class Plan:
    """What is computed in which order, for one space.

    Args:
        variations: address to how it varies, checked.
        constraints: name to what must hold.
        quantities: unit and range of each address.
    """

    def __init__(
        self,
        variations: Mapping[str, Variation],
        constraints: Mapping[str, Expression],
        quantities: Mapping[str, Quantity],
    ) -> None:
        self._variations = variations
        self._quantities = quantities
        self._order = ordered(variations)
        self._starting = {a: starting_point(a, variations) for a in variations}
        self.keys = {
            a: d.joint.keys if isinstance(d, Member) else (a,)
            for a, d in ((a, v.distribution) for a, v in variations.items())
        }
        self.starts = frozenset(
            key for a, v in variations.items() if v.when.kind == 'start' for key in self.keys[a]
        )
        self._parts = self._tied(constraints)

    def draw(self, latents: Latents, nominal: Nominal) -> dict[str, Array]:
        """Values of every address, in the order of the space.

        Raises:
            InputError: a constraint that no try satisfies, by name.
        """
        worlds = _Worlds(nominal, {}, {})
        self._compute(self._order, latents, worlds, 0, ())
        for part in self._parts:
            self._satisfy(part, latents, worlds)
        return {address: worlds.values[address] for address in self._variations}

    def following(self, keys: Container[str]) -> list[str]:
        """Addresses that change with the numbers of some keys, in the order of the space."""
        changing = {a for a in self._variations if any(key in keys for key in self.keys[a])}
        return [a for a in self._variations if self._needs(a) & changing]

    def _satisfy(self, part: _Part, latents: Latents, worlds: _Worlds) -> None:
        """Draw again where something is violated."""
        rows = np.flatnonzero(part.violated(worlds))
        for attempt in range(1, TRIES + 1):
            if not rows.size:
                return
            tried = worlds.rows(rows, part.order)
            self._compute(part.order, latents.rows(rows), tried, attempt, part.again)
            worlds.put(rows, tried, part.order)
            rows = rows[part.violated(tried)]
        left = worlds.rows(rows, ())
        faults = [
            Fault(name, text, f'none of {TRIES} tries satisfies it; widen what it depends on')
            for name, text, where in part.violations(left)
            if np.any(where)
        ]
        if faults:
            raise InputError(*faults)

    def _compute(
        self,
        addresses: Iterable[str],
        latents: Latents,
        worlds: _Worlds,
        attempt: int,
        again: Container[str],
    ) -> None:
        """Values of addresses, in this order; only those ``again`` take the attempt's numbers."""
        together: dict[str, Mapping[str, Array]] = {}
        for address in addresses:
            variation, found = self._variations[address], self._variations[address].distribution
            turn = attempt if address in again else 0
            if isinstance(found, Member):
                joint = found.joint
                if joint.name not in together:
                    together[joint.name] = joint.numbers(partial(latents, attempt=turn))
                number = worlds.numbers[address] = np.array(together[joint.name][address])
            else:
                number = variation.numbers(latents(address, turn), latents.episodes)
            expression, start = self._starting[address], 0.0
            if expression is not None:
                start = expression.value(worlds.value, worlds.nominal)
                if not np.isfinite(start).all():
                    mend = 'gives no number: it is too large, or 0 / 0'
                    raise InputError(Fault(f'{address}.of', expression.text, mend))
            elif variation.combine != 'absolute':
                start = worlds.nominal(address)
            # Combining may round a value at the very end of the range to just outside it.
            what = self._quantities[address]
            value = np.clip(combine(variation.combine, start, number), what.low, what.high)  # type: ignore[arg-type]
            worlds.values[address] = np.asarray(np.round(value) if address in WHOLE else value)

    def _needs(self, address: str) -> set[str]:
        """What varies and has a say in an address, itself included."""
        needs, found = {address}, self._variations[address].distribution
        if isinstance(found, Member):
            needs |= {a for a in found.joint.addresses if self._together(a, found.joint)}
        expression = self._starting[address]
        for other in expression.addresses if expression else ():
            if other in self._variations:
                needs |= self._needs(other)
        return needs

    def _together(self, address: str, joint: Joint) -> bool:
        found = self._variations[address].distribution if address in self._variations else None
        return isinstance(found, Member) and found.joint.name == joint.name

    def _tied(self, constraints: Mapping[str, Expression]) -> list[_Part]:
        """Parts that nothing ties to one another; first those that are drawn once a start.

        What is drawn once a start is never drawn again for the sake of an episode.
        """
        starts = {a for a, v in self._variations.items() if v.when.kind == 'start'}
        ties: list[tuple[set[str], dict[str, Expression], dict[str, Member]]] = []
        for name, condition in constraints.items():
            known = [a for a in condition.addresses if a in self._variations]
            if known:
                ties.append((set().union(*map(self._needs, known)), {name: condition}, {}))
        for address, variation in self._variations.items():
            found = variation.distribution
            if isinstance(found, Member) and (found.low > -np.inf or found.high < np.inf):
                ties.append((self._needs(address), {}, {address: found}))
        parts = []
        for early in (True, False):
            merged: list[tuple[set[str], dict[str, Expression], dict[str, Member]]] = []
            for needs, conditions, members in ties:
                if (needs <= starts) is not early:
                    continue
                needs = needs if early else needs - starts
                touching = [other for other in merged if other[0] & needs]
                merged = [other for other in merged if not other[0] & needs]
                for other in touching:
                    needs = needs | other[0]
                    conditions, members = {**other[1], **conditions}, {**other[2], **members}
                merged.append((needs, conditions, members))
            for needs, conditions, members in merged:
                order = tuple(a for a in self._order if needs & self._needs(a))
                parts.append(_Part(conditions, members, frozenset(needs), order))
        return parts
