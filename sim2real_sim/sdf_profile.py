"""A model's SDF as a robot profile, for simulators that read URDF.

Takes what both formats say alike: links placed by a translation from their parent (or turned
against one that is not turned itself), fixed, revolute and prismatic joints about an axis of
the child, boxes, spheres, cylinders and plain colours. Anything else is refused by name, never
left out silently.
"""

from __future__ import annotations

import math
from pathlib import Path

from lxml import etree

from sim2real_core.errors import Faults, InputError
from sim2real_core.profile import Joint, RobotProfile
from sim2real_core.profile_sections import Command, Rates
from sim2real_core.urdf import MOVABLE, parse_urdf

UNLIMITED = 1e15  # what SDF writes for no limit is 1e16
KNOWN = {
    'model': 'static link joint self_collide',
    'link': 'pose inertial visual collision self_collide gravity velocity_decay',
    'inertial': 'pose mass inertia',
    'visual': 'pose geometry material',
    'collision': 'pose geometry surface',
    'joint': 'parent child axis',
    'axis': 'xyz limit dynamics',
    'geometry': 'box sphere cylinder',
    'material': 'ambient diffuse specular emissive',
}


def profile_from_sdf(text: str, timestep: float = 0.001) -> RobotProfile:
    """The robot that an SDF model describes, commanded by efforts.

    Surfaces are not part of a profile: they have the simulator's own values.

    Args:
        text: SDF with one model.
        timestep: of its simulation [s].

    Raises:
        InputError: not SDF, or something that a profile cannot say; all is named.
    """
    return _Reader().profile(text, timestep)


