"""Hidden arms on their own excitation, from the search to the estimate, as on a robot."""

import mujoco
import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.follow import TrajectoryRuntime, describe
from sim2real_randomizer.space import load_space
from sim2real_sim.mujoco_model import build_model
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sysid.estimator import OnlineIdentifier
from sim2real_sysid.excitation import excite

ARM6 = load_profile('arm6')
BARS = {'viscous_friction': 0.05, 'coulomb_friction': 0.05, 'mass': 0.03}


@pytest.fixture(scope='module')
def trajectory():
    return excite(ARM6).trajectory


def run(trajectory, hidden, seed):
    """Follow the trajectory to its end; controller, estimate and true positions (n, nj)."""
    simulator = MujocoSimulator(ARM6, seed=seed, contacts=False)
    simulator.apply(hidden)
    simulator.reset(seed=seed)
    runtime = TrajectoryRuntime(trajectory, ARM6)
    config = PolicyConfig(trajectory='given', paced=True)
    controller = Controller(describe(ARM6), ARM6, runtime, config)
    identifier, where = OnlineIdentifier(ARM6), []
    steps = round(1.0 / (ARM6.rates.joint_state_rate * simulator.timestep))
    while runtime.report()['motion'] != 'done':
        seen = simulator.read()
        stamp = float(seen.time[0])
        controller.inputs['position'][0] = seen.position[0]
        if controller.sample(stamp, stamp):
            simulator.command(controller.act()[None])
        identifier.update(stamp, seen.position[0], seen.effort[0])
        where.append(simulator.state()[0][0].copy())
        simulator.step(steps)
    return controller, identifier.estimate(), np.array(where)


def nearest(positions):
    """Least distance of the arm to itself and to the floor, where below 5 cm [m]."""
    robot = build_model(ARM6)
    data, least = mujoco.MjData(robot.model), 0.05
    robot.model.geom_margin[:] = least
    for position in positions[::5]:
        data.qpos[robot.qpos] = position
        mujoco.mj_fwdPosition(robot.model, data)
        least = min([least, *(contact.dist for contact in data.contact[: data.ncon])])
    return least


@pytest.mark.soak
@pytest.mark.parametrize('seed', range(100, 106))
def test_a_hidden_arm_is_identified_and_touches_nothing(trajectory, seed):
    hidden = dict(load_space('arm6_surrogate', ARM6).draw(seed, 0).values)
    controller, estimate, where = run(trajectory, hidden, seed)
    assert controller.guard.counts == dict.fromkeys(controller.guard.counts, 0)
    assert nearest(where) > 0.01
    checked = 0
    for address, known in estimate.parameters.items():
        bar = BARS.get(address.rpartition('.')[2])
        if bar is not None and address in hidden:
            assert known.status == 'identified', address
            assert known.mean == pytest.approx(hidden[address], rel=bar), address
            checked += 1
    assert checked == 13
