"""What is in a modern Gazebo's world at one instant, from the state that it serves.

Pure. Links' poses are relative to their model there, those of models to the world; velocities
come with as many digits as a C++ stream prints (six).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_sim.world import LinkState, ModelState, Pose, Vector

Array = npt.NDArray[np.float64]
COMPONENTS = {
    'Name': 'text',
    'ParentEntity': 'text',
    'World': '',
    'Model': '',
    'Link': '',
    'Joint': '',
    'Collision': '',
    'Visual': '',
    'Pose': 'text',
    'WorldLinearVelocity': 'text',
    'WorldAngularVelocity': 'text',
    'JointPosition': 'Double_V',
    'JointVelocity': 'Double_V',
}
"""Components that a snapshot is read from, and how Gazebo serializes them."""
DETAILS = {
    'ModelSdf': 'text',
    'Inertial': 'Inertial',
    'JointAxis': 'Axis',
    'Light': 'Light',
    'Gravity': 'text',
    'Physics': 'Physics',
    'PhysicsEnginePlugin': 'text',
    'SystemPluginInfo': 'Plugin_V',
}
"""Components that say what an engine was given."""
OBSERVED = {
    'Link': (('WorldLinearVelocity', 'text', '0 0 0'), ('WorldAngularVelocity', 'text', '0 0 0')),
    'Joint': (
        ('JointPosition', 'Double_V', {'data': [0.0]}),
        ('JointVelocity', 'Double_V', {'data': [0.0]}),
    ),
}
"""Components that Gazebo keeps up to date where an entity has them: kind to name, type, start."""


class Frame(NamedTuple):
    """A pose as rotation (3, 3), position (3,) and quaternion (x, y, z, w)."""

    turn: Array
    place: Array
    quaternion: tuple[float, float, float, float]


class Snapshot:
    """A world at one instant.

    Attributes:
        time: simulated [s].
        run_time: real time since the server started, while not paused [s].
        paused: whether time stands still.
        entities: number to its components, by name.

    Args:
        state: what the requester's ``state`` gives.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        stats = state['stats']
        self.time = _seconds(stats.get('sim_time', {}))
        self.run_time = _seconds(stats.get('real_time', {}))
        self.paused = bool(stats['paused'])
        self.entities: dict[int, dict[str, Any]] = {
            int(number): components for number, components in state['entities'].items()
        }
        self._children: dict[int, list[int]] = {}
        for number, components in self.entities.items():
            parent = int(components.get('ParentEntity', 0))
            self._children.setdefault(parent, []).append(number)

    @property
    def world(self) -> int:
        """The world's number."""
        return next(n for n, parts in self.entities.items() if 'World' in parts)

    def children(self, parent: int, kind: str) -> dict[str, int]:
        """Children of a kind (``Model``, ``Link``, ...), by name."""
        return {
            self.entities[n]['Name']: n
            for n in self._children.get(parent, ())
            if kind in self.entities[n]
        }

    def inside(self, parent: int, kind: str, scope: str = '') -> Iterator[tuple[str, int]]:
        """Links or joints of a model and of the models in it: name with scope, number."""
        for name, number in self.children(parent, kind).items():
            yield scope + name, number
        for name, number in self.children(parent, 'Model').items():
            yield from self.inside(number, kind, f'{scope}{name}::')

    @property
    def models(self) -> dict[str, int]:
        """Models in the world, by name."""
        return self.children(self.world, 'Model')

    def frame(self, entity: int) -> Frame:
        """Pose of an entity in the world."""
        own = as_frame(self.entities[entity].get('Pose', '0 0 0 0 0 0'))
        parent = int(self.entities[entity].get('ParentEntity', 0))
        if parent in self.entities and 'World' not in self.entities[parent]:
            base = self.frame(parent)
            turn = base.turn @ own.turn
            return Frame(turn, base.place + base.turn @ own.place, quaternion(turn))
        return own

    def state(self, model: int) -> ModelState:
        """Motion of a model."""
        links = {}
        for name, number in self.inside(model, 'Link'):
            parts = self.entities[number]
            links[name] = LinkState(
                pose_of(self.frame(number)),
                vector(parts.get('WorldLinearVelocity', '0 0 0')),
                vector(parts.get('WorldAngularVelocity', '0 0 0')),
            )
        joints = {}
        for name, number in self.inside(model, 'Joint'):
            parts = self.entities[number]
            position = parts.get('JointPosition', {}).get('data') or []
            velocity = parts.get('JointVelocity', {}).get('data') or []
            if len(position) == 1 and len(velocity) == 1:
                joints[name] = (float(position[0]), float(velocity[0]))
        return ModelState(self.time, pose_of(self.frame(model)), links, joints)

    def observed(self) -> set[tuple[int, str]]:
        """Entities and those of their components that are there only when they were asked for."""
        names = {name for components in OBSERVED.values() for name, _, _ in components}
        return {(n, name) for n, parts in self.entities.items() for name in names & parts.keys()}

    def unobserved(self, model: int) -> list[tuple[int, str, str, Any]]:
        """Components that a model's links and joints need to be observed; see OBSERVED."""
        missing = []
        for kind, components in OBSERVED.items():
            for _, number in self.inside(model, kind):
                parts = self.entities[number]
                if kind == 'Joint' and 'JointAxis' not in parts:
                    continue  # a fixed joint
                missing += [(number, *c) for c in components if c[0] not in parts]
        return missing


