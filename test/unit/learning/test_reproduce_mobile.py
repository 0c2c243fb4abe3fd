"""Failures of robots that stand on no base: their bodies begin where odometry saw them."""

from dataclasses import replace

import numpy as np
import pytest

from sim2real_capture.detectors_file import build, read_detectors
from sim2real_core.profile import load_profile
from sim2real_learning.clips import read_clip
from sim2real_learning.reproduce import reproduce, worlds_of
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy
from sim2real_sim.mujoco_simulator import MujocoSimulator
from test.recorded import ODOMETRY, Stack, odometry

LEFT = ('front_left_hip', 'front_left_knee', 'rear_left_hip', 'rear_left_knee')
LEGS = {f'actuator.{joint}.gain': 0.0 for joint in LEFT}


class Body(Stack):
    """A robot whose odometry is what the simulator knows."""

    def sample(self):
        body = self.simulator.read_body()
        link = self.profile.body_link
        place = [part[0] for part in (body.position, body.orientation)]
        moving = [part[0] for part in (body.linear_velocity, body.angular_velocity)]
        self._record('/odom', ODOMETRY, odometry(self.stamp, *moving, *place, frame=link))
        super().sample()


@pytest.fixture(scope='module')
def quadruped():
    return load_profile('quadruped')


@pytest.fixture(scope='module')
def watch(tmp_path_factory):
    path = tmp_path_factory.mktemp('watch') / 'detectors.yaml'
    path.write_text('detectors: {tip_over: {}}')
    return str(path)


@pytest.fixture(scope='module')
def fallen(quadruped, watch, tmp_path_factory):
    """A quadruped on the move loses its left legs and falls on its side."""
    folder = tmp_path_factory.mktemp('fallen')
    action = Action(meaning='position', scale=(0.2,) * 12, clip=1.0)
    terms = [Term(kind='joint_position'), Term(kind='joint_velocity', scale=0.1)]
    meta = BundleMetadata.for_robot(quadruped, terms, action)
    policy = random_policy(meta, folder / 'legs.onnx', np.random.default_rng(1), gain=1.0)
    simulator = MujocoSimulator(quadruped, seed=1, imu=True)
    run = Body(
        quadruped, policy, folder / 'spool', simulator, imu=True, detectors=watch, after=0.3
    )
    run.run(1.5).draw(LEGS)
    run.run(1.5)
    (folder,) = run.clips()
    clip = read_clip(folder, quadruped)
    assert clip.event['detector'] == 'tip_over'
    return clip


def again(clip, profile, watch, given=(), **options):
    entries = read_detectors(watch)
    made = lambda: build(entries, profile).active  # noqa: E731
    return reproduce(clip, profile, worlds_of(clip, given), made, lead=0.8, **options)


def test_a_fall_recurs_in_its_own_world_alone(fallen, quadruped, watch):
    found = again(fallen, quadruped, watch)
    nominal, drawn = found.outcomes
    assert found.recurs and found.best is drawn and drawn.recurs and not nominal.recurs
    assert abs(drawn.delay) < 0.1 and drawn.turned < 0.3 < nominal.turned
    assert drawn.moved < 0.1 and not drawn.ignored
    assert found.as_json()['worlds'][1]['moved'] == drawn.moved


def test_a_body_that_odometry_has_elsewhere_begins_on_the_ground(fallen, quadruped, watch):
    def sunk(message):
        pose = message.pose.pose
        position = replace(pose.position, z=pose.position.z - 5.0)
        with_pose = replace(message.pose, pose=replace(pose, position=position))
        return replace(message, pose=with_pose)

    heard = {**fallen.heard, '/odom': [(t, sunk(m)) for t, m in fallen.heard['/odom']]}
    found = again(replace(fallen, heard=heard), quadruped, watch)
    (_, drawn) = found.outcomes
    assert 'where the robot stands' in drawn.ignored['odometry.position.z']
    assert drawn.recurs and drawn.moved < 0.3  # the height is no difference


def test_without_odometry_it_begins_upright_and_says_so(fallen, quadruped, watch):
    found = again(replace(fallen, heard={**fallen.heard, '/odom': []}), quadruped, watch)
    for outcome in found.outcomes:
        assert 'upright and at rest' in outcome.ignored['odometry']
        assert np.isnan(outcome.moved) and np.isnan(outcome.turned)


def test_without_an_imu_nothing_here_can_raise_its_alarm(fallen, quadruped, watch):
    found = again(replace(fallen, heard={**fallen.heard, '/imu': []}), quadruped, watch)
    assert found.recurs is None and found.outcomes[1].turned < 0.3
