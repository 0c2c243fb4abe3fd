import math
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from sim2real_core.errors import InputError
from sim2real_core.urdf import parse_urdf, read_urdf, resolve_mesh

INERTIA = '<inertia ixx="{0}" iyy="{1}" izz="{2}" ixy="0" ixz="0" iyz="0"/>'


def link(name, mass=1.0, moments=(0.01, 0.01, 0.01)):
    return (
        f'<link name="{name}"><inertial><mass value="{mass}"/>'
        f'{INERTIA.format(*moments)}</inertial></link>'
    )


def joint(name='j', parent='a', child='b', kind='revolute', inside=''):
    limit = '<limit lower="-1" upper="1" velocity="1" effort="1"/>' if not inside else inside
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'{limit}</joint>'
    )


@pytest.mark.parametrize(
    ('body', 'mend'),
    [
        (link('a') + link('b', mass=-1.0) + joint(), 'must not be negative'),
        (link('a') + link('b', mass='heavy') + joint(), 'finite number'),
        (link('a') + joint(), 'no such link'),
        (link('a') + link('b') + joint() + joint(), 'name of its own'),
        (link('a') + link('b') + joint() + joint('k'), 'already has a parent'),
        (link('a') + link('b'), 'exactly one link'),
        (
            link('a') + link('b') + link('c') + joint('j', 'b', 'c') + joint('k', 'c', 'b'),
            'in a circle',
        ),
        (link('a') + link('b') + joint(kind='rotary'), 'must be fixed'),
        (link('a') + link('b') + joint(inside='<axis xyz="0 0 1"/>'), 'needs it'),
        (
            link('a')
            + link('b')
            + joint(inside='<limit lower="1" upper="-1" velocity="1" effort="1"/>'),
            'less than upper',
        ),
        (
            link('a')
            + link('b')
            + joint(inside='<limit lower="-1" upper="1" velocity="-1" effort="1"/>'),
            'must be positive',
        ),
        (
            link('a')
            + link('b')
            + joint(inside='<limit lower="-1" upper="1"/><mimic joint="x"/>'),
            'no such joint',
        ),
        (
            link('a')
            + link('b')
            + link('c')
            + joint('j', 'a', 'b', inside='<limit lower="-1" upper="1"/><mimic joint="k"/>')
            + joint('k', 'a', 'c', inside='<limit lower="-1" upper="1"/><mimic joint="j"/>'),
            'in a circle',
        ),
    ],
)
def test_names_the_fault_and_the_line(body, mend):
    with pytest.raises(InputError, match=mend) as caught:
        parse_urdf(f'<robot name="r">\n{body}</robot>', Path('r.urdf'))
    assert all(fault.file == 'r.urdf' and fault.line for fault in caught.value.faults)


def test_zero_limits_where_no_drive_is_mean_nothing():
    zeros = '<limit lower="0" upper="0" velocity="0" effort="0"/>'
    follows = '<limit lower="-1" upper="1" velocity="0" effort="0"/><mimic joint="j"/>'
    body = link('a') + link('b') + link('c') + link('d') + joint()
    body += joint('k', 'b', 'c', 'fixed', zeros) + joint('m', 'b', 'd', inside=follows)
    urdf = parse_urdf(f'<robot name="r">{body}</robot>', Path('r.urdf'))
    assert [j.name for j in urdf.movable] == ['j']


def test_broken_xml_names_the_line():
    with pytest.raises(InputError, match='r.urdf:2'):
        parse_urdf('<robot>\n<link></robot>', Path('r.urdf'))


def test_xacro_is_expanded(tmp_path):
    path = tmp_path / 'r.urdf.xacro'
    path.write_text(
        '<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro">'
        '<xacro:property name="m" value="${1 + 1}"/>' + link('a', mass='${m}') + '</robot>'
    )
    assert read_urdf(path).links['a'].mass == 2.0


def test_mesh_is_found_beside_the_urdf_and_in_its_package(tmp_path):
    mesh = tmp_path / 'robot' / 'meshes' / 'a.stl'
    mesh.parent.mkdir(parents=True)
    mesh.write_text('')
    urdf = tmp_path / 'robot' / 'urdf' / 'r.urdf'
    urdf.parent.mkdir()
    for uri in ('../meshes/a.stl', 'package://robot/meshes/a.stl', f'file://{mesh}'):
        assert resolve_mesh(uri, urdf).samefile(mesh)
    with pytest.raises(InputError, match='no such file'):
        resolve_mesh('package://robot/meshes/b.stl', urdf)


