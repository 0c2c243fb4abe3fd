"""The later stages of the guard: workspace, novelty, stop, override, rate of efforts."""

import tracemalloc

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics
from sim2real_core.profile import load_profile
from sim2real_policy.guard import NOT_FINITE, Guard, Limits
from sim2real_policy.guard_input import Plausibility
from sim2real_policy.novelty import NoveltyGate
from sim2real_policy.workspace import Workspace, reach, workspace_of

INF = float('inf')
PERIOD = 0.1
ZERO = np.zeros(1)


def guard(interface='position', joints=1, *, acceleration=INF, bound=1.0, **more):
    values = dict(lower=-bound, upper=bound, velocity=2.0, effort=5.0, acceleration=acceleration)
    limits = Limits(**{name: (value,) * joints for name, value in values.items()})
    times = dict(period=PERIOD, hold_time=0.25, damp_time=0.2) | more
    made = Guard(limits, interface=interface, **times)
    made.reset(np.zeros(joints))
    return made


def apply(made, order):
    size = len(made.command)
    return float(made.apply(np.full(size, order), np.zeros(size), np.zeros(size))[0])


# Stop


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort', 'twist'])
def test_a_stop_lasts_until_it_is_released(interface):
    made = guard(interface, bound=INF if interface == 'twist' else 1.0)
    apply(made, 0.15)
    made.stop('a person')
    made.stop('another')
    sent = [apply(made, 0.3) for _ in range(30)]
    assert made.stopped == 'a person' and made.reasons == ('stop',) and made.latched
    assert sent[-1] == pytest.approx(0.15 if interface == 'position' else 0.0, abs=1e-6)
    made.hold(), made.stale(0.0, ZERO)
    assert made.reasons == ('stop',) and made.counts['stop'] == 32
    made.release()
    apply(made, sent[-1])
    assert made.reasons == () and not made.stopped


def test_stale_input_holds_then_damps_then_stops():
    made = guard(stop_time=0.55)
    apply(made, 0.16)
    names = []
    for tick in range(8):
        made.stale(0.1 * tick, ZERO)
        names.append(made.reasons)
    assert names == [('hold',)] * 3 + [('damp',)] * 3 + [('stop',)] * 2
    assert made.stopped == 'no usable input for more than 0.55 s'
    assert not made.damping  # or each sample would start it anew
    apply(made, 0.1)
    assert made.reasons == ('stop',)
    made.release()
    assert made.damping  # the robot may be anywhere


def test_an_effort_is_not_kept_for_ever_whatever_the_reason():
    for rest in (
        lambda made: made.hold(),
        lambda made: made.apply(np.full(1, np.nan), ZERO, ZERO),
        lambda made: made.stale(0.0, np.full(1, np.nan)),
    ):
        made = guard('effort')
        apply(made, 4.0)
        sent = [float(rest(made)[0]) for _ in range(20)]
        assert sent[:2] == [4.0, 4.0] and sent[-1] < 0.01
        assert (np.diff(sent) <= 0).all()


def test_letting_go_drops_an_effort_at_once_and_keeps_a_position():
    effort, position = guard('effort'), guard()
    apply(effort, 4.0), apply(position, 0.1)
    assert effort.let_go()[0] == 2.0 and position.let_go()[0] == 0.1


def test_the_first_reason_of_a_stop_counts():
    made = guard()
    apply(made, np.nan)
    assert made.stopped == NOT_FINITE
    made.stop('a person')
    assert made.stopped == NOT_FINITE


# Override


def test_a_person_is_blended_in():
    made = guard()
    made.override(np.array([0.1]), 0.25)
    assert apply(made, 0.0) == pytest.approx(0.025) and made.reasons == ('override',)
    made.override(np.array([0.1]), 1.0)
    assert apply(made, 0.0) == pytest.approx(0.1)
    made.override(np.array([0.1]), 0.0)
    assert apply(made, 0.05) == 0.05 and made.reasons == ()


def test_a_person_is_limited_as_the_policy_is():
    made = guard(acceleration=5.0)
    made.override(np.array([1e300]), 1.0)
    assert apply(made, 0.0) == pytest.approx(0.05)
    assert set(made.reasons) == {
        'override', 'position_limit', 'velocity_limit', 'acceleration_limit',
    }  # fmt: skip


def test_a_person_who_falls_silent_makes_it_hold_until_the_robot_is_given_back():
    made = guard()
    made.override(np.array([0.1]), 1.0)
    names = []
    for _ in range(6):
        apply(made, 0.5)
        names.append(made.reasons)
    assert names == [('override',)] * 3 + [('hold', 'override')] * 3
    made.override(np.array([0.1]), 0.0)
    assert apply(made, 0.2) == 0.2 and made.reasons == ()


@pytest.mark.parametrize(
    ('command', 'weight', 'field'),
    [
        ([np.nan], 0.5, 'command'),
        ([0.1, 0.2], 0.5, 'command'),
        ([0.1], 1.1, 'weight'),
        ([0.1], np.nan, 'weight'),
    ],
)
def test_an_override_that_means_nothing_is_refused_and_changes_nothing(command, weight, field):
    made = guard()
    with pytest.raises(InputError, match=field):
        made.override(np.array(command), weight)
    assert apply(made, 0.05) == 0.05 and made.reasons == ()


