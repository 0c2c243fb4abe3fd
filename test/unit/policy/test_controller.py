"""The control cycle, driven by hand: stamps, steady time and samples are arguments."""

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest

from sim2real_core.errors import InputError, Sim2RealError
from sim2real_core.joint_states import UNSTAMPED
from sim2real_policy.action import Action
from sim2real_policy.bundle import Normalizer
from sim2real_policy.controller import NO_GOAL, NO_SAMPLE, UNTIL_RESET
from sim2real_policy.guard import NOT_FINITE
from sim2real_policy.observation import Term

START = (0.25, 0.5)
STEP = 0.01  # between samples; the control period is 0.02

LATCHED = f'{NOT_FINITE}: {UNTIL_RESET}'


def test_acts_once_a_control_period(rig):
    made = rig()
    acted = [made.sample() is not None for _ in range(9)]
    assert acted == [True, False] * 4 + [True]


def test_keeps_the_mean_rate_when_samples_do_not_divide_the_period(rig):
    made = rig()
    acted = sum(made.sample(step=0.008) is not None for _ in range(1000))
    assert acted == pytest.approx(8.0 / 0.02, abs=2)
    assert made.controller.missed == 0


def test_counts_periods_without_a_command(rig):
    made = rig()
    made.sample()
    assert made.sample(step=0.1) is not None
    assert made.controller.missed == 4


def test_first_command_starts_from_the_measured_pose(rig):
    made = rig()
    made.action = [0.01, 0.002]
    np.testing.assert_allclose(made.sample((0.3, 0.4)), [0.31, 0.402], atol=1e-7)


