"""A two-axis robot, policies for it, and a controller driven by hand."""

import dataclasses

import numpy as np
import pytest

from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.observation import Term
from test.two_joints import two_joints


@pytest.fixture
def robot(tmp_path):
    """Makes the profile, with a command interface."""

    def make(interface='position'):
        reach = 'acceleration: 10, default_position: 0.5'
        return two_joints(tmp_path, interface, 'default_position: 0.25', reach)

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
