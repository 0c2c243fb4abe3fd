import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_policy.guard import (
    INTERVENTIONS,
    LIMITERS,
    EffortLimiter,
    Guard,
    Limits,
    PositionLimiter,
)

PERIOD = 0.1
INF = float('inf')


def limits(**changed):
    values = dict(lower=-1.0, upper=1.0, velocity=2.0, effort=5.0, acceleration=INF) | changed
    return Limits(**{name: (value,) for name, value in values.items()})


def guard(interface='position', position=0.0, hold_time=0.25, damp_time=0.2, **changed):
    made = Guard(
        limits(**changed),
        interface=interface,
        period=PERIOD,
        hold_time=hold_time,
        damp_time=damp_time,
    )
    made.reset(np.array([position]))
    return made


def apply(made, order, position=0.0, velocity=0.0):
    sent = made.apply(np.array([order]), np.array([position]), np.array([velocity]))
    return float(sent[0])


# interface, limits, measured (position, velocity), order -> sent, interventions
TABLE = [
    ('position', {}, (0.0, 0.0), 0.15, 0.15, ()),
    ('position', {'velocity': 100.0}, (0.0, 0.0), 1.5, 1.0, ('position_limit',)),
    ('position', {'velocity': 100.0}, (0.0, 0.0), -1.5, -1.0, ('position_limit',)),
    ('position', {}, (0.0, 0.0), 0.3, 0.2, ('velocity_limit',)),
    ('position', {}, (0.0, 0.0), -9.0, -0.2, ('position_limit', 'velocity_limit')),
    ('position', {'acceleration': 5.0}, (0.0, 0.0), 0.1, 0.05, ('acceleration_limit',)),
    ('position', {'lower': -INF, 'upper': INF, 'velocity': INF}, (0.0, 0.0), 1e6, 1e6, ()),
    ('velocity', {}, (0.0, 0.0), 1.5, 1.5, ()),
    ('velocity', {}, (0.0, 0.0), 3.0, 2.0, ('velocity_limit',)),
    ('velocity', {'acceleration': 5.0}, (0.0, 0.0), -1.5, -0.5, ('acceleration_limit',)),
    ('velocity', {}, (1.0, 0.0), 1.5, 0.0, ('position_limit',)),
    ('velocity', {}, (1.2, 0.0), -1.5, -1.5, ()),
    ('effort', {}, (0.0, 0.0), 4.0, 4.0, ()),
    ('effort', {}, (0.0, 0.0), -7.0, -5.0, ('effort_limit',)),
    ('effort', {}, (1.0, 0.0), 4.0, 0.0, ('position_limit',)),
    ('effort', {}, (1.0, 0.0), -4.0, -4.0, ()),
    ('effort', {}, (0.0, -2.0), -4.0, 0.0, ('velocity_limit',)),
]


@pytest.mark.parametrize(('interface', 'changed', 'measured', 'order', 'sent', 'names'), TABLE)
def test_each_limit(interface, changed, measured, order, sent, names):
    made = guard(interface, **changed)
    assert apply(made, order, *measured) == pytest.approx(sent, abs=1e-12)
    assert made.reasons == names
    assert {n: c for n, c in made.counts.items() if c} == dict.fromkeys(names, 1)


def test_an_order_within_limits_is_sent_bit_for_bit():
    made = guard(acceleration=30.0)
    rng = np.random.default_rng(0)
    for order in np.cumsum(rng.uniform(-0.02, 0.02, 50)):
        made.prepare()
        assert apply(made, order) == order
        assert made.flags == 0


@pytest.mark.parametrize('acceleration', [0.5, 5.0, 50.0, INF])
@pytest.mark.parametrize('prepare', [True, False])
def test_no_limit_is_ever_broken(acceleration, prepare):
    """Whatever is ordered: position, speed and acceleration of what is sent stay within."""
    rng = np.random.default_rng(1)
    limiter = PositionLimiter(limits(acceleration=acceleration), PERIOD, (64,))
    zeros = np.zeros((64, 1))
    limiter.reset(rng.uniform(-1, 1, (64, 1)))
    last, speed = limiter.command.copy(), zeros
    for step in range(300):
        order = last + rng.normal(0.0, 0.3, (64, 1)) * (1 if step % 50 < 25 else 10)
        if prepare:
            limiter.prepare()
        if not limiter.take(order):
            limiter.follow(order, zeros, zeros)
        sent = limiter.command.copy()
        now = (sent - last) / PERIOD
        assert (np.abs(sent) <= 1.0 + 1e-9).all()
        assert (np.abs(now) <= 2.0 + 1e-9).all()
        assert (np.abs(now - speed) <= acceleration * PERIOD + 1e-9).all()
        last, speed = sent, now


def test_a_far_order_is_reached_without_overshoot():
    made = guard(acceleration=4.0)
    path = [apply(made, 0.9) for _ in range(40)]
    assert path[-1] == 0.9
    assert max(path) <= 0.9 + 1e-9
    assert made.counts['acceleration_limit'] > 0 and made.flags == 0


def test_a_steady_order_is_followed_without_lag():
    made = guard(acceleration=4.0, lower=-INF, upper=INF)
    orders = np.cumsum(np.minimum(np.arange(60) * 0.03, 1.5)) * PERIOD
    assert [apply(made, order) for order in orders] == orders.tolist()


def test_starts_outside_its_limits_and_comes_back_slowly():
    made = guard(position=1.5)
    assert apply(made, 1.5) == pytest.approx(1.3)
    assert made.reasons == ('position_limit', 'velocity_limit')


