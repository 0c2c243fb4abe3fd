"""Settings of the simulator node."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults


@dataclass(frozen=True, kw_only=True)
class SeenConfig(Config):
    """Parameters of every node that shows a simulated robot."""

    tf_rate: float = parameter(
        50.0, 'Transforms per second; 0 for none.', unit='Hz', low=0.0, high=1000.0, read_only=True
    )
    camera: bool = parameter(False, 'A camera that looks at the robot.', read_only=True)
    camera_rate: float = parameter(
        10.0, 'Images per second.', unit='Hz', low=0.1, high=1000.0, read_only=True
    )
    camera_width: int = parameter(
        640, 'Width of an image.', unit='pixel', low=16, high=4096, read_only=True
    )
    camera_height: int = parameter(
        480, 'Height of an image.', unit='pixel', low=16, high=4096, read_only=True
    )

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(width, height) of an image [pixel]; None without a camera."""
        return (self.camera_width, self.camera_height) if self.camera else None


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig(SeenConfig):
    """Parameters of the simulator node; all are read once, when it starts."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    realtime_factor: float = parameter(
        1.0,
        'Simulated seconds per second; 0 for as fast as possible.',
        low=0.0,
        high=1000.0,
        read_only=True,
    )
    seed: int = parameter(0, 'Seed of the sensor noise.', low=0, read_only=True)
    parameters_file: str = parameter(
        '',
        'JSON file of parameter address to value that make this robot differ from its model '
        '(a surrogate of the real one). Draws start from it; it is not published.',
        read_only=True,
    )
    contacts: bool = parameter(True, 'Simulate contacts.', read_only=True)
    paced: bool = parameter(
        False,
        'Publish a sample only when all of pace_consumers have processed the one before.',
        read_only=True,
    )
    pace_consumers: tuple[str, ...] = parameter(
        (), 'Names of the nodes waited for.', read_only=True
    )
    pace_observers: tuple[str, ...] = parameter(
        (), 'Names of nodes that only listen and may be some samples behind.', read_only=True
    )
    pace_timeout: float = parameter(
        5.0, 'Longest wait for a consumer.', unit='s', low=0.01, high=3600.0, read_only=True
    )
    start_timeout: float = parameter(
        30.0,
        'Longest wait for the consumers to appear before the first sample.',
        unit='s',
        low=0.0,
        high=3600.0,
        read_only=True,
    )

    def check(self, faults: Faults) -> None:
        """Whom to wait for is said if and only if anybody is."""
        if self.paced is True and not self.pace_consumers:
            faults.add('pace_consumers', [], 'name the nodes to wait for, where paced is true')


@dataclass(frozen=True, kw_only=True)
class GazeboConfig(SeenConfig):
    """Parameters of the node that brings a robot into Gazebo Classic; read once, at the start."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    start_server: bool = parameter(
        True,
        'Start a gzserver; else connect to one that runs, as soon as it does.',
        read_only=True,
    )
    realtime_factor: float = parameter(
        0.0,
        "Simulated seconds per second, at most; the world's own when 0. Below 1 where the machine "
        'is too slow for all nodes.',
        low=0.0,
        high=1000.0,
        read_only=True,
    )
    world: str = parameter(
        'worlds/empty.world',
        'World of the gzserver that is started: a file, or the name of one that Gazebo finds.',
        read_only=True,
    )
    host: str = parameter(
        '', "Where gzserver's master runs; as GAZEBO_MASTER_URI says, else here.", read_only=True
    )
    port: int = parameter(
        0,
        "Of its master; as GAZEBO_MASTER_URI says, else Gazebo's own, when 0.",
        low=0,
        high=65535,
        read_only=True,
    )
    spawn: bool = parameter(
        True,
        'Put the robot into the world, in place of what bears its name; '
        'else the world brings a model of that name.',
        read_only=True,
    )
    x: float = parameter(0.0, 'Where it is put.', unit='m', low=-1e4, high=1e4, read_only=True)
    y: float = parameter(0.0, 'Where it is put.', unit='m', low=-1e4, high=1e4, read_only=True)
    z: float = parameter(0.0, 'Where it is put.', unit='m', low=-1e4, high=1e4, read_only=True)
    yaw: float = parameter(
        0.0,
        'How it is turned about the vertical.',
        unit='rad',
        low=-10.0,
        high=10.0,
        read_only=True,
    )
    timeout: float = parameter(
        5.0,
        'Longest wait for anything that Gazebo does.',
        unit='s',
        low=0.1,
        high=600.0,
        read_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class RelayConfig(Config):
    """Parameters of the relay node; all are read once, when it starts."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    behind: str = parameter(
        'raw',
        'Prefix of the topics on the side of the simulator or robot; remap those there to it.',
        read_only=True,
    )
    simulator: bool = parameter(
        True,
        'A simulator behind the relay takes draws, too: what the relay does not have is passed '
        'on to it. False for a robot.',
        read_only=True,
    )
    seed: int = parameter(0, 'Seed of the sensor noise.', low=0, read_only=True)
    paced: bool = parameter(
        False, 'Acknowledge every joint state on `pace` (lockstep).', read_only=True
    )

    def check(self, faults: Faults) -> None:
        """The two sides are told apart by their names."""
        if isinstance(self.behind, str) and not self.behind.strip('/'):
            faults.add('behind', self.behind, 'a name that the other side has not')
        elif isinstance(self.behind, str) and self.behind.startswith('/'):
            faults.add('behind', self.behind, 'must be relative, to follow into a namespace')


@dataclass(frozen=True, kw_only=True)
class WorldConfig(Config):
    """Parameters of the node that applies draws in a Gazebo which others joined to ROS."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    joined_by: str = parameter(
        'gazebo_ros',
        'What serves Gazebo: gazebo_ros (Classic) or ros_gz (modern).',
        choices=('gazebo_ros', 'ros_gz'),
        read_only=True,
    )
    services: str = parameter(
        '',
        'Namespace of the services of gazebo_ros; for ros_gz the name of the world, the only one '
        'when empty.',
        read_only=True,
    )
    model_file: str = parameter(
        '',
        'SDF of the robot with the plugins that publish its joint states and take its commands; '
        'made from the profile, without plugins, when empty.',
        read_only=True,
    )
    timeout: float = parameter(
        5.0,
        'Longest wait for anything that Gazebo does.',
        unit='s',
        low=0.1,
        high=600.0,
        read_only=True,
    )
