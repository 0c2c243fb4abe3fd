from pathlib import Path

import pytest

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
        (link('a') + link('b', moments=(1, 0.1, 0.1)) + joint(), 'no body has it'),
        (link('a') + link('b', moments=(-1, 1, 1)) + joint(), 'positive semidefinite'),
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
            + joint(inside='<limit lower="-1" upper="1" velocity="0" effort="1"/>'),
            'must be positive',
        ),
        (
            link('a')
            + link('b')
            + joint(inside='<limit lower="-1" upper="1"/><mimic joint="x"/>'),
            'no such joint',
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
