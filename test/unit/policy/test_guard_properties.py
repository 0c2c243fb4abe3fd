"""Whatever a policy, a person, a robot and a network do: what is sent stays within the limits."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim2real_core.errors import InputError
from sim2real_policy.guard import Guard, Limits
from sim2real_policy.guard_limiters import FAR
from sim2real_policy.novelty import NoveltyGate
from sim2real_policy.workspace import Workspace

INF = float('inf')
TICKS = 60
EPS = np.finfo(float).eps
often = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def sizes(low, high):
    """Numbers of any magnitude between two powers of ten."""
    return st.floats(low, high).map(lambda power: float(10.0**power))


def or_none(numbers):
    return st.one_of(st.just(INF), numbers)


@st.composite
def joints(draw):
    """Limits of one joint: revolute, prismatic or continuous, from tiny to huge."""
    span = draw(or_none(sizes(-6, 4)))
    middle = draw(st.floats(-1.0, 1.0)) * min(span, 10.0)
    return {
        'lower': middle - span / 2 if span < INF else -INF,
        'upper': middle + span / 2 if span < INF else INF,
        'velocity': draw(or_none(sizes(-6, 5))),
        'effort': draw(or_none(sizes(-6, 6))),
        'acceleration': draw(or_none(sizes(-5, 7))),
    }


@st.composite
def robots(draw):
    """Limits of a robot, 1 to 30 joints; the time between commands; how effort may change."""
    kinds = draw(st.lists(joints(), min_size=1, max_size=4))
    count = draw(st.integers(1, 30))
    chosen = [kinds[index % len(kinds)] for index in range(count)]
    limits = Limits(**{key: tuple(joint[key] for joint in chosen) for key in chosen[0]})
    return limits, draw(sizes(-4, 0)), draw(or_none(sizes(-3, 6)))


def within(rng, limits):
    """A pose within the limits, sometimes at one."""
    low = np.maximum(limits.array('lower'), -3.0)
    high = np.maximum(np.minimum(limits.array('upper'), 3.0), low)
    share = np.clip(rng.uniform(-0.2, 1.2, len(low)), 0.0, 1.0)
    return np.clip(low + share * (high - low), limits.array('lower'), limits.array('upper'))


def numbers(rng, near, spread, absurd):
    """Values around some, of any magnitude; absurd ones are NaN, infinite or huge as well."""
    magnitude = 10.0 ** rng.uniform(-4, 4)
    values = near + magnitude * spread * rng.standard_normal(len(near))
    if absurd:
        bad = [np.nan, INF, -INF, 1e308, -1e308, 1e18, 5e-324]
        values[rng.integers(len(values))] = bad[rng.integers(len(bad))]
    return values


class Play:
    """A guard, and everything that may happen to it, at random."""

    def __init__(self, guard, limits, period, seed):
        self.guard, self.limits, self.period = guard, limits, period
        self.rng = np.random.default_rng(seed)
        self.absurd = self.rng.random() < 0.7
        reach = np.minimum(limits.array('velocity'), 1e6) * period
        self.spread = np.minimum(reach, 10.0)
        self.position = within(self.rng, limits)
        guard.reset(self.position)
        self.start = guard.command.copy()

    def tick(self):
        """One command; True when it is a start from the measured position."""
        rng, guard = self.rng, self.guard
        absurd = self.absurd and rng.random() < 0.1
        order = numbers(rng, guard.command, self.spread, absurd)
        seen = numbers(rng, self.position, self.spread, self.absurd and rng.random() < 0.1)
        velocity = numbers(rng, 0.0 * self.position, 1.0, self.absurd and rng.random() < 0.1)
        event = rng.random()
        if event < 0.05:
            guard.stop('because')
        elif event < 0.15:
            guard.release()
        elif event < 0.20:
            guard.override(numbers(rng, guard.command, self.spread, False), rng.random())
        elif event < 0.25:
            guard.override(guard.command, 0.0)
        elif event < 0.30:
            guard.prepare()
        elif event < 0.35:
            guard.see(rng.uniform(-2, 2, 3).astype(np.float32))
        elif event < 0.38:
            self.position = within(rng, self.limits)
            (guard.reset if rng.random() < 0.5 else guard.resume)(self.position)
            return True
        way = rng.random()
        if way < 0.75:
            guard.apply(order, seen, velocity)
        elif way < 0.85:
            guard.hold()
        elif way < 0.9:
            guard.let_go()
        else:
            guard.stale(rng.choice([0.0, 0.4, 0.6, 30.0, INF]), seen)
        self.seen = seen
        return False


def guarded(limits, interface, period, **more):
    novelty = NoveltyGate(-np.ones(3), np.ones(3), period=period, persistence=period)
    times = dict(hold_time=0.5, damp_time=0.3, stop_time=20.0)
    return Guard(limits, interface=interface, period=period, novelty=novelty, **times, **more)


def check_motion(limits, period, before, rate, after):
    """One step of a position command; returns its speed."""
    lower, upper = limits.array('lower'), limits.array('upper')
    assert np.isfinite(after).all()
    assert (after >= np.minimum(lower, before)).all() and (
        after <= np.maximum(upper, before)
    ).all()
    rounding = 8 * EPS * np.maximum(np.abs(after), np.abs(before)) / period
    speed = (after - before) / period
    assert (np.abs(speed) <= limits.array('velocity') * (1 + 1e-6) + rounding).all()
    change = np.abs(speed - rate)
    assert (change <= limits.array('acceleration') * period * (1 + 1e-6) + 4 * rounding).all()
    return speed


@often
@given(robots(), st.integers(0, 2**32), st.booleans())
def test_position_commands_keep_every_limit(robot, seed, turning):
    limits, period, _ = robot
    forever = [bool(turning) and bound == INF for bound in limits.upper]
    play = Play(guarded(limits, 'position', period, continuous=forever), limits, period, seed)
    last, rate = play.start, np.zeros(len(play.start))
    for _ in range(TICKS):
        if play.tick():
            last, rate = play.guard.command.copy(), 0.0 * rate
            assert (last >= limits.lower).all() and (last <= limits.upper).all()
            continue
        rate = check_motion(limits, period, last, rate, play.guard.command)
        last = play.guard.command.copy()


@often
@given(robots(), st.integers(0, 2**32), st.sampled_from(['velocity', 'twist']))
def test_velocity_commands_keep_every_limit(robot, seed, interface):
    limits, period, _ = robot
    if interface == 'twist':
        free = {'lower': (-INF,) * len(limits.lower), 'upper': (INF,) * len(limits.lower)}
        limits = Limits(
            velocity=limits.velocity,
            effort=limits.effort,
            acceleration=limits.acceleration,
            **free,
        )
    play = Play(guarded(limits, interface, period), limits, period, seed)
    last = play.start
    step = limits.array('acceleration') * period
    for _ in range(TICKS):
        started = play.tick()
        sent = play.guard.command.copy()
        assert np.isfinite(sent).all()
        assert (np.abs(sent) <= limits.velocity).all()
        rounding = 4 * EPS * (np.abs(last) + np.where(np.isfinite(step), step, 0.0))
        if not started:
            assert (np.abs(sent - last) <= step + rounding).all()
            if not {'hold', 'damp', 'stop'} & set(play.guard.reasons):
                braking = np.maximum(last - step, 0.0) + rounding
                assert (sent <= braking)[play.seen >= limits.array('upper')].all()
        last = sent


@often
@given(robots(), st.integers(0, 2**32))
def test_effort_commands_keep_every_limit(robot, seed):
    limits, period, rate = robot
    rates = (rate,) * len(limits.lower)
    play = Play(guarded(limits, 'effort', period, effort_rate=rates), limits, period, seed)
    last = play.start
    for _ in range(TICKS):
        started = play.tick()
        sent = play.guard.command.copy()
        assert np.isfinite(sent).all()
        assert (np.abs(sent) <= limits.effort).all()
        if not started:
            step = rate * period
            rounding = 4 * EPS * (np.abs(last) + (step if step < INF else 0.0))
            within = np.abs(sent - last) <= step + rounding
            # What protects may be quicker: a cut at a limit, and what decays.
            less = (sent * last >= 0.0) & (np.abs(sent) <= np.abs(last))
            protects = {'position_limit', 'velocity_limit', 'hold', 'damp', 'stop'}
            acted = protects & set(play.guard.reasons)
            assert (within | (less & bool(acted))).all()
        last = sent


class Chain:
    """A planar arm, its joints turning or sliding, and how far each moves the tool."""

    def __init__(self, rng, count):
        self.lengths = rng.uniform(0.05, 0.5, count)
        self.slides = rng.random(count) < 0.3
        self.most = 1.5 * np.pi
        beyond = np.cumsum((self.lengths + self.slides * self.most)[::-1])[::-1]
        self.reach = np.where(self.slides, 1.0, beyond)
        self.calls = 0

    def tool(self, position):
        self.calls += 1
        angle = np.cumsum(np.where(self.slides, 0.0, position))
        length = self.lengths + np.where(self.slides, position, 0.0)
        return np.array([(length * np.cos(angle)).sum(), (length * np.sin(angle)).sum(), 0.0])


@st.composite
def confined(draw):
    """A chain, limits, a box with the start inside (or not), and the time between commands."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 12))
    chain = Chain(rng, count)
    limits = Limits(
        lower=(-chain.most,) * count,
        upper=(chain.most,) * count,
        velocity=(draw(sizes(-1, 2)),) * count,
        effort=(INF,) * count,
        acceleration=(draw(or_none(sizes(0, 3))),) * count,
    )
    start = rng.uniform(-1.5, 1.5, count)
    room = draw(sizes(-3, 0))
    middle = chain.tool(start) + draw(st.sampled_from([0.0, 0.0, 2.0])) * room
    known = draw(st.booleans())
    box = Workspace(middle - room, middle + room, chain.tool, chain.reach if known else None)
    return chain, limits, box, start, draw(sizes(-3, -1))


