import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_sysid.dynamics import RigidBody, check_base
from sim2real_sysid.payload import hidden_payload, payload_tells

G = 9.81
GRIPPER = """<robot name="r">
  <link name="base"/>
  <link name="a"><inertial><origin xyz="0.5 0 0"/><mass value="2"/>
    <inertia ixx="0" iyy="0" izz="0" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="b"><inertial><origin xyz="0.5 0 0"/><mass value="3"/>
    <inertia ixx="0" iyy="0" izz="0" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="lead" type="revolute"><parent link="base"/><child link="a"/><axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
  <joint name="follow" type="revolute"><parent link="base"/><child link="b"/>
    <axis xyz="0 1 0"/><limit lower="-3" upper="3" velocity="1" effort="1"/>
    <mimic joint="lead" multiplier="-2"/></joint>
</robot>"""
GANTRY = """<robot name="g">
  <link name="base"/>
  <link name="x"><inertial><mass value="2"/>
    <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="y"><inertial><mass value="1"/>
    <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="x" type="prismatic"><parent link="base"/><child link="x"/><axis xyz="1 0 0"/>
    <limit lower="-1" upper="1" velocity="1" effort="1"/></joint>
  <joint name="z" type="prismatic"><parent link="x"/><child link="y"/><axis xyz="0 0 1"/>
    <limit lower="-1" upper="1" velocity="1" effort="1"/></joint>
</robot>"""


def heavier(profile, extra):
    """The same robot with a heavier payload, inertia in proportion, as another URDF."""
    scale = (0.5 + extra) / 0.5
    return profile.urdf.text.replace('value="0.5"', f'value="{0.5 + extra}"').replace(
        'ixx="0.002" iyy="0.001" izz="0.0015" ixy="0" ixz="0.0002"',
        f'ixx="{0.002 * scale}" iyy="{0.001 * scale}" izz="{0.0015 * scale}" ixy="0" '
        f'ixz="{0.0002 * scale}"',
    )


def test_payload_is_the_derivative_by_its_mass(pendulum, tmp_path):
    body = RigidBody(pendulum)
    (tmp_path / 'robot.urdf').write_text(heavier(pendulum, 0.7))
    heavy = RigidBody(load_profile(tmp_path / 'robot.yaml'))
    assert body.payload_mass == 0.5
    assert heavy.payload_mass == 1.2
    for state in np.random.default_rng(0).normal(size=(20, 3, 2)):
        nominal, payload = body.efforts(*state)
        assert nominal + 0.7 * payload == pytest.approx(heavy.efforts(*state)[0])


def test_gravity_of_a_known_lever(pendulum):
    nominal, payload = RigidBody(pendulum).efforts(np.array([np.pi / 2, 0]), *np.zeros((2, 2)))
    # About +y, a lever along +z turned by 90 degrees points along +x; gravity turns it on.
    assert nominal[0] == pytest.approx(-G * (2 * 0.2 + 1 * 0.55 + 0.5 * 0.75))
    assert payload == pytest.approx([-G * 0.75, -G * 0.35])


def test_mimic_joint_loads_its_leader(profile_of):
    body = RigidBody(profile_of(GRIPPER, ('lead',), payload_link='b'))
    nominal, payload = body.efforts(np.zeros(1), np.zeros(1), np.ones(1))
    # 2 kg at 0.5 m, and 3 kg that turn at -2 times the speed; levers lie along +x.
    inertia = 2 * 0.5**2 + 4 * 3 * 0.5**2
    assert nominal == pytest.approx([inertia - G * (2 * 0.5 - 2 * 3 * 0.5)])
    assert payload == pytest.approx([4 * 0.5**2 + 2 * G * 0.5])


def test_followers_of_followers_load_their_leader(profile_of):
    """Statics: the effort is the slope of the potential energy along all that moves."""
    follower = GRIPPER[GRIPPER.index('  <joint name="follow"') : GRIPPER.index('</robot>')]
    chain = follower.replace('follow', 'last').replace('joint="lead"', 'joint="follow"')
    chain = chain.replace('link="base"', 'link="b"').replace('child link="b"', 'child link="c"')
    chain = chain.replace('multiplier="-2"', 'multiplier="0.5" offset="0.3"')
    c = GRIPPER[GRIPPER.index('  <link name="b"') : GRIPPER.index('  <joint name="lead"')]
    urdf = GRIPPER.replace('multiplier="-2"', 'multiplier="-2" offset="0.4"')
    # The last is listed before what it follows.
    urdf = urdf.replace('  <link name="b"', chain + c.replace('"b"', '"c"') + '  <link name="b"')
    body = RigidBody(profile_of(urdf, ('lead',), payload_link='c'))

    def energy(q):
        follow = -2 * q + 0.4
        # The last turns on b, about its origin in the base.
        at = q, follow, follow + 0.5 * follow + 0.3
        return -G * 0.5 * sum(m * np.sin(angle) for m, angle in zip((2, 3, 3), at))

    for q in (0.0, 0.7):
        nominal, _ = body.efforts(np.array([q]), np.zeros(1), np.zeros(1))
        slope = (energy(q + 1e-6) - energy(q - 1e-6)) / 2e-6
        assert nominal == pytest.approx([slope], rel=1e-6)