@pytest.mark.parametrize('interface', LIMITERS)
@pytest.mark.parametrize('bad', [float('nan'), INF, -INF])
def test_a_non_finite_order_holds_and_latches(interface, bad):
    made = guard(interface)
    good = apply(made, 0.1)
    kept = good if interface in ('position', 'effort') else 0.0  # no velocity is kept
    assert apply(made, bad) == kept
    assert made.reasons == ('non_finite', 'hold')
    assert apply(made, 0.15) == kept
    assert made.reasons == ('hold',) and made.latched
    made.release()
    assert apply(made, 0.15) == 0.15
    assert made.counts['non_finite'] == 1 and made.counts['hold'] == 2


def test_stale_timeline_of_a_position_interface():
    """Held for 0.25 s; then half of the rest towards the measured position each tick."""
    made = guard(damp_time=2 * PERIOD)
    apply(made, 0.16)
    measured = np.array([0.0])
    sent, names = [], []
    for elapsed in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        sent.append(float(made.stale(elapsed, measured)[0]))
        names.append(made.reasons)
    assert sent == pytest.approx([0.16, 0.16, 0.16, 0.08, 0.04, 0.02])
    assert names == [('hold',)] * 3 + [('damp',)] * 3


def test_hold_brakes_within_the_acceleration_limit():
    made = guard(acceleration=5.0)
    for order in (0.05, 0.15, 0.3):  # 0.5, 1.0, 1.5 rad/s
        apply(made, order)
    sent = [float(made.hold()[0]) for _ in range(5)]
    assert sent == pytest.approx([0.4, 0.45, 0.45, 0.45, 0.45])


def test_damping_stays_within_the_velocity_limit():
    made = guard(position=0.9, damp_time=0.01)
    sent = [float(made.stale(9.0, np.array([0.0]))[0]) for _ in range(6)]
    assert sent == pytest.approx([0.7, 0.5, 0.3, 0.1, 0.0, 0.0])


def test_effort_is_kept_briefly_and_then_decays():
    made = guard('effort', damp_time=2 * PERIOD)
    apply(made, 4.0)
    sent = [float(made.stale(t, np.zeros(1))[0]) for t in (0.1, 0.2, 0.3, 0.4)]
    assert sent == pytest.approx([4.0, 4.0, 2.0, 1.0])


def test_many_robots_move_as_each_would_alone():
    rng = np.random.default_rng(2)
    bounds = limits(acceleration=5.0)
    together = PositionLimiter(bounds, PERIOD, (5,))
    alone = [PositionLimiter(bounds, PERIOD) for _ in range(5)]
    for _ in range(50):
        orders = rng.normal(0.0, 0.5, (5, 1))
        together.follow(orders, orders, orders)
        for index, one in enumerate(alone):
            if not one.take(orders[index]):
                one.follow(orders[index], orders[index], orders[index])
            np.testing.assert_allclose(together.command[index], one.command, atol=1e-12)


def test_effort_limits_of_many_robots():
    limiter = EffortLimiter(limits(), PERIOD, (2,))
    limiter.follow(np.array([[9.0], [1.0]]), np.zeros((2, 1)), np.zeros((2, 1)))
    np.testing.assert_array_equal(limiter.command, [[5.0], [1.0]])


def test_tightest_of_two():
    both = limits(lower=-0.5, effort=9.0).tightest(limits(upper=0.5, acceleration=3.0))
    assert both == limits(lower=-0.5, upper=0.5, acceleration=3.0)
    with pytest.raises(InputError, match='must be less than upper'):
        limits(upper=0.0).tightest(limits(lower=0.5))


def test_names_every_fault_of_limits():
    with pytest.raises(InputError) as caught:
        limits(lower=1.0, velocity=0.0, acceleration=float('nan'))
    assert {fault.field for fault in caught.value.faults} >= {
        'lower[0]',
        'velocity[0]',
        'acceleration[0]',
    }


def test_every_bit_has_a_name():
    made = guard()
    made.flags = (1 << len(INTERVENTIONS)) - 1
    assert made.reasons == INTERVENTIONS


@pytest.mark.parametrize('interface', LIMITERS)
def test_nothing_that_is_not_finite_is_sent(interface):
    made = guard(interface)
    apply(made, 0.05)
    for bad in (np.nan, INF):
        assert np.isfinite(apply(made, 0.06, position=bad, velocity=bad))
        assert np.isfinite(apply(made, 9.0, position=bad, velocity=bad))
        assert np.isfinite(made.stale(100.0, np.array([bad]))).all()
    assert not made.latched


@pytest.mark.parametrize('interface', ['velocity', 'effort'])
def test_a_stop_that_is_released_at_once_makes_no_command_jump(interface):
    made, rest = guard(interface, acceleration=2.0), np.zeros(1)
    for _ in range(20):
        made.apply(np.array([1.5]), rest, rest)
    made.stop('a person')
    sent = float(made.apply(np.array([1.5]), rest, rest)[0])
    assert 0.5 < sent < 1.5  # on its way to rest
    made.release()
    assert made.damping
    made.resume(rest)
    assert made.command[0] == sent


def test_damping_goes_the_short_way_where_the_driver_wraps_the_angle():
    made = Guard(
        limits(lower=-INF, upper=INF), interface='position', period=PERIOD, hold_time=0.0,
        damp_time=0.2, continuous=[True],
    )  # fmt: skip
    made.reset(np.array([3.1]))
    measured = np.array([-3.1])  # 0.083 rad further on
    for _ in range(40):
        sent = float(made.stale(1.0, measured)[0])
        assert 3.1 <= sent <= 2 * np.pi - 3.1 + 1e-9
    assert sent == pytest.approx(2 * np.pi - 3.1, abs=1e-3)
    made.resume(np.array([-3.0]))
    assert float(made.command[0]) == pytest.approx(2 * np.pi - 3.0)
