"""On the robot: policy, sysid and capture."""

from sim2real_bringup.launching import describe


def generate_launch_description():
    """Nodes and arguments: see sim2real_bringup.stacks."""
    return describe('robot')
