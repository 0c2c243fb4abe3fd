"""How near a robot comes to itself and to the floor, through pinocchio's collision geometry.

Pairs of shapes are watched unless their links hang together rigidly or by one moving joint, or
touch in the pose the motion starts from, where they surely may. Only pairs that ever come near in
random poses take part in an optimization; all do in the end.

Convex hulls stand for meshes: their distance takes a hundredth of the time, and is the smaller
one. Where hulls meet at the start but the meshes do not, as of a fork and what moves in it, the
meshes themselves are watched.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.errors import InputError, MissingError
from sim2real_core.kinematics import Coordinates, build_model
from sim2real_core.urdf import resolve_mesh

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

AIM = 1.1  # times the distance to be kept: what an optimization aims at
NEAR = 3.0  # times the wanted distance: pairs that come nearer take part in an optimization
FLOOR = 'floor'
FLOOR_SIZE = (50.0, 50.0, 1.0)  # [m]; its top is the floor
FLAT = 1e-4  # thickness of a mesh, as a share of its length, below which it has no hull
BELOW = 1e-3  # [m] that the floor lies below what stands on it


class Pair(NamedTuple):
    """Two shapes that are watched.

    Attributes:
        number: among pinocchio's.
        links: names of their links.
        least: distance to be kept [m].
    """

    number: int
    links: tuple[str, str]
    least: float


class Clearance:
    """Distances within a robot, and to the floor.

    Args:
        profile: the robot.
        start: (nj,) pose in which what touches may touch.
        random: (n, nj) poses within the limits.
        least: distance to be kept [m]; less where the start has less.
        floor: its height in the frame of the URDF's root [m]; lower if the robot reaches lower at
            the start.

    Attributes:
        pairs: all that are watched.
        touching: links that touch at the start, and are not watched.
        bare: whether the robot has no collision geometry.
    """

    def __init__(
        self, profile: RobotProfile, start: Array, random: Array, least: float, floor: float
    ) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._pin = pinocchio
        self._data = self._model.createData()
        self._coordinates = Coordinates(self._model, profile)
        self._geometry = geometry = pinocchio.buildGeomFromUrdfString(
            self._model, _with_meshes(profile), pinocchio.GeometryType.COLLISION
        )
        self.bare = not len(geometry.geometryObjects)
        self.touching: list[str] = []
        self.pairs: tuple[Pair, ...] = ()
        if self.bare:
            return
        self._meshes = self._replace_meshes()
        self._add_floor(start, floor)
        self._watch(profile)
        self._geometry_data = geometry.createData()
        self._choose(start, least)
        self.near = self._ever_near(random)

    def _replace_meshes(self) -> dict[int, Any]:
        """Put convex hulls in place of meshes; the meshes, by the number of the shape."""
        coal = _shapes()
        meshes = {}
        for number, shape in enumerate(self._geometry.geometryObjects):
            mesh = shape.geometry
            if isinstance(mesh, coal.BVHModelBase) and _is_solid(np.array(mesh.vertices())):
                try:
                    mesh.buildConvexHull(True, 'Qt')
                except (RuntimeError, ValueError):  # a library without qhull: slow, but right
                    continue
                meshes[number], shape.geometry = mesh, mesh.convex
        return meshes

    def _add_floor(self, start: Array, height: float) -> None:
        coal = _shapes()

        pin, geometry = self._pin, self._geometry
        data = geometry.createData()
        q = self._coordinates.configuration(start)
        pin.updateGeometryPlacements(self._model, self._data, geometry, data, q)
        for shape, placement in zip(geometry.geometryObjects, data.oMg):
            box = shape.geometry
            box.computeLocalAABB()
            low, high = np.array(box.aabb_local.min_), np.array(box.aabb_local.max_)
            middle = placement.act(0.5 * (low + high))
            reach = np.abs(placement.rotation) @ (0.5 * (high - low))
            height = min(height, float(middle[2] - reach[2]) - BELOW)
        place = pin.SE3(np.eye(3), np.array([0.0, 0.0, height - 0.5 * FLOOR_SIZE[2]]))
        floor = pin.GeometryObject(FLOOR, 0, 0, place, coal.Box(*FLOOR_SIZE))
        geometry.addGeometryObject(floor)

    def _watch(self, profile: RobotProfile) -> None:
        """Make pinocchio's pairs: of shapes that more than one moving joint can bring together."""
        model, geometry = self._model, self._geometry
        moves = np.asarray(self._coordinates.map.any(axis=1))

        def carrier(joint: int) -> int:
            while joint and not moves[model.joints[joint].idx_v]:
                joint = model.parents[joint]
            return int(joint)

        shapes = list(geometry.geometryObjects)
        carriers = [carrier(shape.parentJoint) for shape in shapes]
        for one in range(len(shapes)):
            for other in range(one + 1, len(shapes)):
                a, b = carriers[one], carriers[other]
                adjacent = carrier(model.parents[a]) == b or carrier(model.parents[b]) == a
                fixed = shapes[other].name == FLOOR and a == 0
                if a != b and (not adjacent or shapes[other].name == FLOOR) and not fixed:
                    geometry.addCollisionPair(self._pin.CollisionPair(one, other))

    def _choose(self, start: Array, least: float) -> None:
        """Which pairs are watched, and what each has to keep."""
        count = len(self._geometry.collisionPairs)
        distances = self.distances(start, range(count))
        numbers = [i if distances[i] > 0.0 else self._exact_pair(i) for i in range(count)]
        self._geometry_data = self._geometry.createData()
        kept = []
        for number, distance in zip(numbers, self.distances(start, numbers)):
            pair = self._geometry.collisionPairs[number]
            shapes = self._geometry.geometryObjects
            names = self._link(shapes[pair.first]), self._link(shapes[pair.second])
            if distance <= 0.0:
                self.touching.append(' and '.join(names))
            else:
                kept.append(Pair(number, names, min(least, 0.8 * float(distance))))
        self.pairs = tuple(kept)

    def _exact_pair(self, index: int) -> int:
        """The pair of the meshes whose hulls are this pair; this one if there are none."""
        pair = self._geometry.collisionPairs[index]
        one, other = self._mesh(pair.first), self._mesh(pair.second)
        if (one, other) == (pair.first, pair.second):
            return index
        self._geometry.addCollisionPair(self._pin.CollisionPair(one, other))
        return len(self._geometry.collisionPairs) - 1

    def _mesh(self, number: int) -> int:
        """The number of the shape that is the mesh itself, made when first asked for."""
        mesh = self._meshes.get(number)
        if mesh is None:
            return number
        if not isinstance(mesh, int):
            hull = self._geometry.geometryObjects[number]
            itself = hull.copy()
            itself.name, itself.geometry = f'{hull.name} itself', mesh
            mesh = self._meshes[number] = self._geometry.addGeometryObject(itself)
        return int(mesh)

    def _link(self, shape: Any) -> str:
        if shape.name == FLOOR:
            return FLOOR
        return str(self._model.frames[shape.parentFrame].name)

    def _ever_near(self, random: Array) -> tuple[Pair, ...]:
        indices = [pair.number for pair in self.pairs]
        if not indices:
            return ()
        nearest = np.min([self.distances(pose, indices) for pose in random], axis=0)
        return tuple(p for p, d in zip(self.pairs, nearest) if d < NEAR * p.least)

    def distances(self, position: Array, pairs: Any) -> Array:
        """Distances (k,) of some of pinocchio's pairs in a pose (nj,) [m]; negative inside."""
        pin, data = self._pin, self._geometry_data
        q = self._coordinates.configuration(position)
        pin.updateGeometryPlacements(self._model, self._data, self._geometry, data, q)
        for index in pairs:
            pin.computeDistance(self._geometry, data, index)
        return np.array([data.distanceResults[index].min_distance for index in pairs])

    def nearest(self, poses: Array) -> tuple[float, tuple[str, str]]:
        """Least distance over poses (n, nj) beyond what each pair has to keep, and of which."""
        indices = [pair.number for pair in self.pairs]
        least = np.array([pair.least for pair in self.pairs])
        if not indices:
            return np.inf, ('', '')
        room = np.array([self.distances(pose, indices) for pose in poses]) - least
        worst = int(room.min(axis=0).argmin())
        return float(room.min()), self.pairs[worst].links

    def least(self, poses: Array) -> float:
        """Least distance of any watched pair over poses (n, nj) [m]."""
        indices = [pair.number for pair in self.pairs]
        if not indices:
            return np.inf
        return float(min(self.distances(pose, indices).min() for pose in poses))

    def cost(self, position: Array) -> tuple[float, Array]:
        """Sum of squares of what near pairs lack of the distance aimed at, as a share of it.

        Args:
            position: (nj,) pose.

        Returns:
            The sum, and its derivative (nj,).
        """
        total, slope = 0.0, np.zeros(len(position))
        if not self.near:
            return total, slope
        found = self.distances(position, [pair.number for pair in self.near])
        short = [(p, AIM * p.least - d) for p, d in zip(self.near, found) if d < AIM * p.least]
        if not short:
            return total, slope
        q = self._coordinates.configuration(position)
        self._pin.computeJointJacobians(self._model, self._data, q)
        for pair, lack in short:
            total += (lack / pair.least) ** 2
            slope -= 2.0 * lack / pair.least**2 * self._gradient(pair.number)
        return total, slope

    def _gradient(self, index: int) -> Array:
        """Derivative (nj,) of a pair's distance, where it was just computed."""
        result = self._geometry_data.distanceResults[index]
        pair = self._geometry.collisionPairs[index]
        normal = np.array(result.normal)
        points = result.getNearestPoint1(), result.getNearestPoint2()
        slope = np.zeros(self._model.nv)
        for sign, shape, point in zip((-1.0, 1.0), (pair.first, pair.second), points):
            joint = self._geometry.geometryObjects[shape].parentJoint
            if joint == 0:
                continue
            frame = self._pin.ReferenceFrame.LOCAL_WORLD_ALIGNED
            jacobian = self._pin.getJointJacobian(self._model, self._data, joint, frame)
            arm = np.array(point) - self._data.oMi[joint].translation
            slope += sign * (normal @ jacobian[:3] + np.cross(arm, normal) @ jacobian[3:])
        return np.asarray(slope @ self._coordinates.map)


def _is_solid(points: Array) -> bool:
    """Whether points (n, 3) [m] have a hull with an inside; without, the library crashes."""
    sides = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return len(sides) == 3 and bool(sides[2] > FLAT * sides[0])


def _shapes() -> Any:
    """The library of shapes, which comes with pinocchio; it was renamed in 2024."""
    for name in ('coal', 'hppfcl'):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingError(
        'coal is needed to keep a robot from itself: apt install ros-$ROS_DISTRO-coal, '
        'or pip install coal'
    )


def _with_meshes(profile: RobotProfile) -> str:
    """The URDF with the files of its collision meshes in place of what names them.

    Raises:
        InputError: a mesh is not there.
    """
    root = etree.fromstring(profile.urdf.text.encode(), etree.XMLParser(resolve_entities=False))
    faults: list[InputError] = []
    for element in root.iter('collision'):
        for mesh in element.iter('mesh'):
            try:
                path = resolve_mesh(mesh.get('filename', ''), profile.urdf.path)
                mesh.set('filename', os.fspath(path))
            except InputError as error:
                faults.append(error)
    if faults:
        raise InputError(*(fault for error in faults for fault in error.faults))
    return str(etree.tostring(root, encoding='unicode'))
