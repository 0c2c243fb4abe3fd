"""Settings of the randomizer node."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults

SHAPES = ('normal', 'uniform', 'joint')
"""Distributions within a narrowed range."""
K_SIGMA, FLOOR, CEILING = 3.0, 0.02, 1.0


@dataclass(frozen=True, kw_only=True)
class RandomizerConfig(Config):
    """Parameters of the randomizer node."""

    robot: str = parameter('arm6', 'Profile: a shipped name or a path.', read_only=True)
    space: str = parameter(
        '',
        'Space: a shipped name or a path. When empty: <profile>_space.yaml beside the profile, '
        "else the shipped one of the robot's name, else none.",
        read_only=True,
    )
    seed: int = parameter(0, 'Seed of all draws.')
    environment: int = parameter(0, 'Index of the environment, part of the key of a draw.', low=0)
    first_episode: int = parameter(
        0, 'Number of the first episode; each draw takes the next.', low=0, read_only=True
    )
    on_start: bool = parameter(True, 'Draw once when the simulator is found.', read_only=True)
    on_reset: bool = parameter(
        False, 'Draw the next episode whenever simulated time is set back.', read_only=True
    )
    draws_file: str = parameter(
        '~/.ros/sim2real/draws.jsonl',
        'Every draw is appended here with its outcomes, one a line; to none when empty.',
    )
    draws_file_size: float = parameter(
        64.0,
        'A file of draws that has grown so far is set aside (draws.1.jsonl, ...) and a new one '
        'begun; all are kept, and read as one.',
        unit='MB',
        low=0.001,
        high=1e6,
    )
    apply_timeout: float = parameter(
        2.0, "Wait this long for the simulator's answer.", unit='s', low=0.05, high=60.0
    )
    narrow_by_estimate: bool = parameter(
        False, 'Narrow the space by the newest estimate.', read_only=True
    )
    estimate_file: str = parameter(
        '', 'Narrow the space by the estimate in this JSON file.', read_only=True
    )
    k_sigma: float = parameter(
        K_SIGMA, 'Half-width of a narrowed range, in standard deviations.', low=0.1, high=100.0
    )
    floor: float = parameter(
        FLOOR,
        "Smallest such half-width, as a fraction of the estimate's size.",
        low=0.0,
        high=10.0,
    )
    ceiling: float = parameter(
        CEILING,
        "Largest such half-width, as a multiple of that of the space's own range.",
        low=1e-6,
        high=1e6,
    )
    shape: str = parameter('normal', 'Distribution within a narrowed range.', choices=SHAPES)
    verified: str = parameter(
        'mujoco',
        'What the simulator in use was seen to obey: a backend with a table, or a file that '
        '`sim2real sim verify` wrote; the space is held against it. Empty for neither.',
        read_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig(Config):
    """Settings of the automatic curriculum (``curriculum`` in a space file)."""

    share: float = parameter(
        0.5, 'Share of the worlds that lie at an end of one range.', low=0.0, high=1.0
    )
    queue: int = parameter(
        64, 'Scores of such worlds that are gathered before an end moves.', low=1
    )
    fall: float = parameter(0.3, 'Mean score up to which the end moves back.')
    rise: float = parameter(0.7, 'Mean score from which the end moves on.')

    def check(self, faults: Faults) -> None:
        """See Config."""
        if self.fall >= self.rise:
            faults.add('fall', self.fall, f'must be below rise ({self.rise:g})')
