"""Relative poses."""

import numpy as np

from sim2real_sim.frames import conjugate, multiply, relative, rotate


def random_poses(seed, n=20):
    rng = np.random.default_rng(seed)
    quat = rng.normal(size=(n, 4))
    return rng.normal(size=(n, 3)), quat / np.linalg.norm(quat, axis=1, keepdims=True)


def test_a_quarter_turn_about_z():
    quat = np.array([[np.sqrt(0.5), 0, 0, np.sqrt(0.5)]])
    np.testing.assert_allclose(rotate(quat, np.array([[1.0, 0, 0]])), [[0, 1, 0]], atol=1e-15)


def test_turning_twice_is_turning_by_the_product():
    (vector, a), (_, b) = random_poses(0), random_poses(1)
    np.testing.assert_allclose(rotate(a, rotate(b, vector)), rotate(multiply(a, b), vector))
    np.testing.assert_allclose(rotate(conjugate(a), rotate(a, vector)), vector)


def test_a_relative_pose_leads_back():
    frame, pose = random_poses(2), random_poses(3)
    position, orientation = relative(frame, pose)
    np.testing.assert_allclose(frame[0] + rotate(frame[1], position), pose[0])
    np.testing.assert_allclose(multiply(frame[1], orientation), pose[1])
