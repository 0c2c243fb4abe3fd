"""Which world comes next: numbered draws from a space that estimates may narrow."""

from __future__ import annotations

from dataclasses import replace

from sim2real_core.records import Draw, Estimate
from sim2real_randomizer.apply import checked
from sim2real_randomizer.config import RandomizerConfig
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
        """The next episode's world."""
        draw = self.space.draw(config.seed, self.number, config.environment)
        self.number += 1
        return draw


def settled(draw: Draw, answer: Draw | None) -> Draw:
    """A requested draw with its outcomes.

    Args:
        draw: what was requested.
        answer: what the simulator says became of it, with the values it read back; None when it
            never answered, which fails every address.
    """
    if answer is None:
        return replace(draw, outcomes=dict.fromkeys(draw.values, 'failed'))
    return checked(draw, answer.outcomes, answer.values)


def answers(answer: Draw, draw: Draw) -> bool:
    """Whether an answer is about this draw, and not about another randomizer's."""
    return _key(answer) == _key(draw)


def _key(draw: Draw) -> tuple[object, ...]:
    return draw.seed, draw.episode, draw.environment, draw.step, draw.space
