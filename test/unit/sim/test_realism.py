"""Delay, lag, servo, gain, saturation, play, Stribeck friction and the sensor models."""

import numpy as np
import pytest

from sim2real_sim.realism import Actuators, Friction, Sensors
from sim2real_sim.realism.compiled import play

DT = np.full((1, 1), 1e-3)
ALL = np.array([0])


def actuators(interface='effort', n=1, **parameters):
    gains = np.array([100.0]), np.array([10.0])
    made = Actuators(interface, *gains, np.array([np.inf]), n, brake=gains)
    for name, value in parameters.items():
        made.parameters[name][:] = value
    made.update(np.full((n, 1), 1e-3))
    zero = np.zeros((n, 1))
    made.reset(np.arange(n), zero, zero)
    return made


def unloaded():
    return np.zeros((1, 1))


def response(made, command, steps):
    made.command(slice(None), np.full((1, 1), command))
    return np.array([made.drive(unloaded)[0, 0] for _ in range(steps)])


def ramp(made, begin, end):
    """What is followed while the command of every simulation grows by one in each step."""
    out = []
    for k in range(begin, end):
        made.command(slice(None), np.full(made.measured[0].shape, float(k)))
        out.append(made.drive(unloaded)[:, 0].copy())
    return np.array(out)


@pytest.mark.parametrize('steps', [0.0, 1.0, 2.5, 7.25])
def test_a_ramp_comes_out_late_by_the_delay(steps):
    out = ramp(actuators(delay=steps * 1e-3), 0, 20)[:, 0]
    np.testing.assert_allclose(out[10:], np.arange(10, 20) - steps, atol=1e-12)


def test_a_longer_delay_keeps_the_history_there_is():
    made = actuators(delay=0.002)
    ramp(made, 0, 10)
    made.parameters['delay'][:] = 0.003
    made.update(DT)
    np.testing.assert_array_equal(ramp(made, 10, 12)[:, 0], [7.0, 8.0])


def test_each_simulation_has_its_own_delay():
    made = actuators(n=3, delay=np.array([[0.0], [0.002], [0.0005]]))
    np.testing.assert_array_equal(ramp(made, 0, 5)[-1], [4.0, 2.0, 3.5])


def reported(made):
    """The effort that the drive reports of its step."""
    made.measure(np.zeros((1, 1)), np.zeros((1, 1)))
    return made.measured[2, 0, 0]


def test_neutral_actuators_pass_the_command_through_bit_for_bit():
    made = actuators()
    command = np.array([[0.1 + 0.2]])
    made.command(slice(None), command)
    assert made.drive(unloaded)[0, 0] == command[0, 0]
    assert reported(made) == command[0, 0]


def test_the_lag_is_of_first_order():
    time_constant, steps = 0.02, 60
    out = response(actuators(time_constant=time_constant), 3.0, steps)
    t = 1e-3 * np.arange(1, steps + 1)
    np.testing.assert_allclose(out, 3.0 * (1 - np.exp(-t / time_constant)), rtol=1e-12)


def test_delay_then_lag():
    made = actuators(delay=0.005, time_constant=0.01)
    out = response(made, 1.0, 10)
    assert (out[:5] == 0).all()
    np.testing.assert_allclose(out[5], 1 - np.exp(-0.1), rtol=1e-12)


def test_a_lag_that_appears_begins_at_the_present_command():
    made = actuators()
    response(made, 2.0, 3)
    made.parameters['time_constant'][:] = 0.05
    made.update(DT)
    assert made.drive(unloaded)[0, 0] == 2.0


def test_position_servo():
    made = actuators('position')
    made.measure(np.array([[0.3]]), np.array([[0.2]]))
    made.command(slice(None), np.array([[0.5]]))
    assert made.drive(unloaded)[0, 0] == pytest.approx(100 * 0.2 - 10 * 0.2)


def test_velocity_servo():
    made = actuators('velocity')
    made.measure(np.array([[0.3]]), np.array([[0.2]]))
    made.command(slice(None), np.array([[0.5]]))
    assert made.drive(unloaded)[0, 0] == pytest.approx(10 * 0.3)


def test_gain_acts_before_saturation_and_is_measured():
    made = actuators(gain=0.5, saturation=4.0)
    np.testing.assert_array_equal(response(made, 6.0, 1), [3.0])
    assert reported(made) == 3.0
    np.testing.assert_array_equal(response(made, -10.0, 1), [-4.0])


def test_a_wrong_torque_constant_is_not_seen_by_the_drive():
    made = actuators(torque_constant=0.8)
    np.testing.assert_allclose(response(made, 5.0, 1), [4.0])
    assert reported(made) == pytest.approx(5.0)


def test_hold_commands_what_is_measured():
    made = actuators('position', position_offset=0.1)
    made.measure(np.array([[0.3]]), np.zeros((1, 1)))
    made.hold(unloaded)
    assert made.drive(unloaded)[0, 0] == 0.0
    assert made.commanded[0, 0] == pytest.approx(0.4)


@pytest.mark.parametrize('gain', [1.0, 0.5])
def test_a_position_loop_holds_a_load(gain):
    made = actuators('position', gain=gain)
    made.measure(np.array([[0.3]]), np.zeros((1, 1)))
    made.hold(lambda: np.full((1, 1), 7.0))
    assert made.drive(unloaded)[0, 0] == pytest.approx(7.0)


