"""MuJoCo as a :class:`sim2real_sim.world.World`, so that it passes the same tests as others.

Each model is a simulation of its own on a floor of its own: models do not touch each other.
Time moves only by :meth:`MujocoWorld.step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.records import Draw
from sim2real_sim.mujoco_model import CAMERA
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.rendering import Camera, find_backend
from sim2real_sim.sdf_profile import profile_from_sdf
from sim2real_sim.world import LinkState, ModelState, Pose, Vector, WorldError

ROUTE = 'live'
TIMESTEP = 0.001
IMAGE = (160, 120)
SHARED = ('world.', 'light.')  # addresses of the whole world


@dataclass
class _Model:
    """A model and what was asked of it."""

    sdf: str
    pose: Pose
    simulator: MujocoSimulator
    values: Mapping[str, float] = field(default_factory=dict)
    pushes: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)


class MujocoWorld:
    """Models by name. See :class:`sim2real_sim.world.World`."""

    tolerance = Draw.tolerance

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._shared: dict[str, float] = {}
        self._time = 0.0
        self._backend = ''

    @property
    def version(self) -> str:
        """See :attr:`World.version`."""
        return f'mujoco {mujoco.__version__}'

    def time(self) -> float:
        """See :meth:`World.time`."""
        return self._time

    def pause(self, paused: bool) -> None:
        """See :meth:`World.pause`; this world stands still between steps.

        Raises:
            WorldError: it is to run by itself.
        """
        if not paused:
            raise WorldError('the embedded simulator has no clock of its own: step it')

    def step(self, steps: int) -> None:
        """See :meth:`World.step`."""
        for _ in range(steps):
            for model in self._models.values():
                force = model.simulator.batch.bind('xfrc_applied')
                before = {body: force[0, body].copy() for body in model.pushes}
                for body, push in model.pushes.items():
                    force[0, body] += push
                model.simulator.step()
                for body, value in before.items():
                    force[0, body] = value
                model.pushes.clear()
            self._time += self._shared.get('world.timestep', TIMESTEP)

    def reset(self) -> None:
        """See :meth:`World.reset`."""
        self._time = 0.0
        for model in self._models.values():
            model.simulator.reset()
            _let_go(model.simulator)
            if self._free(model):
                self._put(model, model.pose)

    def models(self) -> tuple[str, ...]:
        """See :meth:`World.models`."""
        return tuple(self._models)

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            known = ', '.join(self._models) or 'none'
            raise WorldError(f'no model {name}; there is: {known}')
        return self._models[name]

    def sdf(self, model: str) -> str:
        """See :meth:`World.sdf`."""
        return self._model(model).sdf

    def spawn(self, model: str, sdf: str, pose: Pose = Pose()) -> None:  # noqa: B008
        """See :meth:`World.spawn`.

        Raises:
            InputError: SDF that :func:`profile_from_sdf` does not take.
        """
        simulator = MujocoSimulator(profile_from_sdf(sdf, TIMESTEP), image_size=IMAGE)
        _let_go(simulator)
        spawned = _Model(sdf, pose, simulator)
        if self._free(spawned):
            self._put(spawned, pose)
        elif pose != Pose():
            mend = 'a model that is fixed to the world stands where its SDF says'
            raise InputError(Fault('pose', pose, mend))
        simulator.apply(self._shared)
        self._models[model] = spawned

    @staticmethod
    def _free(model: _Model) -> bool:
        return bool((model.simulator.robot.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE).any())

    @staticmethod
    def _put(model: _Model, pose: Pose) -> None:
        x, y, z, w = pose.orientation
        model.simulator.batch.bind('qpos')[0, :7] = [*pose.position, w, x, y, z]

    def delete(self, model: str) -> None:
        """See :meth:`World.delete`."""
        self._model(model)
        del self._models[model]

    def state(self, model: str) -> ModelState:
        """See :meth:`World.state`."""
        simulator = self._model(model).simulator
        engine, data = simulator.robot.model, simulator.data(0)
        mujoco.mj_kinematics(engine, data)
        mujoco.mj_comPos(engine, data)
        mujoco.mj_comVel(engine, data)
        links, motion = {}, np.empty(6)
        for name, body in simulator.robot.bodies.items():
            if body == 0:
                continue
            kind = mujoco.mjtObj.mjOBJ_XBODY
            mujoco.mj_objectVelocity(engine, data, kind, body, motion, 0)
            w, x, y, z = map(float, data.xquat[body])
            pose = Pose(_vector(data.xpos[body]), (x, y, z, w))
            links[name] = LinkState(pose, _vector(motion[3:]), _vector(motion[:3]))
        position, velocity = simulator.state()
        joints = {
            name: (float(q), float(v))
            for name, q, v in zip(simulator.profile.joint_names, position[0], velocity[0])
        }
        first = next(iter(links.values()))
        return ModelState(self._time, first.pose, links, joints)

    def measured(self, model: str) -> dict[str, tuple[float, float, float]]:
        """What the sensors say of each joint: position, velocity and effort."""
        simulator = self._model(model).simulator
        reading = simulator.read()
        columns = zip(reading.position[0], reading.velocity[0], reading.effort[0])
        return {
            name: (float(q), float(v), float(effort))
            for name, (q, v, effort) in zip(simulator.profile.joint_names, columns)
        }

    def set_pose(self, model: str, pose: Pose) -> None:
        """See :meth:`World.set_pose`.

        Raises:
            WorldError: the model is fixed to the world.
        """
        if not self._free(self._model(model)):
            raise WorldError(f'{model} is fixed to the world and cannot be put elsewhere')
        self._put(self._model(model), pose)

    def set_effort(self, model: str, efforts: Mapping[str, float]) -> None:
        """See :meth:`World.set_effort`. Joints that are not named go on as they were."""
        simulator = self._model(model).simulator
        unknown = set(efforts) - set(simulator.profile.joint_names)
        if unknown:
            raise WorldError(f'{model} has no joint {", ".join(sorted(unknown))}')
        before = dict(zip(simulator.profile.joint_names, simulator.commanded[0]))
        simulator.command(list({**before, **efforts}.values()))

    def push(self, model: str, link: str, force: Vector, torque: Vector = (0.0, 0.0, 0.0)) -> None:
        """See :meth:`World.push`."""
        bodies = self._model(model).simulator.robot.bodies
        if link not in bodies:
            raise WorldError(f'{model} has no link {link}')
        self._model(model).pushes[bodies[link]] = np.array([*force, *torque])

    def picture(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB picture of the model that was spawned last.

        Raises:
            MissingError: nothing can be rendered here.
        """
        self._backend = self._backend or find_backend()
        simulator = list(self._models.values())[-1].simulator
        model, data = simulator.model(0), simulator.data(0)
        mujoco.mj_forward(model, data)
        camera = Camera(model, CAMERA, *IMAGE, self._backend)
        try:
            return camera.picture(data)
        finally:
            camera.close()

    def routes(self, address: str) -> tuple[str, ...]:
        """See :meth:`World.routes`."""
        has = any(model.simulator.has(address) for model in self._models.values())
        return (ROUTE,) if has else ()

    def nominal(self, model: str, address: str) -> float:
        """See :meth:`World.nominal`."""
        return self._model(model).simulator.nominal(address)

    def get(self, model: str, address: str) -> float | None:
        """See :meth:`World.get`."""
        return float(self._model(model).simulator.get(address)[0])

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """See :meth:`World.apply`."""
        if route not in ('', ROUTE):
            return dict.fromkeys(values, 'unsupported')
        outcomes = self._model(model).simulator.apply(values)
        self._shared = {a: v for a, v in values.items() if a.startswith(SHARED)}
        self._models[model].values = {a: v for a, v in values.items() if a not in self._shared}
        for name, other in self._models.items():
            if name != model:
                other.simulator.apply({**other.values, **self._shared})
        return outcomes

    def close(self) -> None:
        """See :meth:`World.close`."""
        self._models.clear()


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    x, y, z = map(float, values)
    return x, y, z


def _let_go(simulator: MujocoSimulator) -> None:
    """No effort on any joint; without a command their brakes would hold them."""
    simulator.command(np.zeros(len(simulator.profile.joints)))
