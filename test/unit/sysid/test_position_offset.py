"""Encoders that show too much: gravity tells, where it pulls."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.estimator import OnlineIdentifier
from sim2real_sysid.linearization import MOST, Linearization

FAR = 4.0  # standard deviations
HIP, KNEE = 'joint.hip.position_offset', 'joint.knee.position_offset'


def test_zeros_that_are_off_are_found_and_bend_nothing_else(robot, identifier, scores):
    robot.truth |= {HIP: 0.02, KNEE: -0.03}
    estimate = robot.record(duration=40.0).feed(identifier)
    found = scores(estimate, robot.truth)
    assert len(found) >= 10
    assert max(abs(z) for z in found.values()) < FAR
    assert HIP in found and estimate.parameters[HIP].std < 0.005
    # Behind the last joint there is little but the payload: which of the two is aside?
    knee, com = (estimate.parameters[a] for a in (KNEE, 'link.tool.com.x'))
    assert knee.status == 'not_identified' and knee.confounded == ('link.tool.com.x',)
    assert com.status == 'not_identified' and com.confounded == (KNEE,)
    assert abs(knee.mean - robot.truth[KNEE]) < FAR * knee.std


def test_an_encoder_that_is_far_off_is_taken_as_it_is_and_all_learned_anew(
    robot, identifier, scores
):
    robot.truth |= {HIP: -0.3, KNEE: 0.25}
    found = scores(robot.record(duration=60.0).feed(identifier), robot.truth)
    assert {HIP, KNEE, 'link.tool.mass'} <= set(found)
    assert max(abs(z) for z in found.values()) < FAR


def test_encoder_that_slips_is_a_change(robot, identifier):
    robot.record(duration=30.0).feed(identifier)
    assert not identifier.changes
    robot.truth[HIP] = 0.1
    later = robot.record(duration=12.0, seed=1)
    later.stamp += 30.0
    estimate = later.feed(identifier)
    assert [change.address for change in estimate.changes] == [HIP]
    assert estimate.changes[0].after == pytest.approx(0.1, abs=0.03)


def test_where_gravity_does_not_tell_it_stays_unknown(robot, lying):
    robot.profile = lying
    estimate = robot.record(duration=15.0).feed(OnlineIdentifier(lying))
    assert estimate.identified
    for address in (HIP, KNEE):
        found = estimate.parameters[address]
        assert (found.status, found.mean, found.confounded) == ('not_identified', 0.0, ())
        assert np.isinf(found.std) and found.unit == 'rad'
    assert not len(RigidBody(lying).zeros)


def test_slopes_are_differences_of_the_efforts(pendulum):
    body, rng = RigidBody(pendulum), np.random.default_rng(0)
    states = rng.normal(size=(5, 3, 2))
    moments = np.array([0.01, -0.02, 0.03])
    body.shift(moments)

    def efforts(states):
        return body.columns(states) @ np.concatenate([[1.0, 0.8], moments])

    slopes = body.slopes(states, loaded=True)
    slopes = slopes[:, :, 0] + 0.8 * slopes[:, :, 1]
    for k in body.zeros:
        ahead, behind = states.copy(), states.copy()
        ahead[:, 0, k] += 1e-5
        behind[:, 0, k] -= 1e-5
        difference = (efforts(ahead) - efforts(behind)) / 2e-5
        assert slopes[:, :, list(body.zeros).index(k)] == pytest.approx(difference, abs=1e-6)


def test_zeros_are_taken_only_on_clear_evidence_and_a_few_times(pendulum):
    about, nothing = Linearization(RigidBody(pendulum), 2), np.zeros(3)
    small, far = np.array([0.02, 0.0]), np.array([0.2, 0.0])
    assert not about.improve(small, np.full(2, 0.005), nothing)  # what is not linear is less
    assert not about.improve(far, np.full(2, 0.1), nothing)  # nothing is sure
    assert not about.zero.any()
    assert about.improve(far, np.full(2, 0.005), nothing)
    assert about.zero == pytest.approx(far)
    again = [about.improve(far, np.full(2, 0.005), nothing) for _ in range(MOST)]
    assert again == [True] * (MOST - 1) + [False]


@pytest.mark.soak
def test_intervals_of_hidden_arms_contain_the_zeros(excited_arms):
    profile, robots, seed = load_profile('arm6'), 16, 9001
    rng = np.random.default_rng(seed)
    hidden = dict(load_space('arm6_surrogate', profile).draw_many(seed, np.arange(robots)))
    for joint in profile.joint_names:
        hidden[f'joint.{joint}.position_offset'] = rng.uniform(-0.05, 0.05, robots)
    simulator = MujocoSimulator(profile, nsim=robots, contacts=False, seed=seed)
    simulator.apply(hidden)
    simulator.reset()
    identifiers = [OnlineIdentifier(profile) for _ in range(robots)]
    for reading in excited_arms(simulator):
        for robot, identifier in enumerate(identifiers):
            stamp = float(reading.time[robot])
            identifier.update(stamp, reading.position[robot], reading.effort[robot])
    errors: dict[bool, list[float]] = {True: [], False: []}
    for robot, identifier in enumerate(identifiers):
        for address, found in identifier.estimate().identified.items():
            if address in hidden:
                error = (found.mean - hidden[address][robot]) / found.std
                errors[address.endswith('position_offset')].append(abs(error))
    assert len(errors[True]) >= 2 * robots
    for some in errors.values():
        assert np.mean(np.array(some) <= 1.96) >= 0.88
