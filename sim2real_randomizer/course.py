"""Worlds through their episodes: what changes within one, as simulated time goes on.

Every address takes a uniform number in (0, 1). Within an episode it is that number which moves,
in steps of the space's period, and the distribution makes it a value as ever; so whatever the
distribution, its values keep it at every time, and none leaves its range:

- interval: a new number whenever a time that is itself drawn has passed;
- walk: Brownian motion of the number, ``std`` per square root of a second, reflected at 0 and 1;
- Ornstein-Uhlenbeck: of the number's normal score ``z``, by the exact solution over a step,
  ``z' = exp(-h/T) z + sqrt(1 - exp(-2 h/T)) n``.

The increments are keyed by (seed, address, environment, episode, step): a world at a time does
not depend on how often or for whom anyone looked before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sim2real_randomizer.distributions import Array
from sim2real_randomizer.drawing import Keyed, Latents, Nominal, Rows, attempted
from sim2real_randomizer.keyed import uniforms
from sim2real_randomizer.space import Space
from sim2real_randomizer.variation import When

Integers = npt.NDArray[np.integer]
LEAST, MOST = 2.0**-53, 1 - 2.0**-53


class Course:
    """Worlds of many environments, each at its own time of its own episode.

    Attributes:
        space: what worlds are drawn from.
        seed: of all draws.
        environments: (n,) indices.
        episodes: (n,) numbers of the present episodes.
        steps: (n,) periods that have passed in them.
        values: address to (n,) absolute values now [SI].
        varying: addresses that change within an episode.

    Args:
        space: what worlds are drawn from.
        seed: of all draws.
        environments: (n,) indices.
        episodes: (n,) numbers.
        nominal: nominal value of an address; the profile's when None.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        environments: npt.ArrayLike,
        episodes: npt.ArrayLike,
        nominal: Nominal | None = None,
    ) -> None:
        self.space = space
        self.seed = seed
        self.environments = np.atleast_1d(np.asarray(environments))
        self.episodes = np.broadcast_to(episodes, self.environments.shape).copy()
        self.steps = np.zeros(self.environments.shape, np.int64)
        self.values: dict[str, Array] = {}
        self._nominal = nominal or space.nominal
        self._moving = moving(space)
        self.varying = tuple(space.plan.following(self._moving))
        self._numbers: dict[str, Array] = {}
        self._segment: dict[str, Integers] = {}
        self._until: dict[str, Array] = {}
        self.restart(self.episodes)

    def restart(
        self,
        episodes: npt.ArrayLike,
        rows: npt.ArrayLike | None = None,
        pinned: Mapping[str, Array] | None = None,
    ) -> None:
        """Begin new episodes.

        Args:
            episodes: number or numbers.
            rows: which environments; all when None.
            pinned: key to a uniform number for each of these environments, nan where it is drawn
                as ever.

        Raises:
            InputError: a constraint that no try satisfies, by name.
        """
        rows = np.arange(len(self.episodes)) if rows is None else np.asarray(rows)
        self.episodes[rows] = episodes
        self.steps[rows] = 0
        environments, begun = self.environments[rows], self.episodes[rows]
        drawn = Keyed(self.seed, environments, begun, self.space.plan.starts)
        self._take(rows, _Remembered(_Pinned(drawn, pinned or {})))
        for key, when in self._moving.items():
            if when.kind == 'interval':
                segment = self._segment.setdefault(key, np.zeros(len(self.steps), np.int64))
                until = self._until.setdefault(key, np.zeros(len(self.steps)))
                segment[rows] = 0
                until[rows] = self._length(key, when, rows)

    def advance(self, time: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Let simulated time pass.

        Args:
            time: since the beginning of the episode, one for all or (n,), not before the last.

        Returns:
            Indices of the environments whose world has changed.

        Raises:
            InputError: a constraint that no try satisfies, by name.
        """
        if not self._moving:
            return np.empty(0, np.intp)
        # What is due at an instant is due although adding up periods fell short of it.
        due = np.floor(np.asarray(time) / self.space.period + 1e-6).astype(np.int64)
        changed = np.flatnonzero(self.steps < due)
        rows = changed
        while rows.size:
            self._step(rows)
            rows = np.flatnonzero(self.steps < due)
        return changed

    def _step(self, rows: Rows) -> None:
        """One period of some environments."""
        self.steps[rows] += 1
        renewed: dict[str, npt.NDArray[np.bool_]] = {}
        for key, when in self._moving.items():
            if when.kind == 'interval':
                renewed[key] = self._renew(key, when, rows)
        self._take(rows, _Remembered(_Step(self, rows, renewed)))

    def _renew(self, key: str, when: When, rows: Rows) -> npt.NDArray[np.bool_]:
        """Begin the next interval where the last has ended; returns where."""
        time = self.steps[rows] * self.space.period + 1e-9
        renewed = np.zeros(len(rows), bool)
        while (over := time >= self._until[key][rows]).any():
            ended = rows[over]
            self._segment[key][ended] += 1
            self._until[key][ended] += self._length(key, when, ended)
            renewed |= over
        return renewed

    def _length(self, key: str, when: When, rows: Rows) -> Array:
        """Lengths of the present intervals [s]."""
        shortest, longest = when.values
        u = uniforms(
            self.seed,
            f'{key} interval',
            self.environments[rows],
            self.episodes[rows],
            self._segment[key][rows],
        )
        return np.asarray(shortest + u * (longest - shortest))

    def _take(self, rows: Rows, latents: _Remembered) -> None:
        """Compute worlds and keep the numbers that they were made of."""
        for address, values in self.space.plan.draw(latents, self._nominal).items():
            kept = self.values.setdefault(address, np.empty(len(self.steps)))
            kept[rows] = values
        for key, numbers in latents.taken.items():
            kept = self._numbers.setdefault(key, np.empty(len(self.steps)))
            kept[rows] = numbers

    def moved(self, key: str, rows: Rows, attempt: int, renewed: npt.NDArray[np.bool_]) -> Array:
        """Numbers of one key a step later.

        Args:
            key: which.
            rows: of which environments.
            attempt: see Latents.
            renewed: where its interval has ended; empty if it has none.
        """
        now, when = self._numbers[key][rows], self._moving.get(key)
        if when is None:
            return now
        steps = self._segment[key] if when.kind == 'interval' else self.steps
        u = uniforms(
            self.seed,
            attempted(key, attempt),
            self.environments[rows],
            self.episodes[rows],
            steps[rows],
        )
        if when.kind == 'interval':
            return np.where(renewed, u, now)
        if when.kind == 'walk':
            moved = now + when.values[0] * math.sqrt(self.space.period) * ndtri(u)
            moved = np.abs(moved) % 2.0
            moved = np.where(moved > 1.0, 2.0 - moved, moved)
        else:
            stays = math.exp(-self.space.period / when.values[0])
            moved = ndtr(stays * ndtri(now) + math.sqrt(1 - stays**2) * ndtri(u))
        return np.clip(moved, LEAST, MOST)


def moving(space: Space) -> dict[str, When]:
    """Keys whose numbers change within an episode, and how."""
    return {
        key: variation.when
        for address, variation in space.variations.items()
        if variation.when.within
        for key in space.plan.keys[address]
    }


def within(space: Space) -> tuple[str, ...]:
    """Addresses whose own values change within an episode."""
    return tuple(a for a, variation in space.variations.items() if variation.when.within)


class _Step:
    """Latents of environments a step later."""

    def __init__(
        self, course: Course, rows: Rows, renewed: Mapping[str, npt.NDArray[np.bool_]]
    ) -> None:
        self._course, self._rows, self._renewed = course, rows, renewed

    @property
    def episodes(self) -> Integers:
        """See Latents."""
        return self._course.episodes[self._rows]

    def __call__(self, key: str, attempt: int) -> Array:
        """See Latents."""
        renewed = self._renewed.get(key, np.empty(0, bool))
        return self._course.moved(key, self._rows, attempt, renewed)

    def rows(self, rows: Rows) -> _Step:
        """See Latents."""
        renewed = {key: where[rows] for key, where in self._renewed.items()}
        return _Step(self._course, self._rows[rows], renewed)


class _Pinned:
    """Latents of which some are given."""

    def __init__(self, latents: Latents, pinned: Mapping[str, Array]) -> None:
        self._latents, self._pinned = latents, pinned

    @property
    def episodes(self) -> Integers | int:
        """See Latents."""
        return self._latents.episodes

    def __call__(self, key: str, attempt: int) -> Array:
        """See Latents."""
        drawn, given = self._latents(key, attempt), self._pinned.get(key)
        return drawn if given is None else np.where(np.isnan(given), drawn, given)

    def rows(self, rows: Rows) -> _Pinned:
        """See Latents."""
        pinned = {key: given[rows] for key, given in self._pinned.items()}
        return _Pinned(self._latents.rows(rows), pinned)


class _Remembered:
    """Latents, and what was taken of them last: of a rejected world the numbers that replaced it.

    Attributes:
        taken: numbers by key.
    """

    def __init__(
        self, latents: Latents, taken: dict[str, Array] | None = None, rows: Rows | None = None
    ) -> None:
        self._latents = latents
        self.taken: dict[str, Array] = {} if taken is None else taken
        self._rows = rows

    @property
    def episodes(self) -> Integers | int:
        """See Latents."""
        return self._latents.episodes

    def __call__(self, key: str, attempt: int) -> Array:
        """See Latents."""
        numbers = self._latents(key, attempt)
        if self._rows is None:
            self.taken[key] = np.array(numbers)
        else:
            self.taken[key][self._rows] = numbers
        return numbers

    def rows(self, rows: Rows) -> _Remembered:
        """See Latents. Rows are always counted in the whole."""
        return _Remembered(self._latents.rows(rows), self.taken, rows)
