"""Against a live server of modern Gazebo; left out where there is none."""

import shutil
import statistics
import subprocess
import time

import psutil
import pytest

from sim2real_core.errors import MissingError
from sim2real_sim import sdf
from sim2real_sim.gz.server import Server
from sim2real_sim.gz.world import GzWorld
from sim2real_sim.verify.models import BODY, JOINT, LINK, SPINNER, WORLD
from sim2real_sim.world import Pose, WorldError

pytestmark = pytest.mark.skipif(
    shutil.which('gz') is None, reason='no modern Gazebo: put its gz command on the PATH'
)
HIGH = Pose((0.0, 0.0, 5.0))


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('gz')
    (folder / 'probe.sdf').write_text(WORLD)
    with Server(folder / 'probe.sdf', log=folder / 'log') as server:
        yield server


@pytest.fixture(scope='module')
def opened(server):
    try:
        world = GzWorld(timeout=20.0, environment=server.environment)
    except MissingError as error:
        pytest.skip(str(error))
    world.pause(True)
    yield world
    world.close()


@pytest.fixture
def world(opened):
    yield opened
    opened.apply('floor', {})
    for model in set(opened.models()) - {'floor', 'camera'}:
        opened.delete(model)


def test_a_model_falls_is_pushed_and_put_somewhere(world):
    world.spawn('probe', BODY, HIGH)
    before = world.time()
    world.step(100)
    assert world.time() - before == pytest.approx(0.1)
    assert world.state('probe').links[LINK].linear[2] == pytest.approx(-0.981, abs=1e-4)
    world.push('probe', LINK, (2000.0, 0.0, 0.0))  # for 1 ms on 2 kg
    world.step(1)
    assert world.state('probe').links[LINK].linear[0] == pytest.approx(1.0, abs=1e-4)
    world.set_pose('probe', Pose((1.0, 2.0, 3.0), (0.0, 0.0, 0.6, 0.8)))
    assert world.state('probe').pose.orientation == pytest.approx((0, 0, 0.6, 0.8), abs=1e-5)


def test_a_free_model_keeps_place_and_motion_through_a_respawn(world):
    world.spawn('probe', BODY, HIGH)
    world.push('probe', LINK, (2000.0, 0.0, 0.0), (0.0, 200.0, 0.0))
    world.step(50)
    before = world.state('probe')
    values = {'link.body.mass': 4.0, 'world.gravity.z': 0.0}
    assert world.apply('probe', values) == dict.fromkeys(values, 'verified')
    world.step(1)
    after = world.state('probe')
    assert after.pose.position == pytest.approx(before.pose.position, abs=2e-3)
    for what in ('linear', 'angular'):
        got, had = getattr(after.links[LINK], what), getattr(before.links[LINK], what)
        assert got == pytest.approx(had, abs=1e-3), what
    assert world.apply('probe', {}) == {}
    assert world.get('probe', 'link.body.mass') == 2.0
    assert world.get('probe', 'world.gravity.z') == pytest.approx(-9.81)


def test_what_has_more_digits_than_gazebo_tells(world):
    world.spawn('probe', BODY, Pose((1234.56789, 0.0, 5.0)))
    values = {'world.gravity.x': 1.23456789, 'world.gravity.z': -1.0000049}
    assert world.apply('probe', values) == dict.fromkeys(values, 'verified')
    world.set_pose('probe', Pose((-2345.6789, 0.0, 5.0)))
    assert world.state('probe').pose.position[0] == pytest.approx(-2345.6789, abs=0.01)


def test_a_joint_keeps_its_state_through_a_respawn(world):
    world.spawn('probe', SPINNER)
    world.set_effort('probe', {JOINT: 1.0})
    world.step(100)
    before = world.state('probe').joints[JOINT]
    values = {'joint.hinge.viscous_friction': 0.5, 'joint.hinge.armature': 0.25}
    assert world.apply('probe', values) == dict.fromkeys(values, 'verified')
    assert world.state('probe').joints[JOINT] == pytest.approx(before, abs=1e-6)
    # The rotor is no part of the link's own inertia.
    assert world.get('probe', 'link.body.inertia.zz') == pytest.approx(0.5)
    world.step(1)
    assert world.state('probe').joints[JOINT][1] < before[1]  # the effort ended with the model


def test_an_effort_offset_is_overcome_until_the_next_draw(world):
    world.spawn('probe', SPINNER)
    values = {'joint.hinge.effort_offset': 1.0}
    assert world.apply('probe', values) == {'joint.hinge.effort_offset': 'applied'}
    world.set_effort('probe', {JOINT: 3.0})
    world.step(100)
    assert world.state('probe').joints[JOINT][1] == pytest.approx(0.4, rel=1e-3)
    world.apply('probe', {})
    world.step(100)
    assert world.state('probe').joints[JOINT][1] == pytest.approx(1.0, rel=1e-3)


