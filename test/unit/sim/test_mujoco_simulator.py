"""The embedded simulator: physics against closed forms and pinocchio, determinism, draws."""

import itertools

import numpy as np
import pinocchio
import pytest

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.nominal import nominal
from sim2real_core.profile import load_profile
from sim2real_sim.mujoco_simulator import MujocoSimulator

from .conftest import LIFT, PENDULUM, ROBOTS

DT, G = 1e-3, 9.81


def run(simulator, seconds):
    simulator.step(round(seconds / DT))
    q, v = simulator.state()
    return q[0], v[0]


def let_go(simulator):
    """Release the brakes that hold a robot without a command."""
    simulator.command(np.zeros(len(simulator.profile.joints)))
    return simulator


# Physics


def test_free_fall(make):
    simulator = let_go(MujocoSimulator(make('lift')))
    q, v = run(simulator, 0.5)
    assert v[0] == pytest.approx(-G * 0.5, rel=1e-9)
    # The engine's Euler step updates the velocity first.
    assert q[0] == pytest.approx(-0.5 * G * 0.5 * (0.5 + DT), rel=1e-9)


def test_gravity_in_any_direction(make):
    simulator = let_go(MujocoSimulator(make('lift')))
    simulator.apply({'world.gravity.z': 1.6, 'world.gravity.x': -3.0})
    assert run(simulator, 0.5)[1][0] == pytest.approx(0.8, rel=1e-9)


def test_period_of_a_small_pendulum(make):
    simulator = MujocoSimulator(make('pendulum'))
    simulator.reset(position=[0.02])
    let_go(simulator)
    angles = []
    for _ in range(6000):
        simulator.step()
        angles.append(simulator.state()[0][0, 0])
    crossings = np.flatnonzero(np.diff(np.sign(angles)) != 0)
    inertia = 0.04 + 2 * 0.5**2 + 0.1
    period = 2 * np.pi * np.sqrt(inertia / (2 * G * 0.5))
    measured = 2 * DT * np.diff(crossings).mean()
    assert measured == pytest.approx(period, rel=2e-3)


def test_viscous_deceleration(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'world.gravity.z': 0.0, 'joint.z.viscous_friction': 8.0})
    simulator.reset(velocity=[3.0])
    let_go(simulator)
    assert run(simulator, 0.7)[1][0] == pytest.approx(3 * np.exp(-8 / 4 * 0.7), rel=2e-3)


def test_coulomb_deceleration_and_standstill(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'world.gravity.z': 0.0, 'joint.z.coulomb_friction': 6.0})
    simulator.reset(velocity=[-3.0])
    let_go(simulator)
    assert run(simulator, 1.0)[1][0] == pytest.approx(-3 + 6 / 4, rel=1e-6)
    q, v = run(simulator, 2.0)
    assert q[0] == pytest.approx(-(3.0**2) * 4 / (2 * 6), rel=2e-3)
    assert abs(v[0]) < 1e-9


def test_armature_adds_inertia_and_no_weight(make):
    simulator = let_go(MujocoSimulator(make('lift')))
    simulator.apply({'joint.z.armature': 12.0})
    assert run(simulator, 0.5)[1][0] == pytest.approx(-G * 0.5 * 4 / 16, rel=1e-9)


def test_static_friction_holds_what_coulomb_friction_would_not(make):
    simulator = MujocoSimulator(make('lift'), nsim=2)
    simulator.apply(
        {
            'world.gravity.z': 0.0,
            'joint.z.coulomb_friction': 6.0,
            'joint.z.static_friction': [6.0, 9.0],
            'joint.z.stribeck_velocity': 0.01,
        }
    )
    simulator.command([8.0])
    simulator.step(1000)
    moved = np.abs(simulator.state()[0][:, 0])
    assert moved[0] == pytest.approx(0.5 * (8 - 6) / 4, rel=0.01)
    assert moved[1] < 1e-5
    simulator.command([10.0])
    simulator.step(1000)  # loose: the friction falls to the Coulomb friction
    assert simulator.state()[1][1, 0] == pytest.approx((10 - 6) / 4, rel=0.05)


def test_effort_offset_is_a_load(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'world.gravity.z': 0.0, 'joint.z.effort_offset': 5.0})
    simulator.command([5.0])
    assert run(simulator, 0.5)[1][0] == 0.0
    assert simulator.read().effort[0, 0] == 5.0


def test_passive_spring(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'world.gravity.z': 0.0, 'joint.z.stiffness': 100.0})
    simulator.reset(position=[0.1])
    let_go(simulator)
    q, _v = run(simulator, np.pi / 5)  # half a period of sqrt(4 / 100)
    assert q[0] == pytest.approx(-0.1, rel=1e-3)


