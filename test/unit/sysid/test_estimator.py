import dataclasses
import math

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.joint_states import UNSTAMPED
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.estimator import OnlineIdentifier
from sim2real_sysid.moments import MOST_BLOCKS, RECENT

FAR = 4.0  # standard deviations


def test_recovers_what_is_true(robot, identifier, scores):
    estimate = robot.record().feed(identifier)
    found = scores(estimate, robot.truth)
    # A centre of mass along the axes moves nothing, and turns at rest show no play. Of the last
    # joint nobody knows whether its encoder or the payload is aside.
    aside = {'link.tool.com.x', 'joint.knee.position_offset'}
    unseen = {'link.tool.com.y', *aside, *(a for a in robot.truth if a.endswith('.backlash'))}
    assert set(found) == set(robot.truth) - unseen
    assert max(abs(z) for z in found.values()) < FAR
    for address, parameter in estimate.identified.items():
        assert parameter.std < 0.1 * max(abs(robot.truth[address]), 0.05), address
    assert not identifier.faults


def test_covariance_belongs_to_the_identified(robot, identifier):
    estimate = robot.record(duration=10).feed(identifier)
    assert sorted(estimate.order) == sorted(estimate.identified)
    std = [estimate.parameters[address].std for address in estimate.order]
    assert np.sqrt(np.diag(estimate.covariance)) == pytest.approx(std)
    assert np.linalg.eigvalsh(estimate.covariance).min() > 0
    assert estimate.stamp == 10.0


def test_knows_nothing_before_anything_moved(identifier, pendulum):
    estimate = identifier.estimate()
    assert {p.status for p in estimate.parameters.values()} == {'not_identified'}
    assert all(math.isinf(p.std) for p in estimate.parameters.values())
    assert estimate.parameters['joint.hip.viscous_friction'].mean == 0.5  # nominal
    assert estimate.parameters['link.tool.mass'].mean == 0.5
    assert estimate.parameters['link.tool.mass'].unit == 'kg'
    assert estimate.order == ()


def test_same_samples_give_the_same_bits(robot, pendulum):
    record = robot.record(duration=10)
    one, other = (record.feed(OnlineIdentifier(pendulum)) for _ in range(2))
    assert one.parameters == other.parameters
    assert np.array_equal(one.covariance, other.covariance)


def test_encoder_noise_does_not_pass_for_lightness(robot, identifier, scores):
    """Least squares would find far too little armature here; see filters."""
    record = robot.record(duration=40, noise=(2e-3, 0.02))
    found = scores(record.feed(identifier), robot.truth)
    assert found
    assert max(abs(z) for z in found.values()) < FAR


def test_stribeck_friction_does_not_pass_for_coulomb(robot, identifier, scores):
    robot.stribeck = (0.5, 0.06)
    for joint in ('hip', 'knee'):
        coulomb = robot.truth[f'joint.{joint}.coulomb_friction']
        robot.truth[f'joint.{joint}.static_friction'] = 1.5 * coulomb
        robot.truth[f'joint.{joint}.stribeck_velocity'] = 0.06
    found = scores(robot.record().feed(identifier), robot.truth)
    assert len(found) >= 11
    assert max(abs(z) for z in found.values()) < FAR


@pytest.mark.parametrize('speed', [0.03, 0.06])
def test_slow_motion_tells_static_friction_and_where_it_ends(robot, identifier, scores, speed):
    robot.reach, robot.stribeck = 0.15, (0.5, speed)
    for joint in ('hip', 'knee'):
        coulomb = robot.truth[f'joint.{joint}.coulomb_friction']
        robot.truth[f'joint.{joint}.static_friction'] = 1.5 * coulomb
        robot.truth[f'joint.{joint}.stribeck_velocity'] = speed
    estimate = robot.record(duration=40.0).feed(identifier)
    assert max(abs(z) for z in scores(estimate, robot.truth).values()) < FAR
    for joint in ('hip', 'knee'):
        for what in ('static_friction', 'stribeck_velocity'):
            found = estimate.parameters[f'joint.{joint}.{what}']
            assert found.status == 'identified'
            assert found.mean == pytest.approx(robot.truth[f'joint.{joint}.{what}'], rel=0.1)


