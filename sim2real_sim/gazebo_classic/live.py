"""What Gazebo Classic changes while it runs, over its own transport; measured on 11.1.

Gravity, step size and solver iterations take effect at once, models and lights within its five
looks a second. Joint damping and limits are read back as they were: those need a respawn.
"""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from sim2real_core.addresses import QUANTITIES, Address, parse_address
from sim2real_core.errors import Fault, InputError
from sim2real_sim import sdf
from sim2real_sim.gazebo_classic.messages import Messages
from sim2real_sim.gazebo_classic.pose_stream import PoseStream
from sim2real_sim.gazebo_classic.poses import close, read_pose
from sim2real_sim.gazebo_classic.transport import Transport
from sim2real_sim.gazebo_classic.waiting import until
from sim2real_sim.sdf_addresses import CORRECTION_SPEED, LEAST_BOUNCE_SPEED
from sim2real_sim.world import WorldError

SURFACE = ('friction', 'restitution', 'stiffness', 'damping')
LIVE = {
    'world': (*(f'gravity.{axis}' for axis in 'xyz'), 'timestep', 'solver_iterations'),
    'link': tuple(QUANTITIES['link']),
    'surface': SURFACE,
    'visual': tuple(f'color.{color}' for color in 'rgb'),
    'light': tuple(QUANTITIES['light']),
    'joint': ('effort_offset',),
}
"""Kind to quantities that change without a respawn."""
INERTIA = ('ixx', 'ixy', 'ixz', 'iyy', 'iyz', 'izz')
ECHO = 1.5  # [s] within which even a busy Gazebo answers the request of a model that ended
AGAIN = 1.0  # [s] after which a question is asked again
FRESH = 1.0  # [s] how long an answer about a model or light is good for


