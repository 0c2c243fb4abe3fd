"""Play between drive and link, told from turns."""

from collections import deque

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.estimator import OnlineIdentifier
from sim2real_sysid.play import LEAST_TURNS, Joint, Turn, crossed, gap_of, valley

NOISE = 3e-5  # rad
FAR = 4.0  # standard deviations


def behind(link, gap):
    """What an encoder behind play reads of a link's motion (n,)."""
    seen = np.empty_like(link)
    last = link[0]
    for k, position in enumerate(link):
        seen[k] = last = np.clip(last, position - 0.5 * gap, position + 0.5 * gap)
    return seen


def recorded(robot, gaps, duration=40.0, rate=250.0, seed=0):
    """Stamps (n,), positions and efforts (n, 2) of a robot that swings, with little friction."""
    robot.truth |= {'joint.hip.coulomb_friction': 0.4, 'joint.knee.coulomb_friction': 0.15}
    rng, stamp = np.random.default_rng(seed), np.arange(1, int(duration * rate) + 1) / rate
    q, v, a = np.zeros((3, len(stamp), 2))
    for j in range(2):
        for _ in range(4):
            size, w, phase = rng.uniform(0.1, 0.4), rng.uniform(1.0, 6.0), rng.uniform(0.0, 6.0)
            q[:, j] += size * np.sin(w * stamp + phase)
            v[:, j] += size * w * np.cos(w * stamp + phase)
            a[:, j] -= size * w * w * np.sin(w * stamp + phase)
    body = RigidBody(robot.profile)
    columns = body.columns(np.stack([q, v, a], axis=1))
    extra = robot.truth['link.tool.mass'] - body.payload_mass
    effort = columns[..., 0] + extra * columns[..., 1]
    for j, name in enumerate(robot.profile.joint_names):
        armature, viscous, coulomb, offset = (
            robot.truth[f'joint.{name}.{what}']
            for what in ('armature', 'viscous_friction', 'coulomb_friction', 'effort_offset')
        )
        effort[:, j] += armature * a[:, j] + viscous * v[:, j] + offset
        effort[:, j] += coulomb * np.sign(v[:, j])
        q[:, j] = behind(q[:, j], gaps[j])
    q += NOISE * rng.normal(size=q.shape)
    return stamp, q, effort + 0.02 * rng.normal(size=effort.shape)


def estimate(robot, gaps, efforts=True, **options):
    identifier = OnlineIdentifier(robot.profile)
    for stamp, position, effort in zip(*recorded(robot, gaps, **options)):
        identifier.update(float(stamp), position, effort if efforts else np.full(2, np.nan))
    return identifier.estimate()


def test_play_is_found_and_spoils_nothing(robot, scores):
    gaps = (0.004, 0.003)
    robot.truth |= {
        f'actuator.{name}.backlash': gap for name, gap in zip(robot.profile.joint_names, gaps)
    }
    found = estimate(robot, gaps)
    for name, gap in zip(robot.profile.joint_names, gaps):
        p = found.parameters[f'actuator.{name}.backlash']
        assert p.unit == 'rad' and p.std < 0.3 * gap
        assert p.mean == pytest.approx(gap, abs=min(FAR * p.std, 0.3 * gap))
    assert found.parameters['actuator.hip.backlash'].status == 'identified'
    assert max(abs(z) for z in scores(found, robot.truth).values()) < FAR
    assert len(found.covariance) == len(found.order) == len(found.identified)


def test_without_turns_it_becomes_stale(robot):
    identifier = OnlineIdentifier(robot.profile, SysidConfig(stale_after=5.0))
    record = recorded(robot, (0.004, 0.003))
    for stamp, position, effort in zip(*record):
        identifier.update(float(stamp), position, effort)
    before = identifier.estimate().parameters['actuator.hip.backlash']
    assert before.status == 'identified'
    rng, last = np.random.default_rng(0), float(record[0][-1])
    for k in range(1, 1200):
        noise = 1e-6 * rng.normal(size=2)
        identifier.update(last + k / 200.0, record[1][-1] + noise, record[2][-1] + noise)
    after = identifier.estimate().parameters['actuator.hip.backlash']
    assert (after.status, after.mean) == ('stale', before.mean)


def test_where_there_is_none_none_is_reported(robot):
    found = estimate(robot, (0.0, 0.0), seed=1)
    for name in robot.profile.joint_names:
        p = found.parameters[f'actuator.{name}.backlash']
        assert p.mean <= min(FAR * p.std, 3e-4), name