@pytest.mark.parametrize(
    'moments', [(1.0, 0.1, 0.1), (-1.0, 1.0, 1.0), (0.1, 0.3, 0.1), (1e-9, 1e-9, 1.0)]
)
def test_an_impossible_inertia_is_mended_with_a_note(moments):
    text = f'<robot name="r">\n{link("a") + link("b", moments=moments) + joint()}</robot>'
    urdf = parse_urdf(text, Path('r.urdf'))
    assert len(urdf.notes) == 1
    assert 'r.urdf:2: link.b.inertia' in urdf.notes[0]
    found = sorted(urdf.links['b'].inertia[:3])
    assert found[0] >= 0
    assert found[2] <= (found[0] + found[1]) * (1 + 1e-9)
    assert found[2] == pytest.approx(max(moments)), 'the largest moment stays'
    again = parse_urdf(urdf.text, Path('r.urdf'))
    assert again.notes == () and again.links == urdf.links, 'everyone reads the mended text'


def test_a_turned_impossible_inertia_keeps_its_axes():
    body = link('b').replace(
        INERTIA.format(0.01, 0.01, 0.01),
        ('<inertia ixx="1e-6" iyy="1e-6" izz="1e-6" ixy="1e-6" ixz="1e-6" iyz="1e-6"/>'),
    )
    urdf = parse_urdf(f'<robot name="r">{link("a") + body + joint()}</robot>', Path('r.urdf'))
    xx, yy, zz, xy, xz, yz = urdf.links['b'].inertia
    tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    np.testing.assert_allclose(tensor @ np.ones(3), 3e-6 * np.ones(3), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.eigvalsh(tensor), [1.5e-6, 1.5e-6, 3e-6], rtol=1e-9)


def test_a_possible_inertia_is_left_alone():
    text = f'<robot name="r">{link("a") + link("b", moments=(0.2, 0.1, 0.1)) + joint()}</robot>'
    urdf = parse_urdf(text, Path('r.urdf'))
    assert urdf.notes == () and urdf.text == text


def test_a_limit_of_zero_is_no_limit():
    limit = '<limit lower="-1" upper="1" velocity="0" effort="0"/>'
    text = f'<robot name="r">{link("a") + link("b") + joint(inside=limit)}</robot>'
    urdf = parse_urdf(text, Path('r.urdf'))
    assert (urdf.joints['j'].velocity, urdf.joints['j'].effort) == (math.inf, math.inf)
    assert len(urdf.notes) == 2


def test_lines_of_a_xacro_are_those_of_what_it_expands_to(tmp_path):
    path = tmp_path / 'r.urdf.xacro'
    path.write_text(
        '<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro">' + link('a', '-1')
        + '</robot>'
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        read_urdf(path)
    assert caught.value.faults[0].file == f'{path} (expanded)'


@pytest.mark.parametrize('encoding', ['iso-8859-1', 'utf-8', 'utf-16'])
def test_any_encoding_that_is_declared(tmp_path, encoding):
    path = tmp_path / 'r.urdf'
    body = f'<?xml version="1.0" encoding="{encoding}"?>\n<robot name="bär">{link("bär")}</robot>'
    path.write_bytes(body.encode(encoding))
    urdf = read_urdf(path)
    assert (urdf.name, list(urdf.links)) == ('bär', ['bär'])
    # Whoever reads the text sees the same.
    assert parse_urdf(urdf.text, path).name == 'bär'
    assert etree.fromstring(urdf.text.encode()).get('name') == 'bär'


def test_bytes_that_are_not_what_they_declare(tmp_path):
    path = tmp_path / 'r.urdf'
    path.write_bytes('<robot name="bär"/>'.encode('iso-8859-1'))
    with pytest.raises(InputError, match='mend the XML'):
        read_urdf(path)


def test_limits_of_zero_are_none_where_a_joint_follows():
    zeros = '<limit lower="0" upper="0"/>'
    body = link('a') + link('b') + link('c') + link('d') + joint()
    body += joint('m', 'b', 'c', inside=zeros + '<mimic joint="j"/>')
    body += joint('k', 'b', 'd', inside=zeros)
    joints = parse_urdf(f'<robot name="r">{body}</robot>', Path('r.urdf')).joints
    assert (joints['m'].lower, joints['m'].upper) == (-math.inf, math.inf)
    assert (joints['k'].lower, joints['k'].upper) == (0.0, 0.0)
