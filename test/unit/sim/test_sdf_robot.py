"""A robot's SDF stands and weighs as its URDF, and Gazebo's own schema takes it."""

import os
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.nominal import nominal
from sim2real_sim import sdf
from sim2real_sim.sdf_inertia import rotation
from test.unit.sim.conftest import ROBOTS

CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
SCHEMA = CACHE / 'sim2real/gazebo/prefix/usr/share/sdformat9/1.7'


def matrix(pose):
    place = np.eye(4)
    if pose is not None:
        numbers = [float(v) for v in pose.text.split()]
        place[:3, :3], place[:3, 3] = rotation(numbers[3:]), numbers[:3]
    return place


def stands(text):
    """Pose (4, 4) of every link and frame in the model's frame."""
    model = etree.fromstring(text).find('model')
    elements = {e.get('name'): e for tag in ('link', 'frame') for e in model.findall(tag)}

    def of(name):
        pose = elements[name].find('pose')
        parent = None if pose is None else pose.get('relative_to')
        return matrix(pose) if parent is None else of(parent) @ matrix(pose)

    return {name: of(name) for name in elements}


@pytest.mark.parametrize('robot', ROBOTS)
def test_links_stand_where_the_urdf_has_them(make, robot):
    profile = make(robot)
    text = sdf.from_profile(profile)
    sdf.check(text)
    places, kinematics = stands(text), Kinematics(profile)
    base = places.get(profile.base_link, np.eye(4))
    checked = 0
    for link in profile.urdf.links:
        if link in places and link != 'right_finger':  # which follows another with an offset
            position, turn = kinematics.pose(np.zeros(len(profile.joints)), link)
            got = np.linalg.inv(base) @ places[link]
            if link == 'camera':  # held at the limit next to zero
                turn = rotation((0.0, 0.2, 0.0))
            np.testing.assert_allclose(got[:3, 3], position, atol=1e-9, err_msg=link)
            np.testing.assert_allclose(got[:3, :3], turn, atol=1e-9, err_msg=link)
            checked += 1
    assert checked >= 2 or robot == 'pendulum'


@pytest.mark.parametrize('robot', ROBOTS)
def test_every_quantity_is_the_nominal_one(make, robot):
    profile = make(robot)
    text = sdf.from_profile(profile)
    for link, described in profile.urdf.links.items():
        for what in ('mass', 'com.y', 'inertia.xx', 'inertia.yz') if described.mass else ():
            address = f'link.{link}.{what}'
            assert sdf.read(text, address) == pytest.approx(nominal(profile, address), abs=1e-12)
    for joint in profile.joints:
        what = ['viscous_friction', 'coulomb_friction']
        what += ['armature'] if joint.type != 'prismatic' else []
        for quantity in what:
            address = f'joint.{joint.name}.{quantity}'
            assert sdf.read(text, address) == nominal(profile, address), address
        saturation = sdf.read(text, f'actuator.{joint.name}.saturation')
        assert saturation == joint.effort


def test_massless_links_become_frames_and_massive_ones_stay(make):
    model = etree.fromstring(sdf.from_profile(make('arm6'))).find('model')
    frames = [e.get('name') for e in model.findall('frame')]
    links = [e.get('name') for e in model.findall('link')]
    profile = make('arm6')
    assert frames == [n for n, link in profile.urdf.links.items() if not link.mass]
    assert links == [n for n, link in profile.urdf.links.items() if link.mass]
    kinds = {e.get('name'): e.get('type') for e in model.findall('joint')}
    assert kinds['elbow'] == 'revolute' and kinds['world_mount'] == 'fixed'


def test_what_the_format_cannot_say_is_said(make):
    robot = sdf.robot_sdf(make('planar'))
    assert any('right follows left' in note for note in robot.notes)
    assert any('camera_tilt is not in the profile: held at 0.2' in n for n in robot.notes)
    assert any('base weighs nothing' in note for note in robot.notes)
    newer = sdf.robot_sdf(make('planar'), '1.11')
    mimic = etree.fromstring(newer.text).find('model/joint[@name="right"]/axis/mimic')
    assert mimic.get('joint') == 'left' and float(mimic.find('multiplier').text) == -2
    assert not any('right' in note for note in newer.notes)


def test_a_joint_named_like_a_link_is_renamed(make):
    rename = lambda text: text.replace('"spin"', '"table"')  # noqa: E731
    profile = make('turntable', 'command: {interface: velocity}', rename)
    robot = sdf.robot_sdf(profile)
    sdf.check(robot.text)
    assert any('table_joint' in note for note in robot.notes)


def test_meshes_are_given_by_their_files(make, tmp_path):
    (tmp_path / 'my mesh.stl').write_bytes(bytes(84))
    mesh = '<mesh filename="my mesh.stl" scale="2 2 2"/>'
    with_mesh = lambda text: text.replace('<box size="0.02 0.02 1"/>', mesh)  # noqa: E731
    text = sdf.from_profile(make('pendulum', urdf=with_mesh))
    found = etree.fromstring(text).find('model/link/collision/geometry/mesh')
    assert found.find('uri').text == f'file://{tmp_path}/my mesh.stl'
    assert found.find('scale').text == '2 2 2'
    (tmp_path / 'my mesh.stl').unlink()
    with pytest.raises(InputError, match='my mesh'):
        sdf.from_profile(make('pendulum', urdf=with_mesh))


@pytest.mark.parametrize('robot', ROBOTS)
def test_gazebos_own_schema_takes_it(make, robot):
    if not SCHEMA.is_dir():
        pytest.skip('no Gazebo in the cache: sim2real gazebo fetch')
    text = sdf.from_profile(make(robot))
    assert schema_faults(text) == []


def schema_faults(text):
    """What Gazebo's description of the format (``*.sdf``) does not know in a text."""

    def described(file):
        return etree.parse(str(SCHEMA / file)).getroot()

    def children(description):
        found = {}
        for child in description:
            if child.tag == 'include' and (SCHEMA / child.get('filename')).is_file():
                inner = described(child.get('filename'))
                found[inner.get('name')] = inner
            elif child.tag == 'element':
                found[child.get('name')] = child
        return found

    faults = []

    def walk(element, description):
        known = children(description)
        attributes = [a.get('name') for a in description.findall('attribute')]
        faults.extend(f'{element.tag}@{a}' for a in element.attrib if a not in attributes)
        for child in element:
            if ':' in child.tag or '}' in child.tag:
                continue
            if child.tag not in known:
                faults.append(f'{element.tag}/{child.tag}')
            else:
                walk(child, known[child.tag])

    walk(etree.fromstring(text), described('root.sdf'))
    return faults
