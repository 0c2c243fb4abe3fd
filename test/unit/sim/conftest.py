"""Robots made for the tests: a lift, a pendulum, a planar gripper arm and a turntable."""

import pytest

from sim2real_core.profile import load_profile

LIFT = """<robot name="lift">
  <link name="rail"/>
  <joint name="z" type="prismatic">
    <parent link="rail"/><child link="cabin"/><axis xyz="0 0 1"/>
    <limit lower="-1000" upper="1000" effort="1000" velocity="100"/>
  </joint>
  <link name="cabin">
    <inertial><mass value="4"/>
      <inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
</robot>"""
PENDULUM = """<robot name="pendulum">
  <link name="world"/>
  <joint name="hinge" type="revolute">
    <parent link="world"/><child link="rod"/><origin xyz="0 0 2"/><axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" effort="50" velocity="20"/>
  </joint>
  <link name="rod">
    <inertial><origin xyz="0 0 -0.5"/><mass value="2"/>
      <inertia ixx="0.04" iyy="0.04" izz="0.001" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0 0 -0.5"/><geometry><box size="0.02 0.02 1"/></geometry></collision>
  </link>
</robot>"""
PLANAR = """<robot name="planar">
  <link name="base"><collision><geometry><box size="0.2 0.2 0.1"/></geometry></collision></link>
  <joint name="first" type="revolute">
    <parent link="base"/><child link="upper"/><axis xyz="0 0 1"/>
    <limit lower="-3" upper="3" effort="20" velocity="5"/>
    <dynamics damping="0.2" friction="0.1"/>
  </joint>
  <link name="upper">
    <inertial><origin xyz="0.2 0 0" rpy="0.3 -0.2 0.5"/><mass value="1.5"/>
      <inertia ixx="0.01" iyy="0.03" izz="0.025" ixy="0.002" ixz="0.001" iyz="-0.003"/></inertial>
    <collision><origin xyz="0.2 0 0"/><geometry><box size="0.4 0.05 0.05"/></geometry></collision>
  </link>
  <joint name="second" type="revolute">
    <parent link="upper"/><child link="lower"/><origin xyz="0.4 0 0"/><axis xyz="0 0 1"/>
    <limit lower="-2.5" upper="2.5" effort="10" velocity="5"/>
  </joint>
  <link name="lower">
    <inertial><origin xyz="0.15 0.01 0"/><mass value="0.8"/>
      <inertia ixx="0.002" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0.15 0 0"/><geometry><box size="0.3 0.04 0.04"/></geometry></collision>
  </link>
  <joint name="left" type="prismatic">
    <parent link="lower"/><child link="left_finger"/><origin xyz="0.3 0 0"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="0.04" effort="30" velocity="1"/>
  </joint>
  <joint name="right" type="prismatic">
    <parent link="lower"/><child link="right_finger"/><origin xyz="0.3 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-0.1" upper="0.01" effort="30" velocity="1"/>
    <mimic joint="left" multiplier="-2" offset="0.005"/>
  </joint>
  <joint name="camera_tilt" type="revolute">
    <parent link="lower"/><child link="camera"/><origin xyz="0.1 0 0.03"/><axis xyz="0 1 0"/>
    <limit lower="0.2" upper="1" effort="1" velocity="1"/>
  </joint>
  <link name="left_finger"><inertial><mass value="0.05"/>
    <inertia ixx="1e-5" iyy="1e-5" izz="1e-5" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="right_finger"><inertial><mass value="0.05"/>
    <inertia ixx="1e-5" iyy="1e-5" izz="1e-5" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="camera"><inertial><mass value="0.1"/>
    <inertia ixx="1e-5" iyy="1e-5" izz="1e-5" ixy="0" ixz="0" iyz="0"/></inertial></link>
</robot>"""
TURNTABLE = """<robot name="turntable">
  <link name="foot"/>
  <joint name="spin" type="continuous">
    <parent link="foot"/><child link="table"/><origin xyz="0 0 0.1" rpy="0 0.4 0"/>
    <axis xyz="0 0 1"/><limit effort="5" velocity="10"/><dynamics damping="0.05"/>
  </joint>
  <link name="table"><inertial><mass value="3"/>
    <inertia ixx="0.05" iyy="0.05" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial></link>
</robot>"""
URDFS = {'lift': LIFT, 'pendulum': PENDULUM, 'planar': PLANAR, 'turntable': TURNTABLE}
PROFILES = {
    'lift': 'command: {interface: effort}',
    'pendulum': 'command: {interface: effort}\njoints: {hinge: {armature: 0.1}}',
    'planar': """command: {interface: position}
tool_link: left_finger
joints:
  second: {stiffness: 40, damping: 5, default_position: 0.5}
  first: {stiffness: 80, damping: 12, armature: 0.02}
  left: {stiffness: 400, damping: 10}
""",
    'turntable': 'command: {interface: velocity}\njoints: {spin: {damping: 2}}',
}


@pytest.fixture
def make(tmp_path):
    """Write one of the robots (with changed URDF text, with other profile text) and load it."""

    def make(name, profile=None, urdf=lambda text: text):
        if name in ('arm6', 'slider'):
            return load_profile(name)
        (tmp_path / f'{name}.urdf').write_text(urdf(URDFS[name]))
        path = tmp_path / f'{name}.yaml'
        path.write_text(f'name: {name}\nurdf: {name}.urdf\n{profile or PROFILES[name]}')
        return load_profile(path)

    return make


ROBOTS = ('arm6', 'slider', *URDFS)
