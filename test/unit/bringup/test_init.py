"""A profile and a space from robots of all kinds, and clear words about broken ones."""

import os
import struct

import numpy as np
import pytest

from sim2real_bringup.init import init_robot
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space


def inertial(mass, size=0.1):
    moment = mass * size**2 / 6
    return (
        f'<inertial><mass value="{mass}"/><inertia ixx="{moment}" iyy="{moment}" izz="{moment}"'
        ' ixy="0" ixz="0" iyz="0"/></inertial>'
    )


def link(name, mass=0.0, more=''):
    return f'<link name="{name}">{inertial(mass) if mass else ""}{more}</link>'


def joint(name, kind, parent, child, limit='', xyz='0 0 0.3', axis='0 0 1', more=''):
    limit = f'<limit {limit}/>' if limit else ''
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}"/><axis xyz="{axis}"/>{limit}{more}</joint>'
    )


def robot(name, *parts):
    return '\n'.join([f'<robot name="{name}">', *parts, '</robot>'])


TURN = 'lower="-2.5" upper="2.5" effort="80" velocity="3"'
SCARA = robot(
    'scara',
    link('base', 10),
    joint('first', 'revolute', 'base', 'inner', TURN),
    link('inner', 4),
    joint('second', 'revolute', 'inner', 'outer', TURN, xyz='0.3 0 0',
          more='<dynamics damping="1.5" friction="0.8"/>'),
    link('outer', 3),
    joint('lift', 'prismatic', 'outer', 'quill',
          'lower="0" upper="0.2" effort="200" velocity="1"', xyz='0.3 0 0', axis='0 0 -1'),
    link('quill', 1),
    joint('spin', 'continuous', 'quill', 'flange', 'effort="5" velocity="20"'),
    link('flange', 0.2),
    joint('mount', 'fixed', 'flange', 'tcp'),
    link('tcp'),
)  # fmt: skip
REDUNDANT = robot(
    'seven axes',
    link('base_link', 5),
    *(
        part
        for k in range(7)
        for part in (
            link(f'link{k + 1}', 4 - 0.5 * k),
            joint(f'joint{k + 1}', 'revolute', f'link{k}' if k else 'base_link', f'link{k + 1}',
                  'lower="-3.07" upper="-0.07" effort="87" velocity="2.2"' if k == 3 else TURN,
                  axis='0 1 0' if k % 2 else '0 0 1'),
        )
    ),
    link('hand', 0.7),
    joint('wrist', 'fixed', 'link7', 'hand'),
    link('left', 0.05),
    joint('finger', 'prismatic', 'hand', 'left',
          'lower="0" upper="0.04" effort="20" velocity="0.2"', axis='0 1 0'),
    link('right', 0.05),
    joint('other_finger', 'prismatic', 'hand', 'right',
          'lower="0" upper="0.04" effort="20" velocity="0.2"', axis='0 -1 0',
          more='<mimic joint="finger"/>'),
    link('hand_tcp'),
    joint('between', 'fixed', 'hand', 'hand_tcp'),
)  # fmt: skip
ROVER = robot(
    'rover',
    link('chassis', 12),
    *(
        part
        for side, y in (('left', 0.2), ('right', -0.2))
        for part in (
            link(f'{side}_wheel', 0.8),
            joint(f'{side}_wheel_joint', 'continuous', 'chassis', f'{side}_wheel',
                  xyz=f'0 {y} 0', axis='0 1 0'),
        )
    ),
    link('imu_link'),
    joint('imu_mount', 'fixed', 'chassis', 'imu_link'),
)  # fmt: skip
MACROS = """<robot name="macros" xmlns:xacro="http://www.ros.org/wiki/xacro">
  <xacro:property name="mass" value="2.0"/>
  <xacro:macro name="segment" params="name parent">
    <link name="${name}"><inertial><origin xyz="0 0 0.15"/><mass value="${mass}"/>
      <inertia ixx="${mass * 0.01}" iyy="${mass * 0.01}" izz="${mass * 0.005}"
        ixy="0" ixz="0" iyz="0"/></inertial></link>
    <joint name="${name}_joint" type="revolute"><parent link="${parent}"/><child link="${name}"/>
      <origin xyz="0 0 0.3"/><axis xyz="0 1 0"/>
      <limit lower="${-pi / 2}" upper="${pi / 2}" effort="40" velocity="${2 * pi}"/></joint>
  </xacro:macro>
  <link name="base"/>
  <xacro:segment name="lower" parent="base"/>
  <xacro:segment name="upper" parent="lower"/>
</robot>
"""
MESH = robot(
    'meshed',
    link('base', 2),
    joint('hinge', 'revolute', 'base', 'door', TURN),
    link('door', 3, '<visual><geometry><mesh filename="meshes/door.stl"/></geometry></visual>'
         '<collision><geometry><mesh filename="package://meshed_description/meshes/door.stl"/>'
         '</geometry></collision>'),
)  # fmt: skip


