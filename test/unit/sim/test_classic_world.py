"""A world in a live gzserver: does what is asked, says what it cannot, survives what happens."""

import contextlib
import math
import statistics
import time

import numpy as np
import psutil
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_sim import sdf
from sim2real_sim.gazebo_classic.joints import Drive
from sim2real_sim.gazebo_classic.world import ClassicWorld
from sim2real_sim.world import Pose, WorldError
from test.gazebo import serving

STEP = 0.001
WORLD = f"""<?xml version="1.0"?>
<sdf version="1.6"><world name="lab">
  <physics type="ode"><max_step_size>{STEP}</max_step_size>
    <real_time_update_rate>1000</real_time_update_rate></physics>
  <model name="floor"><static>true</static><link name="link"><collision name="plane"><geometry>
    <plane><normal>0 0 1</normal><size>10 10</size></plane></geometry></collision></link></model>
  <model name="pendulum"><pose>0 0 2 0 0 0</pose>
    <link name="base"><inertial><mass>1</mass></inertial></link>
    <joint name="mount" type="fixed"><parent>world</parent><child>base</child></joint>
    <link name="bob"><inertial><pose>0 0 -0.5 0 0 0</pose><mass>2</mass>
      <inertia><ixx>0.01</ixx><iyy>0.01</iyy><izz>0.01</izz></inertia></inertial></link>
    <joint name="hinge" type="revolute"><parent>base</parent><child>bob</child>
      <axis><xyz>0 1 0</xyz><dynamics><damping>0</damping></dynamics></axis></joint></model>
</world></sdf>"""
MASS, INERTIA = 2.0, (0.1, 0.2, 0.25)
BODY = f"""<sdf version="1.6"><model name="any"><link name="link"><inertial>
  <pose>0.1 0 0 0 0 0</pose><mass>{MASS}</mass><inertia><ixx>{INERTIA[0]}</ixx>
  <iyy>{INERTIA[1]}</iyy><izz>{INERTIA[2]}</izz></inertia></inertial><collision name="shape">
  <geometry><box><size>1 1 1</size></box></geometry></collision></link></model></sdf>"""
HIGH = Pose((0.0, 0.0, 50.0))
DRAW = {
    'world.gravity.z': -3.0,
    'world.timestep': 0.002,
    'world.solver_iterations': 80.0,
    'link.bob.mass': 3.0,
    'link.bob.com.x': 0.1,
    'link.bob.inertia.xx': 0.012,
    'joint.hinge.effort_offset': 0.5,
    'joint.hinge.viscous_friction': 0.2,
    'joint.hinge.coulomb_friction': 0.1,
}
WHEELS = [f'{end}_{side}' for end in ('front', 'rear') for side in ('left', 'right')]
ROVER = (
    '<robot name="rover"><link name="world"/><joint name="free" type="floating">'
    '<parent link="world"/><child link="chassis"/></joint><link name="chassis"><inertial>'
    '<mass value="12"/><inertia ixx="0.2" iyy="0.4" izz="0.5" ixy="0" ixz="0" iyz="0"/></inertial>'
    '<collision><geometry><box size="0.5 0.3 0.1"/></geometry></collision></link>'
    + ''.join(
        f'<joint name="{wheel}" type="continuous"><parent link="chassis"/>'
        f'<child link="{wheel}_wheel"/><origin xyz="{x} {y} -0.05"/><axis xyz="0 1 0"/>'
        f'<limit effort="10" velocity="20"/></joint><link name="{wheel}_wheel"><inertial>'
        '<mass value="1"/><inertia ixx="0.003" iyy="0.005" izz="0.003" ixy="0" ixz="0" iyz="0"/>'
        '</inertial><collision><geometry><sphere radius="0.1"/></geometry></collision></link>'
        for wheel, x, y in zip(WHEELS, (0.2, 0.2, -0.2, -0.2), (0.2, -0.2, 0.2, -0.2))
    )
    + '</robot>'
)


@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    """Server and world."""
    with serving(WORLD, tmp_path_factory.mktemp('gazebo')) as both:
        yield both