class _Reader(Faults):
    def profile(self, text: str, timestep: float) -> RobotProfile:
        try:
            root = etree.fromstring(text.encode(), etree.XMLParser(remove_comments=True))
        except etree.XMLSyntaxError as error:
            self.add('sdf', error.msg, 'mend the XML')
            raise InputError(*self.found) from error
        models = root.findall('model')
        if root.tag != 'sdf' or len(models) != 1:
            self.add('sdf', len(models), 'give SDF with one model')
            self.check()
        model = models[0]
        name = model.get('name', 'model')
        robot = etree.Element('robot', name=name)
        self._known(model)
        places = {link.get('name'): self._numbers(link, 'pose', 6) for link in model.iter('link')}
        children = {joint.findtext('child', '').strip() for joint in model.iter('joint')}
        etree.SubElement(robot, 'link', name='world')
        for link in model.iter('link'):
            self._link(robot, link)
            if link.get('name') not in children:
                self._join(
                    robot, f'{link.get("name")}_free', 'floating', 'world', link.get('name')
                )
        joints = [joint for joint in model.iter('joint') if self._joint(robot, joint, places)]
        self.check()
        urdf = parse_urdf(etree.tostring(robot, encoding='unicode'), Path(f'{name}.sdf'))
        described = [urdf.joints[joint.get('name', '')] for joint in joints]
        links = [link for link in urdf.links if link != 'world']
        return RobotProfile(
            name=name,
            path=urdf.path,
            urdf=urdf,
            joints=tuple(
                Joint(
                    name=j.name,
                    type=j.type,
                    lower=j.lower,
                    upper=j.upper,
                    velocity=j.velocity,
                    effort=j.effort,
                    parent=j.parent,
                    child=j.child,
                    viscous_friction=j.damping,
                    coulomb_friction=j.friction,
                )
                for j in described
                if j.type in MOVABLE
            ),
            base_link=urdf.root,
            tool_link=links[-1],
            payload_link=links[-1],
            command=Command(interface='effort'),
            rates=Rates(timestep=timestep),
        )

    def _known(self, element: etree._Element) -> None:
        """Note what is neither of the elements that are understood nor below one."""
        for child in element:
            if child.tag not in KNOWN[element.tag].split():
                mend = f'of <{element.tag}> understood are {KNOWN[element.tag]}'
                self.add(f'{element.tag} {element.get("name", "")}'.strip(), child.tag, mend)
            elif child.tag in KNOWN:
                self._known(child)

    def _numbers(self, element: etree._Element, path: str, n: int) -> list[float]:
        text = element.findtext(path) or ''
        try:
            numbers = [float(word) for word in text.split()] or [0.0] * n
        except ValueError:
            numbers = []
        if len(numbers) < n or not all(map(math.isfinite, numbers)):
            self.add(f'{element.get("name")}.{path}', text, f'must be {n} numbers')
            return [0.0] * n
        return numbers[:n]

    def _origin(self, parent: etree._Element, pose: list[float]) -> None:
        words = [repr(number) for number in pose]
        etree.SubElement(parent, 'origin', xyz=' '.join(words[:3]), rpy=' '.join(words[3:]))

    def _link(self, robot: etree._Element, link: etree._Element) -> None:
        out = etree.SubElement(robot, 'link', name=link.get('name', ''))
        inertial = link.find('inertial')
        if inertial is not None:
            to = etree.SubElement(out, 'inertial')
            self._origin(to, self._numbers(inertial, 'pose', 6))
            etree.SubElement(to, 'mass', value=inertial.findtext('mass', '1').strip())
            tensor = inertial.find('inertia')
            names = ('ixx', 'iyy', 'izz', 'ixy', 'ixz', 'iyz')
            defaults = ('1', '1', '1', '0', '0', '0')
            etree.SubElement(
                to,
                'inertia',
                {
                    n: default if tensor is None else tensor.findtext(n, default).strip()
                    for n, default in zip(names, defaults)
                },
            )
        for shape in (*link.iter('visual'), *link.iter('collision')):
            to = etree.SubElement(out, shape.tag, name=f'{shape.tag}_{shape.get("name", "")}')
            self._origin(to, self._numbers(shape, 'pose', 6))
            described = next(iter(shape.find('geometry')), None)
            if described is None:
                continue
            geometry = etree.SubElement(to, 'geometry')
            sizes = {part.tag: (part.text or '').strip() for part in described}
            etree.SubElement(geometry, described.tag, sizes)
            color = shape.findtext('material/diffuse')
            if color is not None:
                label = f'{link.get("name")}/{shape.get("name")}'
                material = etree.SubElement(to, 'material', name=label)
                etree.SubElement(material, 'color', rgba=color.strip())

    def _join(
        self, robot: etree._Element, name: str, kind: str, parent: str, child: str
    ) -> etree._Element:
        joint = etree.SubElement(robot, 'joint', name=name, type=kind)
        etree.SubElement(joint, 'parent', link=parent)
        etree.SubElement(joint, 'child', link=child)
        return joint

    def _joint(
        self,
        robot: etree._Element,
        joint: etree._Element,
        places: dict[str | None, list[float]],
    ) -> bool:
        """Add a joint; whether it moves."""
        name, kind = joint.get('name', ''), joint.get('type', '')
        parent, child = (joint.findtext(end, '').strip() for end in ('parent', 'child'))
        above, below = (places.get(end, [0.0] * 6) for end in (parent, child))
        if any(above[3:]):
            self.add(f'joint {name}', above, f'its parent {parent} must not be turned')
        lower, upper = (
            float(joint.findtext(f'axis/limit/{end}', default))
            for end, default in (('lower', '-1e16'), ('upper', '1e16'))
        )
        limited = lower > -UNLIMITED and upper < UNLIMITED
        if kind == 'revolute' and not limited:
            kind = 'continuous'
        out = self._join(robot, name, kind, parent, child)
        self._origin(out, [b - a for a, b in zip(above[:3], below[:3])] + below[3:])
        if kind == 'fixed':
            return False
        axis = ' '.join(map(repr, self._numbers(joint, 'axis/xyz', 3)))
        etree.SubElement(out, 'axis', xyz=axis)
        limits = {'lower': repr(lower), 'upper': repr(upper)} if limited else {}
        if kind == 'prismatic' and not limited:
            limits = {'lower': '-1e6', 'upper': '1e6'}
        for what in ('effort', 'velocity'):
            most = float(joint.findtext(f'axis/limit/{what}', '-1'))
            limits[what] = repr(most if 0 <= most < UNLIMITED else math.inf)
        etree.SubElement(out, 'limit', {k: v for k, v in limits.items() if v != 'inf'})
        dynamics = {
            key: joint.findtext(f'axis/dynamics/{key}', '0').strip()
            for key in ('damping', 'friction')
        }
        etree.SubElement(out, 'dynamics', dynamics)
        return True