def test_constant_wrench(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'disturbance.cabin.wrench.force.z': 4 * G})
    simulator.reset()
    let_go(simulator)
    assert abs(run(simulator, 0.5)[1][0]) < 1e-9


def test_saturation(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'world.gravity.z': 0.0, 'actuator.z.saturation': 2.0})
    simulator.command([100.0])
    assert run(simulator, 0.5)[1][0] == pytest.approx(0.25, rel=1e-9)


def test_velocity_interface_turns_at_the_commanded_speed(make):
    simulator = MujocoSimulator(make('turntable'))
    simulator.command([3.0])
    # At rest the servo's droop is what friction takes: 2 (u - v) = 0.05 v.
    assert run(simulator, 2.0)[1][0] == pytest.approx(3 * 2 / 2.05, rel=1e-3)


def test_a_continuous_joint_turns_on_and_on(make):
    simulator = MujocoSimulator(make('turntable'))
    simulator.command([8.0])
    assert run(simulator, 3.0)[0][0] > 4 * np.pi


def test_position_limits_hold(make):
    simulator = MujocoSimulator(make('planar'))
    simulator.command([2.9, 0.0, 0.0])
    assert run(simulator, 2.0)[0][0] == pytest.approx(2.5, abs=0.02)


def test_a_mimic_joint_follows(make):
    simulator = MujocoSimulator(make('planar'))
    simulator.command([0.5, 0.0, 0.03])
    run(simulator, 1.0)
    left = simulator.link_position('left_finger')[0]
    right = simulator.link_position('right_finger')[0]
    apart = simulator.state()[0][0, 2] - (-2 * simulator.state()[0][0, 2] + 0.005)
    assert np.linalg.norm(left - right) == pytest.approx(apart, abs=1e-4)


def test_a_joint_that_is_not_in_the_profile_is_held_next_to_zero(make):
    simulator = MujocoSimulator(make('planar'))
    (note,) = (n for n in simulator.robot.notes if 'camera_tilt' in n)
    assert '0.2' in note
    assert simulator.robot.model.nv == 4


def test_a_position_servo_sags_as_its_stiffness_says(make):
    simulator = MujocoSimulator(
        make('lift', 'command: {interface: position}\njoints: {z: {stiffness: 400, damping: 80}}')
    )
    assert run(simulator, 3.0)[0][0] == pytest.approx(-4 * G / 400, rel=1e-6)


def test_a_servo_without_gains_gets_some_and_says_so(make):
    simulator = MujocoSimulator(make('lift', 'command: {interface: position}'))
    assert simulator.robot.stiffness[0] == pytest.approx(4 * (2 * np.pi * 4) ** 2)
    assert any('no servo gains' in note for note in simulator.robot.notes)
    simulator.apply({'world.gravity.z': 0.0})
    simulator.command([0.1])
    assert run(simulator, 1.0)[0][0] == pytest.approx(0.1, abs=1e-6)


def accelerations(simulator, q, effort):
    """(nsim, nj) accelerations from rest, from one step."""
    simulator.reset(position=q)
    simulator.command(effort)
    simulator.step()
    return simulator.state()[1] / DT


EFFORT = {
    'planar': 'command: {interface: effort}\njoints: {first: {coulomb_friction: 0, '
    'viscous_friction: 0, armature: 0.02}, second: {}}',
    'pendulum': 'command: {interface: effort}\njoints: {hinge: {armature: 0.1}}',
}
CHANGES = {
    'planar': ('upper', 'value="1.5"', {'mass': 1.5}, (0.2, 0, 0), 'xyz="0.2 0 0"'),
    'pendulum': ('rod', 'value="2"', {'mass': 2.0}, (0, 0, -0.5), 'xyz="0 0 -0.5"'),
}


def no_mimic(text):
    return text.replace('<mimic joint="left" multiplier="-2" offset="0.005"/>', '')


