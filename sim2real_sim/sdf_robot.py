"""A robot's SDF from its URDF and profile.

As in the other simulators of this suite: what the profile says of a joint (limits, friction,
armature) replaces what the URDF says, joints that it does not list are held at zero (or at the
limit next to it), and the robot stands on its root link unless that is called ``world``.

Links without mass that are fixed to others become frames, so that the engine has no bodies that
weigh nothing; their shapes go to the link that carries them. Massive links that are fixed to
others stay links, with a fixed joint, so that their mass can be drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from lxml import etree

from sim2real_core.errors import InputError
from sim2real_core.profile import RobotProfile
from sim2real_core.urdf import MOVABLE, UrdfJoint, resolve_mesh
from sim2real_sim import sdf_addresses
from sim2real_sim.sdf_inertia import axis_angle, roll_pitch_yaw

LEAST_MASS, LEAST_INERTIA = 1e-3, 1e-6
"""Of a moving body that weighs nothing in the URDF [kg, kg*m^2]: engines need some."""
WORLD = 'world'
MIMIC_VERSION = (1, 11)
IMU = 'imu'


@dataclass
class RobotSdf:
    """A robot's SDF.

    Attributes:
        text: the SDF.
        notes: what it could not say as the URDF and the profile do, one line each.
    """

    text: str = ''
    notes: list[str] = field(default_factory=list)


def from_profile(profile: RobotProfile, version: str = '1.7') -> str:
    """The SDF of a robot; see :func:`robot_sdf`."""
    return robot_sdf(profile, version).text


def robot_sdf(profile: RobotProfile, version: str = '1.7') -> RobotSdf:
    """The SDF of a robot, with what it could not say.

    Args:
        profile: the robot.
        version: of SDF. Gazebo Classic 11 reads up to 1.7; from 1.11 on joints can mimic others.

    Raises:
        InputError: a mesh that is not there.
    """
    return _Robot(profile, version).build()


class _Robot:
    def __init__(self, profile: RobotProfile, version: str) -> None:
        self.profile = profile
        self.version = version
        self.mimics = tuple(int(v) for v in version.split('.')) >= MIMIC_VERSION
        self.urdf = profile.urdf
        self.out = RobotSdf()
        self.tree = etree.fromstring(self.urdf.text.encode())
        self.joint_above = {joint.child: joint for joint in self.urdf.joints.values()}
        self.elements = {e.get('name'): e for e in self.tree.findall('joint')}
        self.links = {e.get('name'): e for e in self.tree.findall('link')}
        self.colors = {
            e.get('name'): e.find('color').get('rgba')
            for e in self.tree.findall('material')
            if e.find('color') is not None
        }
        self.actuated = {joint.name: joint for joint in profile.joints}
        self.rigid = {j.name for j in self.urdf.joints.values() if not profile.moves(j)}
        self.carrier = self._carriers()

    def _massive(self, link: str) -> bool:
        return link != WORLD and self.urdf.links[link].mass > 0

    def _carriers(self) -> dict[str, str]:
        """The link of the SDF that each link of the URDF is part of."""
        top: dict[str, str] = {}
        for link in self.urdf.links:
            path = [link]
            while path[-1] in self.joint_above and self.joint_above[path[-1]].name in self.rigid:
                path.append(self.joint_above[path[-1]].parent)
            top[link] = path[-1]
        carrier = {}
        for link in self.urdf.links:
            here = link
            while not self._massive(here) and here != top[link]:
                here = self.joint_above[here].parent
            if not self._massive(here):
                group = [other for other in self.urdf.links if top[other] == top[link]]
                heavy = [other for other in group if self._massive(other)]
                here = WORLD if WORLD in group else (heavy or [top[link]])[0]
            carrier[link] = here
        return carrier

    def build(self) -> RobotSdf:
        root = etree.Element('sdf', version=self.version)
        self.model = etree.SubElement(root, 'model', name=self.profile.name)
        for link in self.urdf.links:
            if link == WORLD:
                if self.links[link].find('visual') is not None:
                    self.out.notes.append('the shapes of link world are left out')
            elif self.carrier[link] == link:
                self._link(link)
            else:
                self._frame(link)
        for joint in self.urdf.joints.values():
            self._joint(joint)
        if self.urdf.root != WORLD and self.carrier[self.urdf.root] != WORLD:
            self._connect('world_mount', 'fixed', WORLD, self.carrier[self.urdf.root])
        self._sensors()
        etree.indent(root, '  ')
        self.out.text = etree.tostring(root, encoding='unicode') + '\n'
        self._armatures()
        return self.out

    def _pose(self, parent: etree._Element, origin: etree._Element | None, frame: str) -> None:
        """Add a pose, as a URDF origin gives it, relative to a link or frame (``''``: own)."""
        xyz, rpy = '0 0 0', '0 0 0'
        if origin is not None:
            xyz, rpy = origin.get('xyz', xyz), origin.get('rpy', rpy)
        pose = etree.SubElement(parent, 'pose')
        if frame and frame != WORLD:
            pose.set('relative_to', frame)
        pose.text = ' '.join(f'{xyz} {rpy}'.split())

    def _place(self, element: etree._Element, link: str) -> None:
        """Put a link or frame where its joint has it at zero, or where it is held."""
        joint = self.joint_above.get(link)
        if joint is None:
            return
        origin = self.elements[joint.name].find('origin')
        rest = 0.0
        if joint.name in self.rigid and joint.type in MOVABLE:
            rest = min(max(0.0, joint.lower), joint.upper)
            self.out.notes.append(f'joint {joint.name} is not in the profile: held at {rest:g}')
        if not rest:
            self._pose(element, origin, joint.parent)
            return
        middle = etree.Element('frame', name=f'{joint.name}_origin')
        element.addprevious(middle)
        if self.carrier[joint.parent] != WORLD:
            middle.set('attached_to', self.carrier[joint.parent])
        self._pose(middle, origin, joint.parent)
        axis = self._axis(joint)
        moved = etree.Element('origin')
        if joint.type == 'prismatic':
            moved.set('xyz', _text(rest * axis))
        else:
            moved.set('rpy', _text(roll_pitch_yaw(axis_angle(axis, rest))))
        self._pose(element, moved, f'{joint.name}_origin')

    def _axis(self, joint: UrdfJoint) -> np.ndarray:
        axis = self.elements[joint.name].find('axis')
        xyz = '1 0 0' if axis is None else axis.get('xyz', '1 0 0')
        vector = np.array([float(v) for v in xyz.split()])
        return np.asarray(vector / np.linalg.norm(vector))

    def _link(self, name: str) -> None:
        link = etree.SubElement(self.model, 'link', name=name)
        self._place(link, name)
        described, inertial = self.urdf.links[name], etree.SubElement(link, 'inertial')
        origin = self.links[name].find('inertial/origin')
        mass, inertia = described.mass, list(described.inertia)
        xx, yy, zz, xy, xz, yz = inertia
        least = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])[0]
        if not mass > 0:
            mass, inertia, origin = LEAST_MASS, [LEAST_INERTIA] * 3 + [0.0] * 3, None
            self.out.notes.append(f'link {name} weighs nothing: {mass:g} kg taken')
        elif not least > 0:
            inertia[:3] = [moment + LEAST_INERTIA for moment in inertia[:3]]
            self.out.notes.append(f'link {name} has no inertia: {LEAST_INERTIA:g} kg*m^2 more')
        self._pose(inertial, origin, '')
        etree.SubElement(inertial, 'mass').text = repr(mass)
        tensor = etree.SubElement(inertial, 'inertia')
        for axes, value in zip(('xx', 'yy', 'zz', 'xy', 'xz', 'yz'), inertia):
            etree.SubElement(tensor, f'i{axes}').text = repr(value)
        for other in self.urdf.links:
            if self.carrier[other] == name:
                self._shapes(link, other)

    def _frame(self, name: str) -> None:
        carrier = self.carrier[name]
        frame = etree.SubElement(self.model, 'frame', name=name)
        if carrier != WORLD:
            frame.set('attached_to', carrier)
        self._place(frame, name)

    def _shapes(self, link: etree._Element, source: str) -> None:
        own = link.get('name')
        for kind in ('visual', 'collision'):
            shapes = self.links[source].findall(kind)
            for index, shape in enumerate(shapes):
                name = f'{source}_{kind}' + (f'_{index}' if len(shapes) > 1 else '')
                out = etree.SubElement(link, kind, name=name)
                self._pose(out, shape.find('origin'), '' if source == own else source)
                self._geometry(etree.SubElement(out, 'geometry'), shape)
                if kind == 'visual':
                    self._material(out, shape.find('material'))

    def _geometry(self, out: etree._Element, shape: etree._Element) -> None:
        given = next(iter(shape.find('geometry').iterchildren(tag=etree.Element)))
        solid = etree.SubElement(out, given.tag)
        if given.tag == 'mesh':
            path = resolve_mesh(given.get('filename', ''), self.urdf.path)
            etree.SubElement(solid, 'uri').text = f'file://{path}'  # nothing is unquoted there
            if given.get('scale'):
                etree.SubElement(solid, 'scale').text = given.get('scale')
        for key in ('size', 'radius', 'length'):
            if given.get(key):
                etree.SubElement(solid, key).text = given.get(key)

    def _material(self, out: etree._Element, material: etree._Element | None) -> None:
        if material is None:
            return
        color = material.find('color')
        rgba = self.colors.get(material.get('name')) if color is None else color.get('rgba')
        if rgba:
            paint = etree.SubElement(out, 'material')
            for key in ('ambient', 'diffuse'):
                etree.SubElement(paint, key).text = rgba

    def _connect(self, name: str, kind: str, parent: str, child: str) -> etree._Element:
        if name in self.urdf.links:  # the format has one namespace for both
            self.out.notes.append(f'joint {name} has the name of a link: called {name}_joint')
            name = f'{name}_joint'
        joint = etree.SubElement(self.model, 'joint', name=name, type=kind)
        etree.SubElement(joint, 'parent').text = parent
        etree.SubElement(joint, 'child').text = child
        return joint

    def _joint(self, joint: UrdfJoint) -> None:
        parent, child = self.carrier[joint.parent], self.carrier[joint.child]
        if joint.name in self.rigid:
            if parent != child and self.carrier[joint.child] == joint.child:
                self._connect(joint.name, 'fixed', parent, child)
            return
        if joint.type not in MOVABLE:
            if parent != WORLD or joint.type != 'floating':
                self.out.notes.append(f'joint {joint.name}: SDF has no {joint.type} joint')
            return
        kind = 'prismatic' if joint.type == 'prismatic' else 'revolute'
        out = self._connect(joint.name, kind, parent, child)
        if child != joint.child:
            self._pose(out, None, joint.child)
        axis = etree.SubElement(out, 'axis')
        etree.SubElement(axis, 'xyz').text = _text(self._axis(joint))
        if joint.mimic is not None:
            self._mimic(axis, joint)
        given = self.actuated.get(joint.name)
        limit = etree.SubElement(axis, 'limit')
        source = joint if given is None else given
        for key, missing in (('lower', -1e16), ('upper', 1e16)):
            value = getattr(source, key)
            etree.SubElement(limit, key).text = repr(value if math.isfinite(value) else missing)
        for key in ('effort', 'velocity'):
            if math.isfinite(getattr(source, key)):
                etree.SubElement(limit, key).text = repr(getattr(source, key))
        dynamics = etree.SubElement(axis, 'dynamics')
        damping = joint.damping if given is None else given.viscous_friction
        friction = joint.friction if given is None else given.coulomb_friction
        etree.SubElement(dynamics, 'damping').text = repr(damping)
        etree.SubElement(dynamics, 'friction').text = repr(friction)

    def _mimic(self, axis: etree._Element, joint: UrdfJoint) -> None:
        assert joint.mimic is not None
        if not self.mimics:
            self.out.notes.append(
                f'joint {joint.name} follows {joint.mimic.joint}, which SDF {self.version} cannot '
                'say: it is free'
            )
            return
        mimic = etree.SubElement(axis, 'mimic', joint=joint.mimic.joint)
        etree.SubElement(mimic, 'multiplier').text = repr(joint.mimic.multiplier)
        etree.SubElement(mimic, 'offset').text = repr(joint.mimic.offset)
        etree.SubElement(mimic, 'reference').text = '0.0'

    def _sensors(self) -> None:
        link = self.profile.imu_link
        carrier = self.carrier.get(link, WORLD)
        if carrier == WORLD:
            return
        body = next(e for e in self.model.findall('link') if e.get('name') == carrier)
        sensor = etree.SubElement(body, 'sensor', name=IMU, type='imu')
        if link != carrier:
            self._pose(sensor, None, link)
        etree.SubElement(sensor, 'always_on').text = 'true'
        etree.SubElement(sensor, 'update_rate').text = repr(self.profile.rates.joint_state_rate)

    def _armatures(self) -> None:
        for joint in self.profile.joints:
            if joint.armature > 0:
                try:
                    values = {f'joint.{joint.name}.armature': joint.armature}
                    self.out.text = sdf_addresses.edit(self.out.text, values)
                except InputError as error:
                    mend = error.faults[0].mend
                    self.out.notes.append(f'joint {joint.name} has no armature: {mend}')


def _text(vector: np.ndarray) -> str:
    return ' '.join(repr(float(v)) for v in vector)