def test_lights_are_one_draw_away_from_nominal(world):
    nominal = world.nominal('floor', 'light.sun.color.r')
    assert world.apply('floor', {'light.sun.color.r': 0.5 * nominal}) == {
        'light.sun.color.r': 'applied'
    }
    assert world.nominal('floor', 'light.sun.color.r') == nominal


def test_reset_keeps_what_was_applied(world):
    world.spawn('probe', BODY, HIGH)
    draw = {'link.body.mass': 4.0, 'world.gravity.z': -3.0, 'world.timestep': 0.002}
    world.apply('probe', draw)
    world.step(20)
    for _ in range(2):
        world.reset()
        assert world.time() < 0.02
        assert {address: world.get('probe', address) for address in draw} == draw
        assert world.state('probe').pose.position[2] == pytest.approx(5.0, abs=1e-4)
        before = world.time()
        world.step(50)  # what it does, not only what it tells
        assert world.time() - before == pytest.approx(0.1)
        assert world.state('probe').links[LINK].linear[2] == pytest.approx(-0.3, abs=0.007)
    assert world.apply('probe', draw) == dict.fromkeys(draw, 'verified')
    assert world.apply('probe', {}) == {} and world.respawned
    before = world.time()
    world.step(100)
    assert world.time() - before == pytest.approx(0.1)


def test_wrong_worlds_are_survived(world):
    world.spawn('probe', BODY, HIGH)
    assert world.apply('probe', {'link.body.mass': 3.0}) == {'link.body.mass': 'verified'}
    world.delete('probe')  # by hand
    assert world.apply('probe', {'link.body.mass': 3.0}) == {'link.body.mass': 'verified'}
    assert world.state('probe').pose.position[2] == pytest.approx(5.0, abs=1e-4)
    for wrong in (
        lambda: world.state('nobody'),
        lambda: world.delete('nobody'),
        lambda: world.push('probe', 'nothing', (1.0, 0.0, 0.0)),
        lambda: world.set_effort('probe', {'nothing': 1.0}),
        lambda: world.spawn('bad', '<sdf version="1.7"><model/></sdf>'),
    ):
        with pytest.raises(WorldError):
            wrong()


def test_robots_come_into_the_world_as_they_are(world, make, tmp_path):
    for robot in ('arm6', 'planar', 'turntable'):
        profile = make(robot)
        text = sdf.from_profile(profile, '1.11')
        (tmp_path / 'model.sdf').write_text(text)
        checked = subprocess.run(
            ['gz', 'sdf', '--check', str(tmp_path / 'model.sdf')], capture_output=True, text=True
        )
        if 'not a valid command' not in checked.stderr + checked.stdout:
            assert 'Valid' in checked.stdout and 'Error' not in checked.stderr, checked
        world.spawn(robot, text)
        for link, described in profile.urdf.links.items():
            if described.mass > 0:
                address = f'link.{link}.inertia.xx'
                assert world.get(robot, address) == pytest.approx(described.inertia[0], rel=1e-6)
        joints = world.state(robot).joints
        assert set(profile.joint_names) <= set(joints)
        world.delete(robot)


def test_twenty_respawns_lose_nothing(server, world):
    world.spawn('probe', BODY, HIGH)
    processes = [p for p in psutil.process_iter() if _of(p, server)]
    sizes, durations = [], []
    for number in range(20):
        begin = time.monotonic()
        outcome = world.apply('probe', {'link.body.mass': 1.0 + 0.1 * number})
        durations.append(time.monotonic() - begin)
        assert outcome == {'link.body.mass': 'verified'}, world.troubles
        sizes.append(sum(p.memory_info().rss for p in processes))
    assert world.models().count('probe') == 1
    assert sizes[-1] < 1.1 * sizes[3]
    assert statistics.median(durations) < 1.0


def _of(process, server):
    try:
        return server.process.pid in (process.pid, *(p.pid for p in process.parents()))
    except psutil.Error:
        return False


def test_a_server_that_was_killed_and_started_again(server, world):
    world.spawn('probe', BODY, HIGH)
    world.apply('probe', {'link.body.mass': 3.0})
    server.stop()
    quick, world.timeout = world.timeout, 1.0
    begin = time.monotonic()
    with pytest.raises(WorldError, match='within'):
        world.apply('probe', {'link.body.mass': 3.0})
    assert time.monotonic() - begin < 10.0
    world.timeout = quick
    server.start()
    world.pause(True)
    assert 'probe' not in world.models()
    assert world.apply('probe', {'link.body.mass': 3.0}) == {'link.body.mass': 'verified'}