@pytest.mark.parametrize('name', ['planar', 'pendulum'])
def test_dynamics_equal_pinocchios_nominal_and_drawn(make, name):
    link, mass, _, com, at = CHANGES[name]
    profile = make(name, EFFORT[name], no_mimic)
    simulator = MujocoSimulator(profile, contacts=False)
    rng = np.random.default_rng(0)

    def check(text):
        model = pinocchio.buildModelFromXML(text)
        frozen = [
            model.getJointId(n) for n in list(model.names)[1:] if n not in profile.joint_names
        ]
        q0 = pinocchio.neutral(model)
        for joint in frozen:
            if model.names[joint] == 'camera_tilt':
                q0[model.joints[joint].idx_q] = 0.2
        model = pinocchio.buildReducedModel(model, frozen, q0)
        model.armature[:] = profile.array('armature')
        for _ in range(5):
            q, tau = rng.uniform(-2, 2, (2, model.nv))
            expected = pinocchio.aba(model, model.createData(), q, 0 * q, tau)
            got = accelerations(simulator, q, tau)[0]
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)

    text = profile.urdf.text
    check(text)
    # Heavier by half, inertia in proportion, and the centre of mass elsewhere.
    heavier = simulator.nominal(f'link.{link}.mass') * 1.5
    moved = {f'link.{link}.com.{a}': com[k] + 0.03 * (k + 1) for k, a in enumerate('xyz')}
    outcome = simulator.apply({f'link.{link}.mass': heavier, **moved})
    assert set(outcome.values()) == {'verified'}
    changed = text.replace(mass, f'value="{heavier}"', 1).replace(
        at, 'xyz="{} {} {}"'.format(*moved.values()), 1
    )
    for key in ('xx', 'yy', 'zz', 'xy', 'xz', 'yz'):
        value = simulator.nominal(f'link.{link}.inertia.{key}')
        changed = changed.replace(f'i{key}="{value:g}"', f'i{key}="{1.5 * value!r}"', 1)
    check(changed)


def test_a_drawn_inertia_is_about_the_urdfs_axes(make):
    profile = make('planar', EFFORT['planar'], no_mimic)
    changed = make(
        'planar',
        EFFORT['planar'],
        lambda text: no_mimic(text).replace('ixy="0.002"', 'ixy="0.004"'),
    )
    reference = MujocoSimulator(changed, contacts=False)
    simulator = MujocoSimulator(profile, contacts=False)
    assert simulator.apply({'link.upper.inertia.xy': 0.004}) == {
        'link.upper.inertia.xy': 'verified'
    }
    q, tau = [0.4, -1.0], [1.0, -0.5]
    np.testing.assert_allclose(
        accelerations(simulator, q, tau), accelerations(reference, q, tau), rtol=1e-9
    )


@pytest.mark.parametrize('name', ROBOTS)
def test_link_positions_equal_the_kinematics(make, name):
    profile = make(name)
    simulator = MujocoSimulator(profile, contacts=False)
    low = np.maximum(profile.array('lower'), -1.0)
    q = np.random.default_rng(0).uniform(low, np.minimum(profile.array('upper'), 1.0))
    simulator.reset(position=q)
    expected = Kinematics(profile).position(q)
    np.testing.assert_allclose(simulator.link_position(profile.tool_link)[0], expected, atol=1e-9)


def test_everyone_agrees_where_links_are_that_nobody_commands(make):
    def chained(text):
        thumb = (
            '<joint name="thumb" type="revolute"><parent link="lower"/><child link="thumb"/>'
            '<origin xyz="0.2 0 0"/><axis xyz="0 0 1"/>'
            '<limit lower="0" upper="0" effort="1" velocity="1"/>'
            '<mimic joint="right" multiplier="20" offset="0.1"/></joint><link name="thumb">'
            '<inertial><mass value="0.1"/><inertia ixx="1e-4" iyy="1e-4" izz="1e-4" ixy="0" '
            'ixz="0" iyz="0"/></inertial></link><link name="nail"/>'
            '<joint name="end" type="fixed"><parent link="thumb"/><child link="nail"/>'
            '<origin xyz="0.1 0 0"/></joint>'
        )
        return text.replace('<joint name="left"', thumb + '<joint name="left"', 1)

    profile = make('planar', urdf=chained)
    simulator, kinematics = MujocoSimulator(profile, contacts=False), Kinematics(profile)
    q = np.array([0.4, -0.3, 0.02])
    simulator.reset(position=q)
    for link in ('camera', 'nail', 'right_finger'):
        position, rotation = kinematics.pose(q, link)
        where, turned = simulator.link_pose(link)
        np.testing.assert_allclose(where[0], position, atol=1e-9)
        np.testing.assert_allclose(rotation[0, 0], 1 - 2 * (turned[0, 2:] ** 2).sum(), atol=1e-9)
    # And they stay there.
    simulator.command(q)
    run(simulator, 0.5)
    nail = kinematics.position(simulator.state()[0][0], 'nail')
    np.testing.assert_allclose(simulator.link_position('nail')[0], nail, atol=2e-3)