def _seconds(clock: Mapping[str, Any]) -> float:
    return int(clock.get('sec', 0)) + 1e-9 * int(clock.get('nsec', 0))


def vector(text: str) -> Vector:
    """Three numbers."""
    x, y, z = (float(part) for part in text.split())
    return x, y, z


def as_frame(text: str) -> Frame:
    """A pose as Gazebo prints it: x, y, z, roll, pitch, yaw."""
    numbers = [float(part) for part in text.split()]
    (cr, cp, cy), (sr, sp, sy) = np.cos(numbers[3:]), np.sin(numbers[3:])
    turn = np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
    return Frame(turn, np.array(numbers[:3]), quaternion(turn))


def rotation(orientation: Mapping[str, Any]) -> Array:
    """Rotation (3, 3) of a Quaternion message."""
    q = np.array([float(orientation[axis]) for axis in 'xyzw'])
    x, y, z, w = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def pose_of(frame: Frame) -> Pose:
    """A frame as a pose."""
    x, y, z = frame.place
    return Pose((float(x), float(y), float(z)), frame.quaternion)


def quaternion(turn: Array) -> tuple[float, float, float, float]:
    """Quaternion (x, y, z, w) of a rotation (3, 3), with w not negative.

    The eigenvector method (Bar-Itzhack 2000): no case distinctions.
    """
    (a, b, c), (d, e, f), (g, h, i) = turn
    k = np.array(
        [
            [a - e - i, d + b, g + c, h - f],
            [d + b, e - a - i, h + f, c - g],
            [g + c, h + f, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    q = np.linalg.eigh(k)[1][:, 3]
    x, y, z, w = q if q[3] >= 0 else -q
    return float(x), float(y), float(z), float(w)


def lights(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """The lights by scoped name, as messages."""
    lights = {}
    for parts in snapshot.entities.values():
        if 'Light' in parts:
            names, parent = [parts['Name']], int(parts['ParentEntity'])
            while 'World' not in snapshot.entities[parent]:
                names.append(snapshot.entities[parent]['Name'])
                parent = int(snapshot.entities[parent]['ParentEntity'])
            name = '::'.join(reversed(names))
            lights[name] = {**parts['Light'], 'name': name}
    return lights


def world_value(parts: Mapping[str, Any], quantity: str) -> float:
    """Value of a quantity of the world, from its components; NaN of one that Gazebo has not."""
    if quantity.startswith('gravity'):
        return vector(parts['Gravity'])['xyz'.index(quantity[-1])]
    if quantity == 'timestep':
        return float(parts['Physics']['max_step_size'])
    return math.nan


def light_value(light: Mapping[str, Any], quantity: str) -> float:
    """Value of a quantity of a light, from its message."""
    group, _, axis = quantity.partition('.')
    if group == 'intensity':
        return float(light.get('intensity', 1.0))
    key = 'diffuse' if group == 'color' else 'direction'
    return float(light.get(key, {}).get(axis, 0.0))


def center(inertial: Mapping[str, Any]) -> Array:
    """Centre of mass (3,) in the link's frame, from an Inertial message [m]."""
    position = inertial['pose']['position']
    return np.array([float(position[axis]) for axis in 'xyz'])


def tensor(inertial: Mapping[str, Any]) -> Array:
    """Inertia (3, 3) about the centre of mass in the inertial's axes [kg*m^2]."""
    rows = (('ixx', 'ixy', 'ixz'), ('ixy', 'iyy', 'iyz'), ('ixz', 'iyz', 'izz'))
    return np.array([[float(inertial[key]) for key in row] for row in rows])


def inertial_value(inertial: Mapping[str, Any], quantity: str) -> float:
    """Value of a quantity of a link, from its Inertial message."""
    group, _, axes = quantity.partition('.')
    if group == 'mass':
        return float(inertial['mass'])
    if group == 'com':
        return float(center(inertial)['xyz'.index(axes)])
    return float(inertial[f'i{axes}'])
