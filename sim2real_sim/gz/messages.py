"""Messages of ``gz.msgs`` as JSON, built from plain values.

Pure: :mod:`sim2real_sim.gz.requester` makes them into the real classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sim2real_sim.world import Pose, Vector

Json = dict[str, Any]
AXES = 'xyz'
COLORS = 'rgb'


def vector(values: Iterable[float]) -> Json:
    """A Vector3d."""
    return dict(zip(AXES, map(float, values)))


def pose(value: Pose, name: str = '') -> Json:
    """A Pose; ``name`` says of which entity."""
    orientation = dict(zip('xyzw', map(float, value.orientation)))
    message: Json = {'position': vector(value.position), 'orientation': orientation}
    return {'name': name, **message} if name else message


def entity(name: str, kind: str = 'MODEL') -> Json:
    """An Entity."""
    return {'name': name, 'type': kind}


def factory(name: str, sdf: str, where: Pose) -> Json:
    """An EntityFactory that spawns a model under this name or not at all."""
    return {'sdf': sdf, 'name': name, 'pose': pose(where), 'allow_renaming': False}


def control(*, pause: bool = True, steps: int = 0, reset: bool = False) -> Json:
    """A WorldControl."""
    message: Json = {'pause': pause}
    if steps:
        message['multi_step'] = int(steps)
    if reset:
        message['reset'] = {'all': True}
    return message


def physics(present: Mapping[str, Any], gravity: Vector, values: Mapping[str, float]) -> Json:
    """A Physics: gravity, step and rate, since some releases take what is left out for zero.

    Args:
        present: the world's Physics component.
        gravity: its Gravity component [m/s^2].
        values: address to value.
    """
    wanted = [values.get(f'world.gravity.{a}', g) for a, g in zip(AXES, gravity)]
    return {
        'gravity': vector(wanted),
        'max_step_size': float(values.get('world.timestep', present['max_step_size'])),
        'real_time_factor': float(present['real_time_factor']),
    }


def light(present: Mapping[str, Any], quantities: Mapping[str, float]) -> Json:
    """A Light as it is, with other quantities (``color.r``, ``direction.x``, ``intensity``)."""
    message: Json = {**present}
    for group, key, names in (('color', 'diffuse', COLORS), ('direction', 'direction', AXES)):
        wanted = {n: quantities[f'{group}.{n}'] for n in names if f'{group}.{n}' in quantities}
        if wanted:
            message[key] = {**message.get(key, {}), **{n: float(v) for n, v in wanted.items()}}
    if 'intensity' in quantities:
        message['intensity'] = float(quantities['intensity'])
    return message


def visual(name: str, link: str, color: Sequence[float]) -> Json:
    """A Visual of another colour (r, g, b, a)."""
    paint = dict(zip('rgba', map(float, color)))
    return {
        'name': name,
        'parent_name': link,
        'material': {'ambient': paint, 'diffuse': paint},
    }


def joint_force(model: int, joint: str) -> Json:
    """An EntityPlugin_V that gives a model (its entity) the system that drives a joint."""
    plugin = {
        'name': 'gz::sim::systems::ApplyJointForce',
        'filename': 'gz-sim-apply-joint-force-system',
        'innerxml': f'<joint_name>{joint}</joint_name>',
    }
    return {'entity': {'id': model}, 'plugins': [plugin]}
