"""A robot that is no longer what it was."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.changes import CONFIRMED, PATIENCE, WARM_UP, ChangeDetector
from sim2real_sysid.estimator import OnlineIdentifier

BEFORE = 20.0  # s
FAR = 4.0  # standard deviations


def after(robot, identifier, duration=12.0, **changed):
    """The estimate after motion of a robot that changed."""
    robot.record(duration=BEFORE).feed(identifier)
    assert not identifier.changes
    for address, value in changed.items():
        robot.truth[address] = value
    later = robot.record(duration=duration, seed=1)
    later.stamp += BEFORE
    return later.feed(identifier)


@pytest.mark.parametrize(
    ('address', 'value'),
    [
        ('link.tool.mass', 1.7),
        ('joint.hip.viscous_friction', 1.5),
        ('joint.knee.coulomb_friction', 0.9),
        ('joint.knee.effort_offset', 1.4),
    ],
)
def test_a_change_is_named_soon_and_the_new_truth_found(robot, identifier, scores, address, value):
    before = robot.truth[address]
    estimate = after(robot, identifier, **{address: value})
    (change,) = estimate.changes
    assert change.address == address
    assert change.before == pytest.approx(before, rel=0.1)
    assert abs(change.after - value) < 0.4 * abs(value - before)
    assert BEFORE < change.stamp < BEFORE + 5.0
    assert estimate.parameters[address].mean == pytest.approx(value, rel=0.05)
    assert max(abs(z) for z in scores(estimate, robot.truth).values()) < FAR


def test_what_did_not_move_since_the_change_is_kept(robot, identifier):
    moves = robot.moves
    robot.record(duration=BEFORE).feed(identifier)
    known = identifier.estimate().parameters['joint.knee.viscous_friction']
    robot.truth['joint.hip.viscous_friction'] = 1.6

    def hip_only(stamp, seed=0):
        parts = moves(stamp, seed)
        for part in parts:
            part[:, 1] = 0.0
        return parts

    robot.moves = hip_only
    later = robot.record(duration=12.0, seed=1)
    later.stamp += BEFORE
    estimate = later.feed(identifier)
    assert [change.address for change in estimate.changes] == ['joint.hip.viscous_friction']
    knee = estimate.parameters['joint.knee.viscous_friction']
    assert knee.status == 'identified'
    assert knee.mean == pytest.approx(known.mean, abs=2.0 * known.std)
    hip = estimate.parameters['joint.hip.viscous_friction']
    assert hip.mean == pytest.approx(1.6, abs=FAR * hip.std)


def look(detector, scores, n=1):
    """What a detector of one parameter, worth 1 and seldom below a tenth of that, says at last."""
    shape = (len(scores), n)
    return detector.look(
        np.reshape(scores, shape), np.full(shape, 100.0), np.ones(n), np.ones(n), np.ones(n, bool)
    )


def test_scatter_is_learned_and_what_stands_out_is_confirmed():
    rng = np.random.default_rng(0)
    detector = ChangeDetector(np.full(1, -np.inf))
    scores = list(10.0 * rng.normal(size=8))
    for _ in range(4 * WARM_UP):
        scores = [*scores[1:], 10.0 * rng.normal()]
        assert look(detector, scores) is None
    found = []
    for _ in range(CONFIRMED + 1):
        scores = [*scores[1:], 10.0 * rng.normal() + 100.0 * 1.0]
        found.append(look(detector, scores))
    step = next(step for step in found if step is not None)
    assert found[: CONFIRMED - 1] == [None] * (CONFIRMED - 1)
    assert step.parameter == 0 and step.size == pytest.approx(1.0, abs=0.3)
    assert step.blocks in (CONFIRMED, CONFIRMED + 1)


def test_small_changes_do_not_count_however_certain():
    detector = ChangeDetector(np.full(1, -np.inf))
    for _ in range(4 * WARM_UP):
        assert look(detector, [0.1] * 8) is None
    for _ in range(2 * CONFIRMED):
        assert look(detector, [100.0 * 0.08] * 8) is None


def warm(lowest):
    """A detector of two parameters that has seen what is usual."""
    detector, rng = ChangeDetector(lowest), np.random.default_rng(1)
    for _ in range(4 * WARM_UP):
        assert told(detector, rng.normal(size=2)) is None
    return detector


def told(detector, scores):
    """What the detector says of blocks of these scores, of two parameters worth 1."""
    return detector.look(
        np.tile(scores, (8, 1)), np.full((8, 2), 40.0), np.ones(2), np.ones(2), np.ones(2, bool)
    )


def test_a_change_is_named_once_no_other_explains_it_as_well():
    detector = warm(np.full(2, -np.inf))
    alike = [told(detector, (40.0, 41.0)) for _ in range(CONFIRMED + 2)]
    assert alike == [None] * (CONFIRMED + 2)
    assert told(detector, (40.0, 24.0)).parameter == 0
    detector = warm(np.full(2, -np.inf))
    alike = [told(detector, (40.0, 41.0)) for _ in range(PATIENCE)]
    assert alike[:-1] == [None] * (PATIENCE - 1)
    assert alike[-1].parameter == 1


def test_nothing_changes_to_what_it_cannot_be():
    detector = warm(np.zeros(2))
    found = [told(detector, (-48.0, -32.0)) for _ in range(CONFIRMED)]  # 1 - 1.2, 1 - 0.8
    assert found[-1].parameter == 1
    detector = warm(np.zeros(2))
    assert [told(detector, (-48.0, -44.0)) for _ in range(PATIENCE)] == [None] * PATIENCE


@pytest.mark.soak
def test_changes_of_hidden_arms_are_noticed_within_five_seconds_of_excited_motion(excited_arms):
    profile, robots, begin, seed = load_profile('arm6'), 24, 45.0, 701
    rng = np.random.default_rng(seed)
    hidden = dict(load_space('arm6_surrogate', profile).draw_many(seed, np.arange(robots)))
    after, changed = {a: values.copy() for a, values in hidden.items()}, []
    for robot in range(robots):
        joint = f'joint.{rng.choice(profile.joint_names)}'
        what = ('viscous_friction', 'coulomb_friction', 'mass')[robot % 3]
        changed.append('link.gripper.mass' if what == 'mass' else f'{joint}.{what}')
        after[changed[-1]][robot] *= rng.uniform(1.4, 1.8)
        if what == 'coulomb_friction':
            level, least = after[f'{joint}.static_friction'], after[changed[-1]][robot]
            level[robot] = max(level[robot], 1.1 * least)
    simulator = MujocoSimulator(profile, nsim=robots, contacts=False, seed=seed)
    simulator.apply(hidden)
    simulator.reset()
    identifiers = [OnlineIdentifier(profile) for _ in range(robots)]
    for reading in excited_arms(simulator):
        stamp = float(reading.time[0])
        if stamp > begin and hidden is not after:
            simulator.apply(after)
            hidden = after
        if stamp > begin + 5.0:
            break
        for robot, identifier in enumerate(identifiers):
            identifier.update(stamp, reading.position[robot], reading.effort[robot])
    first = [identifier.changes[:1] for identifier in identifiers]
    assert all(change.stamp > begin for found in first for change in found)
    assert sum(map(len, first)) >= 0.9 * robots
    named = [change.address == name for name, found in zip(changed, first) for change in found]
    assert np.mean(named) >= 0.8


@pytest.mark.soak
def test_less_than_one_false_alarm_in_an_hour():
    profile, robots, seconds, seed = load_profile('arm6'), 20, 180.0, 400
    nj, rng = len(profile.joints), np.random.default_rng(seed)
    space = load_space('arm6_surrogate', profile)
    simulator = MujocoSimulator(profile, nsim=robots, contacts=False, seed=seed)
    simulator.apply(space.draw_many(seed, np.arange(robots)))
    simulator.reset()
    identifiers = [OnlineIdentifier(profile) for _ in range(robots)]
    middle, speed = profile.array('default_position'), profile.array('velocity')
    steps = round(1.0 / profile.rates.joint_state_rate / simulator.timestep)
    per_command = round(profile.rates.control_period / (steps * simulator.timestep))
    goal = command = np.tile(middle, (robots, 1))
    for k in range(round(seconds * profile.rates.joint_state_rate)):
        if k % (150 * per_command) == 0:
            goal = middle + rng.uniform(-0.8, 0.8, (robots, nj))
        if k % per_command == 0:
            most = speed * profile.rates.control_period
            command = command + np.clip(0.3 * (goal - command), -most, most)
            simulator.command(command)
        simulator.step(steps)
        reading = simulator.read()
        for robot, identifier in enumerate(identifiers):
            identifier.update(
                float(reading.time[robot]), reading.position[robot], reading.effort[robot]
            )
    assert sum(len(identifier.changes) for identifier in identifiers) == 0