@pytest.fixture
def world(lab):
    """The world, nominal, at rest and at time zero."""
    _, world = lab
    if 'body' in world.models():
        world.delete('body')
    world.apply('pendulum', {})
    world.reset()
    return world


def test_steps_are_exact_and_a_reset_repeats_to_the_last_digit(world):
    world.set_effort('pendulum', {'hinge': 3.0})
    world.step(50)
    first = world.state('pendulum')
    world.reset()
    assert world.time() == 0.0 and world.state('pendulum').joints['hinge'] == (0.0, 0.0)
    world.set_effort('pendulum', {'hinge': 3.0})
    world.step(50)
    assert first.time == pytest.approx(50 * STEP, abs=1e-12)
    assert world.state('pendulum').joints == first.joints
    assert first.joints['hinge'][1] > 0.1


def test_a_push_is_an_impulse_on_the_center_of_mass(world):
    world.spawn('body', BODY, HIGH)
    world.apply('body', {'world.gravity.z': 0.0})
    world.push('body', 'link', (0.0, 4.0, 0.0), (0.0, 0.0, 5.0))
    world.step(1)
    link = world.state('body').links['link']
    spin = 5.0 * STEP / INERTIA[2]
    assert link.angular == pytest.approx((0.0, 0.0, spin), rel=1e-6, abs=1e-12)
    # The link's frame is 0.1 m behind its centre of mass.
    assert link.linear[1] == pytest.approx(4.0 * STEP / MASS - 0.1 * spin, rel=1e-6)


def test_nobody_pushes_a_model_any_more_when_it_is_deleted(world, monkeypatch):
    """Else gzserver locks itself up now and then: three of its threads wait for each other."""
    world.spawn('body', BODY, HIGH)
    world.push('body', 'link', (1.0, 0.0, 0.0))
    with contextlib.closing(ClassicWorld(port=world.port)) as other:
        topics, live = other._gazebo.transport.topics, world._gazebo.live
        topic = '/gazebo/lab/body/link/wrench'
        assert topic in topics()
        delete = live.delete
        monkeypatch.setattr(live, 'delete', lambda name: (seen.append(topics()), delete(name)))
        seen = []
        world.delete('body')
        assert topic not in seen[0] and '/gazebo/lab/world_stats' in seen[0]
    world.spawn('body', BODY, HIGH)  # and this one can be pushed again
    world.apply('body', {'world.gravity.z': 0.0})
    world.push('body', 'link', (2.0, 0.0, 0.0))
    world.step(1)
    assert world.state('body').links['link'].linear[0] == pytest.approx(2.0 * STEP / MASS)


def test_a_draw_is_read_back_and_the_next_starts_from_nominal(world):
    nominal = {address: world.nominal('pendulum', address) for address in DRAW}
    assert world.apply('pendulum', DRAW) == dict.fromkeys(DRAW, 'verified')
    assert world.respawned == 'joint.hinge.coulomb_friction, joint.hinge.viscous_friction'
    assert {a: world.get('pendulum', a) for a in DRAW} == pytest.approx(DRAW)
    # What went along with the respawn changes by itself from then on, and ends as live does.
    heavier = {**DRAW, 'link.bob.mass': 3.5}
    assert set(world.apply('pendulum', heavier).values()) == {'verified'}
    assert world.respawned == '' and world.get('pendulum', 'link.bob.mass') == pytest.approx(3.5)
    world.apply('pendulum', {})
    assert {a: world.get('pendulum', a) for a in DRAW} == pytest.approx(nominal)


def test_mass_and_inertia_are_those_that_the_engine_moves(world):
    world.spawn('body', BODY, HIGH)
    world.apply('body', {'world.gravity.z': 0.0, 'link.link.mass': 4.0})
    world.push('body', 'link', (8.0, 0.0, 0.0), (0.0, 0.0, 5.0))
    world.step(1)
    link = world.state('body').links['link']
    assert link.linear[0] == pytest.approx(8.0 * STEP / 4.0, rel=1e-4)
    assert link.angular[2] == pytest.approx(5.0 * STEP / (2.0 * INERTIA[2]), rel=1e-4)


