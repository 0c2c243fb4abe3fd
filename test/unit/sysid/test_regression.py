import numpy as np
import pytest

from sim2real_sysid.config import SysidConfig
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.regression import COULOMB, CURVE, LOCAL, SLOW, VISCOUS, RowBuilder, Rows

PERIOD = 0.005


@pytest.fixture(name='builder')
def fixture_builder(pendulum):
    """A row builder for samples at 200 Hz."""
    builder = RowBuilder(pendulum, SysidConfig(), RigidBody(pendulum))
    builder.open(PERIOD)
    return builder


def run(builder, position, effort):
    """Rows of a motion ``position(t)`` (2,) with efforts ``effort(t)`` (2,), for four seconds.

    Samples come five at a time; the rows are given one by one.
    """
    stamps = np.arange(0, 4, PERIOD)
    positions = np.array([position(t) for t in stamps])
    efforts = np.array([effort(t) for t in stamps])
    found = []
    for begin in range(0, len(stamps), 5):
        part = slice(begin, begin + 5)
        rows = builder.push(stamps[part], positions[part], efforts[part])
        if rows is not None:
            found += [Rows(*(values[k] for values in rows)) for k in range(len(rows.stamp))]
    return found


def test_rows_come_at_four_times_the_bandwidth(builder):
    rows = run(builder, lambda t: [np.sin(t), 0.0], lambda t: [1.0, t])
    steps = np.diff([row.stamp for row in rows])
    assert steps == pytest.approx(0.25 * 15 * PERIOD, abs=PERIOD)


@pytest.mark.parametrize(('period', 'bandwidth'), [(0.001, 40.0), (0.02, 1 / 0.3)])
def test_slow_joint_states_get_a_narrower_filter(builder, period, bandwidth):
    builder.open(period)
    assert builder.bandwidth == pytest.approx(bandwidth)


def test_fast_motion_passes_the_filter_as_its_efforts_do(builder, pendulum):
    """What the quadrature along the motion is for: filtered efforts of a fast nonlinear motion."""
    body, w = RigidBody(pendulum), 2 * np.pi

    def state(t):
        q = np.array([0.9 * np.sin(w * t), -0.7 * np.sin(w * t + 1)])
        v = w * np.array([0.9 * np.cos(w * t), -0.7 * np.cos(w * t + 1)])
        return q, v, -(w**2) * q

    rows = run(builder, lambda t: state(t)[0], lambda t: body.efforts(*state(t))[0])
    left = np.array([row.values.mean(axis=0)[:, -1] for row in rows])
    size = np.array([row.values.mean(axis=0)[:, -2] for row in rows]).std(axis=0)
    assert (np.abs(left) < 0.02 * size).all()


def test_friction_at_low_speed_passes_the_filter_as_its_efforts_do(builder):
    """Of a joint that turns quickly, which is slow for no longer than the filter remembers."""
    k, w = 5, 2 * np.pi
    slow = 4.0 * SLOW[k]  # of the speed limit

    def effort(t):
        v = 0.8 * np.cos(w * t)
        return [np.sign(v) * np.exp(-((v / slow) ** 2)), 0.0]

    rows = run(builder, lambda t: [0.8 / w * np.sin(w * t), 0.0], effort)
    found = np.array([row.values.mean(axis=0)[0] for row in rows if row.valid[0]])
    passed = found[:, -1] + found[:, -2]
    velocity = found[:, VISCOUS]
    plain = np.sign(velocity) * np.exp(-((velocity / slow) ** 2))
    assert len(found) > 20
    assert np.linalg.norm(found[:, CURVE + k] - passed) < 0.4 * np.linalg.norm(plain - passed)


@pytest.mark.parametrize('seed', range(6))
def test_noise_does_not_pass_for_quickness(builder, seed):
    w, rng = 3.0, np.random.default_rng(seed)
    builder.open(0.001)  # 40 Hz of bandwidth

    def position(t):
        return 0.3 * np.sin(w * t) + 1e-4 * rng.normal(size=2)

    for begin in np.arange(0.0, 8.0, 0.1):
        stamps = begin + 0.001 * np.arange(100)
        builder.push(stamps, np.array([position(t) for t in stamps]), np.zeros((100, 2)))
    assert builder.quickness < 10.0 * w**2


def test_quickness_is_that_of_all_motion_not_of_the_newest_rows(builder):
    w, seen = 9.0, []
    for begin in np.arange(0.0, 20.0, 0.1):
        stamps = begin + PERIOD * np.arange(20)
        positions = np.stack([0.3 * np.sin(w * stamps), 0.3 * np.cos(w * stamps)], axis=1)
        builder.push(stamps, positions, np.zeros((20, 2)))
        assert not builder.narrow()
        seen.append(builder.quickness)
    assert np.ptp(seen[50:]) < 10.0


def test_motion_is_as_quick_as_it_is(builder):
    run(builder, lambda t: [0.3 * np.sin(9.0 * t), 0.1 * np.cos(9.0 * t)], lambda t: [0.0, 0.0])
    # Rows next to turns are left out, and these have little jerk.
    assert 81.0 < builder.quickness < 130.0


def test_rows_around_a_turn_are_not_valid(builder):
    rows = run(builder, lambda t: [np.cos(np.pi * t), 0.0], lambda t: [0.0, 0.0])
    delay = 0.5 * builder.longest_gap
    for row in rows:
        since = (row.stamp - delay) % 1.0  # of the filtered motion; it turns at whole seconds
        if since < delay:
            assert not row.valid[0], row.stamp
        if 0.3 < since < 0.9:
            assert row.valid[0]
            assert row.values[0, 0, COULOMB] == pytest.approx(row.direction[0], abs=1e-3)
    assert not any(row.valid[1] for row in rows)  # it rests


def test_rows_next_to_a_stop_are_not_valid(builder):
    rows = run(builder, lambda t: [2.0 + 0.3 * t, 0.0], lambda t: [0.0, 0.0])
    assert {row.valid[0] for row in rows if 1.0 < row.stamp < 3.0} == {True}
    assert {row.valid[0] for row in rows if row.stamp > 3.4} == {False}


def test_rows_after_a_missing_effort_are_not_valid(builder):
    rows = run(
        builder,
        lambda t: [0.5 * t, 0.0],
        lambda t: [np.nan if 2.0 <= t < 2.01 else 1.0, 0.0],
    )
    bad = [row.stamp for row in rows if not row.valid[0] and row.stamp > 0.5]
    assert bad and min(bad) >= 2.0 and max(bad) < 2.3
    assert np.isfinite([row.values for row in rows]).all()


def test_payload_has_a_column_on_an_arm(builder):
    assert builder.payload == 4 and builder.shared == 6 and builder.columns == LOCAL + 10
