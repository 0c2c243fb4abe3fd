"""Play a bag through nodes of the robot: ros2 launch sim2real replay.launch.py bag:=BAG."""

from sim2real_bringup.launching import describe


def generate_launch_description():
    """Nodes and arguments: see sim2real_bringup.stacks."""
    return describe('replay')