def test_observation_and_normalizer_reach_the_network(rig, metadata):
    normalizer = Normalizer(mean=(1.0, 2.0), std=(2.0, 4.0))
    made = rig(order={'normalizer': normalizer})
    made.sample((0.35, 0.7))
    np.testing.assert_allclose(made.controller.observation, [0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(made.seen[0], [(0.1 - 1) / 2, (0.2 - 2) / 4], rtol=1e-6)


def test_command_is_in_the_robots_joint_order(rig, metadata):
    meta = metadata()
    turned = {
        'joints': meta.joints[::-1],
        'observation': [Term(kind='joint_position')],
        'limits': type(meta.limits)(
            **{k: v[::-1] for k, v in dataclasses.asdict(meta.limits).items()}
        ),
        'default_position': meta.default_position[::-1],
    }
    made = rig(order=turned)
    made.action = [0.002, 0.01]  # reach, turn
    sent = made.sample((0.5, 0.25))  # the caller fills inputs in the policy's order
    np.testing.assert_allclose(sent, [0.26, 0.502], atol=1e-7)


def test_goal_tool_and_previous_action_are_seen(rig):
    terms = [Term(kind=k) for k in ('goal_position', 'tool_position', 'previous_action')]
    made = rig(terms=terms)
    assert made.sample((math.pi / 2, 0.25)) is not None
    assert made.controller.fault == NO_GOAL and not made.controller.decided
    assert not made.controller.goal(np.array([math.nan, 0.0, 0.0]))
    assert made.controller.goal(np.array([1.0, 2.0, 3.0]))
    made.action = [0.01, 0.02]
    made.sample((math.pi / 2, 0.25), step=0.02)
    made.sample((math.pi / 2, 0.25), step=0.02)
    assert made.controller.decided
    expected = [1, 2, 3, 0, 0.75, 0, 0.01, 0.02]  # the tool is 0.5 + 0.25 m out, along y
    np.testing.assert_allclose(made.controller.observation, expected, atol=1e-6)


def test_nothing_is_sent_before_a_usable_sample(rig):
    made = rig()
    assert made.watch(100.0) is None
    assert made.sample((math.nan, 0.0)) is None
    assert made.sample(fault='a joint is missing') is None
    assert made.watch(100.0) is None
    assert made.sample() is not None


@pytest.mark.parametrize('bad', [{'position': (math.nan, 0.5)}, {'fault': 'lacks reach'}])
def test_an_unusable_sample_holds_at_once_and_recovers(rig, bad):
    made = rig()
    made.action = [0.01, 0.0]
    sent = made.sample()
    sent_bad = made.sample(step=0.02, **bad)
    np.testing.assert_array_equal(sent_bad, sent)
    assert made.controller.guard.reasons == ('hold',) and made.controller.fault
    assert made.sample(step=0.02) is not None
    assert made.controller.fault == '' and made.controller.guard.reasons == ()


def test_unusable_for_long_turns_into_damping(rig):
    made = rig(stale_after=0.1, hold_time=0.2)
    made.action = [0.0, 0.004]
    for _ in range(10):
        made.sample(step=0.02)
    names = []
    for _ in range(20):
        made.sample(fault='lacks reach', step=0.02)
        names.append(made.controller.guard.reasons)
    assert names == [('hold',)] * 15 + [('damp',)] * 5


def test_a_dead_sensor_is_noticed_on_steady_time(rig):
    """Held 0.1 s after the last sample, damped 0.2 s later, one command each control period."""
    made = rig(stale_after=0.1, hold_time=0.2)
    made.action = [0.0, 0.004]
    for _ in range(10):
        made.sample(step=0.02)
    assert made.watch(0.05) is None
    assert made.controller.deadline() == pytest.approx(made.now + 0.05, abs=1e-4)
    names = []
    for _ in range(400):
        if made.watch(0.001) is not None:
            names.append(made.controller.guard.reasons)
    # From 0.1 to 0.3 s hold, until 0.45 s damp.
    assert set(names[:10]) == {('hold',)} and set(names[11:]) == {('damp',)}
    assert len(names) in (17, 18)
    assert made.controller.fault.startswith('no new joint state for 0.4')
    np.testing.assert_allclose(made.controller.command, START, atol=0.03)
    assert made.sample(step=0.5) is not None and made.controller.fault == ''


def test_a_stamp_that_stands_still_is_a_dead_sensor(rig):
    made = rig(stale_after=0.1)
    made.sample()
    for _ in range(20):
        made.now += STEP
        assert made.sample(step=0.0) is None
    assert made.watch(0.0) is not None
    assert made.controller.guard.reasons == ('hold',)


def test_a_stamp_that_goes_backward_starts_afresh(rig):
    made = rig(terms=[Term(kind='joint_position', history=2), Term(kind='previous_action')])
    made.action = [0.01, 0.01]
    for _ in range(5):
        made.sample()
    made.stamp = 0.0
    assert made.sample((0.75, 0.75)) is not None
    expected = [0.5, 0.25, 0.5, 0.25, 0, 0]
    np.testing.assert_allclose(made.controller.observation, expected, atol=1e-6)
    np.testing.assert_allclose(made.controller.command, [0.76, 0.754], atol=1e-6)


def test_a_hole_in_the_samples_refills_the_histories(rig):
    made = rig(terms=[Term(kind='joint_position', history=2)], stale_after=0.1)
    made.sample((0.25, 0.5))
    made.sample((0.35, 0.5), step=0.2)
    np.testing.assert_allclose(made.controller.observation, [0.1, 0, 0.1, 0], atol=1e-6)


def test_a_non_finite_action_latches_until_released(rig):
    made = rig(terms=[Term(kind='joint_position'), Term(kind='previous_action')])
    made.action = [0.01, 0.0]
    sent = made.sample()
    made.action = [math.nan, 0.0]
    held = made.sample(step=0.02)
    np.testing.assert_array_equal(held, sent)
    assert made.controller.fault == LATCHED
    assert made.controller.guard.reasons == ('non_finite', 'hold')
    made.action = [0.01, 0.0]
    np.testing.assert_array_equal(made.sample(step=0.02), sent)
    assert made.controller.fault == LATCHED
    made.controller.release()
    assert made.sample(step=0.02)[0] > sent[0]
    assert made.controller.fault == ''
    assert np.isfinite(made.seen[-1]).all()


def test_what_holds_the_robot_is_said_between_two_commands_too(rig):
    made = rig()
    made.repeat(3)
    assert made.controller.fault == ''
    made.controller.guard.stop('a person')
    made.repeat(1)
    said = set()
    for _ in range(8):  # joint states come four times as often as commands
        made.sample(step=0.005)
        said.add(made.controller.fault)
    assert said == {'a person: stopped until reset'}
    made.controller.release()
    made.repeat(2)
    assert made.controller.fault == ''


def test_a_timer_acts_on_the_newest_sample(rig):
    made = rig(control='timer', stale_after=0.1)
    assert made.sample() is None
    made.action = [0.01, 0.0]
    sent = [made.watch(0.005) for _ in range(12)]
    assert [s is not None for s in sent] == [True, False, False, False] * 3
    assert sent[8][0] == pytest.approx(0.28)
    assert made.watch(0.2) is not None and made.controller.guard.reasons == ('hold',)
    assert made.controller.missed > 0


def test_a_timer_tells_how_long_its_cycles_take_and_grows_no_memory(rig):
    made = rig(control='timer')

    def cycle():
        made.sample(step=0.02)
        return made.watch(0.0)

    stages = made.controller.stages
    for cycles in range(1, 4):
        assert cycle() is not None
        stages.close()
        assert stages.total.count == stages.of['infer'].count == cycles
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2000):
            cycle()
            made.seen.clear()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 10_000


def test_a_paced_policy_never_acts_by_itself(rig):
    made = rig(paced=True)
    made.sample()
    assert made.controller.deadline() == math.inf
    assert made.watch(100.0) is None


def test_imu_must_be_recent_and_finite(rig, robot, metadata, tmp_path):
    robot()
    path = tmp_path / 'with_imu.yaml'
    path.write_text((tmp_path / 'pair_position.yaml').read_text() + 'imu_link: arm\n')
    from sim2real_core.profile import load_profile

    profile = load_profile(path)
    made = rig(robot=lambda interface: profile, terms=[Term(kind='imu_linear_acceleration')])
    made.sample()
    assert 'imu' in made.controller.fault
    vector = np.array([0.0, 0.0, 9.81])
    made.controller.sense('imu', made.stamp, dict(linear_acceleration=vector * math.nan))
    made.sample()
    assert 'imu' in made.controller.fault
    made.controller.sense('imu', made.stamp, dict(linear_acceleration=vector))
    assert made.sample() is not None and made.controller.fault == ''
    np.testing.assert_allclose(made.controller.observation, vector)
    made.sample(step=1.0)
    assert 'imu' in made.controller.fault


def test_stop_brings_the_robot_to_rest(rig):
    made = rig()
    made.action = [0.0, 0.015]
    for _ in range(20):
        made.sample(step=0.02)
    steps = [made.controller.stop() for _ in range(20)]
    assert steps[0] and not steps[-1]
    sent = made.controller.command.copy()
    made.controller.stop()
    np.testing.assert_array_equal(made.controller.command, sent)


def test_stop_lets_go_of_an_effort(rig):
    made = rig(interface='effort')
    made.action = [5.0, 5.0]
    assert made.controller.required == {'position', 'velocity'}
    np.testing.assert_allclose(made.sample(), [5.0, 5.0])
    while made.controller.stop():
        pass
    np.testing.assert_allclose(made.controller.command, 0.0, atol=1e-4)


def test_reset_forgets_the_robot(rig):
    made = rig()
    made.sample()
    made.controller.reset()
    assert made.controller.fault == NO_SAMPLE and not made.controller.ready
    assert made.controller.deadline() == math.inf


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort'])
def test_samples_that_are_not_finite_never_reach_the_robot(rig, interface):
    """Long enough to hold, to damp, and to come back."""
    made = rig(interface=interface, hold_time=0.2)
    made.action = [0.0, 0.004]
    made.repeat(10)
    sent = made.repeat(60, position=(math.nan, 0.5))
    assert np.isfinite(sent).all() and made.controller.guard.reasons == ('damp',)
    rest = START if interface == 'position' else (0.0, 0.0)
    np.testing.assert_allclose(sent[-1], rest, atol=0.01)  # where it was when last seen
    assert np.isfinite([made.watch(0.2) for _ in range(10)]).all()
    while made.controller.stop():
        pass
    assert np.isfinite(made.controller.command).all()
    assert np.isfinite(made.repeat(3)).all() and made.controller.fault == ''


def test_late_samples_of_a_second_publisher_change_nothing(rig):
    """Their stamps are a hair older, or the same, or nearly 0.1 s old."""
    runs = []
    for disturbances in ((), (-1e-6, 0.0, -0.09)):
        made = rig(terms=[Term(kind='joint_position', history=3)])
        made.action = [0.001, 0.001]
        sent = []
        for k in range(40):
            sent.append(made.sample((0.25 + 1e-3 * k, 0.5)))
            for late in disturbances:
                assert not made.controller.newer(made.stamp + late)
                assert not made.controller.sample(made.stamp + late, made.now, 'lacks reach')
        runs.append([s for s in sent if s is not None])
        assert made.controller.fault == '' and made.controller.guard.counts['hold'] == 0
    np.testing.assert_array_equal(*runs)


def test_joint_states_without_a_stamp_are_named_as_the_cause(rig):
    made = rig(stale_after=0.1)
    made.stamp = 0.0
    made.sample(step=0.0)  # a simulation may begin at zero
    assert made.controller.fault == ''
    made.sample(step=0.0)
    assert made.controller.fault == UNSTAMPED
    assert made.watch(0.2) is not None and made.controller.guard.reasons == ('hold',)
    assert made.controller.fault == UNSTAMPED
    made.stamp = 5.0
    assert made.sample() is not None and made.controller.fault == ''


def test_a_robot_that_was_let_go_of_is_taken_where_it_is(rig):
    made = rig(stale_after=0.1, hold_time=0.2)
    made.sample()
    while made.controller.guard.reasons != ('damp',):
        made.watch(0.02)
    made.action = [0.01, 0.0]
    elsewhere = (0.75, 0.9)  # somebody moved it meanwhile
    np.testing.assert_allclose(made.sample(elsewhere, step=1.0), [0.76, 0.9], atol=1e-6)


def test_an_infinite_action_is_no_large_one(rig):
    made = rig(order={'action': Action(meaning='delta', scale=(1.0, 1.0), clip=0.01)})
    sent = made.sample()
    made.action = [math.inf, 0.0]
    np.testing.assert_array_equal(made.sample(step=0.02), sent)
    assert made.controller.fault == LATCHED


def test_a_sensor_slower_than_stale_after_is_refused(rig):
    """Else commands of the policy and holds would alternate. Samples come at 100 Hz."""
    with pytest.raises(InputError, match=r'stale_after(.|\n)*joint_state_rate \(100 Hz\)'):
        rig(stale_after=0.024)
    assert rig(stale_after=0.025).sample() is not None


def test_another_version_of_the_profile_is_said(rig):
    assert rig().controller.warning == rig(order={'profile': ''}).controller.warning == ''
    made = rig(order={'profile': 'f' * 64})
    assert 'another version of profile pair' in made.controller.report()['warning']


def test_a_runtime_that_fails_stops_the_robot_until_reset(rig, monkeypatch):
    made = rig()
    made.action = [0.01, 0.002]
    before = made.sample((0.3, 0.4)).copy()

    def fails(*given):
        raise Sim2RealError('the GPU was not done within 10 s')

    runtime = made.controller._runtime
    monkeypatch.setattr(runtime, 'infer', fails)
    sent = [command for _ in range(4) if (command := made.sample((0.3, 0.4))) is not None]
    np.testing.assert_allclose(sent, [before] * len(sent), atol=1e-9)
    assert len(sent) == 2 and not made.controller.decided
    assert 'the GPU was not done' in made.controller.fault
    assert UNTIL_RESET in made.controller.fault
    monkeypatch.undo()
    made.controller.release()
    made.sample((0.3, 0.4))
    assert made.sample((0.3, 0.4)) is not None or made.controller.decided
    assert made.controller.fault == ''
