"""A robot of two joints, one that turns for ever and one that slides, with any interface."""

from sim2real_core.profile import load_profile

URDF = """<robot name="pair">
  <link name="base"/>
  <link name="arm"><inertial><origin xyz="0.2 0 0"/><mass value="1"/>
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
  turn: {{{turn}}}
  reach: {{{reach}}}
"""


def two_joints(folder, interface, turn, reach):
    """Its profile, written to a folder; ``turn`` and ``reach`` are what it says of the joints."""
    (folder / 'pair.urdf').write_text(URDF)
    path = folder / f'pair_{interface}.yaml'
    path.write_text(YAML.format(interface=interface, turn=turn, reach=reach))
    return load_profile(path)
