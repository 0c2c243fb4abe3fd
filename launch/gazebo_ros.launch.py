"""Beside a Gazebo that gazebo_ros or ros_gz joined to ROS: drawn worlds and a policy."""

from sim2real_bringup.launching import describe


def generate_launch_description():
    """Nodes and arguments: see sim2real_bringup.stacks."""
    return describe('gazebo_ros')
