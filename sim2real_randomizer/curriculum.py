"""Automatic domain randomization: ranges that grow where the policy copes.

After OpenAI et al., "Solving Rubik's Cube with a Robot Hand" (2019), as DeXtreme (Handa et al.,
2022) uses it in vectorized training. Every address with ``grow: {from: [low, high], delta: step}``
begins with that range. A share of the worlds lies at one end of one range, all else drawn as
ever; their scores are gathered by end. When enough are there, the end moves on by ``delta`` if
their mean is high, back if it is low, and gathering begins anew; scores of worlds at an end that
has moved since are not counted. No end leaves the address's own [low, high], nor the range it
began with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError
from sim2real_randomizer.distributions import Array
from sim2real_randomizer.keyed import uniforms
from sim2real_randomizer.space import Space

Ends = npt.NDArray[np.int64]
NONE = -1
SIDES = ('low', 'high')


class Curriculum:
    """The state of one space's automatic growth.

    Attributes:
        space: the space with its ranges as they are now.
        addresses: what grows.
        ranges: address to [low, high] of its numbers now.

    Args:
        whole: the space with the ranges that growth ends at.
        state: to go on from, as :meth:`state` gave it; the beginning when None.

    Raises:
        InputError: the state is of another space, or no state.
    """

    def __init__(self, whole: Space, state: Mapping[str, Any] | None = None) -> None:
        self._whole = whole
        self._growth = {
            address: variation.grow
            for address, variation in whole.variations.items()
            if variation.grow is not None and variation.grow.delta > 0
        }
        self.addresses = tuple(self._growth)
        self.ranges = {address: [g.low, g.high] for address, g in self._growth.items()}
        self._scores: list[list[float]] = [[] for _ in range(2 * len(self.addresses))]
        self._moves = [0] * len(self._scores)
        if state is not None:
            self._resume(state)
        self.space = self._present()

    def ends(self, seed: int, episodes: npt.ArrayLike, environments: npt.ArrayLike) -> Ends:
        """At which end each world lies: a number, or -1 for none.

        Modulo twice the count of addresses, 2 i is the lower end of the i-th address and 2 i + 1
        the upper one; the quotient counts how often that end had moved. Which end it is depends
        on the arguments alone, and on how many addresses grow.
        """
        episodes, environments = np.broadcast_arrays(episodes, environments)
        if not self.addresses:
            return np.full(episodes.shape, NONE, np.int64)
        chance = uniforms(seed, 'curriculum share', environments, episodes)
        which = uniforms(seed, 'curriculum end', environments, episodes)
        index = (which * len(self._scores)).astype(np.int64)
        ends = index + len(self._scores) * np.array(self._moves)[index]
        return np.where(chance < self._whole.curriculum.share, ends, NONE)

    def pinned(self, ends: Ends) -> dict[str, Array]:
        """Uniform numbers by key that put worlds at their ends; nan: drawn as ever."""
        pinned: dict[str, Array] = {}
        for end in np.unique(ends[ends != NONE]).tolist():
            address, side = self._which(end)
            numbers = pinned.setdefault(address, np.full(ends.shape, np.nan))
            numbers[ends == end] = float(side)
        return pinned

    def report(self, ends: Ends, scores: npt.ArrayLike) -> bool:
        """Take the scores of worlds that have ended.

        Args:
            ends: as :meth:`ends` gave them.
            scores: one each, of the kind that ``fall`` and ``rise`` are given in.

        Returns:
            Whether any range has moved; :attr:`space` then is another.
        """
        settings, moved = self._whole.curriculum, False
        for end, score in zip(ends.tolist(), np.asarray(scores, dtype=float).tolist()):
            if end == NONE:
                continue
            times, index = divmod(end, len(self._scores))
            if times != self._moves[index]:
                continue
            gathered = self._scores[index]
            gathered.append(score)
            if len(gathered) >= settings.queue:
                mean = sum(gathered) / len(gathered)
                gathered.clear()
                way = int(mean >= settings.rise) - int(mean <= settings.fall)
                moved |= self._move(index, way)
        if moved:
            self.space = self._present()
        return moved

    def _move(self, index: int, way: int) -> bool:
        """Move an end outward (1), inward (-1) or not (0); whether it moved."""
        address, side = self._which(index)
        growth, before = self._growth[address], self.ranges[address][side]
        begun = (growth.low, growth.high)[side]
        last = self._whole.variations[address].distribution.support[side]
        after = before + way * growth.delta * (1 if side else -1)
        self.ranges[address][side] = min(max(after, min(begun, last)), max(begun, last))
        moved = self.ranges[address][side] != before
        self._moves[index] += moved
        return moved

    def _which(self, end: int) -> tuple[str, int]:
        """Address and side (0: low, 1: high) of an end."""
        index = end % len(self._scores)
        return self.addresses[index // 2], index % 2

    def _present(self) -> Space:
        """The space with its ranges as they are now."""
        variations = dict(self._whole.variations)
        for address, (low, high) in self.ranges.items():
            variation = variations[address]
            variations[address] = dataclasses.replace(
                variation, distribution=variation.between(low, high), grow=None
            )
        return dataclasses.replace(self._whole, variations=variations)

    def state(self) -> dict[str, Any]:
        """All that has been learned, ready for JSON; floats come back to the bit."""
        return {
            'space': self._whole.content_hash,
            'ranges': {address: list(ends) for address, ends in self.ranges.items()},
            'scores': dict(zip(self._names(), map(list, self._scores))),
            'moves': dict(zip(self._names(), self._moves)),
        }

    def _names(self) -> list[str]:
        return [f'{address} {side}' for address in self.addresses for side in SIDES]

    def _resume(self, state: Mapping[str, Any]) -> None:
        faults = Faults()
        if state.get('space') != self._whole.content_hash:
            mend = 'this state is of another space; begin anew, or give that space'
            raise InputError(Fault('curriculum.space', state.get('space'), mend))
        for k, address in enumerate(self.addresses):
            try:
                low, high = map(float, state['ranges'][address])
                self._whole.variations[address].between(low, high)
                self.ranges[address] = [low, high]
                for index in (2 * k, 2 * k + 1):
                    name = self._names()[index]
                    self._scores[index] = list(map(float, state['scores'][name]))
                    self._moves[index] = int(state['moves'][name])
            except (KeyError, TypeError, ValueError, InputError) as error:
                faults.add(f'curriculum.{address}', str(error), 'is no state of this address')
        faults.check()