def test_without_efforts_or_turns_nothing_is_known(robot):
    for found in (
        estimate(robot, (0.004, 0.004), efforts=False, duration=15.0),
        robot.record(duration=15.0).feed(OnlineIdentifier(robot.profile)),
    ):
        for name in robot.profile.joint_names:
            assert found.parameters[f'actuator.{name}.backlash'].status == 'not_identified'


@pytest.mark.parametrize('drag', [0.0, 6.0])
@pytest.mark.parametrize('gap', [0.0, 5e-4, 5e-3])
def test_the_link_is_traced_back_to_where_it_turned(drag, gap):
    rate, turned = 1000.0, 0.05
    stamps = np.arange(0, 0.5, 1.0 / rate)
    joint, own, friction = Joint(0.5, 0.5 * drag), 3.0 * np.cos(4.0 * stamps), 0.7
    position = speed = 0.0
    link = np.zeros_like(stamps)
    for k in range(1, len(stamps)):
        driven = stamps[k - 1] >= turned
        for _ in range(20):
            push = 0.5 * (own[k - 1] + own[k]) - friction - joint.drag * speed
            speed += driven * push / joint.inertia / rate / 20.0
            position += speed / rate / 20.0
        link[k] = position
    heights = np.maximum(link - gap, 0.0) + 1.0
    edge = int(np.flatnonzero(heights > 1.0 + 1e-4)[0])
    turn = crossed(stamps, heights, own, edge, 1.0, joint)
    assert turn.gap == pytest.approx(gap, abs=0.01 * gap + 5e-6)
    assert turn.rest == stamps[edge]
    assert turn.speed == pytest.approx(np.gradient(link, stamps)[edge], rel=0.01)


def test_a_rest_is_told_from_motion():
    stamps = np.arange(0, 1.0, 0.01)
    fall, rise = np.maximum(0.4 - stamps, 0.0), np.maximum(stamps - 0.6, 0.0)
    level, begin, end = valley(stamps, fall + rise + 3.0, 0.02)
    assert level == pytest.approx(3.0)
    assert (stamps[begin], stamps[end]) == pytest.approx((0.38, 0.63), abs=0.011)
    assert valley(stamps, np.maximum(fall, 0.2) + rise, 0.02) is None  # rests too long
    assert valley(stamps, rise + 3.0, 0.02) is None  # never fell
    assert valley(stamps, np.full(100, 3.0), 0.02) is None


def test_what_rests_take_off_is_added_again_and_few_turns_say_nothing():
    rng = np.random.default_rng(0)
    speed, stuck = 0.1, rng.uniform(0.0, 0.2, 60)
    gaps = 2e-3 - 5e-3 * stuck + 1e-4 * rng.normal(size=60)
    gaps[:4] = 0.05  # these are none
    rests = stuck + 2.0 * 2e-3 / speed
    turns = deque(Turn(gap, rest, speed, 0.0) for gap, rest in zip(gaps, rests))
    mean, std = gap_of(turns)
    assert mean == pytest.approx(2e-3, abs=2.0 * std)
    assert std < 2.5e-4
    assert gap_of(deque(list(turns)[: LEAST_TURNS - 1]))[1] == np.inf


@pytest.mark.soak
@pytest.mark.parametrize(('times', 'seed'), [(0.0, 601), (1.0, 602), (4.0, 603)])
def test_intervals_of_hidden_arms_hold_the_truth(excited_arms, times, seed):
    """Twelve arms on their own excitation; 90 % intervals, also of all that play could spoil."""
    profile, robots = load_profile('arm6'), 12
    hidden = dict(load_space('arm6_surrogate', profile).draw_many(seed, np.arange(robots)))
    hidden |= {a: times * values for a, values in hidden.items() if a.endswith('.backlash')}
    simulator = MujocoSimulator(profile, nsim=robots, contacts=False, seed=seed)
    simulator.apply(hidden)
    simulator.reset()
    identifiers = [OnlineIdentifier(profile) for _ in range(robots)]
    for reading in excited_arms(simulator):
        for robot, identifier in enumerate(identifiers):
            stamp = float(reading.time[robot])
            identifier.update(stamp, reading.position[robot], reading.effort[robot])
    play, others = [], []
    for robot, identifier in enumerate(identifiers):
        for address, p in identifier.estimate().parameters.items():
            if address in hidden and 0.0 < p.std < np.inf:
                inside = abs(p.mean - hidden[address][robot]) < 1.645 * p.std
                if address.endswith('.backlash'):
                    play.append(inside)
                elif p.status == 'identified':
                    others.append(inside)
    assert len(play) > 60 and np.mean(play) > 0.8
    assert len(others) > 200 and np.mean(others) > 0.85