def test_a_light_that_is_off_keeps_its_color(make):
    simulator = MujocoSimulator(make('lift'))
    values = {'light.sun.intensity': 0.0, 'light.sun.color.r': 0.25}
    assert set(simulator.apply(values).values()) == {'verified'}
    assert simulator.get('light.sun.color.r')[0] == 0.25


def test_positions_are_given_in_the_base_frame(make):
    profile = make(
        'turntable',
        'base_link: foot\ncommand: {interface: velocity}',
        lambda text: text.replace(
            '<link name="foot"/>',
            '<link name="ground"/><link name="foot"/><joint name="mount" type="fixed">'
            '<parent link="ground"/><child link="foot"/><origin xyz="1 2 3" rpy="0.1 -0.7 1.3"/>'
            '</joint>',
        ),
    )
    simulator = MujocoSimulator(profile)
    position, orientation = simulator.link_pose('table')
    np.testing.assert_allclose(position[0], Kinematics(profile).position(np.zeros(1)), atol=1e-9)
    np.testing.assert_allclose(position[0], [0, 0, 0.1], atol=1e-9)
    np.testing.assert_allclose(orientation[0], [np.cos(0.2), 0, np.sin(0.2), 0], atol=1e-9)


def test_arm6_sags_by_centimetres(make):
    simulator = MujocoSimulator(make('arm6'))
    before = simulator.link_position('tool0')[0]
    run(simulator, 3.0)
    assert 0.01 < np.linalg.norm(simulator.link_position('tool0')[0] - before) < 0.15


# Reading


def test_one_instant_gives_one_reading(make):
    simulator = MujocoSimulator(make('arm6'), nsim=2)
    first, again = simulator.read(), simulator.read()
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    simulator.reset([1], seed=5)
    later = simulator.read()
    assert (later.position[0] == first.position[0]).all()
    assert (later.position[1] != first.position[1]).any()
    assert (first.position == again.position).all()


def test_position_offset_is_seen_by_sensor_and_servo(make):
    simulator = MujocoSimulator(make('planar'))
    simulator.apply({'joint.first.position_offset': 0.1, 'joint.first.coulomb_friction': 0.0})
    simulator.reset()
    run(simulator, 2.0)  # commanded to stay where it is measured
    assert simulator.state()[0][0, 1] == pytest.approx(0.0, abs=1e-4)
    assert simulator.read().position[0, 1] == pytest.approx(0.1, abs=1e-4)
    simulator.command([0.5, 0.0, 0.0])
    run(simulator, 2.0)
    assert simulator.state()[0][0, 1] == pytest.approx(-0.1, abs=1e-4)


def test_sensor_delay_shows_the_past(make):
    simulator = MujocoSimulator(make('lift'))
    simulator.apply({'sensor.z_velocity.delay': 0.01})
    simulator.reset()
    let_go(simulator)
    simulator.step(100)
    assert simulator.read().velocity[0, 0] == pytest.approx(-G * 0.09, rel=1e-9)
    assert simulator.read().position[0, 0] == simulator.state()[0][0, 0]


def test_time_runs_with_the_timestep(make):
    simulator = MujocoSimulator(make('lift'), nsim=2)
    simulator.apply({'world.timestep': [1e-3, 2e-3]})
    simulator.step(100)
    np.testing.assert_allclose(simulator.read().time, [0.1, 0.2])


def test_the_imu_feels_gravity(make):
    text = PENDULUM
    profile = make('pendulum', 'imu_link: rod\ncommand: {interface: effort}', lambda _: text)
    simulator = MujocoSimulator(profile, imu=True)
    simulator.step()
    reading = simulator.read_imu()
    np.testing.assert_allclose(reading.linear_acceleration[0], [0, 0, G], atol=1e-6)
    np.testing.assert_allclose(reading.orientation[0], [0, 0, 0, 1], atol=1e-9)
    outcome = simulator.apply({'sensor.imu_gyro.bias': 0.5})
    assert outcome == {'sensor.imu_gyro.bias': 'verified'}
    simulator.step()
    np.testing.assert_allclose(simulator.read_imu().angular_velocity[0], 0.5, atol=1e-6)


# Determinism


def commands(profile, count):
    rng = np.random.default_rng(7)
    nominal_pose = profile.array('default_position')
    return nominal_pose + rng.normal(0, 0.2, (count, len(nominal_pose)))


def trajectory(simulator, peek=False):
    """States and readings (k, nsim, 5 nj) under fixed commands."""
    out = []
    for command in commands(simulator.profile, 12):
        simulator.command(command)
        for _ in range(8):
            simulator.step()
            if peek:
                simulator.link_position(simulator.profile.tool_link)
                simulator.state()
        reading = simulator.read()
        out.append(np.concatenate([*simulator.state(), *reading[1:]], axis=1))
    return np.array(out)


