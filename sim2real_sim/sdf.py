"""SDF, the format of Gazebo's models and worlds: by parameter address, from a robot, checked."""

from sim2real_sim.sdf_addresses import edit, editable, read, rotor, turned
from sim2real_sim.sdf_check import check
from sim2real_sim.sdf_robot import RobotSdf, from_profile, robot_sdf

__all__ = [
    'RobotSdf',
    'check',
    'edit',
    'editable',
    'from_profile',
    'read',
    'robot_sdf',
    'rotor',
    'turned',
]