def test_nobody_overrides_a_stop():
    made = guard()
    made.stop('danger')
    made.override(np.array([0.1]), 1.0)
    assert apply(made, 0.0) == 0.0 and made.reasons == ('stop',)


# Novelty


def gate(persistence=0.3, margin=0.25):
    low, high = np.array([-1.0, 0.0, 5.0]), np.array([1.0, 0.5, 5.0])
    return NoveltyGate(low, high, period=PERIOD, persistence=persistence, margin=margin)


def see(made, first=0.0, second=0.1, third=5.0):
    return made.see(np.array([first, second, third], np.float32))


def test_novelty_must_persist_to_close_the_gate_and_to_open_it():
    made = gate()
    assert [see(made, 9.0) for _ in range(4)] == [False, False, True, True]
    assert [see(made) for _ in range(2)] == [True, True]
    assert see(made, 9.0)  # in between counts anew
    assert [see(made) for _ in range(4)] == [True, True, False, False]


def test_novelty_has_a_margin_by_the_range_of_training():
    made = gate(persistence=0.0)
    assert not see(made, 1.49) and see(made, 1.51)
    assert not see(made, second=0.62) and see(made, second=0.63)
    assert not see(made, third=5.00001) and see(made, third=5.1)
    assert made.outside(np.array([9.0, 0.1, -5.0], np.float32)) == [0, 2]


@pytest.mark.parametrize('bad', [np.nan, INF, -INF])
def test_what_is_not_finite_is_novel(bad):
    assert see(gate(persistence=0.0), bad)


def test_a_novel_world_holds_until_it_is_known_again_or_a_person_leads():
    made = guard(novelty=gate(persistence=PERIOD))
    apply(made, 0.1)
    made.see(np.array([9.0, 0.1, 5.0], np.float32))
    assert apply(made, 0.2) == 0.1 and made.reasons == ('hold', 'novelty')
    made.override(np.array([0.15]), 1.0)
    assert apply(made, 0.2) == pytest.approx(0.15)
    made.override(np.array([0.15]), 0.0)
    made.see(np.array([0.0, 0.1, 5.0], np.float32))
    assert apply(made, 0.2) == 0.2 and made.reasons == ()


# Rate of efforts


def test_efforts_change_at_a_rate():
    made = guard('effort', effort_rate=(10.0,))
    assert [apply(made, 2.5) for _ in range(4)] == [1.0, 2.0, 2.5, 2.5]
    assert made.counts['rate_limit'] == 2
    assert made.let_go()[0] == pytest.approx(2.5 * (1.0 - 0.1 / 0.2))


def test_an_effort_that_pushes_beyond_a_limit_is_cut_at_once_whatever_its_rate():
    made = guard('effort', effort_rate=(10.0,))
    for _ in range(3):
        apply(made, 2.5)
    assert made.apply(np.array([2.5]), np.array([1.1]), ZERO)[0] == 0.0
    assert 'position_limit' in made.reasons


# Workspace


def arm(box, **more):
    """Two links of 0.5 m in a plane, stretched out along x."""

    def tool(q):
        return np.array([0.5 * np.cos(q[0]) + 0.5 * np.cos(q.sum()), 0.5 * np.sin(q[0]), 0.0])

    low, high = box
    return guard(joints=2, bound=3.0, workspace=Workspace(low, high, tool), **more), tool


def test_the_tool_stops_at_the_wall_and_comes_back():
    made, tool = arm(([-9, -9, -9], [9, 0.3, 9]), acceleration=4.0)
    order, still = np.array([1.5, 0.0]), np.zeros(2)
    path = np.array([tool(made.apply(order, still, still).copy()) for _ in range(40)])
    assert path[:, 1].max() <= 0.3 + 1e-9
    assert path[-1, 1] > 0.28  # as far as it may
    assert 'workspace' in made.reasons
    sent = made.apply(np.array([0.2, 0.0]), still, still)
    for _ in range(40):
        sent = made.apply(np.array([0.2, 0.0]), still, still)
    assert sent == pytest.approx([0.2, 0.0]) and made.reasons == ()


def test_a_tool_that_starts_outside_may_only_come_nearer():
    made, tool = arm(([-9, -9, -9], [0.8, 9, 9]))
    still = np.zeros(2)
    outward = made.apply(np.array([0.0, 0.0]), still, still)
    assert outward == pytest.approx([0.0, 0.0])
    for _ in range(20):
        made.apply(np.array([1.0, 0.5]), still, still)
    assert tool(made.command)[0] < 0.8