def everything(simulator, how):
    """A draw of every address the robot has, nominal values changed by ``how``."""
    profile, values = simulator.profile, {}
    for joint in profile.joint_names:
        for quantity in (
            'viscous_friction coulomb_friction static_friction stribeck_velocity armature '
            'stiffness position_offset effort_offset'
        ).split():
            values[f'joint.{joint}.{quantity}'] = 0.0
        for quantity in 'gain torque_constant time_constant delay backlash saturation'.split():
            values[f'actuator.{joint}.{quantity}'] = 0.0
        for measured, quantity in itertools.product(
            ('position', 'velocity', 'effort'),
            'noise bias delay dropout quantization'.split(),
        ):
            values[f'sensor.{joint}_{measured}.{quantity}'] = 0.0
    for link, described in profile.urdf.links.items():
        if described.mass > 0:
            for quantity in 'mass com.x com.y com.z inertia.xx inertia.yy inertia.zz'.split():
                values[f'link.{link}.{quantity}'] = 0.0
    for axis in 'xyz':
        values[f'world.gravity.{axis}'] = 0.0
    values['world.timestep'] = values['world.solver_iterations'] = 0.0
    values['light.sun.intensity'] = values['camera.camera.position.x'] = 0.0
    return {address: how(simulator.nominal(address)) for address in values}


@pytest.mark.parametrize('name', ROBOTS)
def test_a_draw_of_nominal_values_changes_no_bit(make, name):
    simulator = MujocoSimulator(make(name))
    reference = trajectory(simulator)
    for values in ({}, everything(simulator, lambda value: value)):
        simulator.reset()
        assert set(simulator.apply(values).values()) <= {'verified'}
        assert (trajectory(simulator) == reference).all()


@pytest.mark.parametrize('name', ROBOTS)
def test_draws_start_from_nominal_and_never_add_up(make, name):
    simulator = MujocoSimulator(make(name), nsim=2)
    reference = trajectory(simulator)
    values = everything(simulator, lambda value: value * 1.1 + 1e-3)
    for address in list(values):
        if 'timestep' in address or 'iterations' in address or '.inertia.' in address:
            del values[address]
    assert set(simulator.apply(values).values()) == {'verified'}
    simulator.reset()
    drawn = trajectory(simulator)
    assert (drawn != reference).any(axis=(0, 2)).all()
    simulator.apply(values, [0])
    simulator.apply({next(iter(values)): values[next(iter(values))]}, [1])
    simulator.apply({}, [1])
    simulator.reset()
    mixed = trajectory(simulator)
    assert (mixed[:, 0] == drawn[:, 0]).all()
    assert (mixed[:, 1] == reference[:, 1]).all()


@pytest.mark.parametrize('name', ['arm6', 'planar'])
def test_same_bits_at_any_thread_count_and_in_any_company(make, name):
    profile = make(name)
    values = None
    results = []
    for nsim, nthread in ((1, 1), (5, 1), (5, 2)):
        simulator = MujocoSimulator(profile, nsim=nsim, nthread=nthread, seed=3)
        if values is None:
            values = everything(simulator, lambda value: value * 1.05 + 1e-4)
            values = {a: v for a, v in values.items() if '.inertia.' not in a and 'it' not in a}
        simulator.apply(values, [0])
        simulator.reset()
        results.append(trajectory(simulator)[:, 0])
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_a_reset_forgets_and_looking_changes_nothing(make):
    simulator = MujocoSimulator(make('arm6'), nsim=3)
    lively = {
        'actuator.elbow.delay': 0.013,
        'actuator.elbow.time_constant': 0.02,
        'actuator.elbow.backlash': 0.002,
        'sensor.elbow_position.delay': 0.004,
        'sensor.elbow_effort.dropout': 0.1,
        'joint.elbow.static_friction': 9.0,
    }
    simulator.apply(lively)
    simulator.reset()
    first = trajectory(simulator)
    simulator.step(123)
    for ids in ([0, 2], [1]):
        simulator.reset(ids)
    assert (trajectory(simulator, peek=True) == first).all()


def test_seeds_choose_the_noise_and_nothing_else(make):
    simulator = MujocoSimulator(make('arm6'))
    nj = len(simulator.profile.joints)
    simulator.reset(seed=1)
    first = trajectory(simulator)
    simulator.reset(seed=2)
    second = trajectory(simulator)
    assert (first[..., : 2 * nj] == second[..., : 2 * nj]).all()
    assert (first[..., 2 * nj :] != second[..., 2 * nj :]).all()
    simulator.reset(seed=1)
    assert (trajectory(simulator) == first).all()


