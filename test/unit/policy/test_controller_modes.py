"""How a policy starts, is led, is watched, and what it is told beside joint states."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sim2real_core.mobile import TwistElement
from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import STARTING, UNTIL_RESET, Controller
from sim2real_policy.observation import Term

START = np.array([0.25, 0.5])
PERIOD = 0.02


def follow(made, times, position):
    """As many control periods; the robot is always where it was commanded to be."""
    sent = []
    for _ in range(times):
        position = made.sample(step=PERIOD, position=position)
        sent.append(position)
    return np.array(sent)


def test_an_activated_policy_first_moves_slowly_to_its_pose(rig):
    made = rig(start_speed=0.2)
    made.controller.start()
    made.action = [1.0, 1.0]
    here = START + np.array([1.0, -0.6])
    sent = follow(made, 400, here)
    fault = made.controller.fault
    assert fault == '' and made.seen, 'in the end the policy acts'
    arrived = int(np.argmax(np.abs(sent - START).max(axis=1) < 1e-3))
    speed = np.abs(np.diff(sent[: arrived + 1], axis=0)).max(axis=0) / PERIOD
    limit = 0.2 * np.array([2.0, 4.0])
    assert (speed <= limit + 1e-6).all() and (speed / limit).max() > 0.95
    assert len(made.seen) < 400 - arrived, 'and not before'


def test_the_way_to_the_pose_is_told_and_can_be_left_out(rig):
    made = rig()
    made.controller.start()
    made.sample(position=START + 0.5)
    assert made.controller.fault == STARTING and made.seen == []
    direct = rig(start_speed=0.0)
    direct.controller.start()
    direct.sample(position=START + 0.5)
    assert direct.controller.fault == '' and len(direct.seen) == 1
    near = rig()
    near.controller.start()
    near.sample(position=START + 0.05)
    assert near.controller.fault == '' and len(near.seen) == 1


def test_a_continuous_joint_takes_the_short_way_to_the_pose(rig):
    made = rig()
    made.controller.start()
    here = START + np.array([2.0 * math.pi - 0.5, 0.0])
    sent = follow(made, 300, here)
    assert sent[-1, 0] == pytest.approx(START[0] + 2.0 * math.pi, abs=0.1)


def test_an_emergency_stop_lasts_until_it_is_released(rig):
    made = rig()
    made.action = [0.01, 0.0]
    moved = follow(made, 10, START)
    made.controller.guard.stop('emergency stop')
    stopped = follow(made, 30, moved[-1])
    assert made.controller.fault == f'emergency stop: {UNTIL_RESET}'
    np.testing.assert_allclose(stopped[-1], stopped[-5], atol=1e-12)
    made.controller.release()
    again = follow(made, 5, stopped[-1])
    assert again[-1, 0] > stopped[-1, 0] and made.controller.fault == ''


def test_limited_mode_is_slower_and_stays_in_its_box(rig):
    made = rig(speed_factor=0.1, workspace_high=(1.2, 1e3, 1e3))
    made.action = [0.0, 1.0]
    sent = made.repeat(300)
    speed = np.abs(np.diff(sent, axis=0)).max(axis=0) / PERIOD
    assert speed[1] == pytest.approx(0.4, rel=1e-3)
    assert made.controller.guard.counts['workspace'] > 0
    # The tool is 0.5 + reach from the axis, turned by 0.25 rad.
    assert (0.5 + sent[-1, 1]) * math.cos(0.25) <= 1.2 + 1e-6


def test_in_shadow_a_delta_counts_from_where_the_robot_is(rig):
    made = rig(shadow=True)
    made.action = [0.01, 0.0]
    sent = made.repeat(50)
    np.testing.assert_allclose(sent[-1], START + np.array([0.01, 0.0]), atol=1e-6)


def test_a_velocity_goal_must_be_repeated(rig):
    made = rig(terms=[Term(kind='velocity_command')], goal_time=0.1)
    assert made.sample(step=PERIOD) is not None, 'it need not have one'
    np.testing.assert_array_equal(made.seen[-1], 0.0)
    assert made.controller.velocity_goal(np.array([0.5, 0.0, -1.0]))
    assert not made.controller.velocity_goal(np.array([math.nan, 0.0, 0.0]))
    made.repeat(5)
    np.testing.assert_allclose(made.seen[-1], [0.5, 0.0, -1.0])
    made.repeat(2)
    np.testing.assert_array_equal(made.seen[-1], 0.0)


def test_a_velocity_goal_before_the_first_sample_does_not_last_for_ever(rig):
    made = rig(terms=[Term(kind='velocity_command')], goal_time=0.1)
    made.controller.velocity_goal(np.array([0.5, 0.0, 0.0]))
    made.repeat(2)
    assert made.seen[-1][0] == 0.5
    made.repeat(8)
    assert made.seen[-1][0] == 0.0


def test_odometry_must_be_recent_and_its_age_is_told(rig):
    made = rig(terms=[Term(kind='base_linear_velocity'), Term(kind='base_position')])
    made.sample(step=PERIOD)
    assert 'odometry' in made.controller.fault
    values = {
        'base_linear_velocity': np.array([1.0, 0, 0]),
        'base_position': np.array([2.0, 0, 0]),
    }
    made.controller.sense('odometry', made.stamp, values)
    made.repeat(3)
    assert made.controller.fault == ''
    np.testing.assert_allclose(made.seen[-1], [1, 0, 0, 2, 0, 0])
    assert made.controller.report()['age_odometry [s]'] == pytest.approx(0.06)
    made.repeat(3)
    assert 'odometry' in made.controller.fault


def test_a_clock_that_stands_still_is_named(rig):
    made = rig()
    made.repeat(5)
    for _ in range(20):
        made.now += PERIOD
        made.controller.newer(made.stamp)
    assert made.watch(0.2) is not None
    assert 'stands still at 10.1 s' in made.controller.fault
    made.repeat(2)
    assert made.controller.fault == ''


def test_time_that_went_backward_is_counted(rig):
    made = rig()
    made.repeat(5)
    made.stamp = 3.0
    made.repeat(2)
    assert made.controller.report()['restarts'] == 1


def test_samples_that_come_too_slowly_are_doubted(rig):
    made = rig()
    made.repeat(50)
    assert made.controller.doubt == ''
    assert made.controller.report()['joint_state_rate [Hz]'] == pytest.approx(50.0, rel=1e-3)
    for _ in range(200):
        made.sample(step=0.04)
    assert made.controller.doubt.startswith('joint states come at 25')


def test_a_base_that_rolls_sideways_is_driven_within_its_limits():
    """A robot's own base; only the embedded simulator has no wheels for linear.y."""
    rover = load_profile('rover')
    sideways = TwistElement(name='linear.y', velocity=0.5, acceleration=1.0)
    base = replace(rover, twist=(*rover.twist, sideways), wheels=None)
    action = Action(meaning='twist', scale=(1.0,) * 3)
    meta = BundleMetadata.for_robot(base, [Term(kind='velocity_command')], action)
    network = SimpleNamespace(
        infer=lambda seen: np.array([[0.1, 0.2, 9.0]]), reset=lambda: None, report=dict
    )
    made = Controller(meta, base, network, PolicyConfig(bundle='given'))
    sent = []
    for k in range(40):
        made.velocity_goal(np.array([0.0, 9.0, 0.0]))
        if made.sample(10.0 + PERIOD * k, PERIOD * k):
            sent.append(made.act().copy())
    sent = np.array(sent)
    assert made.fault == '' and len(sent) == 40
    np.testing.assert_allclose(sent[-1], [0.1, 0.2, 0.5])
    assert np.diff(sent[:, 2]).max() <= 1.0 * PERIOD + 1e-9
    assert set(made.guard.reasons) == {'velocity_limit'}


