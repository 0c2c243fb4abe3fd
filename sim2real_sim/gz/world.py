"""Modern Gazebo (Harmonic, Ionic, Jetty) as a :class:`~sim2real_sim.world.World`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_sim import sdf
from sim2real_sim.gz import messages
from sim2real_sim.gz.connection import Connection
from sim2real_sim.gz.entities import (
    DETAILS,
    Array,
    Snapshot,
    center,
    inertial_value,
    light_value,
    lights,
    rotation,
    tensor,
    vector,
    world_value,
)
from sim2real_sim.gz.requests import Requests
from sim2real_sim.respawn import OF_THE_WORLD, RESPAWN, Draws
from sim2real_sim.world import ModelState, Pose, Vector, WorldError

SERVICE = 'service'
"""Name of the route over Gazebo's services."""
LIVE = {
    'world': ('gravity.x', 'gravity.y', 'gravity.z', 'timestep'),
    'light': tuple(f'color.{c}' for c in 'rgb')
    + tuple(f'direction.{a}' for a in 'xyz')
    + ('intensity',),
    'visual': tuple(f'color.{c}' for c in 'rgb'),
    'joint': ('effort_offset',),
}
"""Kind to quantities that change while the world runs."""
AXIS = {
    'viscous_friction': 'damping',
    'coulomb_friction': 'friction',
    'saturation': 'limit_effort',
}
"""Quantity of a joint to its field in an Axis message."""
ARRIVAL = 0.02
"""[s] for a message on a topic to arrive, which nobody confirms."""
FIRST_ARRIVALS = (0.01, 0.03, 0.1, ARRIVAL)
"""[s] The same, for the first ones on a topic: it is sent again after each of these."""
UNHEARD = 1.0
"""[s] for the listener of a model that is gone to go, too; older releases keep it."""
ORIGIN = Pose()
NEAR = 1e-4
"""[m, rad] Poses are the same up to this."""
DIGITS = 1e-5
"""Gazebo tells gravity, poses and velocities with six digits: they are the same up to this."""


class Spawner(Protocol):
    """Another way for models to come and go; :mod:`sim2real_sim.gz.spawning_ros` has two."""

    def spawn(self, model: str, sdf: str, pose: Pose) -> None:
        """Put a model into the world, or raise WorldError."""
        ...

    def remove(self, model: str) -> None:
        """Take a model out of the world, or raise WorldError."""
        ...


