"""A robot in the simulator on an exciting trajectory: policy, sysid and visualizer with it."""

from sim2real_bringup.launching import describe


def generate_launch_description():
    """Nodes and arguments: see sim2real_bringup.stacks."""
    return describe('excite')
