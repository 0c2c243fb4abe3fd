"""The relay's logic: the same models as in the simulator, on messages."""

import math

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.records import Draw
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.relay import Relay, answered, passed_on, refused

PERIOD = 0.004
QUIET = ('position', 'velocity', 'effort')


def quiet(profile, **values):
    """A draw without the profile's noise."""
    none = {f'sensor.{j}_{m}.noise': 0.0 for j in profile.joint_names for m in QUIET}
    return {**none, **values}


def ideal(make, name='arm6', **values):
    profile = make(name)
    relay = Relay(profile)
    outcomes = relay.apply(quiet(profile, **{k.replace('__', '.'): v for k, v in values.items()}))
    assert set(outcomes.values()) == {'verified'}
    return relay


def heard(relay, k, position=None, velocity=None):
    names = relay.profile.joint_names
    q = np.zeros(len(names)) if position is None else position
    v = np.zeros(len(names)) if velocity is None else velocity
    arrays = names, list(q), list(v), [0.0] * len(names)
    relay.advance(100.0 + k * PERIOD, *arrays)
    return [np.array(part) for part in relay.sense(*arrays)]


@pytest.mark.parametrize('name', ['arm6', 'planar', 'lift', 'turntable'])
def test_zero_settings_change_nothing(make, name):
    profile = make(name)
    relay = Relay(profile)
    relay.apply(quiet(profile))
    assert not (relay.acts or relay.senses or relay.senses_imu)
    for address in relay._places:
        kind, _, quantity = address.partition('.')[0], 0, address.rpartition('.')[2]
        relay.apply(quiet(profile, **{address: relay._nominal[address] * 0.5 + 0.125}))
        alone = quantity in ('damping_ratio', 'ripple_periods', 'correlation_time')
        assert alone != (relay.acts or relay.senses or relay.senses_imu), (kind, address)


def test_a_delayed_sensor_is_the_simulators(make):
    relay = ideal(make, **{'sensor.elbow_position.delay': 0.0055})
    ramp = np.arange(1.0, 41.0)
    out = [heard(relay, k, np.full(6, value))[0][[2, 3]] for k, value in enumerate(ramp)]
    np.testing.assert_allclose(np.array(out)[10:, 0], ramp[10:] - 0.0055 / PERIOD, atol=1e-9)
    np.testing.assert_array_equal(np.array(out)[:, 1], ramp)


def test_messages_may_name_some_joints_and_strangers(make):
    relay = ideal(make, **{'sensor.elbow_position.bias': 0.5})
    names = ['gripper', 'elbow']
    relay.advance(1.0, names, [7.0, 1.0], [], [])
    assert relay.sense(names, [7.0, 1.0], [], []) == ([7.0, 1.5], [], [])


@pytest.mark.parametrize(
    'values',
    [
        {'delay': 0.0065},
        {'time_constant': 0.02},
        {'natural_frequency': 40.0, 'damping_ratio': 0.4},
        {'delay': 0.003, 'time_constant': 0.01},
    ],
)
def test_commands_arrive_as_the_simulators_drive_follows_them(make, values):
    profile = make('arm6')
    relay = ideal(make, **{f'actuator.elbow.{q}': v for q, v in values.items()})
    simulator = MujocoSimulator(profile)
    simulator.apply({f'actuator.elbow.{q}': v for q, v in values.items()})
    simulator.reset(position=np.zeros(6))
    drives = simulator._actuators
    heard(relay, 0)
    command = np.full(6, 0.3)
    told = [relay.command(command)]
    drives.command(slice(None), command[None])
    expected = [drives.faultless()[0]]
    for k in range(1, 30):
        heard(relay, k)
        for _ in range(4 - (k == 1)):
            expected.append(drives.faultless()[0])
        told.append(relay.pending())
    np.testing.assert_allclose(told, np.array(expected)[[0, *range(3, len(expected), 4)]])
    assert (np.array(told)[:, 0] == 0.3).all()  # the other joints are told at once


def test_play_and_offset_move_the_joint_as_a_drive_with_them_would(make):
    relay = ideal(make, **{'actuator.elbow.backlash': 0.02, 'joint.elbow.position_offset': 0.1})
    heard(relay, 0)
    measured = heard(relay, 1, np.full(6, 0.5))[0]
    assert measured[2] == pytest.approx(0.49 + 0.1)
    assert measured[3] == 0.5
    told = relay.command(np.full(6, 0.7))
    # stiffness * (told - q) is what a loop on the measured position would ask for
    assert told[2] - 0.5 == pytest.approx(0.7 - measured[2])
    assert told[3] == 0.7


