"""A world in Gazebo Classic, over Gazebo's own transports: no ROS, no plugin, any world.

See :class:`sim2real_sim.world.World`. Beyond it, :meth:`ClassicWorld.drive` runs position loops
in the engine.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_sim import sdf
from sim2real_sim.gazebo_classic import messages, server
from sim2real_sim.gazebo_classic.connection import Connection
from sim2real_sim.gazebo_classic.introspection import Listener
from sim2real_sim.gazebo_classic.joints import Drive
from sim2real_sim.gazebo_classic.live import LIVE, inertial, links, world_value
from sim2real_sim.gazebo_classic.poses import (
    close,
    impulse,
    into,
    live_state,
    put,
    put_pose,
    read_pose,
    relative,
    scaled,
)
from sim2real_sim.respawn import RESPAWN, Draws
from sim2real_sim.world import ModelState, Pose, Vector, WorldError

TRANSPORT = 'transport'
"""Name of the route over Gazebo's own transport."""
ORIGIN = Pose()
WRENCH = 'gazebo.msgs.Wrench'
SHADE = 1e-5  # of a colour's channel


class ClassicWorld:
    """A world in a running gzserver.

    When gzserver ends, the call that notices raises :class:`WorldError`; the next one connects to
    the one that runs then, which is nominal.

    Args:
        host: where its master runs.
        port: of its master; that of ``GAZEBO_MASTER_URI``, else Gazebo's own, when 0.
        timeout: deadline of every wait [s].

    Raises:
        MissingError: no Gazebo is installed here whose messages could be used.
        WorldError: no gzserver answers there.
    """

    tolerance = 1e-5  # it reads six digits when it spawns

    def __init__(self, host: str = '', port: int = 0, timeout: float = 5.0) -> None:
        master = urlsplit(os.environ.get('GAZEBO_MASTER_URI', ''))
        self._host = host or master.hostname or '127.0.0.1'
        self._port = port or master.port or server.PORT
        self._timeout = timeout
        self._messages = messages.load()
        self._draws = Draws(self)
        self._pushes: list[tuple[int, str, Any]] = []  # steps seen by then, topic, message
        self._connection: Connection | None = None
        self._open()

    @property
    def port(self) -> int:
        """Of the master."""
        return self._port

    @property
    def version(self) -> str:
        """See :class:`~sim2real_sim.world.World`."""
        physics = self._gazebo.live.physics()
        engine = physics.Type.Name(physics.type).lower()
        return f'{self._gazebo.transport.version} ({engine})'

    @property
    def respawned(self) -> str:
        """Why the last draw had a model spawned anew, or ``''``."""
        return self._draws.respawned

    @property
    def troubles(self) -> list[str]:
        """Why addresses of the last draw failed, one line each."""
        return self._draws.troubles

    def time(self) -> float:
        """See :class:`~sim2real_sim.world.World`."""
        return self._gazebo.clock.time() * 1e-9

    def paused(self) -> bool:
        """Whether simulated time is at rest, as we had it or as of the last fifth of a second."""
        return self._gazebo.clock.paused()

    def pause(self, paused: bool) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._settle()
        self._control(pause=paused)
        self._gazebo.clock.wait_paused(paused)

    def step(self, steps: int) -> None:
        """See :class:`~sim2real_sim.world.World`.

        Raises:
            WorldError: the world is not paused, or does not go on by the deadline.
        """
        gazebo = self._gazebo
        if not self.paused():
            raise WorldError('a world must be paused to be stepped')
        self._settle()
        start = gazebo.clock.time()
        self._control(multi_step=steps)
        gazebo.clock.wait_steps(start, steps * self._step)

    def reset(self) -> None:
        """See :class:`~sim2real_sim.world.World`. Commands to joints end."""
        with self._still():
            gazebo = self._gazebo
            self._take_back_pushes()
            everything = self._messages.type('gazebo.msgs.WorldReset')(all=True)
            gazebo.clock.reset(lambda: self._control(reset=everything))
            self._note_moved(*self.models(), at_rest=True)
            for model, told in self._spawned.items():
                self._shown[model] = (gazebo.introspection.count, told._replace(time=0.0))
            self._efforts.clear()
            for model, loads in self._offsets.items():
                gazebo.joints.effort(model, {joint: -load for joint, load in loads.items()})

    def models(self) -> tuple[str, ...]:
        """See :class:`~sim2real_sim.world.World`."""
        return self._gazebo.introspection.models()

    def sdf(self, model: str) -> str:
        """See :class:`~sim2real_sim.world.World`."""
        if model not in self._texts:
            world = etree.fromstring(self._world_text.encode())
            for element in world.iterfind('world/model'):
                if element.get('name') == model:
                    root = etree.Element('sdf', world.attrib)
                    root.append(element)
                    self._texts[model] = etree.tostring(root, encoding='unicode')
                    break
            else:
                raise WorldError(f'Gazebo has no model {model!r}')
        return self._texts[model]

    def spawn(self, model: str, sdf: str, pose: Pose = ORIGIN) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self.replace(model, sdf, pose)
        self._texts[model] = sdf  # nominal from now on
        self._draws.forget(model)

    def replace(self, model: str, sdf: str, pose: Pose) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        gazebo = self._gazebo
        text, away = _named(sdf, model), ''
        if model in self.models():
            self._let_go(model)
            away = gazebo.live.displace(model)
        elif model in self._present:  # others deleted it, and it asks for that once more itself
            gazebo.live.look()
        self._forget(model)
        factory = self._messages.type('gazebo.msgs.Factory')(sdf=text, allow_renaming=False)
        put_pose(factory.pose, pose)
        gazebo.transport.publish('~/factory', factory)
        if away:
            gazebo.live.wait_displaced(away)
        gazebo.live.wait_spawned(model)
        gazebo.introspection.refresh()
        gazebo.introspection.wait_model(model, True)
        gazebo.introspection.watch(model)
        self._note_moved(model, at_rest=True)
        told = live_state(gazebo.live.named(model), self.time(), None, 0.0)
        self._shown[model] = (gazebo.introspection.count, told)
        self._spawned[model] = told
        self._present[model] = text

    def delete(self, model: str) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        gazebo = self._gazebo
        if model not in self.models():
            raise WorldError(f'Gazebo has no model {model!r}')
        self._let_go(model)
        gazebo.live.delete(model)
        gazebo.introspection.wait_model(model, False)
        gazebo.live.wait_deleted(model)
        self._forget(model)

    def state(self, model: str) -> ModelState:
        """See :class:`~sim2real_sim.world.World`.

        Velocities are NaN when the world rests since before the model was first asked for.
        """
        gazebo = self._gazebo
        steps = gazebo.introspection
        if model not in steps.models():
            raise WorldError(f'Gazebo has no model {model!r}')
        if not steps.watches(model):
            steps.watch(model)
            if not self.paused():
                steps.wait_state(model)
        moved, at_rest = self._moved.get(model, (-1, False))
        state = steps.state(model)
        if state is not None and steps.count != moved:
            return state
        resting = at_rest or not gazebo.clock.stepped()
        speed = 0.0 if resting else math.nan
        before = None if resting else state
        if model not in self._shown or self._shown[model][0] != steps.count:
            present = live_state(gazebo.live.model(model), self.time(), before, speed)
            self._shown[model] = (steps.count, present)
        return self._shown[model][1]

    def set_pose(self, model: str, pose: Pose) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        with self._still():
            part = self._gazebo.live.named(model)
            message = self._messages.type('gazebo.msgs.Model')(name=model, id=part.id)
            put_pose(message.pose, pose)
            self._gazebo.live.move(message)
            self._note_moved(model)

    def set_effort(self, model: str, efforts: Mapping[str, float], confirmed: bool = True) -> None:
        """See :class:`~sim2real_sim.world.World`. Joints that are not named go on as they were.

        Args:
            model: whose joints.
            efforts: by joint [N*m or N].
            confirmed: return when the engine has them; else at once, for commands in a stream.
        """
        self._check_joints(model, efforts)
        self._efforts.setdefault(model, {}).update(efforts)
        offsets = self._offsets.get(model, {})
        less = {joint: effort - offsets.get(joint, 0.0) for joint, effort in efforts.items()}
        self._gazebo.joints.effort(model, less, confirmed)

    def drive(self, model: str, drives: Mapping[str, Drive], confirmed: bool = True) -> None:
        """Run position or velocity loops in the engine, beside the efforts, until the next call.

        The effort limit of a joint's SDF holds for each of spring, damper and effort alone.

        Args:
            model: whose joints.
            drives: by joint.
            confirmed: as for :meth:`set_effort`.
        """
        self._check_joints(model, drives)
        self._gazebo.joints.drive(model, drives, confirmed)

    def follow(self, model: str, listener: Listener) -> None:
        """Have a function called with every physics step, with a model in it.

        It is called in the thread of the transport and must be short. It hears the gzserver of
        the present connection; follow anew when that ended.
        """
        steps = self._gazebo.introspection
        if not steps.watches(model):
            steps.watch(model)
        steps.listener = listener

    def light(self, name: str) -> Any:
        """The message that describes a light."""
        return self._gazebo.live.light(name)

    def hear(self, topic: str, type_: str, callback: Callable[[Any], None]) -> None:
        """Have a function called with each message of a topic of Gazebo's own transport.

        As with :meth:`follow`, until this gzserver ends.
        """
        self._gazebo.transport.subscribe(topic, type_, callback)

    def pace(self, factor: float) -> None:
        """Have simulated time run so much faster than a steady clock, at most (above 0)."""
        self._gazebo.live.write_pace(factor)

    def silence(self) -> float:
        """Seconds since Gazebo said anything; a fifth of one is usual, also at rest."""
        return self._gazebo.clock.silence()

    @property
    def lost(self) -> bool:
        """Whether gzserver ended since this was connected."""
        return self._connection is None or bool(self._connection.transport.lost)

    def release(self, model: str, joints: Mapping[str, object]) -> None:
        """End efforts and position loops of joints."""
        self._check_joints(model, joints)
        self._gazebo.joints.release(model, joints)
        for joint in joints:
            self._efforts.get(model, {}).pop(joint, None)

    def push(self, model: str, link: str, force: Vector, torque: Vector = (0.0, 0.0, 0.0)) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        state = self.state(model)
        if link not in state.links:
            raise WorldError(f'model {model!r} has no link {link!r}')
        self._push(model, link, state.links[link].pose, force, torque)

    def _push(self, model: str, link: str, pose: Pose, force: Vector, torque: Vector) -> None:
        present = self._present.get(model) or self.sdf(model)
        center = inertial(present, link.rpartition('::')[2])
        message = self._messages.type(WRENCH)()
        put(message.force, into(pose.orientation, force))
        put(message.torque, into(pose.orientation, torque))
        put(message.force_offset, (center['x'], center['y'], center['z']))
        topic = _wrench(model, link)
        self._gazebo.transport.publish(topic, message)
        self._pushed = True
        count = self._gazebo.introspection.count
        self._pushes = [push for push in self._pushes if push[0] == count]
        self._pushes.append((count, topic, message))

    def _take_back_pushes(self) -> None:
        """Undo what would act in the next step; a reset does not."""
        count = self._gazebo.introspection.count
        for when, topic, message in self._pushes:
            if when == count:
                for part in (message.force, message.torque):
                    part.x, part.y, part.z = -part.x, -part.y, -part.z
                self._gazebo.transport.publish(topic, message)
        self._pushes.clear()

    def routes(self, address: str) -> tuple[str, ...]:
        """See :class:`~sim2real_sim.world.World`."""
        parsed = parse_address(address)
        live = parsed.quantity in LIVE.get(parsed.kind, ())
        spawns = parsed.kind not in ('world', 'light') and sdf.editable(address)
        return (TRANSPORT,) * live + (RESPAWN,) * spawns

    def nominal(self, model: str, address: str) -> float:
        """See :class:`~sim2real_sim.world.World`. NaN where neither SDF nor Gazebo say it."""
        parsed = parse_address(address)
        if parsed.kind == 'world':
            return world_value(self._physics, parsed.quantity)
        if (parsed.kind, parsed.quantity) == ('joint', 'effort_offset'):
            return 0.0
        text = self._world_text if parsed.kind == 'light' else self.sdf(model)
        value = sdf.read(text, address)
        return math.nan if value is None else value

    def get(self, model: str, address: str) -> float | None:
        """See :class:`~sim2real_sim.world.World`."""
        parsed, gazebo = parse_address(address), self._gazebo
        if parsed.kind == 'world':
            return gazebo.live.world_value(address) if self.routes(address) else None
        if parsed.kind == 'light':
            return self._light_value(address, parsed.name)
        if (parsed.kind, parsed.quantity) == ('joint', 'effort_offset'):
            return self._offsets.get(model, {}).get(parsed.name, 0.0)
        value = gazebo.live.model_value(model, parsed)
        if value is not None and parsed.quantity.startswith('inertia'):
            text = self._present.get(model) or self.sdf(model)
            value -= _rotor(text, address, parsed.name, parsed.quantity)
        return value

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """See :class:`~sim2real_sim.world.World`."""
        if model not in self.models() and model not in self._texts:
            raise WorldError(f'Gazebo has no model {model!r}')
        with self._still():
            return self._draws.apply(model, values, route)

    def close(self) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # What sim2real_sim.respawn.Draws calls.

    def write(self, model: str, values: Mapping[str, float], route: str, edited: str) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        groups: dict[str, dict[str, float]] = {}
        for address, value in values.items():
            groups.setdefault(parse_address(address).kind, {})[address] = value
        if 'world' in groups:
            self._gazebo.live.write_world(groups.pop('world'))
            self._step = round(self._gazebo.live.physics().max_step_size * 1e9)
        if 'light' in groups:
            self._light(groups.pop('light'))
        if 'joint' in groups:
            self._offset(model, groups.pop('joint'))
        inside = {address: value for group in groups.values() for address, value in group.items()}
        if inside:
            self._gazebo.live.write_model(model, inside, edited)
            self._present[model] = edited

    def restore(self, model: str, state: ModelState) -> None:
        """See :class:`sim2real_sim.respawn.Backend`.

        Velocities come back with the next step, by the impulses that a body at rest needs for
        them; there is no other way over the transport.
        """
        present = self._gazebo.live.named(model)
        found = {link.name.rpartition('::')[2]: link for link in links(present)}
        common = [name for name in state.links if name in found]
        impulses = {name: impulse(state.links[name], found[name].inertial) for name in common}
        impulses = {name: both for name, both in impulses.items() if any(map(any, both))}
        for name in impulses:  # Gazebo connects meanwhile
            self._gazebo.transport.advertise(_wrench(model, name), WRENCH)
        message = self._messages.type('gazebo.msgs.Model')(name=model, id=present.id)
        for name in common:
            pose = relative(state.pose, state.links[name].pose)
            if not close(pose, read_pose(found[name].pose)):
                part = message.link.add(name=name, id=found[name].id)
                put_pose(part.pose, pose)
        if message.link:
            self._gazebo.live.move(message)
            self._note_moved(model, at_rest=True)
        per_second = 1e9 / self._step
        for name, (linear, angular) in impulses.items():
            force, torque = scaled(linear, per_second), scaled(angular, per_second)
            self._push(model, name, state.links[name].pose, force, torque)
        if len(common) == len(found):  # nothing of it is elsewhere
            now = state._replace(time=self.time())
            self._shown[model] = (self._gazebo.introspection.count, now)

    @property
    def _gazebo(self) -> Connection:
        """The connection; made anew when the last one was found broken by an earlier call."""
        if self._connection is None:
            self._open()
        assert self._connection is not None
        if self._connection.transport.lost:
            why = self._connection.transport.lost
            self.close()
            raise WorldError(
                f'gzserver at {self._host}:{self._port} ended ({why}); '
                'the next call connects anew, to a nominal world'
            )
        return self._connection

    def _open(self) -> None:
        self._draws.forget()
        self._texts: dict[str, str] = {}  # nominal
        self._present: dict[str, str] = {}  # with what was applied
        self._efforts: dict[str, dict[str, float]] = {}
        self._offsets: dict[str, dict[str, float]] = {}
        self._pushed = False
        self._pushes = []
        self._lights: dict[str, float] = {}
        self._connection = Connection(self._messages, self._host, self._port, self._timeout)
        live = self._connection.live
        self._world_text = self._lit = str(live.ask('world_sdf', '', 'GzString').data)
        self._physics = live.physics()  # nominal
        self._step = round(self._physics.max_step_size * 1e9)  # [ns]
        # Models that were put elsewhere: steps seen by then, and whether they are at rest now.
        self._moved: dict[str, tuple[int, bool]] = {}
        self._shown: dict[str, tuple[int, ModelState]] = {}  # where they are then, once asked
        self._spawned: dict[str, ModelState] = {}  # where models of ours came into the world

    def _note_moved(self, *models: str, at_rest: bool = False) -> None:
        count = self._gazebo.introspection.count
        for model in models:
            resting = at_rest or self._moved.get(model) == (count, True)
            self._moved[model] = (count, resting)
            self._shown.pop(model, None)

    def _let_go(self, model: str) -> None:
        """Publish nothing to a model any more, before it ends."""
        self._gazebo.transport.withdraw(f'~/{model}/')
        self._gazebo.live.settle()  # it is known there from here on

    def _forget(self, model: str) -> None:
        """A model is no more in the world."""
        self._gazebo.introspection.forget(model)
        below = f'~/{model}/'
        self._gazebo.transport.withdraw(below)
        self._pushes = [push for push in self._pushes if not push[1].startswith(below)]
        self._gazebo.live.forget(model)
        for known in (self._present, self._efforts, self._offsets, self._spawned):
            known.pop(model, None)

    def _settle(self) -> None:
        """Let pushes arrive before time goes on: what was sent before an answered request has."""
        if self._pushed:
            self._gazebo.live.settle()
            self._pushed = False

    def _check_joints(self, model: str, joints: Iterable[str]) -> None:
        steps = self._gazebo.introspection
        wrong = [joint for joint in joints if not steps.has_joint(model, joint)]
        if wrong:
            raise WorldError(f'Gazebo has no joint {", ".join(wrong)} of a model {model!r}')

    def _control(self, **what: object) -> None:
        control = self._messages.type('gazebo.msgs.WorldControl')(**what)
        self._gazebo.transport.publish('~/world_control', control)

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """Simulated time at rest; it goes on afterwards if it did before."""
        running = not self.paused()
        if running:
            self.pause(True)
        try:
            yield
        finally:
            if running:
                self.pause(False)

    def _light(self, values: Mapping[str, float]) -> None:
        edited = self._lit = sdf.edit(self._world_text, values)
        self._lights = dict(values)
        for name in {parse_address(address).name for address in values}:
            present = self._gazebo.live.recent_light(name)
            color = [getattr(present.diffuse, c) for c in 'rgb']
            read = [sdf.read(edited, f'light.{name}.color.{c}') for c in 'rgb']
            direction = [sdf.read(edited, f'light.{name}.direction.{axis}') for axis in 'xyz']
            self._gazebo.live.write_light(
                name,
                [have if want is None else want for have, want in zip(color, read)],
                [value for value in direction if value is not None],
            )

    def _light_value(self, address: str, name: str) -> float | None:
        """Gazebo has one colour, dimmed: it is ours, or else nobody can tell the two apart."""
        light = self._gazebo.live.recent_light(name)
        for channel in 'rgb':
            color = sdf.read(self._lit, f'light.{name}.color.{channel}')
            if color is None or abs(getattr(light.diffuse, channel) - color) > SHADE:
                return None
        return self._lights.get(address, sdf.read(self._world_text, address))

    def _offset(self, model: str, values: Mapping[str, float]) -> None:
        """A constant load on joints: it takes so much of the effort that they are given."""
        offsets = {parse_address(address).name: value for address, value in values.items()}
        efforts = self._efforts.get(model, {})
        self._gazebo.joints.effort(model, {j: efforts.get(j, 0.0) - v for j, v in offsets.items()})
        self._offsets.setdefault(model, {}).update(offsets)


def _wrench(model: str, link: str) -> str:
    """Topic of wrenches on a link."""
    return f'~/{model}/{link.replace("::", "/")}/wrench'


def _named(text: str, model: str) -> str:
    """SDF of a model, under this name.

    Raises:
        InputError: it is not SDF of one model.
    """
    try:
        root = etree.fromstring(text.encode())
    except etree.XMLSyntaxError as error:
        raise InputError(Fault('sdf', model, f'not XML: {error}')) from error
    models = root.findall('model')
    if root.tag != 'sdf' or len(models) != 1:
        raise InputError(Fault('sdf', model, 'must be <sdf> with one <model> in it'))
    models[0].set('name', model)
    return etree.tostring(root, encoding='unicode')


def _rotor(text: str, address: str, link: str, what: str) -> float:
    """The rotor's share in the inertia that the engine has."""
    own = sdf.read(text, address)
    total = inertial(text, link.rpartition('::')[2])[f'i{what[-2:]}']
    return 0.0 if own is None else total - own