def test_late_effort_does_not_pass_for_friction(robot, identifier, scores):
    record = robot.record()
    record.effort[1:] = record.effort[:-1].copy()  # one sample, 5 ms
    found = scores(record.feed(identifier), robot.truth)
    assert len(found) == 11
    assert max(abs(z) for z in found.values()) < FAR


@pytest.mark.parametrize(('constants', 'unit'), [((2.5,), 2.5), ((0.05, -12.0), (0.05, -12.0))])
def test_currents_are_as_good_as_efforts(robot, pendulum, constants, unit):
    record = robot.record(duration=10)
    expected = record.feed(OnlineIdentifier(pendulum))
    record.effort /= unit
    found = record.feed(OnlineIdentifier(pendulum, SysidConfig(torque_constants=constants)))
    assert found.order == expected.order and found.order
    for address, parameter in expected.identified.items():
        assert found.parameters[address].mean == pytest.approx(parameter.mean, rel=1e-6), address


@pytest.mark.parametrize('constants', [(), (0.0,), (1.0, 0.0), (math.nan, 1.0)])
def test_an_effort_that_is_worth_nothing_is_refused(constants):
    with pytest.raises(InputError, match='torque_constants'):
        SysidConfig(torque_constants=constants)


def test_torque_constants_are_one_or_one_a_joint(pendulum):
    with pytest.raises(InputError, match='2, one a joint'):
        OnlineIdentifier(pendulum, SysidConfig(torque_constants=(1.0, 2.0, 3.0)))


def test_one_direction_confounds_coulomb_friction_and_offset(robot, wheel):
    robot = dataclasses.replace(robot, profile=wheel, one_way=True)
    identifier = OnlineIdentifier(wheel)
    record = robot.record(duration=15)
    keep = record.position[:, 1] < 2.8  # the knee has limits
    record.stamp = record.stamp[keep]
    estimate = record.feed(identifier)
    for joint in ('hip', 'knee'):
        for what in ('coulomb_friction', 'effort_offset', 'viscous_friction'):
            address = f'joint.{joint}.{what}'
            assert estimate.parameters[address].status == 'not_identified', address
    assert estimate.parameters['joint.hip.armature'].status == 'identified'
    coulomb = estimate.parameters['joint.hip.coulomb_friction']
    assert coulomb.std > 0.5
    assert 'joint.hip.effort_offset' in coulomb.confounded
    offset = estimate.parameters['joint.hip.effort_offset']
    assert 'joint.hip.coulomb_friction' in offset.confounded


def test_noise_alone_identifies_nothing(robot, identifier):
    robot.reach = 0.0
    estimate = robot.record(duration=20, noise=(1e-3, 0.5)).feed(identifier)
    assert not estimate.identified


def test_one_joint_at_rest_stays_unknown(robot, identifier, pendulum):
    moves = robot.moves

    def hip_only(stamp, seed=0):
        parts = moves(stamp, seed)
        for part in parts:
            part[:, 1] = 0.0
        return parts

    robot.moves = hip_only
    estimate = robot.record().feed(identifier)
    assert estimate.parameters['joint.hip.viscous_friction'].status == 'identified'
    # Whether a payload is heavy or far out, it weighs the same: one joint cannot tell.
    com = estimate.parameters['link.tool.com.z']
    assert com.status == 'not_identified' and com.confounded == ('link.tool.mass',)
    armature = estimate.parameters['joint.hip.armature']
    assert armature.status == 'not_identified' and armature.confounded == ('link.tool.com.z',)
    knee = [p for a, p in estimate.parameters.items() if '.knee.' in a]
    assert {p.status for p in knee} == {'not_identified'}


def test_impossible_values_are_not_reported(robot, identifier):
    record = robot.record()
    record.effort *= -1.0  # someone's sign
    estimate = record.feed(identifier)
    for joint in ('hip', 'knee'):
        assert estimate.parameters[f'joint.{joint}.armature'].status == 'not_identified'
        assert estimate.parameters[f'joint.{joint}.armature'].mean >= 0.0