def write_mesh(folder):
    """A tetrahedron as binary STL."""
    corners = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]])
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    data = b'\0' * 80 + struct.pack('<I', len(faces))
    for face in faces:
        data += struct.pack('<12f', 0, 0, 0, *corners[list(face)].ravel()) + b'\0\0'
    (folder / 'meshes').mkdir()
    (folder / 'meshes' / 'door.stl').write_bytes(data)


@pytest.fixture
def made(tmp_path):
    """Writes a robot, initializes it, and gives its profile and space."""

    def make(text, file='robot.urdf', **arguments):
        path = tmp_path / 'meshed_description' / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if 'door.stl' in text:
            write_mesh(path.parent)
        profile_path, space_path, _ = init_robot(path, tmp_path / 'out', **arguments)
        profile = load_profile(profile_path)
        return profile, load_space(space_path, profile)

    return make


def test_scara(made):
    profile, space = made(SCARA)
    assert profile.name == 'scara'
    assert profile.joint_names == ('first', 'second', 'lift', 'spin')
    assert (profile.tool_link, profile.payload_link) == ('tcp', 'flange')
    assert profile.command.interface == 'position'
    assert profile.joint('lift').default_position == 0.1, 'zero is a limit'
    assert profile.joint('second').viscous_friction == 1.5
    assert profile.joint('lift').armature == 200 / 50
    # Inertia about the first axis at full stretch: 3 kg at 0.3 m, 1.2 kg at 0.6 m and the solids'.
    first = profile.joint('first')
    inertia = 3 * 0.3**2 + 1.2 * 0.6**2 + 8.2 * 0.1**2 / 6 + 80 / 500
    assert first.stiffness == pytest.approx(inertia * (2 * np.pi * 5) ** 2, rel=0.02)
    assert first.damping == pytest.approx(2 * inertia * 2 * np.pi * 5, rel=0.02)
    assert 'link.flange.mass' in space.addresses
    low, high = space.range('joint.first.coulomb_friction')
    assert (low, high) == (0.0, 4.0)
    assert space.range('joint.second.coulomb_friction') == pytest.approx((0.4, 1.6))


def test_redundant_arm_with_a_gripper(made):
    profile, space = made(REDUNDANT)
    assert profile.name == 'seven_axes'
    assert profile.joint_names == (*(f'joint{k}' for k in range(1, 8)), 'finger')
    assert set(profile.mimics) == {'other_finger'}
    assert (profile.tool_link, profile.payload_link) == ('hand_tcp', 'hand')
    assert profile.joint('joint4').default_position == pytest.approx(-1.57)
    assert not [a for a in space.addresses if 'other_finger' in a]


def test_gains_are_stable_in_every_pose(made):
    """No pose has less inertia than the rotors: h (2 d + h k) < 4 armature, halved or not."""
    for name, text in (('a', SCARA), ('b', REDUNDANT), ('c', MESH)):
        profile, _ = made(text, name=name)
        h = profile.rates.timestep
        gains = h * (2 * profile.array('damping') + h * profile.array('stiffness'))
        assert (gains < 2 * profile.array('armature')).all()


