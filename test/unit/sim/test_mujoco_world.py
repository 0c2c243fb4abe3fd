"""MuJoCo behind the protocol of worlds: models from SDF, pushed, placed and stepped."""

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_sim.mujoco_world import MujocoWorld
from sim2real_sim.sdf_profile import profile_from_sdf
from sim2real_sim.verify.models import BALL, BODY, SPINNER
from sim2real_sim.world import Pose, WorldError

QUARTER = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))


@pytest.fixture
def world():
    world = MujocoWorld()
    world.spawn('a', BODY, Pose((1.0, 2.0, 3.0), QUARTER))
    return world


def test_a_model_stands_where_it_is_spawned_and_put(world):
    assert world.state('a').pose == Pose((1.0, 2.0, 3.0), QUARTER)
    world.set_pose('a', Pose((0.0, 0.0, 9.0)))
    world.step(10)
    assert world.state('a').links['body'].pose.position[2] == pytest.approx(9.0, abs=1e-3)
    assert world.time() == pytest.approx(0.01)
    world.reset()
    state = world.state('a')
    assert (state.time, state.pose) == (0.0, Pose((1.0, 2.0, 3.0), QUARTER))
    assert state.links['body'].linear == (0.0, 0.0, 0.0)


def test_a_push_acts_for_one_step_in_the_world_frame(world):
    world.push('a', 'body', (2000.0, 0.0, 0.0), (0.0, 0.0, 500.0))
    world.step(1)
    once = world.state('a').links['body']
    world.step(1)
    again = world.state('a').links['body']
    assert once.linear[:2] == again.linear[:2] == pytest.approx((1.0, 0.0))
    assert once.angular == pytest.approx((0.0, 0.0, 1.0))


def test_a_push_adds_to_a_steady_wrench(world):
    world.apply('a', {'disturbance.body.wrench.force.x': 2.0})
    world.push('a', 'body', (2000.0, 0.0, 0.0))
    world.step(101)
    assert world.state('a').links['body'].linear[0] == pytest.approx(1.0 + 0.101)


def test_models_of_one_world_share_its_gravity_and_nothing_else(world):
    world.spawn('b', BODY, Pose((0.0, 0.0, 5.0)))
    world.apply('a', {'link.body.mass': 4.0})
    world.apply('b', {'world.gravity.z': -1.0})
    assert world.get('a', 'link.body.mass') == 4.0
    assert world.get('b', 'link.body.mass') == world.nominal('b', 'link.body.mass') == 2.0
    world.step(100)
    for name in world.models():
        assert world.state(name).links['body'].linear[2] == pytest.approx(-0.1)
    world.spawn('c', BALL, Pose((0.0, 0.0, 5.0)))
    assert world.get('c', 'world.gravity.z') == -1.0


def test_efforts_last(world):
    world.spawn('wheel', SPINNER)
    world.set_effort('wheel', {'hinge': 5.0})
    world.step(100)
    position, velocity = world.state('wheel').joints['hinge']
    assert velocity == pytest.approx(1.0)
    assert position == pytest.approx(0.05, rel=0.02)
    assert world.measured('wheel')['hinge'] == (position, velocity, 5.0)


def test_a_model_that_is_spawned_again_is_new(world):
    world.apply('a', {'link.body.mass': 4.0})
    world.spawn('a', BODY)
    assert world.get('a', 'link.body.mass') == 2.0
    assert world.sdf('a') == BODY
    world.delete('a')
    assert world.models() == ()


def test_routes(world):
    assert world.routes('link.body.mass') == ('live',)
    assert world.routes('surface.body.friction') == ()  # it has no shape
    mass = {'link.body.mass': 1.0}
    assert world.apply('a', mass, 'live') == {'link.body.mass': 'verified'}
    assert world.apply('a', mass, 'respawn') == {'link.body.mass': 'unsupported'}


@pytest.mark.parametrize(
    'call',
    [
        lambda w: w.state('ghost'),
        lambda w: w.delete('ghost'),
        lambda w: w.push('a', 'tail', (1.0, 0.0, 0.0)),
        lambda w: w.set_effort('a', {'knee': 1.0}),
        lambda w: w.pause(False),
        lambda w: (w.spawn('wheel', SPINNER), w.set_pose('wheel', Pose())),
    ],
)
def test_what_cannot_be_done_is_said(world, call):
    with pytest.raises(WorldError):
        call(world)


# SDF

ARM = """<sdf version="1.7"><model name="arm">
  <link name="base"><pose>0 0 1 0 0 0</pose>
    <collision name="c"><geometry><cylinder><radius>0.1</radius><length>0.2</length></cylinder>
    </geometry></collision></link>
  <link name="slide"><pose>0.5 0 1.5 0 0 0.3</pose>
    <inertial><pose>0.1 0 0 0 0 0</pose><mass>3</mass>
      <inertia><ixx>0.1</ixx><iyy>0.2</iyy><izz>0.2</izz></inertia></inertial></link>
  <joint name="mount" type="fixed"><parent>world</parent><child>base</child></joint>
  <joint name="z" type="prismatic"><parent>base</parent><child>slide</child>
    <axis><xyz>0 0 1</xyz><limit><lower>-2</lower><upper>2</upper><effort>50</effort></limit>
      <dynamics><damping>4</damping><friction>1</friction></dynamics></axis></joint>
</model></sdf>"""


def test_a_profile_says_what_the_sdf_said():
    profile = profile_from_sdf(ARM)
    (joint,) = profile.joints
    assert (joint.lower, joint.upper, joint.effort) == (-2.0, 2.0, 50.0)
    assert (joint.viscous_friction, joint.coulomb_friction) == (4.0, 1.0)
    world = MujocoWorld()
    world.spawn('arm', ARM)
    links = world.state('arm').links
    assert links['base'].pose.position == (0.0, 0.0, 1.0)
    assert links['slide'].pose.position == pytest.approx((0.5, 0.0, 1.5))
    assert 2.0 * np.arctan2(*links['slide'].pose.orientation[2:]) == pytest.approx(0.3)
    assert world.nominal('arm', 'link.slide.mass') == 3.0
    assert world.nominal('arm', 'link.slide.com.x') == pytest.approx(0.1)


@pytest.mark.parametrize(
    'text, mend',
    [
        (ARM.replace('<axis>', '<axis2/><axis>'), 'axis2'),
        (ARM.replace('<collision name', '<sensor/><collision name'), 'sensor'),
        (ARM.replace('0 0 1 0 0 0', '0 0 1 0 0 1'), 'must not be turned'),
        (ARM.replace('0.5 0 1.5', 'left'), '6 numbers'),
        (ARM.replace('</sdf>', '<model name="b"/></sdf>'), 'one model'),
        ('<sdf', 'mend the XML'),
    ],
)
def test_sdf_that_a_profile_cannot_say_is_refused(text, mend):
    with pytest.raises(InputError, match=mend):
        profile_from_sdf(text)
