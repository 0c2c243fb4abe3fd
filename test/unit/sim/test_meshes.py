"""Meshes of other formats become binary STL."""

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_sim.meshes import binary_stl, mesh_data

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=float)
FACES = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]


def ascii_stl():
    lines = ['solid part']
    for face in FACES:
        lines += ['facet normal 0 0 0', 'outer loop']
        lines += ['vertex {} {} {}'.format(*CORNERS[i]) for i in face]
        lines += ['endloop', 'endfacet']
    return '\n'.join([*lines, 'endsolid part\n'])


COLLADA = """<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><unit name="centimeter" meter="0.01"/><up_axis>Z_UP</up_axis></asset>
<library_geometries><geometry id="g"><mesh>
<source id="p"><float_array id="a" count="12">{corners}</float_array><technique_common>
<accessor source="#a" count="4" stride="3"><param name="X" type="float"/>
<param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common></source>
<vertices id="v"><input semantic="POSITION" source="#p"/></vertices>
<triangles count="4"><input semantic="VERTEX" source="#v" offset="0"/><p>{faces}</p></triangles>
</mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="s"><node id="n"><instance_geometry url="#g"/></node>
</visual_scene></library_visual_scenes>
<scene><instance_visual_scene url="#s"/></scene></COLLADA>"""


def corners_of(data):
    faces = np.frombuffer(data[84:], [('n', '<f4', 3), ('c', '<f4', (3, 3)), ('s', '<u2')])
    return np.unique(faces['c'].reshape(-1, 3), axis=0)


def test_binary_stl_is_taken_as_it_is(tmp_path):
    path = tmp_path / 'part.STL'
    path.write_bytes(binary_stl(CORNERS[FACES]))
    assert mesh_data(path) == ('.stl', path.read_bytes())


def test_ascii_stl_is_converted(tmp_path):
    pytest.importorskip('coal')
    path = tmp_path / 'part.stl'
    path.write_text(ascii_stl())
    suffix, data = mesh_data(path)
    assert suffix == '.stl'
    np.testing.assert_allclose(corners_of(data), np.unique(CORNERS, axis=0))


def test_collada_is_converted_to_metres(tmp_path):
    pytest.importorskip('coal')
    path = tmp_path / 'part.dae'
    path.write_text(
        COLLADA.format(
            corners=' '.join(map(str, CORNERS.ravel())),
            faces=' '.join(str(i) for face in FACES for i in face),
        )
    )
    suffix, data = mesh_data(path)
    assert suffix == '.stl'
    np.testing.assert_allclose(
        corners_of(data), 0.01 * np.unique(CORNERS, axis=0), atol=1e-8, rtol=1e-6
    )


def test_what_is_no_mesh_is_named(tmp_path):
    pytest.importorskip('coal')
    path = tmp_path / 'part.dae'
    path.write_text('<COLLADA/>')
    with pytest.raises(InputError, match=r'part\.dae'):
        mesh_data(path)
