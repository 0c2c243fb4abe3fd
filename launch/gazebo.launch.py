"""A robot in Gazebo Classic, in drawn worlds, with its policy."""

from sim2real_bringup.launching import describe


def generate_launch_description():
    """Nodes and arguments: see sim2real_bringup.stacks."""
    return describe('gazebo')