# Draws


@pytest.mark.parametrize('name', ROBOTS)
def test_nominal_values_are_those_of_the_profile(make, name):
    simulator = MujocoSimulator(make(name))
    for address, value in everything(simulator, lambda value: value).items():
        if not address.startswith(('light', 'camera')):
            assert value == pytest.approx(nominal(simulator.profile, address), abs=1e-15), address


@pytest.mark.parametrize(
    ('address', 'value', 'mend'),
    [
        ('joint.elbow.viscous', 1.0, 'viscous_friction'),
        ('joint.ellbow.viscous_friction', 1.0, 'no such joint'),
        ('link.hand.mass', 1.0, 'no such link'),
        ('surface.hand.friction', 1.0, 'no such surface'),
        ('link.gripper.mass', -1.0, 'within'),
        ('link.gripper.mass', 0.0, 'positive'),
        ('link.gripper.mass', np.nan, 'finite'),
        ('link.gripper.mass', [1.0, 1.0, 1.0], 'one number or'),
        ('link.gripper.inertia.xx', 1.0, 'no body'),
        ('link.gripper.inertia.xy', 0.1, 'positive definite'),
        ('sensor.elbow_effort.dropout', 1.5, 'within'),
    ],
)
def test_a_bad_address_or_value_leaves_everything_as_it_was(make, address, value, mend):
    simulator = MujocoSimulator(make('arm6'), nsim=2)
    simulator.apply({'link.gripper.mass': 1.3})
    with pytest.raises(InputError, match=mend) as caught:
        simulator.apply({'joint.elbow.armature': 0.7, address: value, 'world.gravity.z': -1000.0})
    assert 'world.gravity.z' in str(caught.value)
    armature = simulator.nominal('joint.elbow.armature')
    assert (simulator.get('joint.elbow.armature') == armature).all()
    assert (simulator.get('link.gripper.mass') == 1.3).all()


def test_what_the_engine_lacks_is_unsupported_and_the_rest_applied(make):
    simulator = MujocoSimulator(make('arm6'), contacts=False)
    outcome = simulator.apply(
        {
            'surface.gripper.restitution': 0.5,
            'surface.gripper.friction': 0.5,
            'light.moon.intensity': 1.0,
            'link.gripper.mass': 1.0,
        }
    )
    assert set(outcome.values()) == {'unsupported', 'verified'}
    assert [a for a, o in outcome.items() if o == 'verified'] == ['link.gripper.mass']
    assert not simulator.has('surface.gripper.restitution')


def test_values_differ_between_simulations(make):
    simulator = MujocoSimulator(make('arm6'), nsim=4)
    masses = np.array([0.5, 1.0, 2.0, 0.8])
    simulator.apply({'link.gripper.mass': masses})
    np.testing.assert_array_equal(simulator.get('link.gripper.mass'), masses)
    np.testing.assert_allclose(
        simulator.get('link.gripper.inertia.xx'), 0.000866667 * masses / 0.8, rtol=1e-9
    )
    simulator.apply({'link.gripper.mass': [3.0, 4.0]}, [2, 0])
    np.testing.assert_array_equal(simulator.get('link.gripper.mass'), [4.0, 1.0, 3.0, 0.8])


def test_draws_start_from_the_baseline(make):
    simulator = MujocoSimulator(make('arm6'))
    hidden = {'link.gripper.mass': 2.0, 'actuator.elbow.delay': 0.01}
    simulator.set_baseline(hidden)
    assert simulator.apply({'joint.elbow.coulomb_friction': 9.0}) == {
        'joint.elbow.coulomb_friction': 'verified'
    }
    assert simulator.get('link.gripper.mass')[0] == 2.0
    assert simulator.get('joint.elbow.static_friction')[0] == 9.0
    simulator.apply({})
    nominal_friction = simulator.nominal('joint.elbow.coulomb_friction')
    assert simulator.get('joint.elbow.coulomb_friction')[0] == nominal_friction
    assert simulator.get('actuator.elbow.delay')[0] == 0.01
    assert simulator.nominal('link.gripper.mass') == 0.8


def ball(make, shape='<sphere radius="0.1"/>'):
    """A free body of 4 kg on the floor, with a dial on it as a robot needs a joint."""
    text = (
        LIFT.replace('type="prismatic"', 'type="floating"')
        .replace(
            '<link name="cabin">',
            f'<link name="cabin"><collision><geometry>{shape}</geometry></collision>',
        )
        .replace('"rail"', '"world"')
        .replace(
            '</robot>',
            '<joint name="knob" type="continuous"><parent link="cabin"/><child link="dial"/>'
            '<limit effort="1" velocity="1"/></joint><link name="dial"><inertial>'
            '<mass value="0.001"/><inertia ixx="1e-6" iyy="1e-6" izz="1e-6" ixy="0" ixz="0" '
            'iyz="0"/></inertial></link></robot>',
        )
    )
    return make('lift', 'command: {interface: effort}', lambda _: text)


