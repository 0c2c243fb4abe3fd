"""A robot in the simulator behind the relay: simulator, relay and visualizer."""

from sim2real_bringup.launching import describe


def generate_launch_description():
    """Nodes and arguments: see sim2real_bringup.stacks."""
    return describe('relayed')
