"""Settings of the visualizer, of the player and of the demo."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults


@dataclass(frozen=True, kw_only=True)
class VisualizerConfig(Config):
    """Parameters of the visualizer."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    rate: float = parameter(
        10.0, 'Marker messages a second.', unit='Hz', low=0.1, high=100.0, read_only=True
    )
    robot_state: bool = parameter(
        False,
        'Publish robot_description and tf too, where no simulator or robot_state_publisher does.',
        read_only=True,
    )
    trajectory: str = parameter(
        '', 'File of a trajectory; the way of the tool along it is shown.', read_only=True
    )
    trail: float = parameter(
        3.0, 'Length of the trails of commanded and measured tool position.', unit='s', low=0.0,
        high=60.0, read_only=True,
    )  # fmt: skip
    estimates: int = parameter(
        12, 'The most estimates shown as text.', low=0, high=100, read_only=True
    )


@dataclass(frozen=True, kw_only=True)
class PlayerConfig(Config):
    """Parameters of the player, which plays a bag through other nodes."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    bag: str = parameter('', 'What to play: a rosbag2 folder or an MCAP file.', read_only=True)
    bag_namespace: str = parameter(
        '',
        "Namespace the bag's topics were recorded under, / for none; empty finds out.",
        read_only=True,
    )
    rate: float = parameter(
        0.0, 'Seconds of the bag a second; 0 is as fast as the consumers are.', low=0.0,
        high=1000.0, read_only=True,
    )  # fmt: skip
    start: float = parameter(
        0.0, 'Begin this long after the start of the bag.', unit='s', low=0.0, read_only=True
    )
    duration: float = parameter(
        0.0, 'Play this long a part of the bag; 0 is all of it.', unit='s', low=0.0, read_only=True
    )
    pace_consumers: tuple[str, ...] = parameter(
        ('sysid',), 'Nodes that every sensor sample waits for.', read_only=True
    )
    pace_timeout: float = parameter(
        10.0, 'Longest wait for a consumer, by a steady clock.', unit='s', low=0.1, high=600.0,
        read_only=True,
    )  # fmt: skip
    json: str = parameter('', 'File for the result; empty writes none.', read_only=True)
    out: str = parameter(
        '', 'Folder of the bag with what came out; empty writes none.', read_only=True
    )

    def check(self, faults: Faults) -> None:
        """A consumer is named once."""
        for name in self.pace_consumers:
            if not name or self.pace_consumers.count(name) > 1:
                faults.add('pace_consumers', name, 'name each consumer once')


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Config):
    """What ``sim2real demo`` takes."""

    robot: str = parameter('arm6', 'Robot profile: a path, or the name of a shipped one.')
    surrogate_seed: int = parameter(1, 'Draws another hidden robot.', low=0)
    surrogate: str = parameter('arm6_surrogate', 'Space that hidden robots are drawn from.')
    space: str = parameter('arm6', 'Space before anything is known.')
    policy: str = parameter('arm6', 'The nominal policy, bundle and checkpoint.')
    goals: int = parameter(10, 'Goals that each policy is led through.', low=2, high=1000)
    iterations: int = parameter(40, 'PPO iterations of fine-tuning.', low=1)
    environments: int = parameter(512, 'Robots simulated side by side.', low=2)
    out: str = parameter('out/demo', 'Folder for report, plots and bundles.')