def thrown(simulator, speed):
    """Throw the ball down onto the floor that it lies on; (n, nsim) heights and speeds."""
    simulator.reset()
    simulator.batch.bind('qvel')[:, 2] = -speed
    track = []
    for _ in range(200):
        simulator.step()
        height = simulator.batch.bind('qpos')[:, 2] - 0.1
        track.append((height.copy(), simulator.batch.bind('qvel')[:, 2].copy()))
    return np.array(track).transpose(1, 0, 2)


def test_surface_friction_decides_sliding_in_any_direction(make):
    simulator = MujocoSimulator(ball(make, '<box size="0.2 0.2 0.2"/>'), nsim=2)
    for push in ((2.0, 0.0), (2.0, 2.0)):
        gravity = dict(zip(('world.gravity.x', 'world.gravity.y'), push))
        simulator.apply({**gravity, 'surface.cabin.friction': [0.1, 0.8]})
        simulator.reset()
        simulator.step(500)
        slid = np.linalg.norm(simulator.link_position('cabin')[:, :2], axis=1)
        assert slid[0] == pytest.approx(0.5 * (np.hypot(*push) - 0.1 * G) * 0.25, rel=0.02)
        assert slid[1] < 0.001


def test_a_pyramidal_cone_lets_go_along_its_diagonals(make):
    simulator = MujocoSimulator(ball(make, '<box size="0.2 0.2 0.2"/>'), nsim=2)
    simulator.apply(
        {
            'world.friction_cone': [0.0, 1.0],
            'world.gravity.x': 2.0,
            'world.gravity.y': 2.0,
            'surface.cabin.friction': 0.2,
        }
    )
    simulator.reset()
    simulator.step(500)
    slid = np.linalg.norm(simulator.link_position('cabin')[:, :2], axis=1)
    assert slid[0] == pytest.approx(0.125 * (np.hypot(2, 2) - 0.2 / np.sqrt(2) * G), rel=0.02)
    assert slid[1] == pytest.approx(0.125 * (np.hypot(2, 2) - 0.2 * G), rel=0.02)


def test_a_contact_is_a_spring_however_heavy_the_body_is(make):
    simulator = MujocoSimulator(ball(make), nsim=3)
    mass = np.array([4.0, 4.0, 8.0])
    stiffness = np.array([5e3, 2e4, 2e4])
    simulator.apply(
        {
            'world.gravity.z': 0.0,
            'link.cabin.mass': mass,
            'surface.cabin.stiffness': stiffness,
            'surface.cabin.damping': 0.0,
        }
    )
    depth = -thrown(simulator, 0.5)[0].min(axis=0)
    np.testing.assert_allclose(depth, 0.5 * np.sqrt((mass + 1e-3) / stiffness), rtol=5e-3)
    simulator.apply({'surface.cabin.stiffness': stiffness})
    simulator.reset()
    simulator.step(2000)
    sunk = 0.1 - simulator.link_position('cabin')[:, 2]
    np.testing.assert_allclose(sunk, 4.001 * G / stiffness, rtol=0.01)


def test_restitution_is_the_speed_after_a_bounce(make):
    simulator = MujocoSimulator(ball(make), nsim=3)
    bounce = np.array([0.6, 0.75, 0.9])
    simulator.apply({'world.gravity.z': 0.0, 'surface.cabin.restitution': bounce})
    speeds = thrown(simulator, 1.0)[1]
    np.testing.assert_allclose(speeds[-1], bounce, rtol=0.05)
    np.testing.assert_allclose(simulator.get('surface.cabin.restitution'), bounce, rtol=1e-9)


def test_an_own_contact_that_is_drawn_changes_nothing(make):
    plain, drawn = (MujocoSimulator(ball(make)) for _ in range(2))
    same = {f'surface.cabin.{q}' for q in ('stiffness', 'damping', 'restitution', 'friction')}
    assert set(drawn.apply({a: drawn.nominal(a) for a in same}).values()) == {'verified'}
    np.testing.assert_array_equal(thrown(plain, 1.0), thrown(drawn, 1.0))
    drawn.apply({'surface.cabin.stiffness': 1e4})
    assert (thrown(plain, 1.0) != thrown(drawn, 1.0)).any()
    drawn.apply({})
    np.testing.assert_array_equal(thrown(plain, 1.0), thrown(drawn, 1.0))


