"""Which world comes next: numbered draws from a space that estimates may narrow."""

from __future__ import annotations

from dataclasses import replace

from sim2real_core.records import Draw, Estimate
from sim2real_randomizer.apply import checked
from sim2real_randomizer.config import RandomizerConfig
from sim2real_randomizer.course import Course
from sim2real_randomizer.narrow import narrow
from sim2real_randomizer.space import Space


class Episodes:
    """Counts episodes and draws their worlds.

    Attributes:
        space: what the next world is drawn from.
        number: number of the next episode.

    Args:
        prior: the space as its file says.
        first: number of the first episode.
    """

    def __init__(self, prior: Space, first: int = 0) -> None:
        self._prior = prior
        self.space = prior
        self.number = first
        self._course: Course | None = None

    def learn(self, estimate: Estimate, config: RandomizerConfig) -> None:
        """Narrow the prior by an estimate, in place of any before.

        Raises:
            InputError: the estimate does not fit this robot; the space stays as it was.
        """
        self.space = narrow(
            self._prior,
            estimate,
            k_sigma=config.k_sigma,
            floor=config.floor,
            ceiling=config.ceiling,
            shape=config.shape,
        )

    def next(self, config: RandomizerConfig) -> Draw:
        """The next episode's world.

        Raises:
            InputError: a constraint that no try satisfies; the episode is left out.
        """
        number, self._course = self.number, None
        self.number += 1
        self._course = Course(self.space, config.seed, config.environment, number)
        return self._draw(self._course)

    @property
    def varying(self) -> tuple[str, ...]:
        """Addresses that change within the present episode."""
        return self._course.varying if self._course is not None else ()

    def later(self, time: float) -> Draw | None:
        """The world as it is now, if it has changed since it was asked for last.

        Args:
            time: simulated seconds since the episode began.

        Raises:
            InputError: a constraint that no try satisfies; nothing changes any more until the
                next episode.
        """
        course, self._course = self._course, None
        if course is None:
            return None
        changed = course.advance(time)
        self._course = course
        return self._draw(course) if changed.size else None

    def _draw(self, course: Course) -> Draw:
        return course.space.record(
            {address: values[0] for address, values in course.values.items()},
            course.seed,
            int(course.episodes[0]),
            int(course.environments[0]),
            int(course.steps[0]),
        )


def settled(draw: Draw, answer: Draw | None) -> Draw:
    """A requested draw with its outcomes.

    Args:
        draw: what was requested.
        answer: what the simulator says became of it, with the values it read back; None when it
            never answered, which fails every address.
    """
    if answer is None:
        return replace(draw, outcomes=dict.fromkeys(draw.values, 'failed'))
    return checked(draw, answer.outcomes, answer.values, answer.tolerance)


def answers(answer: Draw, draw: Draw) -> bool:
    """Whether an answer is about this draw, and not about another randomizer's."""
    return _key(answer) == _key(draw)


def _key(draw: Draw) -> tuple[object, ...]:
    return draw.seed, draw.episode, draw.environment, draw.step, draw.space
