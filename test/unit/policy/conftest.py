"""A two-axis robot, policies for it, and a controller driven by hand."""

import dataclasses

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.observation import Term

URDF = """<robot name="pair">
  <link name="base"/>
  <link name="arm"><inertial><mass value="1"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="turn" type="continuous"><parent link="base"/><child link="arm"/>
    <axis xyz="0 0 1"/><limit velocity="2" effort="10"/></joint>
  <link name="rod"><inertial><mass value="1"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="reach" type="prismatic"><parent link="arm"/><child link="rod"/>
    <origin xyz="0.5 0 0"/><axis xyz="1 0 0"/>
    <limit lower="-0.5" upper="1" velocity="4" effort="20"/></joint>
</robot>
"""
YAML = """name: pair
urdf: pair.urdf
command: {{interface: {interface}, topic: commands}}
rates: {{control_period: 0.02, joint_state_rate: 100}}
joints:
  turn: {{default_position: 0.25}}
  reach: {{acceleration: 10, default_position: 0.5}}
"""


@pytest.fixture
def robot(tmp_path):
    """Makes the profile, with a command interface."""

    def make(interface='position'):
        (tmp_path / 'pair.urdf').write_text(URDF)
        path = tmp_path / f'pair_{interface}.yaml'
        path.write_text(YAML.format(interface=interface))
        return load_profile(path)

    return make


@pytest.fixture
def metadata(robot):
    """Makes metadata of a policy for the robot; its floats are awkward ones."""

    def make(interface='position', meaning=None, terms=None, **changed):
        terms = terms or [
            Term(kind='joint_position', scale=(1 / 3, 0.1), clip=(-5.0, np.pi)),
            Term(kind='joint_velocity', scale=0.05000000000000001, history=3),
            Term(kind='goal_error', offset=(1e-17, 0.0, -0.0)),
            Term(kind='previous_action'),
        ]
        action = Action(
            meaning=meaning or interface,
            scale=(0.1 + 0.2, np.nextafter(0.5, 1)),
            offset=(1e-300, -7e10 / 3),
            clip=2.0 / 3.0,
        )
        values = dict(control_period=0.02, space='s' * 64, training={'steps': 10, 'lr': 1 / 3})
        return BundleMetadata.for_robot(robot(interface), terms, action, **(values | changed))

    return make


class Rig:
    """A controller, and a network that says what the test wants."""

    def __init__(self, robot, metadata, *, interface='position', terms=None, order=None, **config):
        meta = metadata(interface, terms=terms or [Term(kind='joint_position')])
        meaning = 'delta' if interface == 'position' else interface
        action = Action(meaning=meaning, scale=(1.0, 1.0))
        meta = dataclasses.replace(meta, **({'action': action} | (order or {})))
        self.action = [0.0, 0.0]
        self.seen = []
        config = PolicyConfig(bundle='given', **config)
        profile = robot(interface)
        tool = tool_position(meta, profile)
        self.controller = Controller(meta, profile, self, config, tool)
        self.stamp = 10.0
        self.now = 1000.0

    def infer(self, observation):
        self.seen.append(observation[0].copy())
        return np.array([self.action], np.float32)

    def reset(self):
        self.resets = getattr(self, 'resets', 0) + 1

    def report(self):
        return {'network': 'told'}

    def sample(self, position=(0.25, 0.5), fault='', step=0.01):
        """One sample; the command when one is due, else None."""
        self.stamp += step
        self.now += max(step, 0.0)
        self.controller.inputs['position'][0] = position
        if self.controller.sample(self.stamp, self.now, fault):
            return self.controller.act().copy()
        return None

    def repeat(self, times, **given):
        """As many samples, a control period apart; the commands (times, 2)."""
        return np.array([self.sample(step=0.02, **given) for _ in range(times)])

    def watch(self, later):
        self.now += later
        if self.controller.watch(self.now):
            return self.controller.command.copy()
        return None


@pytest.fixture
def rig(robot, metadata):
    return lambda **given: Rig(**(dict(robot=robot, metadata=metadata) | given))