@often
@given(confined(), st.integers(0, 2**32))
def test_no_position_command_leaves_the_workspace(world, seed):
    _, limits, box, start, period = world
    guard = guarded(limits, 'position', period, workspace=box)
    rng = np.random.default_rng(seed)
    guard.reset(start)
    last, rate, outside = guard.command.copy(), 0.0 * start, max(0.0, box.depth(start))
    for _ in range(TICKS):
        order = last + limits.array('velocity') * period * rng.normal(0.5, 2.0, len(last))
        way = rng.random()
        if way < 0.9:
            guard.apply(order, last, 0.0 * last)
        elif way < 0.95:
            guard.hold()
        else:
            guard.stale(2.0, last + rng.normal(0.0, 0.5, len(last)))
        rate = check_motion(limits, period, last, rate, guard.command)
        last = guard.command.copy()
        depth = box.depth(last)
        assert depth <= outside + 1e-6
        outside = min(outside, max(0.0, depth)) + 1e-9


@often
@given(confined(), st.integers(0, 2**32))
def test_no_velocity_command_leads_out_of_the_workspace(world, seed):
    """The robot does as it is told."""
    _, limits, box, start, period = world
    guard = guarded(limits, 'velocity', period, workspace=box)
    rng = np.random.default_rng(seed)
    guard.reset(start)
    here, outside = start, max(0.0, box.depth(start))
    for _ in range(TICKS):
        order = limits.array('velocity') * rng.normal(0.5, 1.0, len(here))
        sent = guard.apply(order, here, 0.0 * here) if rng.random() < 0.9 else guard.hold()
        here = here + sent * period
        depth = box.depth(here)
        assert depth <= outside + 1e-6
        outside = min(outside, max(0.0, depth)) + 1e-9


