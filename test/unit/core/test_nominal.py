"""Nominal values come from URDF and profile, and the simulator has the same."""

import pytest

from sim2real_core.addresses import QUANTITIES, SENSED
from sim2real_core.errors import InputError
from sim2real_core.nominal import nominal
from sim2real_core.profile import load_profile


@pytest.fixture(scope='module', params=['arm6', 'slider'])
def shipped(request):
    return load_profile(request.param)


def test_values():
    arm6 = load_profile('arm6')
    elbow = arm6.joint('elbow')
    gripper = arm6.urdf.links['gripper']
    assert nominal(arm6, 'link.gripper.mass') == gripper.mass > 0
    assert nominal(arm6, 'link.gripper.com.x') == gripper.com[0] > 0
    upper_arm = arm6.urdf.links['upper_arm']
    assert nominal(arm6, 'link.upper_arm.inertia.yz') == upper_arm.inertia[5] > 0
    assert nominal(arm6, 'joint.elbow.viscous_friction') == elbow.viscous_friction > 0
    negative = nominal(arm6, 'joint.elbow.viscous_friction.negative')
    assert negative == elbow.viscous_friction
    assert nominal(arm6, 'joint.elbow.static_friction') == elbow.coulomb_friction
    assert nominal(arm6, 'joint.elbow.effort_offset') == 0.0
    assert nominal(arm6, 'actuator.elbow.saturation') == elbow.effort
    assert nominal(arm6, 'actuator.elbow.gain') == 1.0
    assert nominal(arm6, 'sensor.elbow_velocity.noise') == elbow.velocity_noise > 0
    assert nominal(arm6, 'sensor.imu_gyro.noise') == 0.0
    assert nominal(arm6, 'world.gravity.z') == -9.81
    assert nominal(arm6, 'world.timestep') == arm6.rates.timestep
    assert nominal(arm6, 'disturbance.gripper.wrench.force.x') == 0.0


@pytest.mark.parametrize(
    ('address', 'mend'),
    [
        ('link.griper.mass', 'gripper'),
        ('joint.elbow.viscosity', 'viscous_friction'),
        ('light.sun.intensity', 'absolute'),
        ('camera.front.exposure', 'absolute'),
        ('surface.floor.stiffness', 'absolute'),
    ],
)
def test_faults(address, mend):
    with pytest.raises(InputError, match=mend):
        nominal(load_profile('arm6'), address)


def test_the_simulator_has_the_same(shipped):
    simulator = pytest.importorskip('sim2real_sim.mujoco_simulator').MujocoSimulator(shipped)
    massive = [name for name, link in shipped.urdf.links.items() if link.mass > 0]
    names = {
        'world': [''],
        'link': massive,
        'joint': shipped.joint_names,
        'actuator': shipped.joint_names,
        'sensor': [f'{j}_{m}' for j in shipped.joint_names for m in SENSED],
        'disturbance': massive,
    }
    compared = 0
    for kind, of_kind in names.items():
        for name in of_kind:
            for quantity in QUANTITIES[kind]:
                address = '.'.join(part for part in (kind, name, quantity) if part)
                try:
                    value = simulator.nominal(address)
                except InputError:  # this simulator does not have it
                    continue
                assert nominal(shipped, address) == value, address
                compared += 1
    assert compared > 30
