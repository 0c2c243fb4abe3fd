"""Reads a URDF (or xacro) into plain values, checked, with the line of every fault."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lxml import etree

from sim2real_core.errors import Fault, Faults, InputError, MissingError

MOVABLE = ('revolute', 'continuous', 'prismatic')


@dataclass(frozen=True)
class UrdfLink:
    """A link. ``com`` [m] in the link frame; ``inertia`` [kg*m^2] about the COM in the axes of
    the inertial frame: (xx, yy, zz, xy, xz, yz). ``meshes``: file names as written.
    """

    name: str
    mass: float
    com: tuple[float, float, float]
    inertia: tuple[float, float, float, float, float, float]
    meshes: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Mimic:
    """``position = multiplier * position of joint + offset``."""

    joint: str
    multiplier: float
    offset: float


@dataclass(frozen=True)
class UrdfJoint:
    """A joint; limits are infinite where the URDF gives none. SI units."""

    name: str
    type: str
    parent: str
    child: str
    lower: float
    upper: float
    velocity: float
    effort: float
    damping: float
    friction: float
    mimic: Mimic | None
    line: int


@dataclass(frozen=True)
class Urdf:
    """A robot description.

    ``text`` is the URDF after xacro and after the repairs that ``notes`` tell of, so that
    everyone who reads it sees the same robot.
    """

    path: Path
    text: str
    name: str
    links: dict[str, UrdfLink]
    joints: dict[str, UrdfJoint]
    root: str
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """What the lines of its elements count in; xacro's own are not known."""
        return _file(self.path)

    @property
    def movable(self) -> list[UrdfJoint]:
        """Joints that move and follow no other, in file order."""
        return [j for j in self.joints.values() if j.type in MOVABLE and j.mimic is None]

    def leaves(self) -> list[str]:
        """Links without children, in file order."""
        parents = {j.parent for j in self.joints.values()}
        return [name for name in self.links if name not in parents]