def test_rover(made):
    profile, space = made(ROVER)
    assert profile.command.interface == 'velocity'
    assert (profile.tool_link, profile.imu_link) == ('chassis', 'imu_link')
    wheel = profile.joint('left_wheel_joint')
    assert (wheel.stiffness, wheel.velocity) == (0.0, 10.0)
    assert wheel.effort == pytest.approx(500 * 0.8 * 0.01 / 6, rel=0.01)
    assert 'guess' in profile.path.read_text()
    assert not [a for a in space.addresses if a.startswith('link')], 'the chassis stands still'


def test_xacro(made):
    profile, _ = made(MACROS, 'robot.urdf.xacro')
    assert profile.joint_names == ('lower_joint', 'upper_joint')
    assert profile.joint('upper_joint').upper == pytest.approx(np.pi / 2)
    assert profile.urdf.links['upper'].mass == 2.0


def test_meshes(made):
    profile, _ = made(MESH)
    assert profile.urdf.links['door'].meshes[0] == 'meshes/door.stl'


@pytest.mark.parametrize(
    ('text', 'file'),
    [(SCARA, 'a.urdf'), (REDUNDANT, 'b.urdf'), (ROVER, 'c.urdf'), (MACROS, 'd.xacro'),
     (MESH, 'e.urdf')],
    ids=['scara', 'redundant', 'rover', 'xacro', 'mesh'],
)  # fmt: skip
def test_the_simulator_takes_it(made, text, file):
    simulator_module = pytest.importorskip('sim2real_sim.mujoco_simulator')
    profile, space = made(text, file)
    simulator = simulator_module.MujocoSimulator(profile, contacts=False)
    for episode in range(5):
        outcomes = simulator.apply(space.draw(0, episode).values)
        assert set(outcomes.values()) == {'verified'}
        simulator.reset()
        target = profile.array('default_position')
        simulator.command(target if profile.command.interface == 'position' else 0 * target)
        simulator.step(1000)
        position, velocity = simulator.state()
        assert not simulator.diverged.any()
        assert (np.abs(velocity) < 0.02 * profile.array('velocity')).all()
        np.testing.assert_allclose(position[0], target, atol=0.25)


def test_names_and_paths(made, tmp_path):
    profile, space = made(SCARA, name='cell_3')
    assert profile.path == tmp_path / 'out' / 'cell_3.yaml'
    assert space.path == tmp_path / 'out' / 'cell_3_space.yaml'
    written = os.path.join('..', 'meshed_description', 'robot.urdf')
    assert f'urdf: {written}\n' in profile.path.read_text()
    with pytest.raises(InputError, match='exists'):
        made(SCARA, name='cell_3')


def test_names_that_yaml_would_take_for_something_else(made):
    text = robot('on', link('base'), joint('yes', 'revolute', 'base', '7: #x', TURN),
                 link('7: #x', 1))  # fmt: skip
    profile, space = made(text)
    assert profile.name == 'on'
    assert profile.joint_names == ('yes',)
    assert profile.tool_link == '7: #x'
    assert 'joint.yes.viscous_friction' in space.addresses


def test_what_follows_a_joint_is_its_load(made):
    follower = joint('other', 'prismatic', 'base', 'right', TURN,
                     more='<mimic joint="slide" multiplier="-3"/>')  # fmt: skip
    profile, _ = made(
        robot('twin', BASE, joint('slide', 'prismatic', 'base', 'left', TURN), link('left', 2),
              follower, link('right', 5))
    )  # fmt: skip
    assert f'moves up to {2 + 9 * 5}' in profile.path.read_text()


@pytest.mark.parametrize(('low', 'high'), [(1.0012, 1.0043), (-1e-7, -0.9e-7), (3, 5)])
def test_a_default_pose_is_within_its_limits(made, low, high):
    limit = f'lower="{low}" upper="{high}" effort="80" velocity="3"'
    profile, _ = made(
        robot('narrow', BASE, joint('a', 'revolute', 'base', 'b', limit), link('b', 1))
    )
    assert low < profile.joint('a').default_position < high


