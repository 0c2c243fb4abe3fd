"""SDF by parameter address: reads and edits the elements that an address means.

The files are the user's: only the numbers that change are written, all else stays character for
character (see :mod:`sim2real_sim.sdf_text`). Models and worlds of any SDF version from 1.4 on are
taken; what is left out there has the value that the format's specification gives it
(http://sdformat.org/spec).

A link, joint, ... is found by its name or by the end of its scoped name (``gripper::finger``);
where several end so, the one that is nested least is meant. Surfaces and visuals may be named
by their link, which means all of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sim2real_core.addresses import Address, parse_address, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_sim.sdf_inertia import INERTIA, Inertial
from sim2real_sim.sdf_numbers import NO_POSE, Place, as_float, number, put
from sim2real_sim.sdf_text import Element, parse

LEAST_BOUNCE_SPEED = 0.01
"""[m/s] Slower impacts do not bounce; the format's default (1e5) never does."""
CORRECTION_SPEED = 100.0
"""[m/s] How fast ODE may push bodies apart; its default (0.01) leaves no bounce."""
CAMERAS = ('camera', 'depth', 'depth_camera', 'rgbd_camera', 'wideanglecamera', 'thermal')
RANGES = ('ray', 'gpu_ray', 'lidar', 'gpu_lidar')
INERTIAL_SENSES = {'gyro': 'angular_velocity', 'accelerometer': 'linear_acceleration'}
SCOPE = '::'


class _Object(NamedTuple):
    """What an address names, with its scoped name."""

    name: str
    element: Element
    parents: tuple[Element, ...]


def _axes(path: str, names: str, default: str) -> dict[str, tuple[Place, ...]]:
    return {name: (Place(path, index, default),) for index, name in enumerate(names)}


def _keyed(prefix: str, places: dict[str, tuple[Place, ...]]) -> dict[str, tuple[Place, ...]]:
    return {f'{prefix}.{name}': place for name, place in places.items()}


WHITE = '1 1 1 1'
# Kind -> quantity -> places; the first is read, all are written.
PLACES: dict[str, dict[str, tuple[Place, ...]]] = {
    'world': {
        **_keyed('gravity', _axes('gravity', 'xyz', '0 0 -9.8')),
        'timestep': (Place('max_step_size', default='0.001'),),
        'solver_iterations': (Place('solver/iters', default='50'),),
    },
    'surface': {
        'friction': (
            Place('surface/friction/ode/mu', default='1'),
            Place('surface/friction/ode/mu2', default='1'),
            Place('surface/friction/bullet/friction', default='1'),
            Place('surface/friction/bullet/friction2', default='1'),
        ),
        'restitution': (Place('surface/bounce/restitution_coefficient'),),
        'stiffness': (
            Place('surface/contact/ode/kp', default='1e12'),
            Place('surface/contact/bullet/kp', default='1e12'),
        ),
        'damping': (
            Place('surface/contact/ode/kd', default='1'),
            Place('surface/contact/bullet/kd', default='1'),
        ),
    },
    'joint': {
        'viscous_friction': (Place('axis/dynamics/damping'),),
        'coulomb_friction': (Place('axis/dynamics/friction'),),
        'stiffness': (Place('axis/dynamics/spring_stiffness'),),
    },
    'actuator': {'saturation': (Place('axis/limit/effort', default='inf'),)},
    'light': {
        **_keyed('color', _axes('diffuse', 'rgb', WHITE)),
        **_keyed('direction', _axes('direction', 'xyz', '0 0 -1')),
        'intensity': (Place('intensity', default='1'),),
    },
    'visual': {
        **{
            f'color.{color}': (
                Place('material/diffuse', index, ''),
                Place('material/ambient', index, ''),
            )
            for index, color in enumerate('rgb')
        },
    },
    'camera': {
        'field_of_view': (Place('horizontal_fov', default='1.047'),),
        **{
            f'distortion.{name}': (Place(f'distortion/{name}'),)
            for name in ('k1', 'k2', 'k3', 'p1', 'p2')
        },
        **_keyed('position', _axes('pose', 'xyz', NO_POSE)),
    },
    'sensor': {'noise': (Place('stddev'),), 'quantization': (Place('precision'),)},
}


def editable(address: str) -> bool:
    """Whether SDF has an element for an address.

    Raises:
        InputError: no such address.
    """
    parsed = parse_address(address)
    if parsed.kind == 'link':
        return True
    if (parsed.kind, parsed.quantity) == ('joint', 'armature'):
        return True
    return parsed.quantity in PLACES.get(parsed.kind, {})


def read(text: str, address: str, *, model: str = '') -> float | None:
    """Value of an address.

    Args:
        text: SDF of a world or a model.
        address: what to read.
        model: which of a world's models is meant; all when empty.

    Returns:
        SI value, or None where neither text nor specification give one.

    Raises:
        InputError: not SDF, or it has no such link, joint, ...
    """
    return _to_read(text, model).read(parse_address(address))


