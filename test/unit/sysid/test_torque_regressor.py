"""The regressor of a robot's efforts, and its derivatives."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.torque_regressor import States, TorqueRegressor

RNG = np.random.default_rng(0)


def states(profile, count=60):
    return States(*RNG.uniform(-1.5, 1.5, (3, count, len(profile.joints))))


def regressor(profile, bodies='payload'):
    return TorqueRegressor(profile, bodies, states(profile))


def test_efforts_are_those_of_inverse_dynamics(pendulum):
    given = states(pendulum)
    seen = regressor(pendulum).see(given)
    body = RigidBody(pendulum)
    rigid = np.array([body.efforts(*state)[0] for state in zip(*given)])
    np.testing.assert_allclose(seen.effort, rigid + [0.5, 0.2] * given.velocity, atol=1e-9)
    fast = np.abs(given.velocity) > 0.5
    np.testing.assert_allclose(
        np.abs(seen.dry)[fast], np.broadcast_to([0.6, 0.3], fast.shape)[fast], rtol=1e-3
    )


def test_the_payloads_column_is_what_a_kilogram_adds(pendulum):
    given = states(pendulum)
    made = regressor(pendulum, 'mass')
    assert made.names[-1] == 'link.tool.mass'
    column = made.see(given).regressor[:, :, -1] * made._rows
    body = RigidBody(pendulum)
    added = np.array([body.efforts(*state)[1] for state in zip(*given)])
    ratio = column / added
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)


@pytest.mark.parametrize('bodies', ['mass', 'payload', 'bodies'])
def test_columns_are_independent(pendulum, bodies):
    made = regressor(pendulum, bodies)
    rows = made.see(states(pendulum)).regressor.reshape(-1, len(made.names))
    assert np.linalg.matrix_rank(rows) == len(made.names)
    total = len(made.names) + len(made.left_out)
    assert total == 8 + {'mass': 1, 'payload': 10, 'bodies': 20}[bodies]


def test_what_moves_along_one_axis_tells_no_mass_from_armature():
    made = regressor(load_profile('slider'), 'mass')
    assert made.left_out == ('link.carriage.mass',)
    assert 'joint.slider.armature' in made.names


def test_joints_and_parameters_of_any_size_count_alike():
    """Random motion within the limits gives every column a root mean square of one."""
    profile = load_profile('arm6')
    given = States(
        *(
            RNG.uniform(-limit, limit, (300, 6))
            for limit in (2.0, profile.array('velocity'), profile.array('acceleration'))
        )
    )
    made = TorqueRegressor(profile, 'payload', given)
    size = np.sqrt(np.mean(np.sum(made.see(given).regressor ** 2, axis=1), axis=0))
    np.testing.assert_allclose(size, 1.0, rtol=1e-9)


@pytest.mark.parametrize('robot', ['pendulum', 'wheel'])
def test_the_derivative_is_that_of_numbers(robot, request):
    profile = request.getfixturevalue(robot)
    made, given = regressor(profile), states(profile, 3)
    seen = made.see(given)
    weight = [RNG.normal(size=part.shape) for part in (seen.regressor, seen.effort, seen.dry)]

    def value(parts):
        now = made.see(parts)
        return sum(
            np.vdot(w, part) for w, part in zip(weight, (now.regressor, now.effort, now.dry))
        )

    slopes = made.pull(given, seen, *weight)
    for part in range(3):
        for index in np.ndindex(given[part].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [values.copy() for values in given]
                moved[part][index] += step
                ends.append(value(States(*moved)))
            wanted = (ends[0] - ends[1]) / 2e-5
            assert slopes[part][index] == pytest.approx(wanted, rel=1e-3, abs=1e-3)