def test_what_the_limits_make_impossible_is_named_and_leaves_nothing(made, tmp_path):
    limit = 'lower="-1" upper="1" effort="1e8" velocity="3"'
    with pytest.raises(InputError) as error:
        made(robot('strong', BASE, joint('a', 'revolute', 'base', 'b', limit), link('b', 1)))
    for fault in error.value.faults:
        assert (fault.file.rsplit('/', 1)[1], fault.line) == ('robot.urdf', 3)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['x/y', '../x', '.'])
def test_a_name_is_that_of_a_file(made, name):
    with pytest.raises(InputError, match='name = '):
        made(SCARA, name=name)


def test_a_folder_that_is_none(made, tmp_path):
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(InputError, match='out = '):
        made(SCARA)


BASE = link('base', 1)


@pytest.mark.parametrize(
    ('parts', 'field', 'line'),
    [
        ([BASE, joint('a', 'revolute', 'base', 'b'), link('b', 1)], 'joint.a.limit', 3),
        ([BASE, joint('a', 'revolute', 'base', 'b', 'lower="0" upper="1" velocity="1"'),
          link('b', 1)], 'joint.a.limit.effort', 3),
        ([BASE, joint('a', 'prismatic', 'base', 'b', 'lower="0" upper="1" effort="1"'),
          link('b', 1)], 'joint.a.limit.velocity', 3),
        ([BASE, joint('a', 'revolute', 'base', 'b', TURN), link('b')], 'link.b.mass', 4),
        ([BASE, joint('a', 'revolute', 'base', 'b', TURN),
          '<link name="b"><inertial><mass value="1"/></inertial></link>'],
         'link.b.inertia', 4),
        ([BASE, joint('a', 'revolute', 'base', 'b', TURN),
          link('b', 1, '<visual><geometry><mesh filename="b.stl"/></geometry></visual>')],
         'link.b.mesh', 4),
        ([BASE, joint('a', 'fixed', 'base', 'b'), link('b', 1)], 'joints', 1),
        ([BASE, joint('a', 'revolute', 'base', 'b', 'lower="0" upper="0" effort="1" velocity="1"'),
          link('b', 1)], 'joint.a.limit', 3),
    ],
)  # fmt: skip
def test_broken_robots(made, tmp_path, parts, field, line):
    with pytest.raises(InputError) as error:
        made(robot('broken', *parts))
    (fault,) = error.value.faults
    assert (fault.field, fault.line) == (field, line)
    assert fault.file.endswith('robot.urdf')
    assert not (tmp_path / 'out').exists(), 'nothing half made'


def test_every_fault_at_once(made):
    text = robot(
        'broken', BASE, joint('a', 'revolute', 'base', 'b', 'lower="0" upper="1"'), link('b'),
        link('c', 1, '<visual><geometry><mesh filename="c.stl"/></geometry></visual>'),
        joint('d', 'fixed', 'base', 'c'),
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        made(text)
    assert {fault.field for fault in error.value.faults} == {
        'joint.a.limit.effort', 'joint.a.limit.velocity', 'link.b.mass', 'link.c.mesh'
    }  # fmt: skip


def test_a_massless_link_between_two_joints_is_fine(made):
    profile, _ = made(
        robot('gimbal', BASE, joint('pan', 'revolute', 'base', 'cross', TURN), link('cross'),
              joint('tilt', 'revolute', 'cross', 'camera', TURN, axis='0 1 0'),
              link('camera', 0.5))
    )  # fmt: skip
    assert profile.joint_names == ('pan', 'tilt')


def test_a_thin_rod_is_fine(made):
    rod = (
        '<link name="rod"><inertial><mass value="1"/>'
        '<inertia ixx="0.01" iyy="0.01" izz="0" ixy="0" ixz="0" iyz="0"/></inertial></link>'
    )
    profile, _ = made(robot('pendulum', BASE, joint('a', 'revolute', 'base', 'rod', TURN), rod))
    assert profile.payload_link == 'rod'


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match='existing URDF'):
        init_robot(tmp_path / 'none.urdf', tmp_path / 'out')