def turned(text: str, address: str, *, model: str = '') -> str:
    """Name of the link that carries the rotor of a joint's ``armature``.

    Raises:
        InputError: as :func:`read`.
    """
    return _to_read(text, model).objects(parse_address(address))[0].element.get('name')


def rotor(text: str, address: str, *, model: str = '') -> float:
    """How much more than the value of an address the text has: the rotor in a link's inertia.

    Raises:
        InputError: as :func:`read`.
    """
    parsed = parse_address(address)
    if parsed.kind != 'link' or not parsed.quantity.startswith('inertia'):
        return 0.0
    document = _to_read(text, model)
    whole = number(document.objects(parsed)[0].element, INERTIA[parsed.quantity])
    return (whole or 0.0) - (document.read(parsed) or 0.0)


def edit(text: str, values: Mapping[str, float], *, model: str = '') -> str:
    """SDF with other values.

    The inertia of a link follows its mass in proportion except where it is given itself. A
    surface that is to bounce also gets the thresholds without which it would not.

    Args:
        text: SDF of a world or a model.
        values: address to absolute SI value.
        model: which of a world's models is meant; all when empty.

    Returns:
        The text; what keeps its value stays as it was, character for character.

    Raises:
        InputError: not SDF, or values that cannot be (unknown, out of range, an inertia that no
            body has); all are named.
    """
    document = _Document(text, model)
    faults = Faults()
    groups: dict[tuple[str, str], tuple[list[_Object], dict[str, float]]] = {}
    for address, value in sorted(values.items()):  # what is added has one order
        try:
            parsed, limits = parse_address(address), quantity(address)
            if not (math.isfinite(value) and limits.low <= value <= limits.high):
                bounds = f'[{limits.low:g}, {limits.high:g}] {limits.unit}'
                raise InputError(Fault(address, value, f'must be within {bounds}'))
            objects = document.objects(parsed)
        except InputError as error:
            faults.extend(error)
            continue
        kind = 'link' if parsed.quantity == 'armature' else parsed.kind
        if kind != 'link' and document.read(parsed) == value:
            continue  # as it is; shapes of one link need not be alike, and stay so
        key = kind, objects[0].name
        groups.setdefault(key, (objects, {}))[1][parsed.quantity] = float(value)
    for (kind, name), (objects, wanted) in groups.items():
        mend = document.write(kind, objects, wanted)
        if mend:
            for what, value in wanted.items():
                faults.add(f'{kind}.{name}.{what}', value, mend)
    faults.check()
    return str(document.root)


