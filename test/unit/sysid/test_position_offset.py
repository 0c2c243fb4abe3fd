"""Encoders that show too much: gravity tells, where it pulls."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.config import SysidConfig
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


def test_who_knows_the_zeros_tells_payload_and_offsets_apart(robot, scores):
    known = OnlineIdentifier(robot.profile, SysidConfig(zero_error=0.0))
    estimate = robot.record().feed(known)
    found = scores(estimate, robot.truth)
    assert {'link.tool.com.x', 'joint.hip.effort_offset', 'joint.knee.effort_offset'} <= set(found)
    assert max(abs(z) for z in found.values()) < FAR
    for address in (HIP, KNEE):
        zero = estimate.parameters[address]
        assert (zero.status, zero.mean, zero.std) == ('not_identified', 0.0, np.inf)


def test_the_less_the_zeros_are_in_doubt_the_more_is_known_of_the_payload(robot, scores):
    robot.truth |= {HIP: 0.001, KNEE: -0.002}
    record, stds = robot.record(), []
    for error in (0.03, 0.01, 0.002):
        identifier = OnlineIdentifier(robot.profile, SysidConfig(zero_error=error))
        estimate = record.feed(identifier)
        assert max(abs(z) for z in scores(estimate, robot.truth).values()) < FAR
        stds.append(estimate.parameters['link.tool.com.x'].std)
    assert stds[0] > 1.5 * stds[1] > 2.0 * stds[2]


def test_an_encoder_that_is_far_off_is_taken_as_it_is_and_all_learned_anew(
    robot, identifier, scores
):
    robot.truth |= {HIP: -0.3, KNEE: 0.25}
    estimate = robot.record(duration=60.0).feed(identifier)
    found = scores(estimate, robot.truth)
    assert {HIP, 'link.tool.mass'} <= set(found)
    assert max(abs(z) for z in found.values()) < FAR
    assert estimate.parameters[HIP].std < 0.01
    knee = estimate.parameters[KNEE]
    assert abs(knee.mean - robot.truth[KNEE]) < FAR * knee.std


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
    body, extra = RigidBody(pendulum), 0.8
    states = np.random.default_rng(0).normal(size=(5, 3, 2))
    slopes = body.slopes(states, loaded=True)
    assert np.array_equal(body.slopes(states, loaded=False), slopes[:, :, :1])
    for k, joint in enumerate(body.zeros):
        step = np.zeros((3, 2))
        step[0, joint] = 1e-5
        ahead, behind = (body.columns(states + way * step) for way in (1.0, -1.0))
        difference = (ahead - behind)[:, :, :2] @ [1.0, extra] / 2e-5
        assert slopes[:, :, :, k] @ [1.0, extra] == pytest.approx(difference, abs=1e-6)


def test_zeros_are_taken_only_on_clear_evidence_and_a_few_times():
    about, far = Linearization(3, np.array([1, 2]), 0.03), np.array([0.2, 0.0])
    assert not about.improve(0.1 * far, np.full(2, 0.001))  # it is linear there
    assert not about.improve(far, np.full(2, 0.1))  # nothing is sure
    assert not about.zero.any() and about.wrong == pytest.approx(0.5 * 0.06**2)  # likely
    assert about.improve(np.array([0.2, 0.05]), np.full(2, 0.005))
    assert about.zero == pytest.approx([0.0, 0.2, 0.0])
    again = [about.improve(far, np.full(2, 0.005)) for _ in range(MOST)]
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
