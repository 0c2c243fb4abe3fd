"""Where a robot stands by default: free of itself and of the floor, and its drives can hold it."""

import re

import numpy as np
import pytest

from sim2real_bringup.init import init_robot
from sim2real_core.profile import load_profile
from sim2real_sysid.collisions import FLOOR, Collisions
from sim2real_sysid.excitation import excite
from sim2real_sysid.excitation_config import ExcitationConfig

TURN = 'lower="-6" upper="6" effort="80" velocity="3"'


def link(name, size=(0.3, 0.06, 0.06), at=(0.15, 0.0, 0.0), mass=1.0, shape=True):
    box = f'<geometry><box size="{size[0]} {size[1]} {size[2]}"/></geometry>'
    xyz = f'<origin xyz="{at[0]} {at[1]} {at[2]}"/>'
    collision = f'<collision>{xyz}{box}</collision>' if shape else ''
    return (
        f'<link name="{name}"><inertial>{xyz}<mass value="{mass}"/><inertia ixx="0.01" iyy="0.01" '
        f'izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>{collision}</link>'
    )


def joint(name, parent, child, xyz='0.3 0 0', axis='0 1 0', limit=TURN, kind='revolute'):
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}"/><axis xyz="{axis}"/><limit {limit}/></joint>'
    )


def robot(*parts):
    return '\n'.join(['<robot name="own">', *parts, '</robot>'])


BASE = link('base', (0.1, 0.1, 0.04), (0, 0, 0.02))
LYING = robot(  # stretched out a hand above the floor, with a tool that hangs into it
    BASE,
    joint('pan', 'base', 'tower', '0 0 0.04', '0 0 1'),
    link('tower', (0.06, 0.06, 0.08), (0, 0, 0.04)),
    joint('lift', 'tower', 'upper', '0 0 0.1'),
    link('upper'),
    joint('elbow', 'upper', 'fore'),
    link('fore'),
    joint('wrist', 'fore', 'tool', axis='1 0 0'),
    link('tool', (0.05, 0.05, 0.3), (0.05, 0, -0.1), 0.3),
)
LEG = robot(
    BASE,
    joint('hip', 'base', 'thigh', '0 0 0'),
    link('thigh', (0.05, 0.05, 0.3), (0, 0, -0.15)),
    joint('knee', 'thigh', 'shin', '0 0 -0.3'),
    link('shin', (0.05, 0.05, 0.3), (0, 0, -0.15)),
)
FOLDED = robot(  # the second link lies upon the first
    link('base', (0.1, 0.1, 0.5), (0, 0, 0.25)),
    joint('shoulder', 'base', 'upper', '0 0.2 0.6', '0 0 1'),
    link('upper'),
    joint('elbow', 'upper', 'fore', axis='0 0 1'),
    link('fore', (0.1, 0.06, 0.06), (0.05, 0, 0)),
    joint('wrist', 'fore', 'hand', '0.1 0 0', '0 0 1', TURN.replace('-6', '2').replace('6', '4')),
    link('hand', at=(0.2, 0, 0)),
)  # fmt: skip


@pytest.fixture
def stand(tmp_path):
    """Makes a robot known; gives its profile and what is said of its pose."""

    def make(text, name='own'):
        (tmp_path / f'{name}.urdf').write_text(text)
        made = init_robot(tmp_path / f'{name}.urdf', tmp_path / 'out', name)
        return load_profile(made.profile), made.pose

    return make


def nearest(profile, link, floor=0.0):
    """Least distance of a link, from others and the floor, in the default pose."""
    collisions = Collisions(profile)
    count = collisions.watch(floor)
    pose = profile.array('default_position')
    distances = collisions.distances(pose, range(count))
    return min(d for number, d in enumerate(distances) if link in collisions.links(number))


def test_a_robot_that_lies_on_the_floor_rises(stand):
    profile, pose = stand(LYING)
    assert pose.moved and 'pan' not in pose.moved, 'turning frees nothing'
    assert nearest(profile, 'tool') >= 0.05
    assert 'tool and floor meet' in pose.text
    said = ' '.join(profile.path.read_text().replace('# ', '').split())
    assert pose.text in said
    quick = ExcitationConfig(duration=10.0, period=10.0, harmonics=3, iterations=5)
    found = excite(profile, quick)
    assert found.clearance > 0.0


def test_the_same_robot_has_the_same_pose(stand):
    assert stand(LYING, 'one')[1] == stand(LYING, 'two')[1]


def test_links_that_meet_come_apart(stand):
    profile, pose = stand(FOLDED)
    assert 'upper and hand meet' in pose.text
    assert nearest(profile, 'hand', None) > 0.005
    for one in profile.joints:
        assert one.lower < one.default_position < one.upper


def test_a_robot_that_is_free_stands_at_zero(stand):
    profile, pose = stand(LYING.replace('xyz="0 0 0.1"', 'xyz="0 0 0.6"'))
    assert (pose.moved, pose.text) == ((), 'zero or mid-range: free')
    assert not profile.array('default_position').any()


def test_legs_hang_where_they_are(stand):
    _, pose = stand(LEG)
    assert pose.moved == ()


def test_a_weak_drive_does_not_hold_the_arm_out(stand):
    weak = LYING.replace('0 0 0.1"', '0 0 0.9"').replace('effort="80"', 'effort="6"')
    profile, pose = stand(weak)
    assert 'of its effort to stand' in pose.text and pose.moved
    excite(profile, ExcitationConfig(duration=10.0, period=10.0, harmonics=3, iterations=2))


def test_without_shapes_it_says_that_it_knows_nothing(stand):
    _, pose = stand(re.sub('<collision>.*</collision>', '', LYING))
    assert pose.moved == () and 'without collision geometry' in pose.text


def test_a_mesh_that_is_no_mesh_is_said(stand, tmp_path):
    (tmp_path / 'bad.stl').write_bytes(b'not a mesh')
    mesh = '<geometry><mesh filename="bad.stl"/></geometry>'
    box = '<geometry><box size="0.1 0.1 0.04"/></geometry>'
    _, pose = stand(LYING.replace(box, mesh))
    assert 'not checked' in pose.text and pose.moved == ()


def test_a_robot_boxed_in_says_so(stand):
    """Walls on all sides of its only link: it stands at zero, and the profile says why."""
    walls = ''.join(
        f'<collision><origin xyz="{x} {y} 0.1"/><geometry><box size="0.3 0.3 0.3"/></geometry>'
        '</collision>'
        for x, y in ((0.4, 0), (-0.4, 0), (0, 0.4), (0, -0.4), (0.3, 0.3), (-0.3, 0.3),
                     (0.3, -0.3), (-0.3, -0.3))
    )  # fmt: skip
    text = robot(
        f'<link name="base">{walls}</link>',
        joint('pan', 'base', 'stub', '0 0 0.05', '0 0 1'),
        link('stub', (0.02, 0.02, 0.02), (0, 0, 0)),
        joint('tilt', 'stub', 'arm', '0 0 0.05', '0 0 1'),
        link('arm', (0.4, 0.02, 0.02), (0.2, 0, 0)),
    )
    profile, pose = stand(text)
    # It is free of any wall somewhere, but of all of them nowhere: it stands where it would.
    assert 'base and arm meet: no free pose was found' in pose.text
    assert pose.moved == ()
    assert np.isfinite(profile.array('default_position')).all()
    assert FLOOR not in pose.text