def test_a_respawned_model_goes_on_where_it_was_and_as_fast(world):
    world.set_effort('pendulum', {'hinge': 4.0})
    world.step(100)
    world.release('pendulum', {'hinge': 0.0})
    before = world.state('pendulum').joints['hinge']
    world.apply('pendulum', {'joint.hinge.coulomb_friction': 1e-6})
    assert world.state('pendulum').joints['hinge'][0] == pytest.approx(before[0], abs=1e-6)
    world.step(1)
    position, velocity = world.state('pendulum').joints['hinge']
    slowed = 9.8 * MASS * 0.5 * math.sin(before[0]) / (0.01 + MASS * 0.25) * STEP
    assert velocity == pytest.approx(before[1] - slowed, rel=1e-3)
    assert position == pytest.approx(before[0] + velocity * STEP, abs=1e-5)


def test_a_reset_leaves_nothing_of_a_respawn_in_motion(world):
    world.spawn('body', BODY, HIGH)
    world.push('body', 'link', (2000.0, 0.0, 0.0))
    world.step(10)
    world.apply('body', {'link.link.mass': 4.0}, 'respawn')  # it would go on in the next step
    assert world.state('body').links['link'].linear[0] == pytest.approx(1.0, rel=1e-3)
    world.reset()
    world.step(10)
    link = world.state('body').links['link']
    assert link.linear == pytest.approx((0.0, 0.0, -9.8 * 10 * STEP), abs=1e-6)


def test_drives_hold_a_position_against_a_load(world):
    world.drive('pendulum', {'hinge': Drive(stiffness=200.0, damping=20.0, target=0.3)})
    world.apply('pendulum', {'world.gravity.z': 0.0, 'joint.hinge.effort_offset': 10.0})
    world.drive('pendulum', {'hinge': Drive(stiffness=200.0, damping=20.0, target=0.3)})
    world.step(1000)  # ten times the slower of its time constants
    assert world.state('pendulum').joints['hinge'][0] == pytest.approx(
        0.3 - 10.0 / 200.0, rel=1e-3
    )


def test_pose_can_be_set_while_time_rests_or_runs(world):
    world.spawn('body', BODY, HIGH)
    pose = Pose((1.0, 2.0, 30.0), (math.sin(0.1), 0.0, 0.0, math.cos(0.1)))
    world.set_pose('body', pose)
    assert world.state('body').pose.position == pytest.approx(pose.position)
    assert world.state('body').pose.orientation == pytest.approx(pose.orientation)
    world.pause(False)
    try:
        world.set_pose('body', HIGH)
        assert 40.0 < world.state('body').pose.position[2] <= 50.0
    finally:
        world.pause(True)


def test_all_faults_of_a_draw_are_named_and_nothing_is_applied(world):
    draw = {'link.nobody.mass': 1.0, 'link.bob.mass': -1.0, 'world.gravity.z': -1.0}
    with pytest.raises(InputError) as error:
        world.apply('pendulum', draw)
    assert 'nobody' in str(error.value) and 'link.bob.mass' in str(error.value)
    assert world.get('pendulum', 'world.gravity.z') == pytest.approx(-9.8)


def test_what_is_not_there_is_named(world):
    with pytest.raises(WorldError, match='ghost'):
        world.state('ghost')
    with pytest.raises(WorldError, match='knee'):
        world.set_effort('pendulum', {'knee': 1.0})
    with pytest.raises(WorldError, match='ghost'):
        world.delete('ghost')
    assert world.apply('pendulum', {'sensor.hinge_position.delay': 0.1}) == {
        'sensor.hinge_position.delay': 'unsupported'
    }


def test_a_model_that_was_deleted_by_hand_is_put_back_by_the_next_draw(world):
    world.state('pendulum')
    world.sdf('pendulum')
    world.delete('pendulum')
    with pytest.raises(WorldError, match='pendulum'):
        world.state('pendulum')
    assert world.apply('pendulum', {'link.bob.mass': 2.5}) == {'link.bob.mass': 'verified'}
    world.step(1)
    assert world.state('pendulum').links['base'].pose.position[2] == pytest.approx(2.0, abs=1e-4)