class _Document:
    def __init__(self, text: str, model: str = '') -> None:
        self.root = parse(text)
        self.found: dict[str, list[_Object]] = {}
        self.version = 0.0
        for top in self.root:
            if top.tag != 'sdf':
                mend = 'the top element must be <sdf>'
                raise InputError(Fault('sdf', top.tag, mend, line=top.line))
            self.version = as_float(top.get('version')) or 0.0
            self._walk(top, '', (top,), model)

    def _walk(
        self, element: Element, scope: str, parents: tuple[Element, ...], model: str
    ) -> None:
        """Note every named object below an element."""
        for child in element:
            if child.tag not in ('world model link joint light visual collision sensor'.split()):
                continue
            name = scope + child.get('name')
            self.found.setdefault(child.tag, []).append(_Object(name, child, parents))
            if child.tag == 'model' and not scope and model and child.get('name') != model:
                continue
            inner = '' if child.tag == 'world' else name + SCOPE
            self._walk(child, inner, (*parents, child), model)

    def objects(self, address: Address) -> list[_Object]:
        """The objects an address names, at least one."""
        kind, name = address.kind, address.name
        text = str(address)
        if not editable(text):
            raise InputError(Fault('address', text, 'SDF has no such quantity'))
        if kind == 'world':
            worlds = self.found.get('world', [])
            if not worlds:
                raise InputError(Fault('address', text, 'give the SDF of a world'))
            return worlds
        if kind in ('surface', 'visual'):
            tag = 'collision' if kind == 'surface' else kind
            shapes = self.found.get(tag, [])
            exact = self._named(shapes, name, text, required=False)
            if exact:
                return exact
            link = self._named(self.found.get('link', []), name, text)[0].element
            inside = [shape for shape in shapes if shape.parents[-1] is link]
            if not inside:
                raise InputError(Fault('address', text, f'this link has no <{tag}>'))
            return inside
        if kind == 'sensor':
            sensor = self._sensor(name, text)
            if address.quantity == 'quantization' and sensor.element.get('type') != 'imu':
                raise InputError(Fault('address', text, 'SDF has it for an IMU only'))
            return [sensor]
        if kind == 'camera':
            sensor = self._named(self.found.get('sensor', []), name, text)[0]
            if sensor.element.find('camera') is None:
                raise InputError(Fault('address', text, 'this sensor is no camera'))
            return [sensor]
        tag = 'joint' if kind == 'actuator' else kind
        found = self._named(self.found.get(tag, []), name, text)
        if kind == 'joint' and address.quantity == 'armature':
            return [self._turned(found[0], text)]
        if tag == 'joint' and found[0].element.find('axis') is None:
            raise InputError(Fault('address', text, 'this joint has no axis'))
        return found

    @staticmethod
    def _named(
        objects: Sequence[_Object], name: str, address: str, required: bool = True
    ) -> list[_Object]:
        fits = [o for o in objects if o.name == name or o.name.endswith(SCOPE + name)]
        depth = min((o.name.count(SCOPE) for o in fits), default=0)
        fits = [o for o in fits if o.name.count(SCOPE) == depth]
        if len(fits) == 1:
            return fits
        if fits:
            mend = f'which of {", ".join(o.name for o in fits)}?'
            raise InputError(Fault('address', address, mend))
        if required:
            known = ', '.join(o.name for o in objects) or 'none'
            raise InputError(Fault('address', address, f'not in this SDF; it has: {known}'))
        return []

    def _sensor(self, name: str, address: str) -> _Object:
        """A sensor; the two senses of an IMU are named ``<imu>_gyro`` and ``_accelerometer``."""
        sensors = self.found.get('sensor', [])
        whole, _, sense = name.rpartition('_')
        if sense in INERTIAL_SENSES:
            found = self._named(sensors, whole, address, required=False)
            if found and found[0].element.get('type') == 'imu':
                return found[0]._replace(name=f'{found[0].name}_{sense}')
        found = self._named(sensors, name, address)
        if found[0].element.get('type') not in (*CAMERAS, *RANGES):
            mend = 'SDF has noise of cameras, lidars and <imu>_gyro and <imu>_accelerometer'
            raise InputError(Fault('address', address, mend))
        return found[0]

    def _turned(self, joint: _Object, address: str) -> _Object:
        """The link that a joint turns."""
        element = joint.element
        child = element.find('child')
        name = '' if child is None else child.text
        xyz = element.find('axis/xyz')
        pose = element.find('pose')
        plain = xyz is not None and not xyz.get('expressed_in')
        plain = plain and (pose is None or not any(as_float(n) for n in pose.text.split()[3:]))
        if element.get('type') not in ('revolute', 'continuous') or not plain:
            mend = 'SDF has none but of revolute joints whose axis is in the frame of the child'
            raise InputError(Fault('address', address, mend))
        scope = joint.name[: -len(element.get('name'))]
        return self._named(self.found.get('link', []), scope + name, address)[0]

    def _inertial(self, link: _Object) -> Inertial:
        """A link's inertial and the joint that turns it, if any."""
        for joint in self.found.get('joint', []):
            child = joint.element.find('child')
            name = '' if child is None else child.text
            if joint.parents[-1] is link.parents[-1] and name == link.element.get('name'):
                return Inertial(link.element, joint.element)
        return Inertial(link.element, None)

    def read(self, address: Address) -> float | None:
        found = self.objects(address)[0]
        kind, what = address.kind, address.quantity
        if kind == 'link' or what == 'armature':
            return self._inertial(found).read(what)
        if kind == 'light' and what == 'intensity' and self.version < 1.8:
            return 1.0
        element, places = self._located(kind, found, what)
        if element is None or not places:
            return None
        value = number(element, places[0])
        if kind == 'camera' and what == 'field_of_view' and value is not None:
            return _vertical(value, _aspect(element))
        if kind == 'actuator' and value is not None and value < 0:
            return math.inf  # the format's "not enforced"
        return value

    def _located(
        self, kind: str, found: _Object, what: str, make: bool = False
    ) -> tuple[Element | None, tuple[Place, ...]]:
        """The element that places of a quantity count from."""
        element, places = found.element, PLACES[kind][what]
        if kind == 'world':
            return _world(element, what, make)
        if kind == 'camera' and not what.startswith('position'):
            return element.find('camera'), places
        if kind == 'sensor':
            path = _noise(found)
            return (element.make(path) if make else element.find(path)) or Element(''), places
        return element, places

    def write(self, kind: str, objects: list[_Object], values: Mapping[str, float]) -> str:
        """Give objects values; what would be right, when they cannot be."""
        if kind == 'link':
            return self._inertial(objects[0]).write(values)
        for found in objects:
            if kind == 'sensor':
                for one in self._senses(found):
                    _write_noise(one, values, found.element.get('type') == 'imu')
                continue
            if kind == 'light' and self.version < 1.8:
                values = _dimmed(found.element, values)
            if kind == 'surface':
                _settle_surface(found.element, values)
            for what, value in values.items():
                element, places = self._located(kind, found, what, make=True)
                if element is None or not places:
                    return 'this physics engine has no such quantity in SDF'
                if what == 'field_of_view':
                    value = _horizontal(value, _aspect(element))
                for place in places:
                    put(element, place, value)
        return ''

    def _senses(self, found: _Object) -> list[Element]:
        """The noise elements of a sensor, made where missing."""
        path = _noise(found)
        if found.element.get('type') != 'imu':
            return [found.element.make(path)]
        base, _, _ = path.partition('/x/')
        return [found.element.make(f'{base}/{axis}/noise') for axis in 'xyz']