def test_friction_of_a_follower_is_known_and_the_simulator_has_it(profile_of):
    simulator_module = pytest.importorskip('sim2real_sim.mujoco_simulator')
    mimic = '<mimic joint="lead" multiplier="-2"/>'
    urdf = GRIPPER.replace(mimic, f'{mimic}<dynamics damping="0.7" friction="0.4"/>')
    urdf = urdf.replace('"-3" upper="3"', '"-99" upper="99"').replace('effort="1"', 'effort="9"')
    urdf = urdf.replace('axis xyz="0 1 0"', 'axis xyz="0 0 1"')  # gravity does nothing
    profile = profile_of(urdf, ('lead',), payload_link='b', command='{interface: effort}')
    speed = np.array([0.8])
    effort = RigidBody(profile).efforts(np.zeros(1), speed, np.zeros(1))[0]
    assert effort == pytest.approx([4 * 0.7 * 0.8 + 2 * 0.4])
    simulator = simulator_module.MujocoSimulator(profile, contacts=False)
    simulator.command(effort)
    simulator.step(12_000)  # ten time constants
    assert simulator.state()[1][0] == pytest.approx(speed, rel=0.01)


def test_continuous_joint(wheel, profile_of):
    state = np.array([[2.0, -0.4], [1.0, 0.3], [0.5, -2.0]])
    around = state + np.array([[2 * np.pi, 0], [0, 0], [0, 0]])
    body = RigidBody(wheel)
    assert body.efforts(*around) == pytest.approx(body.efforts(*state))


def test_link_without_mass_is_a_point(profile_of):
    urdf = GRIPPER.replace('<link name="base"/>', '<link name="base"/><link name="tip"/>')
    urdf = urdf.replace(
        '</robot>',
        '<joint name="tip" type="fixed"><parent link="a"/><child link="tip"/>'
        '<origin xyz="1 0 0"/></joint></robot>',
    )
    body = RigidBody(profile_of(urdf, ('lead',), payload_link='tip'))
    assert body.payload_mass == 0.0
    assert body.efforts(*np.zeros((3, 1)))[1] == pytest.approx([-G])


def test_payload_of_a_gantry_cannot_be_told_from_its_armature(profile_of, pendulum):
    gantry = profile_of(GANTRY, ('x', 'z'), payload_link='y')
    body = RigidBody(gantry)
    assert not payload_tells(body, 2)
    ((address, mass),) = hidden_payload(body, gantry).items()
    assert (address, mass.status, mass.mean) == (
        'link.y.mass',
        'not_identified',
        body.payload_mass,
    )
    assert mass.confounded == (
        'joint.x.armature',
        'joint.z.armature',
        'joint.z.effort_offset',
    )


def test_payload_of_an_arm_can(pendulum):
    assert payload_tells(RigidBody(pendulum), 2)
    assert hidden_payload(RigidBody(pendulum), pendulum) == {}


def test_payload_on_the_base_tells_nothing(profile_of):
    profile = profile_of(GANTRY, ('x', 'z'), payload_link='base')
    body = RigidBody(profile)
    assert not payload_tells(body, 2)
    ((_, mass),) = hidden_payload(body, profile).items()
    assert mass.confounded == ()


@pytest.mark.parametrize('kind', ['floating', 'fixed'])
def test_a_floating_base_is_refused_by_name(profile_of, kind):
    urdf = GANTRY.replace('<link name="base"/>', '<link name="world"/><link name="base"/>')
    trunk = f'<joint name="trunk" type="{kind}"><parent link="world"/><child link="base"/></joint>'
    profile = profile_of(urdf.replace('</robot>', trunk + '</robot>'), ('x', 'z'))
    if kind == 'fixed':
        assert check_base(profile) is None
        return
    with pytest.raises(InputError, match=r'joint\.trunk.*unsupported'):
        check_base(profile)


@pytest.mark.parametrize('axis', range(3))
def test_first_moments_are_derivatives_by_the_centre_of_mass(pendulum, tmp_path, axis):
    """About the axes of the link, however its inertial frame is turned."""
    body, step = RigidBody(pendulum), 1e-5
    states = np.random.default_rng(0).normal(size=(5, 3, 2))
    shifted = []
    for sign in (1.0, -1.0):
        xyz = np.array([0.02, 0.0, 0.05])
        xyz[axis] += sign * step
        text = ' '.join(map(repr, map(float, xyz)))
        urdf = pendulum.urdf.text.replace('xyz="0.02 0 0.05"', f'xyz="{text}"')
        (tmp_path / 'robot.urdf').write_text(urdf)
        shifted.append(RigidBody(load_profile(tmp_path / 'robot.yaml')).columns(states)[..., 0])
    slope = (shifted[0] - shifted[1]) / (2 * step) / 0.5  # of a payload of half a kilogram
    assert body.columns(states)[..., 2 + axis] == pytest.approx(slope, abs=1e-6)