@pytest.fixture(params=['arm6', 'rover'])
def robot(request, world, tmp_path):
    """A robot that is put into the world and moves, and what drives it."""
    if request.param == 'arm6':
        profile, place, efforts = load_profile('arm6'), Pose((3.0, 0.0, 0.0)), {'base': 20.0}
    else:
        (tmp_path / 'rover.urdf').write_text(ROVER)
        (tmp_path / 'rover.yaml').write_text(
            'name: rover\nurdf: rover.urdf\nbase_link: world\ncommand: {interface: velocity}\n'
            'joints: {' + ', '.join(f'{wheel}: {{damping: 2}}' for wheel in WHEELS) + '}\n'
        )
        profile, place = load_profile(tmp_path / 'rover.yaml'), Pose((0.0, 3.0, 0.15))
        efforts = dict.fromkeys(WHEELS, 1.0)
    world.spawn(profile.name, sdf.from_profile(profile), place)
    world.set_effort(profile.name, efforts)
    world.step(100)
    yield profile, efforts
    world.delete(profile.name)


def respawns(server, world, robot, count):
    """Respawn a robot in motion; gives durations [s] and growth of the server's memory."""
    profile, efforts = robot
    process, durations, sizes = psutil.Process(server.process.pid), [], []
    speeds = []
    generator = np.random.default_rng(0)
    for number in range(count):
        way = 1.0 if number % 20 < 10 else -1.0  # efforts end with the model
        world.set_effort(profile.name, {joint: way * load for joint, load in efforts.items()})
        world.step(20)
        before, time_before = world.state(profile.name), world.time()
        draw = {
            f'joint.{joint}.{quantity}': float(generator.uniform(0.01, 0.1))
            for joint in profile.joint_names
            for quantity in ('viscous_friction', 'coulomb_friction', 'armature')
        }
        start = time.monotonic()
        outcomes = world.apply(profile.name, draw)
        durations.append(time.monotonic() - start)
        assert {o for a, o in outcomes.items() if 'armature' not in a} == {'verified'}, (
            world.troubles
        )
        assert world.models().count(profile.name) == 1 and world.respawned
        sizes.append(process.memory_info().rss)
        world.step(1)
        after = world.state(profile.name)
        assert after.time == pytest.approx(time_before + STEP, abs=1e-9)
        for joint, (position, velocity) in before.joints.items():
            # It goes on where it was: one step further.
            position_after, velocity_after = after.joints[joint]
            went = position_after - position - velocity * STEP
            # Whole turns of a wheel are not seen in where its link is.
            assert math.remainder(went, math.tau) == pytest.approx(0.0, abs=1e-3), joint
            assert velocity_after == pytest.approx(velocity, rel=0.2, abs=0.2), joint
        moved = np.subtract(after.pose.position, before.pose.position)
        assert np.abs(moved).max() < 2e-3
        speeds.append(max(abs(velocity) for _, velocity in after.joints.values()))
    assert statistics.median(speeds) > 0.1  # [rad/s] it was no robot at rest
    quarter = max(count // 4, 1)
    return durations, statistics.median(sizes[-quarter:]) / statistics.median(sizes[:quarter]) - 1


def test_respawns_lose_nothing_and_leak_nothing(lab, robot):
    durations, growth = respawns(*lab, robot, 20 if robot[0].name == 'arm6' else 4)
    assert growth < 0.1
    assert statistics.median(durations) < 2.0  # of a machine that others use, too


@pytest.mark.soak
def test_two_hundred_respawns(lab, robot):
    durations, growth = respawns(*lab, robot, 200)
    ninth = sorted(durations)[int(0.9 * len(durations))]
    median = statistics.median(durations)
    print(f'{robot[0].name}: median {median:.3f} s, 90 % in {ninth:.3f} s, memory {growth:+.1%}')
    assert growth < 0.1
    assert median < 1.0


def test_a_server_that_ends_is_said_once_and_a_new_one_is_found(lab):
    server, world = lab
    server.process.kill()
    server.process.wait()
    with pytest.raises(WorldError, match='ended'):
        for _ in range(1000):
            world.state('pendulum')
            time.sleep(0.01)
    with pytest.raises(WorldError, match='does not answer'):
        world.time()
    server.start()
    world.pause(True)
    assert world.apply('pendulum', {'link.bob.mass': 3.0}) == {'link.bob.mass': 'verified'}