def test_integrators_differ_by_what_their_order_says(make):
    simulator = MujocoSimulator(make('lift'), nsim=4)
    simulator.apply({'world.integrator': [0.0, 1.0, 2.0, 3.0]})
    simulator.reset()
    simulator.command(np.zeros(1))
    simulator.step(500)
    fallen = -0.5 * G * 0.5 * np.array([0.5 + DT, 0.5, 0.5 + DT, 0.5 + DT])
    np.testing.assert_allclose(simulator.state()[0][:, 0], fallen, rtol=1e-9)


@pytest.mark.parametrize(
    'values, mend',
    [
        ({'surface.cabin.restitution': 0.5, 'surface.cabin.damping': 3.0}, 'one of the two'),
        ({'surface.cabin.stiffness': 0.0}, 'positive'),
        ({'surface.cabin.stiffness': 1e7}, r'at most 1e\+06 N/m'),
        ({'world.integrator': 7.0}, r'within \[0, 3\]'),
    ],
)
def test_contacts_and_solvers_that_cannot_be_are_refused(make, values, mend):
    simulator = MujocoSimulator(ball(make))
    with pytest.raises(InputError, match=mend):
        simulator.apply(values)


# Input


def test_bad_commands_and_ids_are_named(make):
    simulator = MujocoSimulator(make('arm6'), nsim=2)
    for call in (
        lambda: simulator.command([1.0, 2.0]),
        lambda: simulator.command([np.nan] * 6),
        lambda: simulator.reset([2]),
        lambda: simulator.reset(np.array([True])),
        lambda: simulator.link_position('hand'),
        lambda: simulator.get('surface.floor.restitution'),
    ):
        with pytest.raises(InputError):
            call()


def test_a_diverging_simulation_is_seen(make):
    simulator = MujocoSimulator(make('planar'), nsim=2)
    simulator.apply({'world.timestep': [1e-3, 0.1]})
    simulator.command([1.0, 1.0, 0.03])
    simulator.step(600)
    assert simulator.diverged.tolist() == [False, True]
    simulator.apply({})
    simulator.reset()
    assert not simulator.diverged.any()


# Holding


def arm6(tmp_path, interface):
    text = load_profile('arm6').path.read_text()
    text = text.replace('interface: position', f'interface: {interface}')
    text = text.replace('../../description', str(load_profile('arm6').urdf.path.parents[1]))
    path = tmp_path / f'{interface}.yaml'
    path.write_text(text)
    return load_profile(path)


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort'])
def test_an_arm_holds_its_tool_against_gravity(tmp_path, interface):
    simulator = MujocoSimulator(arm6(tmp_path, interface), nsim=2)
    simulator.apply({'link.gripper.mass': [0.8, 2.5], 'actuator.elbow.delay': 0.004})
    simulator.reset()
    if interface == 'position':
        command = simulator.profile.array('default_position') + 0.2
    else:
        command = np.full(6, 0.3)
    simulator.command(command)
    simulator.step(100)
    simulator.hold()
    tool = simulator.link_position('tool0')
    assert np.abs(simulator.state()[1]).max() > 0.1
    simulator.step(1500)
    moved = simulator.link_position('tool0') - tool
    # A position loop leaves what friction bears.
    assert np.abs(moved).max() < (8e-3 if interface == 'position' else 2e-3)
    assert np.abs(simulator.state()[1]).max() < 1e-3


@pytest.mark.parametrize('interface', ['velocity', 'effort'])
def test_an_arm_without_a_command_stays_where_it_is_put(tmp_path, interface):
    simulator = MujocoSimulator(arm6(tmp_path, interface))
    run(simulator, 0.3)
    simulator.reset(position=[0.0, 0.9, 0.6, 0.0, 0.5, 0.0])
    tool = simulator.link_position('tool0')
    run(simulator, 1.0)
    np.testing.assert_allclose(simulator.link_position('tool0'), tool, atol=1e-4)


def test_what_follows_is_held_too(make):
    tilted = 'command: {interface: effort}\njoints: {first: {}, second: {}, left: {}}'
    simulator = MujocoSimulator(make('planar', tilted))
    simulator.apply({'world.gravity.y': -9.81, 'world.gravity.z': 0.0})
    simulator.reset(position=[0.3, 0.5, 0.02])
    run(simulator, 1.0)
    np.testing.assert_allclose(simulator.state()[0][0], [0.3, 0.5, 0.02], atol=1e-4)
