"""The realism's addresses in the embedded simulator: live, per simulation, read back, felt."""

import numpy as np
import pytest

from sim2real_core.addresses import QUANTITIES
from sim2real_core.nominal import ACTUATOR, SENSOR, nominal
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.realism.disturbances import DENSITY

G = 9.81
LIVELY = {'gust_time': 0.5, 'correlation_time': 3.0, 'ripple_periods': 6.0, 'damping_ratio': 0.4}


def addresses():
    yield from (f'actuator.elbow.{q}' for q in ACTUATOR)
    yield from (f'sensor.elbow_{m}.{q}' for m in ('position', 'effort') for q in SENSOR)
    yield from (f'world.{q}' for q in ('wind.x', 'wind.z', 'gust', 'gust_time'))
    yield from (f'disturbance.gripper.{q}' for q in QUANTITIES['disturbance'])
    yield 'joint.elbow.wear'


def trajectory(simulator):
    out = []
    for k in range(10):
        simulator.command(simulator.profile.array('default_position') + 0.1 * (k % 3))
        simulator.step(6)
        out.append(np.concatenate([*simulator.state(), *simulator.read()[1:]], axis=1))
    return np.array(out)


def test_everything_is_live_per_simulation_and_read_back(make):
    simulator = MujocoSimulator(make('arm6'), nsim=3)
    reference = trajectory(simulator)
    values = {
        a: np.array([nominal(simulator.profile, a), LIVELY.get(a.rpartition('.')[2], 0.01), 0.02])
        for a in addresses()
    }
    assert set(simulator.apply(values).values()) == {'verified'}
    for address, value in values.items():
        np.testing.assert_array_equal(simulator.get(address), value)
    simulator.reset()
    drawn = trajectory(simulator)
    assert (drawn[:, 0] == reference[:, 0]).all()  # its neighbours are lively, it is nominal
    assert (drawn[:, 1] != reference[:, 1]).any()
    simulator.apply({})
    simulator.reset()
    assert (trajectory(simulator) == reference).all()


@pytest.mark.parametrize('address', list(addresses()))
def test_zero_is_the_identity(make, address):
    simulator = MujocoSimulator(make('arm6'), nsim=2)
    zero = nominal(simulator.profile, address)
    reference = trajectory(simulator)
    simulator.apply({address: [zero, LIVELY.get(address.rpartition('.')[2], 0.03)]})
    simulator.reset()
    assert (trajectory(simulator)[:, 0] == reference[:, 0]).all()


def falling(make, gravity=-G, **values):
    simulator = MujocoSimulator(make('lift'), nsim=2)
    drawn = {f'disturbance.cabin.{q}': v for q, v in values.items()}
    simulator.apply({'world.gravity.z': gravity, **drawn})
    simulator.command(np.zeros(1))
    return simulator


def test_terminal_velocity(make):
    area = 1.3
    simulator = falling(make, drag_area=[area, 0.0])
    simulator.step(6000)
    speed = simulator.state()[1][:, 0]
    assert speed[0] == pytest.approx(-np.sqrt(4 * G / (0.5 * DENSITY * area)), rel=1e-3)
    assert speed[1] == pytest.approx(-G * 6.0, rel=1e-6)


def test_wind_carries_a_light_body_along(make):
    simulator = falling(make)
    simulator.apply(
        {'disturbance.cabin.drag_area': 900.0, 'world.wind.z': 5.0, 'world.gravity.z': 0.0}
    )
    simulator.step(2000)
    assert simulator.state()[1][:, 0] == pytest.approx(5.0, rel=1e-2)


def test_a_push_is_its_impulse(make):
    simulator = falling(make, 0.0, period=0.01, impulse=[3.0, 0.0], duration=0.1)
    force = simulator.batch.bind('xfrc_applied')[:, simulator.robot.bodies['cabin'], :3]
    for _ in range(1000):
        simulator.step()
        if force.any():
            break
    first = force.copy()
    assert np.linalg.norm(first, axis=1) == pytest.approx([30.0, 0.0])
    simulator.step(99)
    assert simulator.state()[1][:, 0] == pytest.approx([first[0, 2] * 0.1 / 4, 0.0], rel=1e-9)


def test_a_worn_joint_slows_down_sooner(make):
    simulator = MujocoSimulator(make('lift'), nsim=2)
    simulator.apply(
        {
            'world.gravity.z': 0.0,
            'joint.z.coulomb_friction': 6.0,
            'joint.z.wear': [0.0, 0.02],
        }
    )
    simulator.reset(velocity=[3.0])
    simulator.command(np.zeros(1))
    simulator.step(1000)
    slow = simulator.state()[1][:, 0]
    assert slow[0] == pytest.approx(3 - 6 / 4, rel=1e-6)
    # heat E: m v v' = -F v, F = 6 (1 + 0.02 E), E = m (9 - v^2) / 2
    v = 3.0
    for _ in range(1000):
        v -= 1e-3 * 6 * (1 + 0.02 * 0.5 * 4 * (9 - v * v)) / 4
    assert slow[1] == pytest.approx(v, rel=5e-3)
