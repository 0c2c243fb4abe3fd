"""Checks SDF before it is given to a simulator, which would leave out what it cannot read.

These are the rules of the format that matter for what is simulated: names, what joints refer to,
numbers, and inertias that a body can have. The format's own schema comes with each Gazebo.
"""

from __future__ import annotations

import math

from sim2real_core.errors import Fault, Faults
from sim2real_sim import sdf_inertia
from sim2real_sim.sdf_numbers import as_float, number
from sim2real_sim.sdf_text import Element, parse

TOP = ('world', 'model', 'actor', 'light')
NAMED = ('world', 'model', 'link', 'joint', 'frame', 'light', 'actor')
NAMED_BY_TAG = ('visual', 'collision', 'sensor', 'plugin')
JOINTS = 'revolute continuous prismatic fixed ball universal screw gearbox revolute2'.split()
COUNTS = {'pose': (6, 7), 'xyz': (3,), 'gravity': (3,), 'direction': (3,), 'size': (2, 3)}
COUNTS |= {color: (3, 4) for color in ('diffuse', 'ambient', 'specular', 'emissive')}
SCALARS = (
    'mass ixx iyy izz ixy ixz iyz mu mu2 kp kd damping friction lower upper effort velocity '
    'max_step_size restitution_coefficient threshold max_vel radius length'
).split()


def check(text: str, file: str = '') -> None:
    """Check SDF.

    Args:
        text: SDF of a world or a model.
        file: named in errors.

    Raises:
        InputError: every fault, with its line.
    """
    checker = _Checker(file)
    for top in parse(text, file):
        if top.tag != 'sdf':
            checker.fault(top, 'sdf', top.tag, 'the top element must be <sdf>')
            break
        if as_float(top.get('version')) is None:
            checker.fault(top, 'sdf.version', top.get('version'), 'give it, e.g. 1.7')
        if not any(child.tag in TOP for child in top):
            checker.fault(top, 'sdf', '', f'must hold one of {", ".join(TOP)}')
        checker.scope(top, '')
    checker.check()


class _Checker(Faults):
    def fault(self, element: Element, field: str, value: object, mend: str) -> None:
        """Note a fault with the line of its element."""
        self.found.append(Fault(field, value, mend, self.file, element.line or None))

    def scope(self, element: Element, field: str) -> None:
        """Check what is below an element of the format's own."""
        seen: set[tuple[str, str]] = set()
        for child in element:
            if child.tag == 'plugin' or ':' in child.tag:
                continue  # a plugin's content is its own
            here = f'{field}.{child.tag}' if field else child.tag
            if child.tag in (*NAMED, *NAMED_BY_TAG) and element.tag != 'include':
                name = child.get('name')
                here += f'.{name}' if name else ''
                key = ('' if child.tag in NAMED else child.tag, name)
                if not name or key in seen:
                    self.fault(child, here, name, 'give each a name of its own')
                seen.add(key)
            self._numbers(child, here)
            if child.tag == 'link':
                self._link(child, here)
            elif child.tag == 'joint':
                self._joint(child, here, element)
            self.scope(child, here)

    def _numbers(self, element: Element, field: str) -> None:
        counts = COUNTS.get(element.tag, (1,) if element.tag in SCALARS else ())
        if not counts or any(True for _ in element) or not element.text:
            return
        numbers = [as_float(part) for part in element.text.split()]
        if len(numbers) not in counts or any(n is None or math.isnan(n) for n in numbers):
            wanted = ' or '.join(map(str, counts))
            self.fault(element, field, element.text, f'must be {wanted} numbers')

    def _link(self, link: Element, field: str) -> None:
        inertial = link.find('inertial')
        if inertial is None or inertial.get('auto') == 'true':
            return
        mass = number(link, sdf_inertia.MASS)
        inertia = {q: number(link, place) for q, place in sdf_inertia.INERTIA.items()}
        known = {q: v for q, v in inertia.items() if v is not None}
        if mass is None or len(known) < len(inertia):
            return  # no numbers, which is a fault already
        mend = sdf_inertia.fault(mass, known)
        if mend:
            self.fault(inertial, f'{field}.inertial', inertial.text or mass, mend)

    def _joint(self, joint: Element, field: str, model: Element) -> None:
        if joint.get('type') not in JOINTS:
            known = ', '.join(JOINTS)
            self.fault(joint, f'{field}.type', joint.get('type'), f'must be one of {known}')
        names = {c.get('name') for c in model if c.tag in ('link', 'frame', 'model', 'joint')}
        included = any(c.tag == 'include' for c in model)
        for end in ('parent', 'child'):
            found = joint.find(end)
            name = '' if found is None else found.text
            outside = end == 'parent' and name == 'world'
            # What is inside of models that are included is not here to be seen.
            if not (outside or name.partition('::')[0] in names or (included and name)):
                self.fault(joint, f'{field}.{end}', name, 'no such link')
        lower, upper = (
            as_float(e.text) if e is not None else None
            for e in (joint.find('axis/limit/lower'), joint.find('axis/limit/upper'))
        )
        if lower is not None and upper is not None and lower > upper:
            self.fault(joint, f'{field}.limit', (lower, upper), 'lower must not exceed upper')
        xyz = joint.find('axis/xyz')
        if xyz is not None and xyz.text and not any(as_float(n) for n in xyz.text.split()):
            self.fault(xyz, f'{field}.axis.xyz', xyz.text, 'an axis needs a direction')