class Live:
    """Asks and changes a Gazebo over its own transport.

    Args:
        transport: the connection.
        poses: of what is moved.
        messages: Gazebo's message classes.
        timeout: deadline of every wait [s].
    """

    def __init__(
        self, transport: Transport, poses: PoseStream, messages: Messages, timeout: float
    ) -> None:
        self._poses = poses
        self._transport = transport
        self._messages = messages
        self._timeout = timeout
        # Others' requests are answered on the same topic: Gazebo's own have small numbers.
        self._count = random.randrange(2**30, 2**31 - 2**20)
        self._answers: dict[int, Any] = {}  # None as long as there is none
        self._models: dict[str, tuple[float, Any]] = {}  # as told last, and when
        self._lights: tuple[float, dict[str, Any]] = (-math.inf, {})
        self._named: dict[str, Any] = {}  # as first told: ids do not change
        self._deleting: dict[str, set[int]] = {}  # numbers of Gazebo's own requests for it
        self._deleted: set[int] = set()  # those that were answered
        self._away = 0  # models that were displaced so far
        transport.subscribe('~/response', 'gazebo.msgs.Response', self._answered)
        transport.subscribe('~/model/info', 'gazebo.msgs.Model', self._spawned)
        transport.subscribe('~/request', 'gazebo.msgs.Request', self._requested)
        transport.advertise('~/request', 'gazebo.msgs.Request')

    def ask(self, what: str, about: str, answer: str) -> Any:
        """Ask Gazebo.

        Args:
            what: kind of request, e.g. ``physics_info``.
            about: name of an entity, or ``''``.
            answer: type of the answer, e.g. ``Physics``.

        Raises:
            WorldError: no answer by the deadline, or that it cannot be told.
        """
        response = self._request(what, about)
        type_ = f'gazebo.msgs.{answer}'
        if response.type != type_:
            name = f'{what} {about}'.strip()
            raise WorldError(f'Gazebo cannot tell {name!r}: {response.response}')
        return self._messages.type(type_).FromString(response.serialized_data)

    def _request(self, what: str, about: str) -> Any:
        """Have a request answered."""
        self._count += 1
        number, name = self._count, f'{what} {about}'.strip()
        request = self._messages.type('gazebo.msgs.Request')(id=number, request=what, data=about)
        self._answers[number] = None
        what = f'answer to {name!r}'
        try:
            self._transport.publish('~/request', request)
            try:
                return self._transport.wait(lambda: self._answers[number], what, AGAIN)
            except WorldError:  # a busy Gazebo loses one now and then
                self._transport.publish('~/request', request)
                return self._transport.wait(lambda: self._answers[number], what)
        finally:
            del self._answers[number]

    def physics(self) -> Any:
        """The engine's settings."""
        return self.ask('physics_info', '', 'Physics')

    def settle(self) -> None:
        """Have Gazebo take what was sent to it before: it answers in the order of what comes."""
        self.physics()

    def look(self) -> None:
        """Have Gazebo look at its requests, which it does between two steps."""
        self.ask('entity_list', '', 'Model_V')

    def model(self, name: str) -> Any:
        """A model as the engine has it; takes 0.2 s."""
        answer = self.ask('entity_info', name, 'Model')
        self._models[name] = (time.monotonic(), answer)
        self._named.setdefault(name, answer)
        return answer

    def recent_model(self, name: str) -> Any:
        """A model as it was told of within the last second."""
        asked, model = self._models.get(name, (-math.inf, None))
        return model if _fresh(asked) else self.model(name)

    def named(self, name: str) -> Any:
        """A model as it was first told of: names and ids of its parts, and what was nominal."""
        return self._named.get(name) or self.model(name)

    def wait_spawned(self, model: str) -> None:
        """Wait until Gazebo has told of a model that it loaded."""
        self._transport.wait(lambda: model in self._named, f'model {model!r}')

    def move(self, message: Any) -> None:
        """Put a model, or links of it, elsewhere; the message has poses and ids."""
        wanted = {part.id: part.pose for part in (message, *message.link) if part.HasField('pose')}
        there: dict[int, bool] = dict.fromkeys(wanted, False)

        def look(poses: Any) -> None:
            for pose in poses.pose:
                if pose.id in wanted:
                    there[pose.id] = close(read_pose(pose), read_pose(wanted[pose.id]))

        def has() -> bool:
            model = self.model(message.name)
            have = {part.id: part.pose for part in (model, *links(model))}
            return all(
                number in have and close(read_pose(have[number]), read_pose(pose))
                for number, pose in wanted.items()
            )

        what = f'move of model {message.name!r}'
        self._poses.clear()
        self._poses.listener = look
        self._transport.publish('~/model/modify', message)
        try:
            self._transport.wait(lambda: all(there.values()), what, AGAIN)
        except WorldError:  # a busy Gazebo leaves out to tell of one now and then, or loses one
            if not has():
                self._transport.publish('~/model/modify', message)
            until(has, what, self._timeout)
        finally:
            self._poses.listener = None

    def light(self, name: str) -> Any:
        """A light of the world; takes 0.2 s."""
        lights = {light.name: light for light in self.ask('scene_info', '', 'Scene').light}
        self._lights = (time.monotonic(), lights)
        if name not in lights:
            known = ', '.join(lights) or 'none'
            mend = f'the world has no such light; it has: {known}'
            raise InputError(Fault('light', name, mend))
        return lights[name]

    def recent_light(self, name: str) -> Any:
        """A light as it was told of within the last second."""
        asked, lights = self._lights
        return lights[name] if name in lights and _fresh(asked) else self.light(name)

    def delete(self, model: str) -> None:
        """Ask for the end of a model."""
        self.forget(model)
        self._deleted.clear()
        self._deleting = {model: set()}
        request = self._messages.type('gazebo.msgs.Request')
        self._transport.publish('~/request', request(id=0, request='entity_delete', data=model))

    def displace(self, model: str) -> str:
        """Have a model end so that one may be spawned under its name at once.

        Gazebo deletes by name, a look after it is asked to, and asks itself for the deletion of
        what ended once more. So the model gets another name first, and that one is deleted: its
        own request then hits nobody. What is spawned from here on comes in the look in which this
        one goes, after it went.

        Returns:
            The other name, for :meth:`wait_displaced`.
        """
        message = self._messages.type('gazebo.msgs.Model')(id=self.named(model).id)
        self._away += 1
        message.name = away = f'{model}_away_{self._away}'
        self.forget(model)
        self._deleted.clear()
        self._deleting = {away: set()}
        self._transport.publish('~/model/modify', message)
        self.settle()  # it has the name before the deletions are heard
        # Whoever draws it knows it by its old name.
        request = self._messages.type('gazebo.msgs.Request')
        self._transport.publish('~/request', request(id=0, request='entity_delete', data=model))
        self._request('entity_delete', away)
        return away

    def wait_displaced(self, away: str) -> None:
        """Wait until a model that was given this name is no more."""
        self._transport.wait(lambda: self._deleting[away], f'end of model {away!r}')

    def forget(self, model: str) -> None:
        """A model is no more in the world."""
        self._models.pop(model, None)
        self._named.pop(model, None)

    def wait_deleted(self, model: str) -> None:
        """Wait until one may be spawned under the name of a model that ended.

        A model that ends asks for its own deletion once more; that request must be answered
        before, lest it hit the new one.
        """
        try:
            self._transport.wait(
                lambda: self._deleting[model] & self._deleted, f'end of model {model!r}', ECHO
            )
        except WorldError:
            self.look()  # it was answered before, if it was there

    def write_world(self, values: Mapping[str, float]) -> None:
        """Change quantities of the world (not its lights)."""
        present = self.physics()
        message = self._messages.type('gazebo.msgs.Physics')(type=present.type)
        for address, value in values.items():
            what = parse_address(address).quantity
            if what == 'timestep':
                message.max_step_size = value
            elif what == 'solver_iterations':
                message.iters = int(value)
            else:
                if not message.HasField('gravity'):
                    message.gravity.CopyFrom(present.gravity)
                setattr(message.gravity, what[-1], value)
        self._transport.publish('~/physics', message)
        until(
            lambda: all(_same(self.world_value(a), v) for a, v in values.items()),
            f'effect on {", ".join(values)}',
            self._timeout,
        )

    def write_pace(self, factor: float) -> None:
        """Have simulated time run so much faster than a steady clock, at most."""
        present = self.physics()
        rate = factor / present.max_step_size
        message = self._messages.type('gazebo.msgs.Physics')(type=present.type)
        message.real_time_update_rate = rate
        self._transport.publish('~/physics', message)
        until(
            lambda: _same(self.physics().real_time_update_rate, rate),
            f'update rate of {rate:g} Hz',
            self._timeout,
        )

    def world_value(self, address: str) -> float:
        """Value of an address of the world."""
        return world_value(self.physics(), parse_address(address).quantity)

    def write_light(self, name: str, color: list[float], direction: list[float]) -> None:
        """Change a light.

        Args:
            name: of the light.
            color: (r, g, b), dimmed by its intensity.
            direction: (x, y, z).
        """
        message = self._messages.type('gazebo.msgs.Light')()
        message.CopyFrom(self.recent_light(name))
        for channel, value in zip('rgb', color):
            setattr(message.diffuse, channel, value)
        for axis, value in zip('xyz', direction):
            setattr(message.direction, axis, value)
        self._transport.publish('~/light/modify', message)

        def there() -> bool:
            light = self.light(name)
            have = [getattr(light.diffuse, channel) for channel in 'rgb']
            return all(_same(a, b, 1e-6) for a, b in zip(have, color))

        until(there, f'effect on light {name}', self._timeout)

    def write_model(self, name: str, values: Mapping[str, float], edited: str) -> None:
        """Change links, surfaces and visuals of a model; its SDF with the values is given too."""
        model = self.named(name)
        addresses = [parse_address(address) for address in values]
        message = self._messages.type('gazebo.msgs.Model')(name=model.name, id=model.id)
        for link in links(model):
            part = self._messages.type('gazebo.msgs.Link')(name=_leaf(link.name), id=link.id)
            if any(a.kind == 'link' and _is(link.name, a.name) for a in addresses):
                put_inertial(part.inertial, link.inertial, inertial(edited, _leaf(link.name)))
            for collision in link.collision:
                wanted = {
                    address.quantity: values[str(address)]
                    for address in addresses
                    if address.kind == 'surface'
                    and (_is(link.name, address.name) or _is(collision.name, address.name))
                }
                if wanted:
                    shape = part.collision.add(name=_leaf(collision.name), id=collision.id)
                    put_surface(shape.surface, collision.surface, wanted)
            if part.HasField('inertial') or part.collision:
                message.link.append(part)
        if message.link:
            self._transport.publish('~/model/modify', message)
            self._confirm(name, message)
        for address in addresses:
            if address.kind == 'visual':
                self._paint(model, address, edited)

    def model_value(self, name: str, address: Address) -> float | None:
        """Value of an address of a model; None where Gazebo does not tell."""
        model = self.recent_model(name)
        what = address.quantity
        if address.kind == 'link':
            found = next((part for part in links(model) if _is(part.name, address.name)), None)
            if found is None:
                return None
            if what == 'mass':
                return float(found.inertial.mass)
            if what.startswith('com'):
                return float(getattr(found.inertial.pose.position, what[-1]))
            return float(getattr(found.inertial, f'i{what[-2:]}'))
        if address.kind == 'surface':
            for link in links(model):
                for collision in link.collision:
                    if _is(link.name, address.name) or _is(collision.name, address.name):
                        return surface_value(collision.surface, what)
        if address.kind in ('joint', 'actuator'):
            for joint in joints(model):
                field = {
                    'viscous_friction': 'damping',
                    'coulomb_friction': 'friction',
                    'saturation': 'limit_effort',
                }.get(what)
                if field and _is(joint.name, address.name):
                    return float(getattr(joint.axis1, field))
        return None

    def _confirm(self, name: str, message: Any) -> None:
        """Wait until the model has what a message asks for."""

        def there() -> bool:
            present = {link.id: link for link in links(self.model(name))}
            for link in message.link:
                have = present.get(link.id)
                if have is None or not _covers(have.inertial, link.inertial):
                    return False
                surfaces = {collision.id: collision.surface for collision in have.collision}
                if not all(_covers(surfaces[c.id], c.surface) for c in link.collision):
                    return False
            return True

        until(there, f'effect on model {name!r}', self._timeout)

    def _paint(self, model: Any, address: Address, edited: str) -> None:
        color = [sdf.read(edited, f'visual.{address.name}.color.{c}') for c in 'rgb']
        for link in links(model):
            for visual in link.visual:
                mine = _is(link.name, address.name) or _is(visual.name, address.name)
                if not mine or visual.type != visual.VISUAL:
                    continue
                message = self._messages.type('gazebo.msgs.Visual')(
                    name=visual.name, parent_name=visual.parent_name, id=visual.id
                )
                for part in (message.material.ambient, message.material.diffuse):
                    part.r, part.g, part.b = (1.0 if c is None else c for c in color)
                    part.a = 1.0
                self._transport.publish('~/visual', message)

    def _requested(self, request: Any) -> None:
        if request.request == 'entity_delete' and request.data in self._deleting:
            self._deleting[request.data].add(request.id)

    def _spawned(self, model: Any) -> None:
        if self._named.setdefault(model.name, model) is model:
            self._models[model.name] = (time.monotonic(), model)

    def _answered(self, response: Any) -> None:
        if response.request == 'entity_delete':
            self._deleted.add(response.id)
        if response.id in self._answers:
            self._answers[response.id] = response