def test_becomes_stale_and_fresh_again(robot, pendulum):
    identifier = OnlineIdentifier(pendulum, SysidConfig(stale_after=5.0))
    estimate = robot.record(duration=15).feed(identifier)
    assert estimate.identified
    mass = estimate.parameters['link.tool.mass']
    rng = np.random.default_rng(0)
    for k in range(200 * 6):
        noise = rng.normal(size=(2, 2))
        identifier.update(15.0 + k / 200, 2e-5 * noise[0], 0.02 * noise[1])
    stale = identifier.estimate().parameters
    assert {p.status for p in stale.values()} <= {'stale', 'not_identified'}
    assert stale['link.tool.mass'].status == 'stale'
    assert stale['link.tool.mass'].mean == pytest.approx(mass.mean, abs=3 * mass.std)
    again = robot.record(duration=3)
    again.stamp += 30.0
    assert again.feed(identifier).identified


def test_forgets_what_is_older_than_its_memory(robot, pendulum):
    identifier = OnlineIdentifier(pendulum, SysidConfig(memory=10.0))
    robot.record(duration=20).feed(identifier)
    robot.truth['link.tool.mass'] = 0.6
    later = robot.record(duration=25, seed=1)
    later.stamp += 20.0
    mass = later.feed(identifier).parameters['link.tool.mass']
    assert mass.mean == pytest.approx(0.6, abs=FAR * mass.std)
    assert mass.std < 0.03


def test_long_motion_is_kept_in_few_blocks(robot, identifier):
    record = robot.record(duration=20)
    for part in range(4):
        record.feed(identifier)
        record.stamp += 20.0 * (part < 3)
    assert len(identifier._moments) <= MOST_BLOCKS + RECENT
    assert len(identifier.estimate().identified) == 11


@pytest.mark.parametrize('rate', [20.0, 30.0, 50.0])
def test_slow_joint_states(robot, pendulum, scores, rate):
    """The filters get slower with them, and so must the motion be."""
    robot.hold = 0.6
    found = scores(
        robot.record(duration=80, rate=rate).feed(OnlineIdentifier(pendulum)), robot.truth
    )
    assert len(found) >= 5
    assert max(abs(z) for z in found.values()) < FAR


@pytest.mark.parametrize('rate', [100.0, 1000.0])
def test_other_rates(robot, identifier, scores, rate):
    found = scores(robot.record(duration=20, rate=rate).feed(identifier), robot.truth)
    assert len(found) >= 8
    assert max(abs(z) for z in found.values()) < FAR


def burst(record, rng):
    """Some samples are not numbers."""
    record.position[rng.integers(0, len(record.stamp), 200), 0] = np.nan
    record.effort[rng.integers(0, len(record.stamp), 200)] = np.inf


def glitches(record, rng):
    """Some efforts, and a position, are absurd."""
    record.effort[rng.integers(0, len(record.stamp), 20), 1] = 1e4
    record.effort[100, 0] = -1e300
    record.position[700, 0] = 1e200
    record.position[1700, 1] = 50.0


def dropped(record, rng):
    """A third of the samples is lost."""
    keep = rng.random(len(record.stamp)) > 0.33
    for name in ('stamp', 'position', 'effort'):
        setattr(record, name, getattr(record, name)[keep])