@pytest.mark.parametrize(
    ('position', 'said'),
    [(math.nan, 'base_position is not finite'), (-1e30, 'base_position, -1e+30, is beyond')],
)
def test_odometry_that_cannot_be_is_named_and_not_seen(rig, position, said):
    made = rig(terms=[Term(kind='base_position')], stale_after=0.1)
    for _ in range(10):
        made.controller.sense('odometry', made.stamp + PERIOD, {'base_position': np.zeros(3)})
        made.sample(step=PERIOD)
    assert made.controller.fault == ''
    for _ in range(10):
        broken = {'base_position': np.array([0.0, position, 0.0])}
        made.controller.sense('odometry', made.stamp + PERIOD, broken)
        made.sample(step=PERIOD)
    assert made.controller.fault.startswith(f'no recent, usable odometry sample: {said}')
    assert made.controller.guard.reasons == ('hold',)
    assert all(np.abs(seen).max() == 0.0 for seen in made.seen)


def test_a_sensor_whose_clock_is_ahead_does_not_look_fresh_for_ever(rig):
    made = rig(terms=[Term(kind='base_position')], stale_after=0.1)
    made.controller.sense('odometry', made.stamp + 3600.0, {'base_position': np.ones(3)})
    made.sample(step=PERIOD)
    assert (
        made.controller.fault == 'odometry samples are stamped 3.6e+03 s ahead of the joint states'
    )
    assert made.seen == []


def test_odometry_out_of_order_does_not_undo_a_newer_one(rig):
    made = rig(terms=[Term(kind='base_position')])
    for late, value in ((0.0, 1.0), (-0.01, 2.0)):
        stamp = made.stamp + PERIOD + late
        made.controller.sense('odometry', stamp, {'base_position': np.full(3, value)})
    made.sample(step=PERIOD)
    np.testing.assert_array_equal(made.seen[-1], 1.0)


def test_a_goal_that_cannot_be_is_refused(rig):
    made = rig(terms=[Term(kind='velocity_command')])
    assert not made.controller.velocity_goal(np.array([1e30, 0.0, 0.0]))
    assert not made.controller.goal(np.array([0.0, 0.0, -1e30]))
    assert not made.controller.goal(np.array([0.0, 0.0, math.inf]))
    made.repeat(2)
    np.testing.assert_array_equal(made.seen[-1], 0.0)


@pytest.mark.filterwarnings('error')  # what overflows is judged, not warned of
def test_one_absurd_action_does_not_hold_the_robot_for_ever(rig):
    """The network would see it again as its previous action."""
    made = rig(terms=[Term(kind='previous_action')])
    made.action = [1e30, 0.0]
    made.repeat(1)
    made.action = [0.0, 0.0]
    made.repeat(1)
    assert 'absurdly large' in made.controller.fault
    made.repeat(1)
    assert made.controller.fault == ''
    np.testing.assert_array_equal(made.seen[-1], 0.0)