def test_a_drive_commanded_by_effort_has_all_of_the_chain(make):
    values = dict(gain=0.5, saturation=3.0, dead_zone=0.5, no_load_speed=2.0)
    relay = ideal(make, 'lift', **{f'actuator.z.{q}': v for q, v in values.items()})
    heard(relay, 0, velocity=[1.0])
    assert relay.command(np.array([2.5]))[0] == pytest.approx(1.0)
    assert relay.command(np.array([99.0]))[0] == pytest.approx(1.5)
    assert relay.command(np.array([-99.0]))[0] == pytest.approx(-3.0)


@pytest.mark.parametrize('name', ['lift', 'turntable'])
def test_the_first_command_is_told_whole(make, name):
    joint = make(name).joint_names[0]
    relay = ideal(make, name, **{f'actuator.{joint}.delay': 0.02})
    heard(relay, 0)
    assert relay.command(np.array([2.0]))[0] == 2.0
    heard(relay, 1)
    assert relay.pending()[0] == 2.0


def test_nothing_is_told_when_commands_stop(make):
    relay = ideal(make, **{'actuator.elbow.time_constant': 0.5})
    heard(relay, 0)
    assert relay.pending() is None
    relay.command(np.ones(6))
    told = []
    for k in range(1, 200):
        heard(relay, k)
        told.append(relay.pending() is not None)
    assert sum(told) == pytest.approx(relay.profile.command.timeout / PERIOD, abs=1)
    assert told[0] and not told[-1]


def test_time_that_starts_over_forgets(make):
    relay = ideal(make, **{'sensor.elbow_position.delay': 0.02})
    for k in range(20):
        heard(relay, k, np.full(6, 1.0))
    assert heard(relay, -1000, np.full(6, 3.0))[0][2] == 3.0


def test_the_imu(make, tmp_path):
    profile = make('arm6')
    if not profile.imu_link:
        pytest.skip('arm6 has no IMU')
    relay = Relay(profile)
    relay.apply({'sensor.imu_gyro.bias': 0.5, 'sensor.imu_accelerometer.delay': 0.0055})
    assert relay.senses_imu
    out = np.array([relay.sense_imu(5 + k * PERIOD, np.full(6, float(k))) for k in range(30)])
    np.testing.assert_allclose(out[:, :3], np.arange(30.0)[:, None] + 0.5 + np.zeros(3))
    np.testing.assert_allclose(
        out[10:, 3:], np.arange(10.0, 30.0)[:, None] - 0.0055 / PERIOD + np.zeros(3), atol=1e-9
    )


def draw(**values):
    return Draw(episode=3, seed=1, values={k.replace('__', '.'): v for k, v in values.items()})


def test_a_draw_is_answered_by_both(make):
    relay = Relay(make('arm6'))
    asked = draw(link__gripper__mass=1.5, actuator__elbow__delay=0.01, actuator__elbow__gain=0.9)
    part = passed_on(asked, relay)
    assert list(part.values) == ['link.gripper.mass', 'actuator.elbow.gain']
    simulators = Draw(
        episode=3, seed=1,
        values={'link.gripper.mass': 1.5, 'actuator.elbow.gain': math.nan},
        outcomes={'link.gripper.mass': 'verified', 'actuator.elbow.gain': 'unsupported'},
    )  # fmt: skip
    answer = answered(asked, simulators, relay)
    assert answer.outcomes == {
        'link.gripper.mass': 'verified',
        'actuator.elbow.delay': 'verified',
        'actuator.elbow.gain': 'unsupported',
    }
    assert answer.values['actuator.elbow.delay'] == 0.01 == relay.get('actuator.elbow.delay')
    assert list(answer.values) == list(asked.values)
    answered(draw(), Draw(episode=3, seed=1), relay)
    assert relay.get('actuator.elbow.delay') == 0.0  # a draw describes the whole world


def test_a_draw_is_applied_whole_or_not_at_all(make):
    relay = Relay(make('arm6'))
    asked = draw(link__gripper__mass=-1.0, actuator__elbow__delay=0.01)
    simulators = Draw(
        episode=3, seed=1,
        values={'link.gripper.mass': 0.8}, outcomes={'link.gripper.mass': 'failed'},
    )  # fmt: skip
    assert set(answered(asked, simulators, relay).outcomes.values()) == {'failed'}
    assert relay.get('actuator.elbow.delay') == 0.0
    with pytest.raises(InputError, match='within'):
        relay.check({'actuator.elbow.delay': -1.0, 'link.gripper.mass': 1.0})
    with pytest.raises(InputError, match='within'):
        relay.check({'actuator.elbow.delay': math.nan})
    assert list(refused(draw(nonsense=1.0, world__gravity__z=1.0)).values) == ['world.gravity.z']


def test_without_a_simulator_its_part_is_unsupported(make):
    relay = Relay(make('arm6'))
    answer = answered(draw(link__gripper__mass=1.0, actuator__elbow__delay=0.01), None, relay)
    assert answer.outcomes == {
        'link.gripper.mass': 'unsupported',
        'actuator.elbow.delay': 'verified',
    }
    assert math.isnan(answer.values['link.gripper.mass'])