class GzWorld:
    """A running world of modern Gazebo.

    Args:
        world: its name; that of the only one when empty.
        timeout: deadline of everything [s].
        python: interpreter that has Gazebo's Python packages; this one when empty.
        environment: variables for it (``GZ_PARTITION``, ``GZ_IP``, ...).
        spawner: lets models come and go; Gazebo's own services when None.

    Raises:
        MissingError: nothing to talk to Gazebo with.
        WorldError: no Gazebo answers.
    """

    tolerance = DIGITS

    def __init__(
        self,
        world: str = '',
        timeout: float = 5.0,
        python: str = '',
        environment: Mapping[str, str] | None = None,
        spawner: Spawner | None = None,
    ) -> None:
        self._gz = Connection(world, timeout, Requests(python, environment))
        self._spawner = spawner or _Services(self._gz)
        self._draws = Draws(self)
        self._texts: dict[str, str] = {}  # nominal
        self._present: dict[str, str] = {}  # as spawned last
        self._poses: dict[str, Pose] = {}  # where it was
        self._driven: set[tuple[int, str]] = set()  # joints that have their system
        self._efforts: dict[str, dict[str, float]] = {}
        self._offsets: dict[str, dict[str, float]] = {}
        self._asked: dict[str, float] = {}  # of the world, by quantity
        self._observed: set[tuple[int, str]] = set()
        self._run_time = 0.0
        self._applying = False
        self._last: tuple[int, Snapshot] | None = None  # and how much had been told by then
        snapshot = self._look(DETAILS)
        self._nominal = snapshot.entities[snapshot.world]
        self._lights = lights(snapshot)
        self._observe(snapshot)

    @property
    def version(self) -> str:
        """See :class:`~sim2real_sim.world.World`."""
        return f'{self._gz.gazebo} ({self._nominal["PhysicsEnginePlugin"]})'

    @property
    def respawned(self) -> str:
        """Why the last draw had a model spawned anew, or ``''``."""
        return self._draws.respawned

    @property
    def troubles(self) -> list[str]:
        """Why addresses of the last draw failed."""
        return self._draws.troubles

    @property
    def timeout(self) -> float:
        """Deadline of each call [s]."""
        return self._gz.timeout

    @timeout.setter
    def timeout(self, timeout: float) -> None:
        self._gz.timeout = timeout

    def time(self) -> float:
        """See :class:`~sim2real_sim.world.World`."""
        return self._look().time

    def pause(self, paused: bool) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._gz.control(messages.control(pause=paused))
        self._gz.until(lambda: self._look().paused is paused, 'pause' if paused else 'run')

    def step(self, steps: int) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        length = float(self._world_parts()['Physics']['max_step_size'])
        now = self._look().time
        end = now + (steps - 0.5) * length
        self._gz.control(messages.control(steps=steps))
        while now < end:  # the deadline is one for progress, however many steps
            before = now
            self._gz.until(self._later(before), f'step after {before:.4f} s')
            now = self._look().time
        self._gz.until(lambda: self._look().paused, 'end of steps')

    def reset(self) -> None:
        """See :class:`~sim2real_sim.world.World`. Models that were spawned are spawned again.

        Gazebo takes what was changed back to what the world's file says, but for the length of a
        step: of that it tells the file's and takes the changed one.
        """
        nominal = world_value(self._nominal, 'timestep')
        if self._asked.get('timestep', nominal) != nominal:
            self._set_physics({'timestep': nominal})
        if self._look().time == 0.0:
            self._gz.control(messages.control(steps=1))  # else nobody could see the reset
            self._gz.until(self._later(0.0), 'step')
        before = self._look()
        spawned = {name: text for name, text in self._present.items() if name in before.models}
        self._gz.control(messages.control(reset=True))
        self._gz.until(lambda: self._gz.look({}).time < before.time, 'reset of simulated time')
        self._run_time, self._observed = 0.0, set()  # it was us: what was applied is remembered
        for name, text in spawned.items():
            self.replace(name, text, self._poses.get(name, Pose()))
        self._draws.again()
        self._observe(self._look())

    def models(self) -> tuple[str, ...]:
        """See :class:`~sim2real_sim.world.World`."""
        return tuple(self._look().models)

    def sdf(self, model: str) -> str:
        """See :class:`~sim2real_sim.world.World`."""
        if model not in self._texts:
            snapshot = self._look(DETAILS)
            self._texts[model] = snapshot.entities[self._number(snapshot, model)]['ModelSdf']
        return self._texts[model]

    def spawn(self, model: str, sdf: str, pose: Pose = ORIGIN) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self.replace(model, sdf, pose)
        self._texts[model] = sdf  # nominal from now on
        self._draws.forget(model)

    def replace(self, model: str, sdf: str, pose: Pose) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        if model in self.models():
            self.delete(model)
        self._spawner.spawn(model, sdf, pose)
        self._gz.until(lambda: model in self._look().models, f'model {model!r}')
        self._present[model], self._poses[model] = sdf, pose
        self._observe(self._look())

    def delete(self, model: str) -> None:
        """See :class:`~sim2real_sim.world.World`. Forces held by the name end, too."""
        snapshot = self._look(DETAILS)
        number = self._number(snapshot, model)
        self._release(snapshot, model)
        self._spawner.remove(model)
        self._gz.until(lambda: number not in self._look().entities, f'end of model {model!r}')
        # Else the next effort would be sent to the listener of the model that is gone.
        for driven in [key for key in self._driven if key[0] == number]:
            topic = _effort_topic(model, driven[1])
            self._gz.unheard(topic, UNHEARD)
            self._driven.discard(driven)
        for known in (self._present, self._efforts, self._offsets):
            known.pop(model, None)

    def state(self, model: str) -> ModelState:
        """See :class:`~sim2real_sim.world.World`."""
        snapshot = self._look()
        if self._observe(snapshot):
            snapshot = self._look()
        return snapshot.state(self._number(snapshot, model))

    def set_pose(self, model: str, pose: Pose) -> None:
        """See :class:`~sim2real_sim.world.World`.

        Raises:
            WorldError: it stays where it is, as a model does that is fixed to the world.
        """
        self._number(self._look(), model)
        self._gz.ask('set_pose', 'Pose', messages.pose(pose, model))
        self._gz.until(
            lambda: near(self.state(model).pose, pose), f'model {model!r} at {pose.position}'
        )

    def set_effort(self, model: str, efforts: Mapping[str, float]) -> None:
        """See :class:`~sim2real_sim.world.World`.

        The model is given the system that drives a joint; its other controllers go on as well.
        """
        snapshot = self._look()
        number = self._number(snapshot, model)
        joints = dict(snapshot.inside(number, 'Joint'))
        unknown = [joint for joint in efforts if joint not in joints]
        if unknown:
            raise WorldError(f'model {model!r} has no joint {unknown[0]!r}')
        for joint, effort in efforts.items():
            self._efforts.setdefault(model, {})[joint] = effort
            # An offset is what the joint must overcome.
            force = {'data': effort - self._offsets.get(model, {}).get(joint, 0.0)}
            new = (number, joint) not in self._driven
            if new:
                service = f'{self._gz.root}/entity/system/add'
                self._gz.request(service, 'EntityPlugin_V', messages.joint_force(number, joint))
                self._driven.add((number, joint))
            # The listener says that it is there before it hears everything.
            for wait in FIRST_ARRIVALS if new else (ARRIVAL,):
                self._gz.publish(_effort_topic(model, joint), 'Double', force)
                time.sleep(wait)

    def push(self, model: str, link: str, force: Vector, torque: Vector = (0.0, 0.0, 0.0)) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        snapshot = self._look(DETAILS)
        links = dict(snapshot.inside(self._number(snapshot, model), 'Link'))
        if link not in links:
            raise WorldError(f'model {model!r} has no link {link!r}')
        parts = [self._wrench(snapshot, links[link], np.array(force), np.array(torque))]
        self._gz.set_state(snapshot.paused, parts)

    def routes(self, address: str) -> tuple[str, ...]:
        """See :class:`~sim2real_sim.world.World`."""
        parsed = parse_address(address)
        live = parsed.quantity in LIVE.get(parsed.kind, ())
        spawns = parsed.kind not in OF_THE_WORLD and sdf.editable(address)
        return (SERVICE,) * live + (RESPAWN,) * spawns

    def nominal(self, model: str, address: str) -> float:
        """See :class:`~sim2real_sim.world.World`. NaN where neither SDF nor Gazebo say it."""
        parsed = parse_address(address)
        if parsed.kind == 'world':
            return world_value(self._nominal, parsed.quantity)
        if parsed.kind == 'light':
            return light_value(self._light(parsed.name)[1], parsed.quantity)
        if parsed.quantity == 'effort_offset':
            sdf.read(self.sdf(model), f'joint.{parsed.name}.viscous_friction')  # is there one?
            return 0.0
        value = sdf.read(self.sdf(model), address)
        return math.nan if value is None else value

    def get(self, model: str, address: str) -> float | None:
        """See :class:`~sim2real_sim.world.World`. Gazebo does not tell of surfaces and lights."""
        parsed = parse_address(address)
        if parsed.kind == 'world':
            if parsed.quantity not in LIVE['world']:
                return None
            snapshot = self._read()
            told = world_value(snapshot.entities[snapshot.world], parsed.quantity)
            asked = self._asked.get(parsed.quantity, told)
            return asked if same(told, asked) else told
        what = parsed.quantity
        snapshot = self._read()
        number = self._number(snapshot, model)
        text = self._present.get(model) or self.sdf(model)
        if parsed.kind == 'link':
            links = dict(snapshot.inside(number, 'Link'))
            given = snapshot.entities[_named(links, parsed.name)]['Inertial']
            return inertial_value(given, what) - sdf.rotor(text, address)
        if what == 'armature':  # it is there when the link is as heavy to turn as the SDF says
            link = sdf.turned(text, address)
            given = snapshot.entities[_named(dict(snapshot.inside(number, 'Link')), link)]
            for axes in ('xx', 'yy', 'zz', 'xy', 'xz', 'yz'):
                inertia = f'link.{link}.inertia.{axes}'
                own = inertial_value(given['Inertial'], f'inertia.{axes}') - sdf.rotor(
                    text, inertia
                )
                if not same(own, sdf.read(text, inertia) or 0.0):
                    return None
            return sdf.read(text, address)
        if parsed.kind in ('joint', 'actuator') and what in AXIS:
            joints = dict(snapshot.inside(number, 'Joint'))
            axis = snapshot.entities[_named(joints, parsed.name)]['JointAxis']
            return float(axis.get(AXIS[what], 0.0))
        return None

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """See :class:`~sim2real_sim.world.World`."""
        if model not in self._texts:
            self._number(self._look(), model)
        paused = self._look().paused
        if not paused:
            self.pause(True)
        self._applying = True
        try:
            return self._draws.apply(model, values, route)
        finally:
            self._applying, self._last = False, None
            if not paused:
                self.pause(False)

    def close(self) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._gz.close()

    # What sim2real_sim.respawn.Draws calls.

    def write(self, model: str, values: Mapping[str, float], route: str, edited: str) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        groups: dict[tuple[str, str], dict[str, float]] = {}
        for address, value in values.items():
            parsed = parse_address(address)
            groups.setdefault((parsed.kind, parsed.name), {})[parsed.quantity] = value
        for (kind, name), quantities in groups.items():
            if kind == 'world':
                self._set_physics(quantities)
            elif kind == 'light':
                _, nominal = self._light(name)  # what an earlier draw changed is named again
                self._gz.ask('light_config', 'Light', messages.light(nominal, quantities))
            elif kind == 'joint':
                offset = quantities['effort_offset']
                self._offsets.setdefault(model, {})[name] = offset
                self.set_effort(model, {name: self._efforts.get(model, {}).get(name, 0.0)})
            else:
                self._paint(model, name, edited)

    def restore(self, model: str, state: ModelState) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        snapshot = self._look()
        number = self._number(snapshot, model)
        joints = dict(snapshot.inside(number, 'Joint'))
        parts: list[tuple[int, str, str, Any]] = []
        standing = '<parent>world</parent>' in (self._present.get(model) or self.sdf(model))
        for name, (position, velocity) in state.joints.items():
            if name in joints:
                reset = joints[name], 'JointPositionReset', 'Double_V', {'data': [position]}
                parts.append(reset)
                if standing:
                    speed = joints[name], 'JointVelocityReset', 'Double_V', {'data': [velocity]}
                    parts.append(speed)
        if parts:
            self._gz.set_state(snapshot.paused, parts)
            before = {name: at for name, (at, _) in state.joints.items() if name in joints}

            def there() -> bool:
                now = self.state(model).joints
                return all(abs(now[name][0] - at) < NEAR for name, at in before.items())

            self._gz.until(there, f'joints of model {model!r} where they were')
        if not standing:
            self._launch(model, state)

    def _launch(self, model: str, state: ModelState) -> None:
        """Give a free model its velocities in the next step, by the impulses that they need."""
        snapshot = self._look(DETAILS)
        length = float(snapshot.entities[snapshot.world]['Physics']['max_step_size'])
        parts = []
        for name, number in snapshot.inside(self._number(snapshot, model), 'Link'):
            link = state.links.get(name)
            if link is None or not (any(link.linear) or any(link.angular)):
                continue
            inertial = snapshot.entities[number]['Inertial']
            turn = snapshot.frame(number).turn
            arm = turn @ center(inertial)
            spin = np.array(link.angular)
            speed = np.array(link.linear) + np.cross(spin, arm)
            own = turn @ rotation(inertial['pose']['orientation'])
            torque = own @ tensor(inertial) @ own.T @ spin
            force = float(inertial['mass']) * speed
            parts.append(self._wrench(snapshot, number, force / length, torque / length))
        if parts:
            self._gz.set_state(snapshot.paused, parts)

    def _look(self, more: Mapping[str, str] | None = None) -> Snapshot:
        """The world at this instant, with further components."""
        snapshot = self._gz.look(more or {})
        lost = {number for number, _ in self._observed - snapshot.observed()}
        if snapshot.run_time < self._run_time or lost & snapshot.entities.keys():
            # Another server, or someone reset this one: what was spawned is as in its file.
            self._draws.forget()
            self._present.clear()
            self._efforts.clear()
            self._offsets.clear()
            self._driven.clear()
            self._observed.clear()
        self._run_time = snapshot.run_time
        return snapshot

    def _read(self) -> Snapshot:
        """The world with its details; within a draw looked at once after what was told last."""
        if self._last is None or not self._applying or self._last[0] != self._gz.told:
            self._last = self._gz.told, self._look(DETAILS)
        return self._last[1]

    def _set_physics(self, quantities: Mapping[str, float]) -> None:
        """Change quantities of the world (not its lights)."""
        present = self._world_parts()
        values = {f'world.{quantity}': value for quantity, value in quantities.items()}
        message = messages.physics(present['Physics'], vector(present['Gravity']), values)
        self._gz.ask('set_physics', 'Physics', message)

        def has() -> bool:
            parts = self._world_parts()
            return all(same(world_value(parts, q), value) for q, value in quantities.items())

        self._gz.until(has, f'physics with {quantities}')
        self._asked.update(quantities)

    def _world_parts(self) -> Mapping[str, Any]:
        snapshot = self._look(DETAILS)
        return snapshot.entities[snapshot.world]

    def _number(self, snapshot: Snapshot, model: str) -> int:
        if model not in snapshot.models:
            known = ', '.join(snapshot.models) or 'none'
            raise WorldError(f'Gazebo has no model {model!r}; it has: {known}')
        return snapshot.models[model]

    def _later(self, than: float) -> Callable[[], bool]:
        return lambda: self._look().time > than

    def _observe(self, snapshot: Snapshot) -> bool:
        """Have Gazebo keep velocities and joint positions up to date; whether it did not."""
        missing = [m for number in snapshot.models.values() for m in snapshot.unobserved(number)]
        if missing:
            self._gz.set_state(snapshot.paused, missing)
            wanted = {(number, name) for number, name, _, _ in missing}

            def there() -> bool:
                entities = self._look().entities
                return all(name in entities.get(number, {}) for number, name in wanted)

            self._gz.until(there, 'velocities of the models')
            self._observed |= wanted
        return bool(missing)

    def _wrench(
        self, snapshot: Snapshot, link: int, force: Array, torque: Array
    ) -> tuple[int, str, str, Any]:
        """The component that acts on a link's centre of mass in the next step.

        Gazebo takes the force at the link's origin.
        """
        arm = snapshot.frame(link).turn @ center(snapshot.entities[link]['Inertial'])
        message = {
            'force': messages.vector(force),
            'torque': messages.vector(torque + np.cross(arm, force)),
        }
        return link, 'ExternalWorldWrenchCmd', 'Wrench', message

    def _release(self, snapshot: Snapshot, model: str) -> None:
        """End forces that are held by the model's or its links' names; they would return."""
        plugins = snapshot.entities[snapshot.world].get('SystemPluginInfo', {}).get('plugins', [])
        if not any('ApplyLinkWrench' in plugin['name'] for plugin in plugins):
            return
        number = self._number(snapshot, model)
        names = [(model, 'MODEL')]
        names += [(f'{model}::{name}', 'LINK') for name, _ in snapshot.inside(number, 'Link')]
        for name, kind in names:
            message = messages.entity(name, kind)
            self._gz.publish(f'{self._gz.root}/wrench/clear', 'Entity', message)
        time.sleep(ARRIVAL)

    def _light(self, name: str) -> tuple[str, dict[str, Any]]:
        whole = next((w for w in self._lights if w == name or w.endswith(f'::{name}')), None)
        if whole is None:
            known = ', '.join(self._lights) or 'none'
            raise InputError(Fault(f'light.{name}', name, f'no such light; it has: {known}'))
        return whole, self._lights[whole]

    def _paint(self, model: str, name: str, edited: str) -> None:
        color = [sdf.read(edited, f'visual.{name}.color.{c}') for c in 'rgb']
        snapshot = self._look()
        number = self._number(snapshot, model)
        for link, entity in snapshot.inside(number, 'Link'):
            for visual in snapshot.children(entity, 'Visual'):
                if name in (link, visual, f'{link}::{visual}', f'{model}::{link}::{visual}'):
                    rgba = [1.0 if c is None else c for c in color] + [1.0]
                    message = messages.visual(visual, link, rgba)
                    self._gz.ask('visual_config', 'Visual', message)