def read_urdf(path: str | Path) -> Urdf:
    """Read and check a URDF or xacro file.

    Raises:
        InputError: every fault found, with file and line.
        MissingError: a xacro file, but no xacro.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(Fault('urdf', str(path), 'give an existing URDF or xacro file'))
    if path.suffix == '.xacro':
        return parse_urdf(_expand_xacro(path), path)
    try:
        return parse_urdf(path.read_bytes(), path)
    except OSError as error:
        raise InputError(Fault('urdf', str(path), f'give a readable file ({error})')) from error


def _file(path: Path) -> str:
    return f'{path} (expanded)' if path.suffix == '.xacro' else str(path)


def _expand_xacro(path: Path) -> str:
    try:
        import xacro
    except ImportError as error:
        raise MissingError(
            'xacro is needed to read .xacro files: apt install ros-$ROS_DISTRO-xacro, '
            'or pip install xacro'
        ) from error
    try:
        return str(xacro.process_file(str(path)).toprettyxml(indent='  '))
    except Exception as error:  # xacro raises its own, Python's and expat's errors
        raise InputError(Fault('xacro', str(error), 'mend the xacro', str(path))) from error


def parse_urdf(text: str | bytes, path: Path) -> Urdf:
    """Parse a URDF; ``path`` names it in errors. See :func:`read_urdf`.

    Args:
        text: text, or bytes in the encoding that they declare.
        path: where it is from.
    """
    file = _file(path)
    try:
        encoding = 'utf-8' if isinstance(text, str) else None  # whatever a text declares
        raw = text.encode('utf-8') if isinstance(text, str) else text
        root = etree.fromstring(raw, etree.XMLParser(encoding=encoding, resolve_entities=False))
    except etree.XMLSyntaxError as error:
        line = error.lineno
        raise InputError(Fault('urdf', error.msg, 'mend the XML', file, line)) from error
    if root.tag != 'robot':
        raise InputError(
            Fault('urdf', root.tag, 'the top element must be <robot>', file, root.sourceline)
        )
    reader = _Reader(file)
    links = {e.get('name', ''): reader.link(e) for e in root.findall('link')}
    joints = {e.get('name', ''): reader.joint(e) for e in root.findall('joint')}
    reader.check_names(root, links, joints)
    base = reader.check_tree(links, joints)
    reader.check()
    declared = root.getroottree().docinfo.encoding or 'utf-8'
    # Everyone else who reads the text takes it for UTF-8.
    kept = not reader.notes and (isinstance(text, str) or declared.lower() == 'utf-8')
    plain = raw.decode('utf-8-sig') if kept else str(etree.tostring(root, encoding='unicode'))
    name = root.get('name', path.stem)
    return Urdf(path, plain, name, links, joints, base, tuple(reader.notes))


class _Reader(Faults):
    """Collects faults with the line of the element they are in."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.notes: list[str] = []

    def fault(self, element: etree._Element, field: str, value: object, mend: str) -> None:
        self.found.append(Fault(field, value, mend, self.file, element.sourceline))

    def number(
        self, element: etree._Element | None, key: str, field: str, default: float
    ) -> float:
        text = None if element is None else element.get(key)
        if element is None or text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.fault(element, f'{field}.{key}', text, 'must be a finite number')
            return default
        return value

    def vector(self, element: etree._Element | None, key: str, field: str) -> list[float]:
        text = None if element is None else element.get(key)
        if element is None or text is None:
            return [0.0, 0.0, 0.0]
        try:
            values = [float(v) for v in text.split()]
        except ValueError:
            values = []
        if len(values) != 3 or not np.isfinite(values).all():
            self.fault(element, f'{field}.{key}', text, 'must be three finite numbers')
            return [0.0, 0.0, 0.0]
        return values

    def link(self, element: etree._Element) -> UrdfLink:
        name = element.get('name', '')
        field = f'link.{name}'
        inertial = element.find('inertial')
        mass, com, inertia = 0.0, [0.0] * 3, [0.0] * 6
        if inertial is not None:
            mass = self.number(inertial.find('mass'), 'value', f'{field}.mass', 0.0)
            com = self.vector(inertial.find('origin'), 'xyz', f'{field}.inertial')
            node = inertial.find('inertia')
            inertia = [
                self.number(node, f'i{axis}', f'{field}.inertia', 0.0)
                for axis in ('xx', 'yy', 'zz', 'xy', 'xz', 'yz')
            ]
            if mass < 0:
                self.fault(inertial, f'{field}.mass', mass, 'must not be negative')
            if node is not None and not self.found:
                inertia = self._possible(node, field, inertia)
        meshes = tuple(m.get('filename', '') for m in element.iter('mesh'))
        x, y, z = com
        xx, yy, zz, xy, xz, yz = inertia
        return UrdfLink(
            name, mass, (x, y, z), (xx, yy, zz, xy, xz, yz), meshes, element.sourceline or 0
        )

    def _possible(self, element: etree._Element, field: str, inertia: list[float]) -> list[float]:
        """The nearest inertia that a body can have; a note, and the element mended, if not given.

        Principal moments are not negative and none exceeds the sum of the other two. Many
        published URDFs break this by rounding or by placeholders, and engines refuse them.
        """
        xx, yy, zz, xy, xz, yz = inertia
        moments, axes = np.linalg.eigh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        largest = max(float(moments[2]), 0.0)
        mended = np.clip(moments, 0.0, largest)
        lack = largest - mended[0] - mended[1]
        if lack > 0:
            mended[:2] += 0.5 * lack
        if np.abs(mended - moments).max() <= 1e-6 * largest:
            return inertia
        tensor = (axes * mended) @ axes.T
        values = [float(tensor[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
        for axis, value in zip(('xx', 'yy', 'zz', 'xy', 'xz', 'yz'), values):
            element.set(f'i{axis}', repr(value))
        self.notes.append(
            f'{self.file}:{element.sourceline}: {field}.inertia: no body has principal moments '
            f'{moments.tolist()}; taken as {mended.tolist()}'
        )
        return values

    def joint(self, element: etree._Element) -> UrdfJoint:
        name, kind = element.get('name', ''), element.get('type', '')
        field = f'joint.{name}'
        if kind not in (*MOVABLE, 'fixed', 'floating', 'planar'):
            self.fault(element, f'{field}.type', kind, f'must be fixed, {", ".join(MOVABLE)}')
        limit, dynamics = element.find('limit'), element.find('dynamics')
        if limit is None and kind in ('revolute', 'prismatic'):
            self.fault(element, f'{field}.limit', None, 'a revolute or prismatic joint needs it')
        lower = self.number(limit, 'lower', f'{field}.limit', 0.0)
        upper = self.number(limit, 'upper', f'{field}.limit', 0.0)
        if kind == 'continuous':
            lower, upper = -math.inf, math.inf
        elif kind in MOVABLE and limit is not None and lower > upper:
            self.fault(limit, f'{field}.limit', (lower, upper), 'lower must be less than upper')
        elif lower == upper and element.find('mimic') is not None:
            lower, upper = -math.inf, math.inf  # its leader limits it
        bounds = {}
        for key in ('velocity', 'effort'):
            bounds[key] = self.number(limit, key, f'{field}.limit', math.inf)
            # What no drive moves is often given zeros, which mean nothing there.
            driven = kind in MOVABLE and element.find('mimic') is None
            if driven and limit is not None and bounds[key] == 0:
                # Exporters write it that do not know the limit.
                bounds[key] = math.inf
                where = f'{self.file}:{limit.sourceline}'
                self.notes.append(f'{where}: {field}.limit.{key} = 0: taken as no limit')
            elif driven and limit is not None and bounds[key] < 0:
                self.fault(limit, f'{field}.limit.{key}', bounds[key], 'must be positive')
        friction = {}
        for key in ('damping', 'friction'):
            friction[key] = self.number(dynamics, key, f'{field}.dynamics', 0.0)
            if dynamics is not None and friction[key] < 0:
                self.fault(
                    dynamics, f'{field}.dynamics.{key}', friction[key], 'must not be negative'
                )
        mimic, node = None, element.find('mimic')
        if node is not None:
            mimic = Mimic(
                node.get('joint', ''),
                self.number(node, 'multiplier', f'{field}.mimic', 1.0),
                self.number(node, 'offset', f'{field}.mimic', 0.0),
            )
        ends = {}
        for end in ('parent', 'child'):
            found = element.find(end)
            ends[end] = '' if found is None else found.get('link', '')
        return UrdfJoint(
            name=name,
            type=kind,
            lower=lower,
            upper=upper,
            velocity=bounds['velocity'],
            effort=bounds['effort'],
            damping=friction['damping'],
            friction=friction['friction'],
            mimic=mimic,
            line=element.sourceline or 0,
            **ends,
        )

    def check_names(
        self,
        root: etree._Element,
        links: dict[str, UrdfLink],
        joints: dict[str, UrdfJoint],
    ) -> None:
        """Names are there and unique, and what joints refer to exists."""
        for tag in ('link', 'joint'):
            seen = set()
            for element in root.findall(tag):
                name = element.get('name', '')
                if not name or name in seen:
                    self.fault(element, f'{tag}.name', name, 'give each a name of its own')
                seen.add(name)
        for joint in joints.values():
            for end, link in (('parent', joint.parent), ('child', joint.child)):
                if link not in links:
                    self.found.append(
                        Fault(
                            f'joint.{joint.name}.{end}',
                            link,
                            'no such link',
                            self.file,
                            joint.line,
                        )
                    )
            if joint.mimic and joint.mimic.joint not in joints:
                self.found.append(
                    Fault(
                        f'joint.{joint.name}.mimic',
                        joint.mimic.joint,
                        'no such joint',
                        self.file,
                        joint.line,
                    )
                )

        for joint in joints.values():
            leaders = [joint.name]
            while (mimic := joints[leaders[-1]].mimic) and mimic.joint in joints:
                if mimic.joint in leaders:
                    mend = 'these joints follow each other in a circle; one must lead'
                    field = f'joint.{joint.name}.mimic'
                    self.found.append(Fault(field, leaders, mend, self.file, joint.line))
                    break
                leaders.append(mimic.joint)

    def check_tree(self, links: dict[str, UrdfLink], joints: dict[str, UrdfJoint]) -> str:
        """The links form one tree; returns its root."""
        parent_of: dict[str, str] = {}
        for joint in joints.values():
            if joint.child in parent_of:
                self.found.append(
                    Fault(
                        f'joint.{joint.name}.child',
                        joint.child,
                        'this link already has a parent; a URDF is a tree',
                        self.file,
                        joint.line,
                    )
                )
            parent_of[joint.child] = joint.parent
        roots = [name for name in links if name not in parent_of]
        if len(roots) != 1:
            self.found.append(
                Fault('links', roots, 'exactly one link may have no parent joint', self.file, 1)
            )
            return roots[0] if roots else ''
        reached = set(roots)
        for _ in joints:  # no branch is longer than the number of joints
            reached |= {child for child, parent in parent_of.items() if parent in reached}
        circle = [name for name in links if name not in reached]
        if circle:
            mend = 'these hang from each other in a circle; one must hang from the rest'
            self.found.append(Fault('links', circle, mend, self.file, links[circle[0]].line))
        return roots[0]


def resolve_mesh(uri: str, urdf_path: Path) -> Path:
    """The file a mesh URI means.

    ``package://<name>/...`` is looked up among the installed packages (``AMENT_PREFIX_PATH``),
    then among the folders above the URDF; ``file://`` and plain paths (relative to the URDF)
    are taken as they are.

    Raises:
        InputError: nothing is there.
    """
    if uri.startswith('package://'):
        package, _, rest = uri[len('package://') :].partition('/')
        prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
        candidates = [Path(p) / 'share' / package / rest for p in prefixes]
        for folder in urdf_path.resolve().parents:
            candidates += [folder / package / rest, folder / rest]
    else:
        candidates = [urdf_path.resolve().parent / uri.removeprefix('file://')]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        Fault('mesh', uri, 'no such file; install its package or mend the path', str(urdf_path))
    )