_to_read = functools.lru_cache(maxsize=8)(_Document)
"""A document that is read, not written: the same text is asked for many addresses."""


def _world(world: Element, what: str, make: bool) -> tuple[Element | None, tuple[Place, ...]]:
    places = PLACES['world'][what]
    physics = world.find('physics')
    if what.startswith('gravity'):
        # Before SDF 1.6 it was the engine's.
        if world.find('gravity') is None and physics is not None and physics.find('gravity'):
            return physics, places
        return world, places
    if physics is None:
        if not make:
            return Element(''), places
        physics = world.add('physics')
        physics.set('type', 'ode')
    if what == 'solver_iterations':
        engine = physics.get('type', 'ode')
        if engine not in ('ode', 'bullet'):
            return None, ()
        places = tuple(p._replace(path=f'{engine}/{p.path}') for p in places)
    return physics, places


def _noise(sensor: _Object) -> str:
    kind = sensor.element.get('type')
    if kind == 'imu':
        sense = INERTIAL_SENSES[sensor.name.rpartition('_')[2]]
        return f'imu/{sense}/x/noise'
    if kind in RANGES:
        return 'lidar/noise' if sensor.element.find('lidar') else 'ray/noise'
    return 'camera/noise'


def _write_noise(noise: Element, values: Mapping[str, float], attribute: bool) -> None:
    """Write noise; its type is an attribute in an IMU, an element elsewhere."""
    said = noise.find('type')
    present = noise.get('type') if attribute else '' if said is None else said.text
    wanted = present or 'gaussian'
    if 'quantization' in values:
        wanted = 'gaussian_quantized' if values['quantization'] > 0 else 'gaussian'
    elif present == 'none':
        wanted = 'gaussian'
    if wanted != present and attribute:
        noise.set('type', wanted)
    elif wanted != present:
        noise.make('type').set_text(wanted)
    for what, value in values.items():
        put(noise, PLACES['sensor'][what][0], value)


def _dimmed(light: Element, values: Mapping[str, float]) -> dict[str, float]:
    """Before SDF 1.8 a light had no intensity: its colour carries it."""
    values = dict(values)
    intensity = values.pop('intensity', 1.0)
    if intensity != 1.0:
        for color, (place,) in _keyed('color', _axes('diffuse', 'rgb', WHITE)).items():
            own = values.get(color, number(light, place) or 0.0)
            values[color] = intensity * own
    return values


def _settle_surface(collision: Element, values: Mapping[str, float]) -> None:
    """Give a surface, before it gets its values, what these need to be of effect."""
    torsional = collision.find('surface/friction/torsional/coefficient')
    if 'friction' in values and torsional is not None:
        put(torsional, Place('', default='1'), values['friction'])
    if values.get('restitution', 0.0) > 0:
        threshold = Place('surface/bounce/threshold', default='100000')
        put(collision, threshold, min(number(collision, threshold) or 0.0, LEAST_BOUNCE_SPEED))
    if any(
        values.get(what, present) != present
        for what in ('restitution', 'stiffness', 'damping')
        for present in [number(collision, PLACES['surface'][what][0])]
    ):
        # How fast a contact may push; slower ones are neither elastic nor as stiff as they say.
        speed = Place('surface/contact/ode/max_vel', default='0.01')
        put(collision, speed, max(number(collision, speed) or 0.0, CORRECTION_SPEED))


def _aspect(camera: Element) -> float:
    """Width over height of the image."""
    width, height = (
        number(camera, Place(f'image/{side}', default=default))
        for side, default in (('width', '320'), ('height', '240'))
    )
    return (width or 1.0) / (height or 1.0)


def _vertical(horizontal: float, aspect: float) -> float:
    """Vertical field of view [rad]: what the address means; SDF gives the horizontal one."""
    return 2.0 * math.atan(math.tan(0.5 * horizontal) / aspect)


def _horizontal(vertical: float, aspect: float) -> float:
    return 2.0 * math.atan(math.tan(0.5 * vertical) * aspect)
