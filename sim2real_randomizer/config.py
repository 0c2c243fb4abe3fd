"""Settings of the randomizer node."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_randomizer.narrow import FLOOR, K_SIGMA, SHAPES


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
    apply_timeout: float = parameter(
        2.0, "Wait this long for the simulator's answer.", unit='s', low=0.05, high=60.0
    )
    narrow_by_estimate: bool = parameter(
        False, 'Narrow the space by the newest estimate.', read_only=True
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
    shape: str = parameter('normal', 'Distribution within a narrowed range.', choices=SHAPES)
