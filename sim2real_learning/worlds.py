"""The worlds that environments live in: fixed ones, or such that change as training goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile import RobotProfile
from sim2real_randomizer.course import Course
from sim2real_randomizer.curriculum import Curriculum
from sim2real_randomizer.space import Space

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class Worlds:
    """One world for each environment.

    Worlds of a space that varies within an episode, or whose ranges grow, are alive: they change
    with time, and each goal begins a new episode. All others are drawn once.

    Attributes:
        values: address to (n,) values now [SI].

    Args:
        space: what varies; None for the nominal world.
        count: number of environments.
        seed: of all draws.
        episode: number of the first episode.
        grows: whether ranges that grow begin small; they are whole otherwise.
        state: of a training to go on with, as :meth:`state` gave it. That of another space is
            left aside.
    """

    def __init__(
        self,
        space: Space | None,
        count: int,
        seed: int,
        episode: int = 0,
        *,
        grows: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.values: Mapping[str, Array] = {}
        self._course: Course | None = None
        self._curriculum: Curriculum | None = None
        if space is None:
            return
        variations = space.variations.values()
        growing = grows and any(v.grow is not None for v in variations)
        if not growing and not any(v.when.within for v in variations):
            # By the last episode every schedule has ended.
            whole = np.iinfo(np.int64).max // 2 if any(v.grow for v in variations) else episode
            self.values = space.draw_many(seed, whole, np.arange(count))
            return
        if growing:
            resumed = state is not None and state.get('space') == space.content_hash
            self._curriculum = Curriculum(space, state if resumed else None)
            episode = int(state['episode']) if resumed and state is not None else episode
            space = self._curriculum.space
        self._course = Course(space, seed, np.arange(count), episode)
        self._time = np.zeros(count)
        self._ends = np.empty(count, np.int64)
        self._begin(np.arange(count), self._course.episodes)
        self.values = self._course.values

    @classmethod
    def fixed(cls, values: Mapping[str, Array]) -> Worlds:
        """Worlds of given values (n,) by address."""
        worlds = cls(None, 0, 0)
        worlds.values = values
        return worlds

    @property
    def alive(self) -> bool:
        """Whether they ever change."""
        return self._course is not None

    def advance(self, seconds: float) -> Rows:
        """Let time pass; indices of the environments whose world has changed."""
        if self._course is None:
            return np.empty(0, np.intp)
        self._time += seconds
        return self._course.advance(self._time)

    def end(self, rows: Rows, scores: npt.ArrayLike) -> Rows:
        """Begin the next episode of some environments.

        Args:
            rows: which.
            scores: of the episodes that ended, from 0 to 1.

        Returns:
            Indices of the environments whose world has changed.
        """
        if self._course is None:
            return np.empty(0, np.intp)
        if self._curriculum is not None:
            self._curriculum.report(self._ends[rows], scores)
            self._course.space = self._curriculum.space
        self._begin(rows, self._course.episodes[rows] + 1)
        return rows

    def _begin(self, rows: Rows, episodes: npt.ArrayLike) -> None:
        assert self._course is not None  # both callers looked
        self._time[rows] = 0.0
        pinned = {}
        if self._curriculum is not None:
            course = self._course
            self._ends[rows] = self._curriculum.ends(
                course.seed, episodes, course.environments[rows]
            )
            pinned = self._curriculum.pinned(self._ends[rows])
        self._course.restart(episodes, rows, pinned)

    def state(self) -> dict[str, Any]:
        """What a later training has to know to go on; empty when there is nothing."""
        if self._curriculum is None or self._course is None:
            return {}
        return {**self._curriculum.state(), 'episode': int(self._course.episodes.max()) + 1}


def read_worlds(path: Path, profile: RobotProfile) -> dict[str, Array]:
    """Worlds from a file of ``sim2real randomize sweep`` or ``replay``.

    Returns:
        Address to (n,) values; n is 1 for a single world.

    Raises:
        InputError: every fault.
    """
    faults = Faults(str(path))
    try:
        given = dict(json.loads(path.read_text(encoding='utf-8'))['values'])
    except (OSError, KeyError, TypeError, ValueError) as error:
        mend = f'give a file of sim2real randomize sweep or replay ({error})'
        raise InputError(Fault('worlds', str(path), mend)) from error
    values = {}
    for address, numbers in given.items():
        try:
            what = quantity(address, profile)
            values[address] = np.atleast_1d(np.array(numbers, dtype=float))
            if not ((what.low <= values[address]) & (values[address] <= what.high)).all():
                mend = f'must lie within [{what.low:g}, {what.high:g}] {what.unit}'
                faults.add(address, numbers, mend)
        except InputError as error:
            faults.extend(error)
        except (TypeError, ValueError):
            faults.add(address, numbers, 'give numbers')
    if len({v.shape for v in values.values()}) > 1:
        faults.add('values', {a: len(v) for a, v in values.items()}, 'give as many of each')
    faults.check()
    return values


def in_turn(worlds: Mapping[str, Array], count: int) -> dict[str, Array]:
    """As many worlds as are needed, from the first again when there are fewer."""
    return {address: np.resize(values, count) for address, values in worlds.items()}
