"""Policies of every robot that ships, from a network to a bundle that the robot can run."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.description import Description
from sim2real_policy.export import export_network
from sim2real_policy.inspection import verdict
from sim2real_policy.onnx_source import read_onnx
from sim2real_policy.runtime import OnnxRuntime

onnx = pytest.importorskip('onnx')
networks = pytest.importorskip('test.unit.policy.networks')

BASE = [
    {'kind': 'base_linear_velocity'},
    {'kind': 'imu_angular_velocity', 'scale': 0.25},
    {'kind': 'projected_gravity'},
    {'kind': 'velocity_command', 'topic': 'wanted'},
]
JOINTS = [{'kind': 'joint_position'}, {'kind': 'joint_velocity', 'history': 2}]
PREVIOUS = [{'kind': 'previous_action'}]
POSITION = {'meaning': 'position', 'scale': 0.25}
TWIST = {'meaning': 'twist', 'scale': {'linear.x': 1.0, 'angular.z': 2.0}}
ROBOTS = {
    'arm6': ([*JOINTS, {'kind': 'goal_error'}], POSITION, 21, 6, ('tool_position', 'base_link')),
    'slider': (JOINTS, {'meaning': 'position'}, 3, 1, ('none', '')),
    'quadruped': (BASE + JOINTS + PREVIOUS, POSITION, 60, 12, ('base_velocity', 'trunk')),
    'rover': (BASE + PREVIOUS, TWIST, 14, 2, ('base_velocity', 'base_link')),
}


@pytest.mark.parametrize('robot', ROBOTS)
def test_a_network_becomes_a_bundle_that_the_robot_can_run(tmp_path, robot):
    terms, action, size, commands, goal = ROBOTS[robot]
    profile = load_profile(robot)
    if profile.command.interface not in ('position', 'twist'):
        action = {'meaning': profile.command.interface}
    source = tmp_path / 'net.onnx'
    node = onnx.helper.make_node('MatMul', ['obs', 'w'], ['actions'])
    weights = np.random.default_rng(0).normal(size=(size, commands)).astype(np.float32)
    ends = {'obs': ['n', size]}, {'actions': ['n', commands]}
    source.write_bytes(networks.model([node], *ends, {'w': weights}))
    period = profile.rates.control_period
    told = Description({'control_period': period, 'observation': terms, 'action': action})
    network = read_onnx(source, profile, told.values)
    made = export_network(network, told, profile, source, tmp_path / 'a.onnx')
    meta = made.bundle.meta
    assert made.difference == 0.0
    judged = verdict(meta, profile)
    assert {'workspace', 'novelty'} <= set(judged.pop('guard_off'))
    assert judged == {'robot': robot, 'fits': True, 'faults': [], 'remarks': []}
    assert meta.observation.size == size and meta.command_names == profile.command_names
    assert (meta.goal.kind, meta.goal.frame) == goal
    assert OnnxRuntime(made.bundle).infer(np.zeros((1, size), np.float32)).shape == (1, commands)
    others = [name for name in ROBOTS if name != robot]
    assert not any(verdict(meta, load_profile(name))['fits'] for name in others)