def world_value(physics: Any, what: str) -> float:
    """A quantity of a Physics."""
    if what == 'timestep':
        return float(physics.max_step_size)
    if what == 'solver_iterations':
        return float(physics.iters)
    return float(getattr(physics.gravity, what[-1]))


def links(model: Any) -> Iterator[Any]:
    """Links of a model and of those in it."""
    yield from model.link
    for inner in model.model:
        yield from links(inner)


def joints(model: Any) -> Iterator[Any]:
    """Joints of a model and of those in it."""
    yield from model.joint
    for inner in model.model:
        yield from joints(inner)


def inertial(text: str, link: str) -> dict[str, float]:
    """Mass, centre of mass and inertia of a link as SDF has them, a rotor in it included.

    Returns:
        By ``mass``, ``x``, ``y``, ``z`` (link frame) and ``ixx``, ... (about it).
    """
    for element in _tree(text).iter('link'):
        if element.get('name') == link:
            values = {'mass': float(element.findtext('inertial/mass', '1'))}
            pose = element.findtext('inertial/pose', '0 0 0').split()
            values.update((axis, float(number)) for axis, number in zip('xyz', pose))
            for name in INERTIA:
                default = '1' if name[1] == name[2] else '0'
                values[name] = float(element.findtext(f'inertial/inertia/{name}', default))
            return values
    raise InputError(Fault('link', link, 'the model has no such link'))