def single(bound):
    return Limits(
        lower=(-bound,), upper=(bound,), velocity=(2.0,), effort=(5.0,), acceleration=(INF,)
    )


def test_the_largest_numbers_are_only_limited():
    """Finite is not reasonable: they are clipped, not taken for infinite ones."""
    limits = Limits(
        lower=(-1.0,), upper=(1.0,), velocity=(2.0,), effort=(5.0,), acceleration=(INF,)
    )
    for interface, sent in (('position', 0.2), ('velocity', 2.0), ('effort', 5.0)):
        guard = guarded(limits, interface, 0.1)
        guard.reset(np.zeros(1))
        order = np.array([np.finfo(float).max])
        assert guard.apply(order, np.zeros(1), np.zeros(1))[0] == pytest.approx(sent)
        assert not guard.stopped


@pytest.mark.parametrize('bad', [np.nan, INF, -INF, 2 * FAR])
def test_nothing_starts_where_no_robot_can_be(bad):
    limits = Limits(
        lower=(-INF,), upper=(INF,), velocity=(2.0,), effort=(5.0,), acceleration=(INF,)
    )
    guard = guarded(limits, 'position', 0.1)
    guard.reset(np.array([0.5]))
    for begin in (guard.reset, guard.resume):
        with pytest.raises(InputError, match='start from'):
            begin(np.array([bad]))
    assert guard.command[0] == 0.5