def test_an_effort_that_pushes_further_out_is_cut():
    def tool(q):
        return np.array([q[0], q[1], 0.0])

    box = Workspace([-1, -1, -1], [0.5, 1, 1], tool)
    made = guard('effort', joints=2, bound=3.0, workspace=box)
    at, still = np.array([0.6, 0.0]), np.zeros(2)
    assert made.apply(np.array([3.0, 2.0]), at, still) == pytest.approx([0.0, 2.0])
    assert made.reasons == ('workspace',)
    assert made.apply(np.array([-3.0, 2.0]), at, still) == pytest.approx([-3.0, 2.0])
    assert made.reasons == ()


def test_damping_does_not_leave_the_workspace():
    made, tool = arm(([-9, -9, -9], [9, 0.3, 9]))
    for _ in range(20):
        made.stale(1.0, np.array([1.5, 0.0]))  # it fell, out of the box
        assert tool(made.command)[1] <= 0.3 + 1e-9
    assert set(made.reasons) == {'damp', 'workspace'}


@pytest.mark.parametrize(
    'box', [([1, 0, 0], [0, 1, 1]), ([0, 0], [1, 1]), ([0, 0, 0], [1, INF, np.nan])]
)
def test_a_box_without_inside_is_refused(box):
    with pytest.raises(InputError, match='workspace'):
        Workspace(*box, lambda q: q)


def test_a_twist_has_no_tool_to_confine():
    with pytest.raises(InputError, match='interface'):
        guard('twist', workspace=Workspace([0, 0, 0], [1, 1, 1], lambda q: q))


def test_a_tool_that_cannot_be_predicted_stays():
    box = Workspace([-1, -1, -1], [1, 1, 1], lambda q: np.full(3, np.nan))
    made = guard(workspace=box)
    assert apply(made, 0.1) == 0.0 and 'workspace' in made.reasons


def test_no_tool_moves_further_than_its_reach_says(robot):
    rng = np.random.default_rng(0)
    for profile in (load_profile('arm6'), robot()):
        kinematics = Kinematics(profile)
        most = reach(profile, kinematics.model)
        low = np.maximum(profile.array('lower'), -np.pi)
        high = np.minimum(profile.array('upper'), np.pi)
        for size in (1e-3, 1.0):
            here = rng.uniform(low, high, (200, len(low)))
            there = np.clip(here + size * rng.standard_normal(here.shape), low, high)
            for a, b in zip(here, there):
                moved = np.linalg.norm(kinematics.position(a) - kinematics.position(b))
                assert moved <= most @ np.abs(a - b) + 1e-9


def test_the_box_of_a_robot_counts_in_the_order_of_the_policy(robot):
    profile = robot()  # turn, reach: the tool is 0.5 m and the reach away from the axis
    box = workspace_of(profile, ('reach', 'turn'), [-INF] * 3, [0.9, INF, INF])
    assert box.depth(np.array([0.3, 0.0])) == pytest.approx(-0.1)
    assert box.depth(np.array([0.3, np.pi / 2])) == pytest.approx(-0.9)


def test_reach_saves_most_of_the_work(robot):
    """Far from the walls one look at the tool is enough, however long the way to rest."""
    looks = []

    def tool(q):
        looks.append(1)
        return np.array([q[0], 0.0, 0.0])

    box = Workspace([-9, -9, -9], [9, 9, 9], tool, np.ones(1))
    one = np.ones(1)
    assert box.allows(0 * one, one, 0.01 * one, 0.01, 0 * one)
    assert len(looks) == 1


# What cannot be true


def test_what_is_absurd_is_named_with_its_joint():
    profile = load_profile('arm6')
    made = Plausibility(profile.joint_names, Limits.of(profile))
    sample = {name: np.zeros((1, 6)) for name in ('position', 'velocity', 'effort')}
    assert made.fault(sample, sample) == ''
    name = profile.joint_names[2]
    for kind, value, said in (
        ('position', 400.0, 'is beyond'),
        ('velocity', -1e6, 'is beyond'),
        ('effort', np.inf, 'is not finite'),
        ('position', np.nan, 'is not finite'),
    ):
        sample[kind][0, 2] = value
        fault = made.fault(sample, sample)
        assert f'the {kind} of {name}' in fault and said in fault
        assert made.fault(sample, [n for n in sample if n != kind]) == ''
        sample[kind][0, 2] = 0.0


def test_a_little_beyond_a_limit_is_no_fault():
    profile = load_profile('arm6')
    made = Plausibility(profile.joint_names, Limits.of(profile))
    assert made.fault({'position': profile.array('upper')[None] + 0.04}, ['position']) == ''


# Memory


def test_nothing_is_kept_tick_by_tick():
    made = guard(joints=6, workspace=Workspace([-9] * 3, [9] * 3, lambda q: q[:3], np.ones(6)))
    rng = np.random.default_rng(0)
    orders, still = rng.normal(0.0, 0.2, (50, 6)), np.zeros(6)

    def run(times):
        for _ in range(times):
            for order in orders:
                made.apply(order, still, still)
                assert isinstance(made.reasons, tuple)
            made.hold(), made.stale(1.0, still)

    run(4)
    tracemalloc.start()
    run(1)
    before = tracemalloc.get_traced_memory()[0]
    run(20)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1000
