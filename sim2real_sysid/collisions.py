"""Shapes of a robot and the floor, and the distances between them, by pinocchio.

Pairs of shapes are watched unless their links hang together rigidly or by one moving joint.

Convex hulls stand for meshes: their distance takes a hundredth of the time, and is the smaller
one. Where hulls meet but the meshes do not, as of a fork and what moves in it, the meshes
themselves can be watched.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.errors import Fault, InputError, MissingError
from sim2real_core.kinematics import Coordinates, build_model
from sim2real_core.urdf import resolve_mesh

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim2real_core.profile import RobotProfile

Array = npt.NDArray[np.float64]

FLOOR = 'floor'
FLOOR_SIZE = (50.0, 50.0, 1.0)  # [m]; its top is the floor
FLAT = 1e-4  # thickness of a mesh, as a share of its length, below which it has no hull


class Collisions:
    """Shapes of a robot and the floor.

    Args:
        profile: the robot.

    Attributes:
        bare: whether the robot has no collision geometry.

    Raises:
        InputError: a mesh is not there, or cannot be read.
        MissingError: pinocchio or coal is not installed.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self._model = build_model(profile)
        import pinocchio

        self._pin = pinocchio
        self._data = self._model.createData()
        self._coordinates = Coordinates(self._model, profile)
        self._moves = np.asarray(self._coordinates.map.any(axis=1))
        self._geometry = _read(self._model, profile)
        self.bare = not len(self._geometry.geometryObjects)
        self._meshes = self._replace_meshes()
        self._geometry_data = self._geometry.createData()

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

    def _carrier(self, joint: int) -> int:
        """The joint that moves what hangs from a joint of the model; 0 for what stands still."""
        while joint and not self._moves[self._model.joints[joint].idx_v]:
            joint = self._model.parents[joint]
        return int(joint)

    def extent(self, position: Array, *, fixed: bool = False) -> tuple[Array, Array]:
        """Corners (3,) of a box that holds all shapes in a pose (nj,), in the URDF's root [m].

        Args:
            position: the pose.
            fixed: only of what stands still; with nothing there, the corners are infinite.
        """
        corners = np.full(3, np.inf), np.full(3, -np.inf)
        q = self._coordinates.configuration(position)
        self._pin.updateGeometryPlacements(
            self._model, self._data, self._geometry, self._geometry_data, q
        )
        for shape, placement in zip(self._geometry.geometryObjects, self._geometry_data.oMg):
            if shape.name == FLOOR or (fixed and self._carrier(shape.parentJoint)):
                continue
            box = shape.geometry
            box.computeLocalAABB()
            low, high = np.array(box.aabb_local.min_), np.array(box.aabb_local.max_)
            middle = placement.act(0.5 * (low + high))
            reach = np.abs(placement.rotation) @ (0.5 * (high - low))
            corners = (
                np.minimum(corners[0], middle - reach),
                np.maximum(corners[1], middle + reach),
            )
        return corners

    def watch(self, floor: float | None) -> int:
        """Make pairs of shapes that more than one moving joint can bring together; how many.

        Args:
            floor: height of the floor in the URDF's root [m]; None for no floor.
        """
        pin, geometry = self._pin, self._geometry
        if floor is not None:
            place = pin.SE3(np.eye(3), np.array([0.0, 0.0, floor - 0.5 * FLOOR_SIZE[2]]))
            box = _shapes().Box(*FLOOR_SIZE)
            geometry.addGeometryObject(pin.GeometryObject(FLOOR, 0, 0, place, box))
        shapes, parents = list(geometry.geometryObjects), self._model.parents
        carriers = [self._carrier(shape.parentJoint) for shape in shapes]
        for one in range(len(shapes)):
            for other in range(one + 1, len(shapes)):
                a, b = carriers[one], carriers[other]
                adjacent = self._carrier(parents[a]) == b or self._carrier(parents[b]) == a
                fixed = shapes[other].name == FLOOR and a == 0
                if a != b and (not adjacent or shapes[other].name == FLOOR) and not fixed:
                    geometry.addCollisionPair(pin.CollisionPair(one, other))
        self._geometry_data = geometry.createData()
        return len(geometry.collisionPairs)

    def links(self, number: int) -> tuple[str, str]:
        """Names of the links of one of pinocchio's pairs."""
        pair = self._geometry.collisionPairs[number]
        one, other = (self._geometry.geometryObjects[k] for k in (pair.first, pair.second))
        return self._link(one), self._link(other)

    def told_apart(self, position: Array, pairs: Iterable[int]) -> list[int]:
        """The same pairs, but of the meshes themselves where hulls meet in a pose (nj,)."""
        pairs = list(pairs)
        distances = self.distances(position, pairs)
        numbers = [
            number if distance > 0.0 else self._exact_pair(number)
            for number, distance in zip(pairs, distances)
        ]
        self._geometry_data = self._geometry.createData()
        return numbers

    def _link(self, shape: Any) -> str:
        if shape.name == FLOOR:
            return FLOOR
        return str(self._model.frames[shape.parentFrame].name)

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

    def distances(self, position: Array, pairs: Any) -> Array:
        """Distances (k,) of some of pinocchio's pairs in a pose (nj,) [m]; negative inside."""
        pin, data = self._pin, self._geometry_data
        q = self._coordinates.configuration(position)
        pin.updateGeometryPlacements(self._model, self._data, self._geometry, data, q)
        for index in pairs:
            pin.computeDistance(self._geometry, data, index)
        return np.array([data.distanceResults[index].min_distance for index in pairs])

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


def _read(model: Any, profile: RobotProfile) -> Any:
    """Pinocchio's collision geometry, with the files of the meshes in place of what names them."""
    import pinocchio

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
    text = str(etree.tostring(root, encoding='unicode'))
    try:
        return pinocchio.buildGeomFromUrdfString(model, text, pinocchio.GeometryType.COLLISION)
    except (ValueError, RuntimeError) as error:
        mend = f'pinocchio cannot read this geometry: {str(error).strip()}'
        raise InputError(Fault('collision', profile.name, mend, profile.urdf.file)) from error
