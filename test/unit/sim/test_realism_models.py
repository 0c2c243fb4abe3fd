"""Realism against closed forms: drives, friction, sensors, disturbances; neutral is identity."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sim2real_core.nominal import ACTUATOR, SENSOR
from sim2real_sim.realism import Actuators, Disturbances, Friction, Sensors
from sim2real_sim.realism.disturbances import DENSITY

H = 1e-3
K, D = 100.0, 10.0
LIVELY = {
    'gain': 0.7, 'torque_constant': 1.2, 'time_constant': 0.02, 'natural_frequency': 60.0,
    'damping_ratio': 0.3, 'delay': 0.0035, 'dead_zone': 0.01, 'backlash': 0.02,
    'compliance': 2e-3, 'ripple': 0.1, 'ripple_periods': 6.0, 'no_load_speed': 5.0, 'wear': 0.05,
    'position_offset': 0.03, 'saturation': 9.0,
}  # fmt: skip
SENSED = {
    'noise': 0.1, 'bias': 0.3, 'drift': 0.2, 'correlation_time': 0.5, 'scale': 1.1,
    'delay': 0.0035, 'jitter': 0.003, 'period': 0.007, 'saturation': 0.8, 'quantization': 0.05,
    'dropout': 0.2,
}  # fmt: skip
ALONE = {'damping_ratio', 'ripple_periods', 'correlation_time'}


def drives(interface='effort', n=1, nj=1, saturation=np.inf, **parameters):
    gains = np.full(nj, K), np.full(nj, D)
    made = Actuators(interface, *gains, np.full(nj, saturation), n, brake=gains)
    for name, value in parameters.items():
        made.parameters[name][:] = value
    made.update(np.full((n, 1), H))
    made.reset(np.arange(n), np.zeros((n, nj)), np.zeros((n, nj)))
    return made


def follow(made, command, steps):
    made.command(slice(None), np.full((1, 1), command))
    return np.array([made.drive(unloaded)[0, 0] for _ in range(steps)])


def unloaded():
    return np.zeros((1, 1))


def run(made, rng, steps=60):
    """Efforts and measured states (k, n, nj) under random commands and motion."""
    shape = made.measured[0].shape
    out, q = [], np.zeros(shape)
    for k in range(steps):
        if k % 7 == 0:
            made.command(slice(None), 15 * rng.normal(size=shape))
        effort = made.drive(lambda: np.zeros(shape)).copy()
        v = 3 * rng.normal(size=shape)
        q = q + H * v
        made.measure(q, v)
        out.append([effort, *made.measured.copy()])
    return np.array(out)


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort'])
@pytest.mark.parametrize('name', LIVELY)
def test_a_neutral_drive_beside_a_lively_one_keeps_its_bits(interface, name):
    alone = drives(interface, 3, 2, 20.0)
    beside = drives(interface, 3, 2, 20.0)
    beside.parameters[name][1, 0] = LIVELY[name]
    beside.update(np.full((3, 1), H))
    expected, found = (run(m, np.random.default_rng(1)) for m in (alone, beside))
    differs = (expected != found).any(axis=(0, 1))
    assert differs[1, 0] or name in ALONE
    differs[1, 0] = False
    assert not differs.any()


def test_every_quantity_of_a_drive_and_a_sensor_is_looked_at():
    assert set(LIVELY) == {*ACTUATOR, 'position_offset', 'saturation'}
    assert set(SENSED) == set(SENSOR)


@pytest.mark.parametrize('ratio', [0.0, 0.2, 0.9999, 1.0, 1.0001, 3.0, 50.0])
def test_the_second_order_lag_is_exact(ratio):
    w, steps = 80.0, 50
    out = follow(drives(natural_frequency=w, damping_ratio=ratio), 2.0, steps)
    solved = solve_ivp(
        lambda _, s: [s[1], w * w * (2.0 - s[0]) - 2 * ratio * w * s[1]],
        (0, steps * H), [0.0, 0.0], 'DOP853', H * np.arange(1, steps + 1), rtol=1e-12, atol=1e-13,
    )  # fmt: skip
    np.testing.assert_allclose(out, solved.y[0], rtol=1e-8, atol=1e-10)


def test_a_second_order_lag_that_appears_begins_at_the_present_command():
    made = drives()
    follow(made, 2.0, 3)
    made.parameters['natural_frequency'][:] = 50.0
    made.update(np.full((1, 1), H))
    assert follow(made, 2.0, 1)[0] == 2.0


@pytest.mark.parametrize(('command', 'effort'), [(0.3, 0.0), (-0.5, 0.0), (0.7, 0.2), (-2, -1.5)])
def test_dead_zone(command, effort):
    made = drives(dead_zone=0.5)
    made.command(slice(None), np.full((1, 1), command))
    assert made.drive(unloaded)[0, 0] == pytest.approx(effort)


def test_a_position_loop_takes_no_notice_of_small_errors_and_still_holds_a_load():
    made = drives('position', dead_zone=0.01)
    made.command(slice(None), np.full((1, 1), 0.009))
    assert made.drive(unloaded)[0, 0] == 0.0
    made.command(slice(None), np.full((1, 1), 0.03))
    assert made.drive(unloaded)[0, 0] == pytest.approx(K * 0.02)
    made.hold(lambda: np.full((1, 1), -7.0))
    assert made.drive(unloaded)[0, 0] == pytest.approx(-7.0)


@pytest.mark.parametrize(
    ('speed', 'up', 'down'), [(0, 8, -8), (2.5, 4, -8), (5, 0, -8), (9, 0, -8), (-2.5, 8, -4)]
)
def test_torque_speed_curve(speed, up, down):
    made = drives(no_load_speed=5.0, saturation=8.0)
    made.measure(np.zeros((1, 1)), np.full((1, 1), float(speed)))
    for command, effort in ((100.0, up), (-100.0, down)):
        made.command(slice(None), np.full((1, 1), command))
        assert made.drive(unloaded)[0, 0] == pytest.approx(effort)


def test_torque_ripple_has_its_periods_and_size():
    made = drives(ripple=0.1, ripple_periods=6.0)
    made.command(slice(None), np.full((1, 1), 2.0))
    for angle in np.linspace(-9, 9, 40):
        made.measure(np.full((1, 1), angle), np.zeros((1, 1)))
        expected = 2.0 * (1 + 0.1 * math.sin(6 * angle))
        assert made.drive(unloaded)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_a_drive_wears_by_its_work_until_it_is_reset():
    made = drives(wear=0.01)
    made.command(slice(None), np.full((1, 1), 5.0))
    made.measure(np.zeros((1, 1)), np.full((1, 1), -2.0))
    efforts = [made.drive(unloaded)[0, 0] for _ in range(1000)]
    # d(work)/dt = 5 (1 - 0.01 work) 2
    left = np.exp(-0.01 * 10.0 * H * np.arange(1000))
    np.testing.assert_allclose(efforts, 5.0 * left, rtol=1e-4)
    made.reset(np.array([0]), np.zeros((1, 1)), np.zeros((1, 1)))
    made.command(slice(None), np.full((1, 1), 5.0))
    assert made.drive(unloaded)[0, 0] == 5.0


def shaft(compliance, steps, stiffness=K, damping=D, mass=0.5, command=0.2):
    """A mass behind a shaft: positions and measured positions of semi-implicit steps."""
    made = drives('position', compliance=compliance)
    made._stiffness[:], made._damping[:] = stiffness, damping
    made.update(np.full((1, 1), H))
    made.command(slice(None), np.full((1, 1), command))
    q = v = 0.0
    out = []
    for _ in range(steps):
        v += H * made.drive(unloaded)[0, 0] / mass
        q += H * v
        made.measure(np.full((1, 1), q), np.full((1, 1), v))
        out.append((q, made.measured[0, 0, 0]))
    return np.array(out)


def test_a_flexible_shaft_moves_as_mechanics_says():
    compliance, mass = 5e-3, 0.5

    def motion(_, s):
        q, v, m = s
        twist = (m - q) / compliance
        return [v, twist / mass, (K * (0.2 - m) - twist) / D]

    steps = 600
    times = H * np.arange(1, steps + 1)
    solved = solve_ivp(motion, (0, times[-1]), [0, 0, 0], t_eval=times, rtol=1e-10, atol=1e-12)
    found = shaft(compliance, steps)
    np.testing.assert_allclose(found[:, 0], solved.y[0], atol=2e-3)
    np.testing.assert_allclose(found[:, 1], solved.y[2], atol=2e-3)
    assert np.abs(found[:, 1] - found[:, 0]).max() > 0.02


def test_a_stiff_shaft_is_no_shaft_but_for_a_step():
    rigid = shaft(0.0, 400)
    for compliance, close in ((1e-12, 1e-9), (1e-9, 1e-7), (1e-6, 1e-4)):
        np.testing.assert_allclose(shaft(compliance, 401)[1:], rigid, atol=close)


def test_friction_wears_by_what_it_turns_into_heat():
    friction = Friction(np.array([2.0, 2.0]), 0.05, 1)
    friction.wear[0, 0] = 0.1
    friction.update(np.full((1, 1), H))
    assert friction.active
    levels = np.array([friction.level(np.array([[3.0, -3.0]]))[0].copy() for _ in range(1000)])
    np.testing.assert_allclose(levels[:, 0], 2 * np.exp(0.6 * H * np.arange(1000)), rtol=1e-3)
    assert (levels[:, 1] == 2.0).all()
    friction.reset(np.array([0]))
    assert friction.level(np.array([[3.0, 3.0]]))[0, 0] == 2.0


def sensors(n=1, width=1, **parameters):
    made = Sensors((n, width))
    for name, value in parameters.items():
        made.parameters[name][:] = value
    made.update(np.full((n, 1), H))
    made.reset(np.arange(n), np.zeros((n, width)), np.arange(n, dtype=np.uint64))
    return made


def readings(made, values, every=1):
    """Readings (k, n, width) of values (steps, n, width), one every so many steps."""
    rows, out = np.arange(values.shape[1]), []
    for k, value in enumerate(values, 1):
        made.record([value], k * H)
        if k % every == 0:
            out.append(made.sample(rows).copy())
    return np.array(out)


@pytest.mark.parametrize('name', SENSED)
def test_an_ideal_sensor_beside_another_keeps_its_bits(name):
    made = sensors(3, 2)
    made.parameters[name][1, 0] = SENSED[name]
    made.update(np.full((3, 1), H))
    values = np.random.default_rng(2).normal(size=(80, 3, 2))
    values[5, 0, 0] = -0.0
    read = readings(made, values)
    same = np.array(
        [read[:, i, j].tobytes() == values[:, i, j].tobytes() for i in range(3) for j in range(2)]
    )
    assert not same[2] or name in ALONE
    same[2] = True
    assert same.all()


def test_drift_has_its_size_and_its_memory():
    n, every = 400, 50
    made = sensors(n, 1, drift=2.0, correlation_time=0.2)
    read = readings(made, np.zeros((5000, n, 1)), every)[:, :, 0]
    assert read.std() == pytest.approx(2.0, rel=0.03)
    assert read[0].std() == pytest.approx(2.0, rel=0.15)  # from the first reading on
    kept = np.mean(read[1:] * read[:-1]) / np.mean(read**2)
    assert kept == pytest.approx(math.exp(-every * H / 0.2), abs=0.02)


def test_scale_and_saturation():
    made = sensors(scale=2.0, saturation=1.5, bias=0.1)
    np.testing.assert_allclose(
        readings(made, np.array([0.2, 0.9, -3.0]).reshape(-1, 1, 1)).ravel(), [0.5, 1.5, -1.5]
    )


def test_a_sampled_value_is_held():
    made = sensors(period=0.004, noise=1e-9)
    ramp = np.arange(1.0, 21.0).reshape(-1, 1, 1)
    read = readings(made, ramp).ravel()
    np.testing.assert_allclose(read, 4 * (np.arange(1, 21) // 4), atol=1e-7)
    assert len(set(read)) == 6  # its noise is held too


def test_a_sample_arrives_late_and_is_not_younger_than_its_delay():
    made = sensors(period=0.004, delay=0.003)
    read = readings(made, np.arange(1.0, 31.0).reshape(-1, 1, 1)).ravel()
    np.testing.assert_allclose(read[10:], 4 * ((np.arange(11, 31) - 3) // 4), atol=1e-9)


def test_jitter_spreads_the_age_of_readings_evenly():
    made = sensors(300, 1, delay=0.002, jitter=0.008)
    ramp = np.broadcast_to(np.arange(1.0, 61.0)[:, None, None], (60, 300, 1))
    ages = (ramp - readings(made, ramp))[20:].ravel()
    assert 2.0 <= ages.min() < 2.05
    assert 9.95 < ages.max() <= 10.0
    assert ages.mean() == pytest.approx(6.0, abs=0.1)
    assert ages.std() == pytest.approx(8 / math.sqrt(12), rel=0.03)


@pytest.mark.parametrize('name', ['noise', 'drift', 'jitter', 'dropout'])
def test_numbers_are_the_same_in_any_company(name):
    parameters = {'delay': 0.001, name: SENSED[name]}
    values = np.random.default_rng(3).normal(size=(70, 1, 2))
    alone = readings(sensors(1, 2, **parameters), values)
    company = sensors(4, 2, **parameters)
    company.reset(np.arange(4), np.zeros((4, 2)), np.array([0, 9, 9, 9], dtype=np.uint64))
    together = readings(company, np.repeat(values, 4, axis=1))
    assert (alone[:, 0] == together[:, 0]).all()
    assert (alone[:, 0] != together[:, 1]).any()


def disturbances(nsim=1, nbody=3, **values):
    made = Disturbances(nsim, nbody)
    for name, value in values.items():
        getattr(made, name)[:] = value
    made.update(np.full((nsim, 1), H))
    made.reset(np.arange(nsim), np.arange(nsim, dtype=np.uint64))
    return made


def forces(made, steps, velocity=0.0, mass=1.0):
    shape = len(made.wind), len(made.dragged)
    speed = np.full((*shape, 3), velocity)
    return np.array([made.step(speed, np.full(shape, mass)) for _ in range(steps)])


def test_nothing_set_is_nothing_done():
    assert not disturbances(impulse=3.0).bodies.size
    assert not disturbances(period=3.0).bodies.size
    assert not disturbances(gust=3.0, wind=2.0).bodies.size


def test_pushes_come_as_often_and_are_as_strong_as_asked():
    made = disturbances(60, 3)
    made.period[:, 1], made.impulse[:, 1], made.duration[:, 1] = 0.5, 2.0, 0.02
    made.wrench[:, 1, 2] = 7.0
    made.update(np.full((60, 1), H))
    assert made.bodies.tolist() == [1]
    pushed = forces(made, 5000)[:, :, 0, :3] - [0, 0, 7.0]
    size = np.linalg.norm(pushed, axis=2)
    assert set(np.round(size[size > 0], 6)) == {100.0}
    begins = ((pushed[1:] != pushed[:-1]).any(axis=2) & (size[1:] > 0)).sum()
    assert begins == pytest.approx(60 * 5.0 / 0.5, rel=0.1)
    assert (size > 0).sum() == pytest.approx(20 * begins, rel=0.02)
    direction = pushed[size > 0].mean(axis=0) / 100.0
    assert np.abs(direction).max() < 0.12


def test_a_simulation_is_pushed_the_same_in_any_company():
    def made(nsim):
        one = disturbances(nsim, 3, gust=2.0, gust_time=0.3)
        one.period[:, 1], one.impulse[:, 1], one.drag_area[:, 2] = 0.05, 1.0, 0.5
        one.update(np.full((nsim, 1), H))
        one.reset(np.arange(nsim), np.full(nsim, 5, dtype=np.uint64))
        return forces(one, 500)

    alone, many = made(1), made(4)
    assert (alone[:, 0] == many[:, 0]).all()
    assert (many[:, 0] != many[:, 1]).any()


def test_drag_is_quadratic_and_against_the_motion_through_the_air():
    made = disturbances(wind=[3.0, 0.0, 0.0])
    made.drag_area[:, 2] = 0.4
    made.update(np.full((1, 1), H))
    force = made.step(np.array([[[3.0, -4.0, 0.0]]]), np.full((1, 1), 1e9))[0, 0]
    np.testing.assert_allclose(force[:3], [0, 0.5 * DENSITY * 0.4 * 16, 0], rtol=1e-6)
    assert not force[3:].any()


def test_gusts_have_their_size_and_memory():
    made = disturbances(300, gust=1.5, gust_time=0.05)
    made.drag_area[:, 2] = 2 / DENSITY
    made.update(np.full((300, 1), H))
    force = forces(made, 400, mass=1e9)[:, :, 0, :3]
    speed = -force / np.sqrt(np.linalg.norm(force, axis=2, keepdims=True))
    assert speed.std() == pytest.approx(1.5, rel=0.03)
    kept = (speed[10:] * speed[:-10]).mean() / (speed**2).mean()
    assert kept == pytest.approx(math.exp(-0.2), abs=0.03)