class _Services:
    """Gazebo's own services as a spawner."""

    def __init__(self, gazebo: Connection) -> None:
        self._gz = gazebo

    def spawn(self, model: str, sdf: str, pose: Pose) -> None:
        self._gz.ask('create', 'EntityFactory', messages.factory(model, sdf, pose))

    def remove(self, model: str) -> None:
        self._gz.ask('remove', 'Entity', messages.entity(model))


def _effort_topic(model: str, joint: str) -> str:
    return f'/model/{model}/joint/{joint}/cmd_force'


def near(one: Pose, other: Pose) -> bool:
    """Whether two poses are the same as far as Gazebo tells."""
    turned = abs(float(np.dot(one.orientation, other.orientation)))
    far = max(map(abs, other.position))
    close = math.dist(one.position, other.position) < NEAR + 2.0 * DIGITS * far
    return close and turned > 1.0 - NEAR


def same(told: float, asked: float) -> bool:
    """Whether a value is the one that was asked for, as far as Gazebo tells."""
    return math.isclose(told, asked, rel_tol=DIGITS, abs_tol=1e-9)


def _named(numbers: Mapping[str, int], name: str) -> int:
    """Number of what is named so, or ends so, nested least."""
    fits = [n for n in numbers if n == name or n.endswith(f'::{name}')]
    bare = name.rpartition('::')[2]  # with the model's own name before it
    fits = fits or [n for n in numbers if n == bare]
    if not fits:
        raise WorldError(f'Gazebo has no {name!r} in this model; it has: {", ".join(numbers)}')
    return numbers[min(fits, key=lambda n: n.count('::'))]
