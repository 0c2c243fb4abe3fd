"""Clips of a robot that is told a twist: odometry, IMU and velocity goals in its observation."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_learning.clips import read_clip
from sim2real_learning.clips_episodes import derive
from sim2real_learning.network import Network
from sim2real_learning.reproduce import reproduce, worlds_of
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.metadata import Goal
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy
from sim2real_sim.mujoco_simulator import MujocoSimulator
from test.recorded import Stack, odometry, twist

ODOMETRY, GOAL = 'nav_msgs/msg/Odometry', 'geometry_msgs/msg/Twist'
TERMS = (
    Term(kind='base_linear_velocity'),
    Term(kind='base_angular_velocity', history=2),
    Term(kind='imu_angular_velocity'),
    Term(kind='velocity_command'),
    Term(kind='joint_velocity', scale=0.1),
    Term(kind='previous_action'),
    Term(kind='joint_command'),
)


class Rover(Stack):
    """Wheels that do what the twist asks, odometry beside the IMU."""

    def sense(self):
        body = self.simulator.read_body()
        linear, angular = body.linear_velocity[0], body.angular_velocity[0]
        self._record('/odom', ODOMETRY, odometry(self.stamp, linear, angular))
        values = {
            'base_linear_velocity': linear,
            'base_angular_velocity': angular,
            'base_position': np.zeros(3),
        }
        self.controller.sense('odometry', self.stamp * 1e-9, values)

    def ask(self, *values):
        assert self.controller.velocity_goal(np.array(values))
        self._record('/velocity_goal', GOAL, twist(values, GOAL))

    def sample(self):
        self.sense()
        super().sample()

    def obey(self, command):
        rover = self.profile
        speeds = rover.wheels.speeds(rover.joint_names, rover.command_names)
        self.simulator.command(speeds @ command)


@pytest.fixture(scope='module')
def rover():
    return load_profile('rover')


@pytest.fixture(scope='module')
def policy(rover, tmp_path_factory):
    meta = BundleMetadata.for_robot(
        rover,
        TERMS,
        Action(meaning='twist', scale=(0.5, 1.0), clip=1.0),
        goal=Goal(kind='base_velocity', frame=rover.body_link),
    )
    path = tmp_path_factory.mktemp('bundles') / 'rover.onnx'
    return random_policy(meta, path, np.random.default_rng(2), hidden=(16,), gain=1.0)


def test_what_a_rover_saw_is_derived_and_its_wheels_turn_again(rover, policy, tmp_path):
    simulator = MujocoSimulator(rover, seed=1, imu=True)
    watch = tmp_path / 'detectors.yaml'
    watch.write_text('detectors: {policy_fault: {}}')  # a twist is not what joints track
    options = {'imu': True, 'lag': 3_000_000, 'detectors': str(watch)}
    run = Rover(rover, policy, tmp_path / 'spool', simulator, **options)
    run.ask(0.4, 0.0, 0.5)
    run.run(0.6).ask(0.2, 0.0, -0.5)
    run.run(0.9)  # the second goal ends: nobody repeats it
    run.trigger()
    (folder,) = run.run(0.6).clips()
    clip = read_clip(folder, rover)
    found = derive(clip, rover, Network(policy))
    assert found.published and found.disagreeing == 0 and found.unknown <= 2
    (episode,) = found.episodes
    assert episode.action.shape == episode.command.shape == (len(episode.stamp), 2)
    for stamp, observation in zip(episode.stamp.tolist(), episode.observation):
        assert observation.tobytes() == run.seen[stamp].tobytes()
    again = reproduce(clip, rover, worlds_of(clip), list, lead=0.8)
    (nominal,) = again.outcomes
    assert again.recurs is None and nominal.rms.max() < 0.05 and not nominal.diverged
    assert again.command.shape == (len(again.stamp), 2)
