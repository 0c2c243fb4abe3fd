"""A two-axis robot, and policies for it."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
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
