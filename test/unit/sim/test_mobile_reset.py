"""A mobile robot is put where it is told, with the motion it is told."""

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.simulator import BodyReading


def placed(n=1):
    """On its side in the air, moving in its own frame."""
    half = np.sqrt(0.5)
    one = BodyReading(
        np.array([[1.0, -2.0, 0.8]]),
        np.array([[half, 0.0, 0.0, half]]),
        np.array([[0.3, 0.1, -0.2]]),
        np.array([[0.0, 0.5, 1.0]]),
    )
    return BodyReading(*(np.repeat(part, n, axis=0) for part in one))


@pytest.mark.parametrize('n', [1, 3])
def test_what_is_put_is_read(n):
    simulator = MujocoSimulator(load_profile('quadruped'), nsim=3)
    simulator.reset(body=placed(n))
    for part, told in zip(simulator.read_body(), placed(3)):
        np.testing.assert_allclose(part, told, atol=1e-12)
    before = simulator.read_body().position
    simulator.step(5)
    # Its own x is the world's x, its own z the world's -y: it falls and moves as it was told.
    moved = simulator.read_body().position - before
    assert (moved[:, 0] > 0).all() and (moved[:, 1] > 0).all()
    simulator.reset()
    assert simulator.read_body().position[0, 0] == pytest.approx(0.0, abs=1e-9)


def test_only_some_are_put():
    simulator = MujocoSimulator(load_profile('rover'), nsim=2)
    simulator.reset([1], body=placed())
    there = simulator.read_body().position
    assert there[1].tolist() == [1.0, -2.0, 0.8] and abs(there[0]).max() < 0.5


def test_a_robot_on_a_base_has_no_body():
    with pytest.raises(InputError, match='stands on a base'):
        MujocoSimulator(load_profile('arm6')).reset(body=placed())
