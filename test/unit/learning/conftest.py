"""Robots with policies whose observations hold everything, and clips of them."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata, Normalizer
from sim2real_policy.observation import Term
from sim2real_policy.random_policy import random_policy
from sim2real_sim.mujoco_simulator import MujocoSimulator
from test.recorded import Stack


@pytest.fixture(scope='session')
def arm6():
    return load_profile('arm6')


@pytest.fixture(scope='session')
def slider():
    return load_profile('slider')


@pytest.fixture(scope='session')
def bundle_of(tmp_path_factory):
    """Makes a policy of random weights that sees the given terms."""

    def make(profile, terms, seed=0, meaning='delta', **changed):
        action = Action(meaning=meaning, scale=(0.05,) * len(profile.joints), clip=0.8)
        meta = BundleMetadata.for_robot(profile, terms, action, **changed)
        size = meta.observation.size
        if 'normalizer' not in changed:
            normal = Normalizer(mean=(0.1,) * size, std=tuple(np.linspace(0.5, 2.0, size)))
            meta = BundleMetadata.for_robot(profile, terms, action, normalizer=normal, **changed)
        path = tmp_path_factory.mktemp('bundles') / 'policy.onnx'
        return random_policy(meta, path, np.random.default_rng(seed), hidden=(16,), gain=1.0)

    return make


TERMS = (
    Term(kind='joint_position', history=2),
    Term(kind='joint_velocity', scale=0.1, clip=(-1.0, 1.0)),
    Term(kind='goal_error', scale=2.0),
    Term(kind='previous_action', history=3),
    Term(kind='joint_command'),
)


@pytest.fixture(scope='session')
def bundle(arm6, bundle_of):
    """Sees joints, goal, its last actions and commands."""
    return bundle_of(arm6, TERMS)


@pytest.fixture
def stack(arm6, bundle, tmp_path):
    """Makes a robot that runs the policy, with a goal."""

    def make(profile=arm6, policy=bundle, folder=None, goal=(0.4, 0.1, 0.4), **given):
        simulator = MujocoSimulator(profile, contacts=False, seed=3, imu=given.get('imu', False))
        made = Stack(profile, policy, folder or tmp_path / 'spool', simulator, **given)
        if goal:
            made.goal(goal)
        return made

    return make
