"""From URDF to model: meshes, masses, joints, floor, contacts."""

import mujoco
import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_sim.mujoco_model import LEAST_MASS, build_model, rotation_from_rpy
from sim2real_sim.mujoco_simulator import MujocoSimulator

from .conftest import ROBOTS

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)


def tetrahedron(path, size):
    """Write a binary STL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    body = b''.join(
        np.zeros(3, np.float32).tobytes() + (size * CORNERS[list(f)]).tobytes() + b'\0\0'
        for f in faces
    )
    path.write_bytes(bytes(80) + np.uint32(len(faces)).tobytes() + body)


def with_mesh(kind, uri):
    mesh = f'<{kind}><geometry><mesh filename="{uri}"/></geometry></{kind}>'
    return lambda text: text.replace('<link name="cabin">', f'<link name="cabin">{mesh}')


@pytest.mark.parametrize('name', ROBOTS)
def test_masses_and_names_are_those_of_the_urdf(make, name):
    profile = make(name)
    robot = build_model(profile)
    assert set(robot.bodies) == set(profile.link_names)
    for link, body in robot.bodies.items():
        assert robot.model.body(body).name == link
        assert robot.model.body_mass[body] == profile.urdf.links[link].mass
    assert len(robot.qpos) == len(profile.joints)
    np.testing.assert_array_equal(robot.home[robot.qpos], profile.array('default_position'))


@pytest.mark.parametrize('name', ROBOTS)
def test_nothing_touches_in_the_default_pose(make, name):
    robot = build_model(make(name))
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.home
    mujoco.mj_forward(robot.model, data)
    assert data.ncon == 0


def test_meshes_of_the_same_name_stay_apart(make, tmp_path):
    tetrahedron(tmp_path / 'visual' / 'part.stl', 0.1)
    tetrahedron(tmp_path / 'collision' / 'part.STL', 0.2)
    visual, collision = (
        with_mesh('visual', 'visual/part.stl'),
        with_mesh('collision', 'collision/part.STL'),
    )
    robot = build_model(
        make('lift', urdf=lambda text: visual(collision(text))), image_size=(64, 48)
    )
    sizes = sorted(float(s) for s in robot.model.geom_rbound[robot.model.geom_bodyid == 2])
    assert len(sizes) == 2
    assert sizes[1] == pytest.approx(2 * sizes[0])
    assert not robot.notes


def test_package_uris_are_looked_up_above_the_urdf(make, tmp_path):
    tetrahedron(tmp_path / 'meshes' / 'part.stl', 0.1)
    profile = make('lift', urdf=with_mesh('collision', 'package://lift_robot/meshes/part.stl'))
    assert build_model(profile).model.nmesh == 1


def test_a_visual_mesh_that_cannot_be_read_is_left_out_and_named(make, tmp_path):
    (tmp_path / 'part.dae').write_text('<COLLADA/>')
    for uri in ('part.dae', 'gone.stl'):
        profile = make('lift', urdf=with_mesh('visual', uri))
        (note,) = build_model(profile, image_size=(64, 48)).notes
        assert uri in note
        assert not build_model(profile).notes  # nobody looks


def test_a_missing_collision_mesh_is_a_fault_where_contacts_matter(make):
    profile = make('lift', urdf=with_mesh('collision', 'gone.stl'))
    with pytest.raises(InputError, match=r'gone\.stl'):
        build_model(profile)
    assert build_model(profile, contacts=False).model.nmesh == 0


def test_a_mesh_that_is_none_is_a_fault(make, tmp_path):
    (tmp_path / 'part.stl').write_bytes(b'not a mesh')
    with pytest.raises(InputError, match='urdf'):
        build_model(make('lift', urdf=with_mesh('collision', 'part.stl')))


def test_a_moving_link_without_mass_gets_the_least(make):
    profile = make(
        'planar', 'command: {interface: position}', lambda text: text.replace('"0.05"', '"0"')
    )
    robot = build_model(profile)
    assert robot.model.body_mass[robot.bodies['left_finger']] == LEAST_MASS
    assert sum('weighs nothing' in note for note in robot.notes) == 2


def test_a_robot_without_any_mass_is_refused(make):
    with pytest.raises(InputError, match='inertial'):
        build_model(make('lift', urdf=lambda text: text.replace('value="4"', 'value="0"')))


def test_a_point_mass_can_move(make):
    profile = make('lift', urdf=lambda text: text.replace('="0.1"', '="0"'))
    simulator = MujocoSimulator(profile)
    simulator.command([0.0])
    simulator.step(100)
    assert simulator.state()[1][0, 0] == pytest.approx(-0.981, rel=1e-6)


def test_what_cannot_be_simulated_is_named(make):
    def loose(text):
        return text.replace('"camera_tilt" type="revolute"', '"camera_tilt" type="floating"')

    with pytest.raises(InputError, match='free joint'):
        build_model(make('planar', urdf=loose))


def test_gains_that_would_blow_up_are_refused(make):
    def gains(stiffness, damping):
        servo = f'{{z: {{stiffness: {stiffness}, damping: {damping}}}}}'
        return f'command: {{interface: position}}\njoints: {servo}'

    # Four kilograms in steps of a millisecond bear 16e6 N/m or 8000 N*s/m.
    for stiffness, damping in ((0.95 * 16e6, 1.0), (0.1, 0.95 * 8000)):
        simulator = MujocoSimulator(make('lift', gains(stiffness, damping)))
        simulator.command([1e-3])
        simulator.step(2000)
        assert not simulator.diverged.any()
        assert np.abs(simulator.state()[0]).max() < 100
    for stiffness, damping in ((1.05 * 16e6, 1.0), (100.0, 1.05 * 8000)):
        with pytest.raises(InputError, match=r'joints\.z\.damping') as caught:
            build_model(make('lift', gains(stiffness, damping)))
        longest = float(str(caught.value).split('at most ')[1].split()[0])
        build_model(make('lift', gains(stiffness, damping)), timestep=longest)


SERIAL = '<robot name="serial"><link name="l0"/>' + ''.join(
    f'<link name="l{k + 1}"><inertial><origin xyz="0 0 0.1"/><mass value="1"/>'
    '<inertia ixx="3e-3" iyy="3e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/></inertial></link>'
    f'<joint name="j{k}" type="revolute"><parent link="l{k}"/><child link="l{k + 1}"/>'
    f'<origin xyz="0 0 {0.2 if k else 0}"/><axis xyz="0 1 0"/>'
    '<limit lower="-3" upper="3" velocity="3" effort="500"/></joint>'
    for k in range(8)
) + '</robot>'  # fmt: skip


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort'])
def test_gains_that_nobody_gave_are_stable_for_long_chains(make, interface):
    profile = make('lift', f'command: {{interface: {interface}}}', lambda _: SERIAL)
    simulator = MujocoSimulator(profile, contacts=False)
    soft = [note for note in simulator.robot.notes if 'armature' in note]
    assert len(soft) == (0 if interface == 'effort' else 8)
    simulator.reset(position=np.full(8, 0.3))
    simulator.hold()
    simulator.step(2000)
    assert not simulator.diverged.any()
    assert np.abs(simulator.state()[1]).max() < 0.05


def test_names_in_the_urdf_may_repeat(make):
    def named(text):
        part = (
            '<visual name="part"><geometry><box size="1 1 1"/></geometry>'
            '<material name="checker"><color rgba="1 0 0 1"/></material></visual>'
            '<collision name="floor"><geometry><box size="1 1 1"/></geometry></collision>'
        )
        return text.replace('<link name="rail"/>', f'<link name="rail">{part}</link>').replace(
            '<link name="cabin">', f'<link name="cabin">{part}'
        )

    model = build_model(make('lift', urdf=named)).model
    assert model.ngeom == 5
    drawn = model.geom('cabin#0')
    np.testing.assert_allclose(drawn.rgba, [1, 0, 0, 1])


def test_the_profile_replaces_what_the_urdf_says_of_a_joint(make):
    profile = make(
        'planar',
        'command: {interface: effort}\njoints: {first: {viscous_friction: 0.7, lower: -0.5, '
        'coulomb_friction: 0.3, armature: 0.05}, second: {}}',
    )
    robot = build_model(profile)
    first = robot.model.joint('first')
    assert first.damping[0] == 0.7
    assert first.frictionloss[0] == 0.3
    assert first.armature[0] == 0.05
    np.testing.assert_array_equal(first.range, [-0.5, 3.0])
    # The fingers are not in this profile: held, and with them the one that follows.
    assert robot.model.nv == 2
    position = MujocoSimulator(profile).link_position('right_finger')[0]
    np.testing.assert_allclose(position, [0.7, 0.005, 0], atol=1e-9)


def test_the_floor_is_below_a_robot_that_hangs(make):
    robot = build_model(
        make('pendulum', urdf=lambda text: text.replace('xyz="0 0 2"', 'xyz="0 0 0"'))
    )
    assert robot.model.geom('floor').pos[2] < -1.0
    assert build_model(make('pendulum')).model.geom('floor').pos[2] == 0.0


def test_links_collide_with_the_floor_but_not_with_neighbours(make):
    def lower(text):
        return text.replace('xyz="0 0 2"', 'xyz="0 0 1.02"').replace(
            '<link name="world"/>',
            '<link name="world"><collision><origin xyz="0 0 1.02"/><geometry>'
            '<box size="0.1 0.1 0.1"/></geometry></collision></link>',
        )

    profile = make('pendulum', 'command: {interface: effort}', lower)
    robot = build_model(profile)
    data = mujoco.MjData(robot.model)
    data.qpos[0] = 0.3
    mujoco.mj_forward(robot.model, data)
    assert data.ncon == 0  # the rod's end swings above the floor, through its own mount
    robot = build_model(
        make('pendulum', 'command: {interface: effort}\njoints: {hinge: {default_position: 1.5}}',
             lambda text: text.replace('xyz="0 0 2"', 'xyz="0 0 0.9"'))
    )  # fmt: skip
    data = mujoco.MjData(robot.model)
    mujoco.mj_forward(robot.model, data)
    assert data.ncon > 0


def test_without_contacts_nothing_collides(make):
    robot = build_model(
        make('pendulum', 'command: {interface: effort}\njoints: {hinge: {default_position: 1.5}}',
             lambda text: text.replace('xyz="0 0 2"', 'xyz="0 0 0.9"')),
        contacts=False,
    )  # fmt: skip
    data = mujoco.MjData(robot.model)
    mujoco.mj_forward(robot.model, data)
    assert data.ncon == 0


def test_rotation_from_rpy_turns_about_fixed_axes():
    roll, pitch, yaw = 0.3, -0.4, 1.1

    def about(axis, angle):
        quat, out = np.empty(4), np.empty(9)
        mujoco.mju_axisAngle2Quat(quat, np.eye(3)[axis], angle)
        mujoco.mju_quat2Mat(out, quat)
        return out.reshape(3, 3)

    expected = about(2, yaw) @ about(1, pitch) @ about(0, roll)
    np.testing.assert_allclose(rotation_from_rpy((roll, pitch, yaw)), expected, atol=1e-15)
