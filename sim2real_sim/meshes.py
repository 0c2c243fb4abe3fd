"""Mesh files as MuJoCo takes them: it reads binary STL, OBJ and MSH, robots also bring others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from lxml import etree

from sim2real_core.errors import Fault, InputError, MissingError

HEADER, FACE = 84, 50  # bytes of a binary STL


def mesh_data(path: Path) -> tuple[str, bytes]:
    """A mesh in a format that MuJoCo reads.

    Args:
        path: OBJ, MSH or binary STL, which are taken as they are; anything else that assimp
            reads (Collada, ASCII STL, ...) becomes a binary STL, without its colors.

    Returns:
        Suffix and content.

    Raises:
        InputError: not a mesh.
        MissingError: it must be converted, and coal (which comes with pinocchio) is not there.
    """
    data, suffix = path.read_bytes(), path.suffix.lower()
    if suffix in ('.obj', '.msh') or (suffix == '.stl' and _is_binary_stl(data)):
        return suffix, data
    try:
        import coal
    except ImportError as error:
        raise MissingError(
            f'coal is needed to read {path}: apt install ros-$ROS_DISTRO-coal, or pip install coal'
        ) from error
    try:
        mesh = coal.MeshLoader().load(str(path))
    except ValueError as error:
        raise InputError(Fault('mesh', str(path), f'not a mesh: {error}')) from error
    triangles = (mesh.tri_indices(i) for i in range(mesh.num_tris))
    faces = [(t[0], t[1], t[2]) for t in triangles]
    unit = _collada_unit(data) if suffix == '.dae' else 1.0
    return '.stl', binary_stl(unit * np.asarray(mesh.vertices())[faces])


def _collada_unit(data: bytes) -> float:
    """Metres per unit of a Collada file, which coal leaves to us (as rviz's loader does)."""
    unit = etree.fromstring(data).find('{*}asset/{*}unit')
    return 1.0 if unit is None else float(unit.get('meter', '1'))


def _is_binary_stl(data: bytes) -> bool:
    count = int(np.frombuffer(data[80:HEADER], np.uint32)[0]) if len(data) >= HEADER else -1
    return len(data) == HEADER + FACE * count


def binary_stl(triangles: npt.ArrayLike) -> bytes:
    """Triangles (n, 3, 3) [m] as a binary STL; normals are left zero, as readers allow."""
    corners = np.asarray(triangles, dtype='<f4')
    faces = np.zeros(
        len(corners), dtype=[('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('spare', '<u2')]
    )
    faces['corners'] = corners
    return bytes(80) + np.array(len(faces), '<u4').tobytes() + faces.tobytes()