def silent_at_times(record, rng):
    """A fifth of the samples is lost, up to 0.15 s in a row."""
    keep = np.ones(len(record.stamp), dtype=bool)
    for k in rng.integers(0, len(keep), len(keep) // 90):
        keep[k : k + rng.integers(5, 31)] = False
    for name in ('stamp', 'position', 'effort'):
        setattr(record, name, getattr(record, name)[keep])


def jittered(record, rng):
    """Sampled at uneven times."""
    stamp = record.stamp + rng.uniform(-0.4, 0.4, len(record.stamp)) / 200
    other = record.robot.record(stamp=stamp)
    record.stamp, record.position, record.effort = other.stamp, other.position, other.effort


def repeated(record, rng):
    """Every fifth sample comes twice."""
    again = np.sort(np.r_[np.arange(len(record.stamp)), np.arange(0, len(record.stamp), 5)])
    for name in ('stamp', 'position', 'effort'):
        setattr(record, name, getattr(record, name)[again])


def restarted(record, rng):
    """Time starts anew every four seconds, as a simulation's does."""
    record.stamp = record.stamp % 4.0


def paused(record, rng):
    """The robot falls silent for a second, every four seconds."""
    record.stamp = record.stamp + np.floor(record.stamp / 4.0)


def swapped(record, rng):
    """Neighbours come in the wrong order, now and then."""
    for k in rng.integers(0, len(record.stamp) - 1, 20):
        record.stamp[[k, k + 1]] = record.stamp[[k + 1, k]]
        record.position[[k, k + 1]] = record.position[[k + 1, k]]
        record.effort[[k, k + 1]] = record.effort[[k + 1, k]]


@pytest.mark.parametrize(
    ('spoil', 'least'),
    [
        (burst, 9),
        (glitches, 11),
        (dropped, 9),
        (silent_at_times, 9),
        (jittered, 10),
        (repeated, 11),
        (restarted, 10),
        (paused, 10),
        (swapped, 11),
    ],
)
def test_bad_samples_do_no_harm(robot, identifier, scores, spoil, least):
    record = robot.record()
    record.robot = robot
    spoil(record, np.random.default_rng(3))
    found = scores(record.feed(identifier), robot.truth)
    assert len(found) >= least
    assert max(abs(z) for z in found.values()) < FAR


def test_brakes_while_commands_go_on_take_nothing_away(robot, identifier):
    record = robot.record(duration=50)
    wanted, _, _ = robot.moves(record.stamp)
    braked = (record.stamp >= 35.0) & (record.stamp < 41.0)
    record.position[braked] = record.position[braked][0]
    record.effort[braked] = 0.0
    for sample in zip(record.stamp, record.position, record.effort, wanted):
        identifier.update(*sample)
    assert not identifier.findings
    assert len(identifier.estimate().identified) >= 10


def drop_some(record, rng):
    """Every fifth message is lost."""
    keep = rng.random(len(record.stamp)) > 0.2
    for name in ('stamp', 'position', 'effort'):
        setattr(record, name, getattr(record, name)[keep])


def saturate(record, rng):
    """The hip's efforts are cut."""
    record.effort[:, 0] = np.clip(record.effort[:, 0], -6.0, 6.0)


def saturate_mostly(record, rng):
    """The knee's efforts are cut half of the time."""
    level = np.quantile(np.abs(record.effort[:, 1]), 0.5)
    record.effort[:, 1] = np.clip(record.effort[:, 1], -level, level)


def milliseconds(record, rng):
    """Stamps in thousandths of a second."""
    record.stamp = 1e3 * record.stamp


def milli(record, rng):
    """Efforts in thousandths."""
    record.effort *= 1000.0


def kilo(record, rng):
    """Efforts of one joint in another unit."""
    record.effort[:, 1] *= 0.01


def turn_sign(record, rng):
    """Efforts of one joint with the wrong sign."""
    record.effort[:, 0] *= -1.0


def stick(record, rng):
    """An encoder sticks after ten seconds."""
    record.position[2000:, 0] = record.position[2000, 0]


def exchange(record, rng):
    """Positions in another order than the names."""
    record.position = record.position[:, ::-1].copy()


def degrees(record, rng):
    """Positions in degrees."""
    record.position = np.degrees(record.position)


@pytest.mark.parametrize(
    ('spoil', 'what'),
    [
        (drop_some, {'messages_dropped'}),
        (saturate, set()),  # it takes longer to be sure
        (saturate_mostly, {'effort_saturated'}),
        (milliseconds, {'stamp_units'}),
        (milli, {'effort_units'}),
        (kilo, {'effort_units'}),
        (turn_sign, {'effort_sign'}),
        (stick, {'position_stuck'}),
        (exchange, set()),
        (degrees, {'position_range', 'position_jumps', 'effort_units'}),
    ],
)
def test_what_is_wrong_with_a_log_is_said_and_gives_no_wrong_estimate(
    robot, identifier, scores, spoil, what
):
    record = robot.record(duration=20.0)
    spoil(record, np.random.default_rng(3))
    found = scores(record.feed(identifier), robot.truth)
    assert max((abs(z) for z in found.values()), default=0.0) < FAR
    assert {finding.what for finding in identifier.findings} >= what


def test_a_stuck_encoder_is_told_by_the_commands(robot, identifier, scores):
    """Stuck from the beginning there is no noise that it had, and no motion to compare with."""
    record = robot.record()
    where, _, _ = robot.moves(record.stamp)
    record.position[:, 1] = 0.25
    for k, stamp in enumerate(record.stamp):
        identifier.update(stamp, record.position[k], record.effort[k], where[k])
    found = {(finding.joint, finding.what) for finding in identifier.findings}
    assert ('knee', 'position_stuck') in found
    known = identifier.estimate().identified
    assert not [address for address in known if '.knee.' in address]


def test_what_is_far_from_possible_spoils_what_goes_with_it(lying, scores):
    """Friction that pushes: upright axes carry no weight that would tell the sign by itself."""
    from test.unit.sysid.conftest import TRUTH, Robot

    record = Robot(lying).record()
    record.effort = -record.effort
    found = scores(record.feed(OnlineIdentifier(lying)), TRUTH)
    assert not [address for address in found if address.startswith('joint.')]


def test_joint_without_effort_is_left_out(robot, identifier, scores):
    record = robot.record()
    record.effort[:, 1] = np.nan
    estimate = record.feed(identifier)
    found = scores(estimate, robot.truth)
    assert not any('.knee.' in address for address in found)
    assert 'link.tool.mass' in found and 'joint.hip.armature' in found
    assert max(abs(z) for z in found.values()) < FAR


def test_no_effort_at_all_is_said(robot, identifier):
    record = robot.record(duration=3)
    record.effort[:] = np.nan
    assert not record.feed(identifier).identified
    assert list(identifier.faults) == ['no effort of hip, knee']


def test_effort_that_never_changes_is_no_measurement(robot, identifier):
    record = robot.record(duration=15)
    record.effort[:] = 0.0
    assert not record.feed(identifier).identified
    assert list(identifier.faults) == ['no effort of hip, knee']


def test_missing_joint_is_named_and_never_zero(robot, identifier):
    record = robot.record(duration=3)
    record.position[:, 1] = np.nan
    assert not record.feed(identifier).identified
    assert identifier.faults == {'no position of knee': 600}


def test_joint_whose_angle_wraps(robot, wheel, scores):
    record = dataclasses.replace(robot, profile=wheel).record()
    record.position[:, 0] %= 2 * np.pi
    assert np.abs(np.diff(record.position[:, 0])).max() > 6  # from one turn to the next
    identifier = OnlineIdentifier(wheel)
    found = scores(record.feed(identifier), robot.truth)
    assert len(found) == 11
    assert max(abs(z) for z in found.values()) < FAR
    assert not identifier.faults


def test_jump_of_the_position_starts_over(robot, identifier):
    record = robot.record(duration=10)
    record.position[1000:, 0] += 0.8
    record.feed(identifier)
    assert identifier.faults == {'started over: position jumped': 1}


def test_messages_that_overtake_one_another_do_not_start_over(robot, identifier):
    record = robot.record(duration=10)
    for stamp, position, effort in zip(record.stamp, record.position, record.effort):
        identifier.update(stamp, position, effort)
        identifier.update(stamp - 1e-6, position, effort)
        identifier.update(stamp - 0.09, position + 1.0, effort)
    assert identifier.faults == {'stamp does not advance': 2 * len(record.stamp)}
    assert identifier.estimate().identified


def test_joint_states_without_a_stamp_are_named_as_the_cause(robot, identifier):
    record = robot.record(duration=1)
    record.stamp[:] = 0.0
    record.feed(identifier)
    assert identifier.faults == {UNSTAMPED: len(record.stamp) - 1}


def test_update_says_whether_it_learned(robot, identifier):
    record = robot.record(duration=3)
    told = [
        identifier.update(*sample) for sample in zip(record.stamp, record.position, record.effort)
    ]
    assert any(told) and not all(told)