@pytest.mark.parametrize('interface', ['velocity', 'effort'])
@pytest.mark.parametrize('delay', [0.0, 0.0025])
def test_a_brake_holds_until_a_command_arrives(interface, delay):
    made = actuators(interface, delay=delay, time_constant=0.01)
    made.measure(np.array([[0.3]]), np.array([[0.2]]))
    made.hold(lambda: np.zeros((1, 1)))
    response(made, 0.0, 20)
    made.hold(lambda: np.zeros((1, 1)))
    for _ in range(5):
        held = made.drive(lambda: np.full((1, 1), 7.0))
    assert held[0, 0] == pytest.approx(7.0 - 10 * 0.2)
    assert made.commanded[0, 0] == 0.0
    made.measure(np.array([[0.3]]), np.zeros((1, 1)))
    let_go = response(made, 1e-6, 5)
    assert np.isfinite(let_go).all()
    assert abs(let_go[-1]) < 1e-4


def test_play_follows_after_the_gap():
    seen, path = 0.0, [0.05, 0.1, 0.3, 0.25, 0.11, 0.0, -0.5]
    out = []
    for position in path:
        seen = play(seen, position, 0.2)
        out.append(seen)
    np.testing.assert_allclose(out, [0.0, 0.0, 0.2, 0.2, 0.2, 0.1, -0.4], atol=1e-15)


def test_no_play_is_no_change():
    assert play(0.0, 0.1 + 0.2, 0.0) == 0.1 + 0.2


def test_inside_the_gap_the_drive_sees_no_motion():
    made = actuators('position', backlash=0.01)
    made.measure(np.array([[0.002]]), np.array([[2.0]]))
    assert (made.measured[:2] == 0.0).all()
    made.measure(np.array([[0.0071]]), np.array([[2.0]]))
    assert made.measured[:2, 0, 0] == pytest.approx([0.0021, 2.1])


def test_stribeck_curve():
    friction = Friction(np.full(4, 2.0), 0.1, 1)
    friction.static[:] = 3.0
    friction.update(DT)
    level = friction.level(np.array([[0.0, 0.1, -0.1, 5.0]]))
    np.testing.assert_allclose(level, [[3.0, 2 + np.exp(-1), 2 + np.exp(-1), 2.0]])


def test_friction_depends_on_speed_only_where_static_exceeds_coulomb():
    friction = Friction(np.array([2.0, 1.0]), 0.05, 1)
    friction.update(DT)
    assert not friction.active
    friction.static[0, 0] = 2.5
    friction.update(DT)
    assert friction.active
    np.testing.assert_allclose(friction.level(np.array([[0.0, 0.0]])), [[2.5, 1.0]])


def sensors(n=1, width=1, **parameters):
    made = Sensors((n, width))
    for name, value in parameters.items():
        made.parameters[name][:] = value
    made.update(np.full((n, 1), 1e-3))
    made.reset(np.arange(n), np.zeros((n, width)), np.arange(n, dtype=np.uint64))
    return made


def test_neutral_sensors_pass_through_bit_for_bit():
    made = sensors()
    made.record([np.array([[0.1 + 0.2]])], 0.0)
    assert made.sample(ALL)[0, 0] == 0.1 + 0.2


def test_noise_and_bias_have_their_size():
    made = sensors(noise=0.5, bias=2.0, n=4, width=3)
    rows = np.arange(4)
    samples = np.array([made.sample(rows) for _ in range(4000)])
    n = samples.size // 12
    assert np.abs(samples.mean(axis=0) - 2.0).max() < 5 * 0.5 / np.sqrt(n)
    assert np.abs(samples.std(axis=0) / 0.5 - 1).max() < 5 / np.sqrt(2 * n)
    flat = samples.reshape(len(samples), -1)
    correlation = np.corrcoef(flat.T) - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)
    assert abs(np.corrcoef(flat[1:, 0], flat[:-1, 0])[0, 1]) < 5 / np.sqrt(n)


def test_quantization_rounds_to_steps():
    made = sensors(quantization=0.25)
    out = []
    for value in (0.1, 0.13, -0.4, 1.0):
        made.record([np.array([[value]])], 0.0)
        out.append(made.sample(ALL)[0, 0])
    np.testing.assert_allclose(out, [0.0, 0.25, -0.5, 1.0], atol=1e-15)


def test_dropout_repeats_the_sample_before_as_often_as_asked():
    made = sensors(dropout=0.3)
    repeats, count = 0, 5000
    for k in range(1, count + 1):
        made.record([np.full((1, 1), float(k))], 0.0)
        repeats += made.sample(ALL)[0, 0] < k
    assert abs(repeats / count - 0.3) < 5 * np.sqrt(0.21 / count)


def test_sensor_delay():
    made = sensors(delay=0.0035)
    for k in range(1, 11):
        made.record([np.full((1, 1), float(k))], 0.0)
    assert made.delays
    assert made.sample(ALL)[0, 0] == pytest.approx(6.5)


def test_a_simulation_has_the_same_noise_in_any_company():
    alone, many = sensors(noise=1.0), sensors(noise=1.0, n=3)
    mine = [alone.sample(ALL)[0, 0] for _ in range(100)]
    company = []
    for k in range(100):
        company.append(many.sample(ALL)[0, 0])
        if k % 3 == 0:
            many.sample(np.array([1, 2]))
    assert mine == company
    assert many.sample(np.array([1]))[0, 0] not in mine


def test_reset_begins_the_noise_anew():
    made = sensors(noise=1.0, dropout=0.2)
    first = [made.sample(ALL)[0, 0] for _ in range(70)]
    made.reset(ALL, np.zeros((1, 1)), np.zeros(1, dtype=np.uint64))
    assert [made.sample(ALL)[0, 0] for _ in range(70)] == first
    made.reset(ALL, np.zeros((1, 1)), np.ones(1, dtype=np.uint64))
    assert [made.sample(ALL)[0, 0] for _ in range(70)] != first
