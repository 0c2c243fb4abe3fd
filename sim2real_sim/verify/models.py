"""The probe models and the probe world, in SDF that every simulator of this suite takes.

All are of one link (or one that turns on the world) and start at rest in the pose in which they
are spawned; inertial frames lie at the link's origin unless said otherwise.
"""

from __future__ import annotations

RADIUS = 0.1
"""[m] of the ball."""
HEIGHT = 0.1
"""[m] of the slab, which is four times as wide."""
MASS = 2.0
"""[kg] of every model."""
INERTIA = {'xx': 0.3, 'yy': 0.4, 'zz': 0.5, 'xy': 0.0, 'xz': 0.0, 'yz': 0.0}
"""[kg*m^2] of the body; the ball has 0.4 about every axis, the wheel 0.5 about its own."""
ROUND = 0.4
WHEEL = 0.5
LINK, JOINT = 'body', 'hinge'

_LINK = """<?xml version="1.0"?>
<sdf version="1.7">
  <model name="probe">
    <link name="{link}">
      {pose}<inertial>
        <mass>{mass}</mass>
        <inertia>
          <ixx>{xx}</ixx><iyy>{yy}</iyy><izz>{zz}</izz>
          <ixy>{xy}</ixy><ixz>{xz}</ixz><iyz>{yz}</iyz>
        </inertia>
      </inertial>
      {shapes}
    </link>{joint}
  </model>
</sdf>
"""
_SHAPES = """<collision name="shape"><geometry>{0}</geometry></collision>
      <visual name="shape">
        <geometry>{0}</geometry>
        <material>
          <ambient>0 0 0 1</ambient><diffuse>0.5 0.5 0.5 1</diffuse>
          <specular>0 0 0 1</specular><emissive>0 0 0 1</emissive>
        </material>
      </visual>"""
_HINGE = """
    <joint name="{joint}" type="revolute">
      <parent>world</parent>
      <child>{link}</child>
      <axis>
        <xyz>0 0 1</xyz>
        <limit><lower>-1e16</lower><upper>1e16</upper></limit>
        <dynamics><damping>0</damping><friction>0</friction></dynamics>
      </axis>
    </joint>"""
_ROUND = dict.fromkeys(('xx', 'yy', 'zz'), ROUND) | dict.fromkeys(('xy', 'xz', 'yz'), 0.0)


def _model(inertia: dict[str, float], *, shape: str = '', pose: str = '', joint: str = '') -> str:
    return _LINK.format(
        link=LINK,
        mass=MASS,
        shapes=_SHAPES.format(shape) if shape else '',
        pose=f'<pose>{pose}</pose>\n      ' if pose else '',
        joint=joint,
        **inertia,
    )


BODY = _model(INERTIA)
"""A free body of three different principal moments."""
ROUNDED = _model(_ROUND)
"""A free body that spins alike about every axis."""
BALL = _model(_ROUND, shape=f'<sphere><radius>{RADIUS}</radius></sphere>')
"""A free ball."""
SLAB = _model(INERTIA, shape=f'<box><size>{4 * HEIGHT} {4 * HEIGHT} {HEIGHT}</size></box>')
"""A free slab, flat enough not to tip over when it slides."""
SPINNER = _model(
    dict.fromkeys(('xx', 'yy', 'zz'), WHEEL) | dict.fromkeys(('xy', 'xz', 'yz'), 0.0),
    pose='0 0 1 0 0 0',
    joint=_HINGE.format(joint=JOINT, link=LINK),
)
"""A wheel on an upright axle one metre above the floor: gravity does not turn it."""

WORLD = """<?xml version="1.0"?>
<sdf version="1.6">
  <world name="verify">
    <gravity>0 0 -9.81</gravity>
    <physics type="ode">
      <max_step_size>0.001</max_step_size>
      <real_time_update_rate>1000</real_time_update_rate>
    </physics>
    <scene>
      <ambient>0 0 0 1</ambient>
      <background>0 0 0 1</background>
      <shadows>false</shadows>
    </scene>
    <light name="sun" type="directional">
      <pose>0 0 10 0 0 0</pose>
      <diffuse>0.8 0.8 0.8 1</diffuse>
      <specular>0 0 0 1</specular>
      <direction>0 0 -1</direction>
      <cast_shadows>false</cast_shadows>
    </light>
    <model name="floor">
      <static>true</static>
      <link name="floor">
        <collision name="floor">
          <geometry><plane><normal>0 0 1</normal><size>100 100</size></plane></geometry>
          <surface>
            <bounce>
              <restitution_coefficient>1</restitution_coefficient>
              <threshold>0.01</threshold>
            </bounce>
            <friction><ode><mu>100</mu><mu2>100</mu2></ode></friction>
            <contact><ode><max_vel>100</max_vel></ode></contact>
          </surface>
        </collision>
      </link>
    </model>
    <model name="camera">
      <static>true</static>
      <pose>0 0 1.5 0 1.5707963267948966 0</pose>
      <link name="camera">
        <sensor name="camera" type="camera">
          <camera>
            <horizontal_fov>0.6</horizontal_fov>
            <image><width>160</width><height>120</height><format>R8G8B8</format></image>
            <clip><near>0.05</near><far>20</far></clip>
          </camera>
          <always_on>true</always_on>
          <update_rate>10</update_rate>
        </sensor>
      </link>
    </model>
  </world>
</sdf>
"""
"""A floor that leaves friction and bounce to what lies on it, a light and a camera above."""
