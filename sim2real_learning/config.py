"""What is to be learned, and how hard to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults


@dataclass(frozen=True, kw_only=True)
class ReachTask(Config):
    """What counts as reaching."""

    duration: float = parameter(3.0, 'Time for each goal.', unit='s', low=0.2, high=60.0)
    settle: float = parameter(
        0.5, 'The last part of it, in which the error counts.', unit='s', low=0.02, high=30.0
    )
    tolerance: float = parameter(
        0.02, 'Largest tool distance that counts as reached.', unit='m', low=1e-4, high=1.0
    )
    reach: float = parameter(
        0.25, 'Share of the joint ranges, around the default, that goals use.', low=0.01, high=1.0
    )
    clearance: float = parameter(
        0.1, 'Lowest height of a goal above the base frame.', unit='m', low=-10.0, high=10.0
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """How long and how hard to train; the defaults train a nominal policy from scratch."""

    iterations: int = parameter(900, 'PPO iterations.', low=1)
    environments: int = parameter(1024, 'Robots simulated side by side.', low=2)
    critic_only: int = parameter(
        0, 'Of the iterations, the first that fit the critic alone.', low=0
    )
    steps: int = parameter(24, 'Control periods of each between two updates.', low=2)
    learning_rate: float = parameter(1e-3, 'Of Adam, at the start.', low=1e-7, high=1.0)
    noise: float = parameter(
        0.6, 'Standard deviation of the exploring action at the start.', low=1e-3, high=10.0
    )
    desired_kl: float = parameter(0.01, 'Step size control of PPO.', low=1e-5, high=1.0)
    entropy: float = parameter(0.0, 'Weight of the entropy bonus.', low=0.0, high=1.0)
    timestep: float = parameter(
        0.004, 'Physics step while training.', unit='s', low=1e-4, high=0.02
    )
    threads: int = parameter(2, 'Physics threads.', low=1, high=256)

    def check(self, faults: Faults) -> None:
        """Some iterations must change the policy."""
        if self.iterations <= self.critic_only:
            mend = f'must be more than the {self.critic_only} that fit the critic alone'
            faults.add('iterations', self.iterations, mend)


FINE_TUNING: dict[str, Any] = dict(
    iterations=40, critic_only=5, environments=512, learning_rate=3e-4, noise=0.05, threads=1
)
"""What fine-tuning changes: short, and close to where it starts."""
