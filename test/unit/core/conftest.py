"""Two small robots, written as files: a planar arm with a mimic finger, and one linear axis."""

from pathlib import Path

import pytest

from sim2real_core.profile import load_profile

INERTIAL = (
    '<inertial><origin xyz="0 0 0.1"/><mass value="1.0"/>'
    '<inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>'
)
PLANAR_URDF = f"""<robot name="planar">
  <link name="world"/>
  <link name="pedestal"/>
  <joint name="stand" type="fixed"><parent link="world"/><child link="pedestal"/>
    <origin xyz="0 0 -0.5"/></joint>
  <link name="upper">{INERTIAL}</link>
  <joint name="shoulder" type="revolute"><parent link="world"/><child link="upper"/>
    <axis xyz="0 1 0"/><limit lower="-2" upper="2" velocity="3" effort="40"/>
    <dynamics damping="0.1" friction="0.2"/></joint>
  <link name="forearm">{INERTIAL}</link>
  <joint name="elbow" type="continuous"><parent link="upper"/><child link="forearm"/>
    <origin xyz="0 0 0.3"/><axis xyz="0 1 0"/><limit velocity="3" effort="20"/></joint>
  <link name="finger">{INERTIAL}</link>
  <joint name="grip" type="prismatic"><parent link="forearm"/><child link="finger"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 0 1"/>
    <limit lower="-1" upper="1" velocity="1" effort="5"/>
    <mimic joint="elbow" multiplier="0.5"/></joint>
  <link name="tool"/>
  <joint name="flange" type="fixed"><parent link="forearm"/><child link="tool"/>
    <origin xyz="0 0 0.2"/></joint>
</robot>
"""
PLANAR_YAML = """urdf: planar.urdf
base_link: {base_link}
joints:
  shoulder: {{stiffness: 50.0 N*m/rad, damping: 5}}
  elbow: {{stiffness: 30, damping: 3, default_position: {default}}}
"""
SLIDER_URDF = """<robot name="slider">
  <link name="base"/>
  <link name="carriage"><inertial><mass value="1.0"/>
    <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="axis" type="prismatic"><parent link="base"/><child link="carriage"/>
    <axis xyz="1 0 0"/><limit lower="-1" upper="1" velocity="2" effort="100"/></joint>
</robot>
"""


@pytest.fixture
def write_robot(tmp_path):
    """Writes a robot's files and returns the path of its profile."""

    def write(name: str, base_link: str = 'world', planar_yaml_changed: bool = False) -> Path:
        path = tmp_path / f'{name}.yaml'
        if name == 'planar':
            (tmp_path / 'planar.urdf').write_text(PLANAR_URDF)
            default = 0.1 if planar_yaml_changed else 0.0
            path.write_text(PLANAR_YAML.format(base_link=base_link, default=default))
        else:
            (tmp_path / 'slider.urdf').write_text(SLIDER_URDF)
            path.write_text('urdf: slider.urdf\n')
        return path

    return write


@pytest.fixture
def planar(write_robot):
    """The planar arm's profile."""
    return load_profile(write_robot('planar'))


@pytest.fixture
def slider(write_robot):
    """The linear axis' profile."""
    return load_profile(write_robot('slider'))