@functools.lru_cache(maxsize=8)
def _tree(text: str) -> etree._Element:
    return etree.fromstring(text.encode())


def put_inertial(message: Any, present: Any, values: Mapping[str, float]) -> None:
    """Fill an Inertial: all of it, since Gazebo takes it as a whole."""
    message.CopyFrom(present)
    message.mass = values['mass']
    for axis in 'xyz':
        setattr(message.pose.position, axis, values[axis])
    for name in INERTIA:
        setattr(message, name, values[name])


def put_surface(message: Any, nominal: Any, values: Mapping[str, float]) -> None:
    """Fill a Surface, with the thresholds that its values need to be of effect."""
    if 'friction' in values:
        message.friction.mu = message.friction.mu2 = values['friction']
    if 'restitution' in values:
        as_was = values['restitution'] == nominal.restitution_coefficient
        message.restitution_coefficient = values['restitution']
        message.bounce_threshold = nominal.bounce_threshold if as_was else LEAST_BOUNCE_SPEED
    if 'stiffness' in values:
        message.kp = values['stiffness']
    if 'damping' in values:
        message.kd = values['damping']
    pushing = {q: v for q, v in values.items() if q in ('restitution', 'stiffness', 'damping')}
    if pushing:
        as_was = all(surface_value(nominal, q) == v for q, v in pushing.items())
        message.max_vel = nominal.max_vel if as_was else CORRECTION_SPEED


def surface_value(surface: Any, what: str) -> float | None:
    """A quantity of a Surface."""
    return {
        'friction': surface.friction.mu,
        'restitution': surface.restitution_coefficient,
        'stiffness': surface.kp,
        'damping': surface.kd,
    }.get(what)


def _fresh(told: float) -> bool:
    return time.monotonic() - told <= FRESH


def _leaf(name: str) -> str:
    return name.rpartition('::')[2]


def _is(scoped: str, name: str) -> bool:
    """Whether a scoped name is that of what is called so."""
    return scoped == name or scoped.endswith(f'::{name}')


def _same(a: float, b: float, tolerance: float = 1e-9) -> bool:
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)


def _covers(present: Any, wanted: Any) -> bool:
    """Whether a message has the numbers of another one."""
    for field, value in wanted.ListFields():
        have = getattr(present, field.name)
        if field.message_type:
            if not _covers(have, value):
                return False
        elif isinstance(value, float):
            if not _same(have, value, 1e-9):
                return False
        elif have != value:
            return False
    return True
