"""A rover's policy in a real gzserver, from its odometry to its wheels."""

import pytest
from rclpy.parameter import Parameter

from sim2real_core.errors import MissingError
from sim2real_core.profile import load_profile
from sim2real_sim.gazebo_classic import installation
from test.gazebo import free_port
from test.node.test_mobile import following, world  # noqa: F401


def in_gazebo(robot):
    from sim2real_sim.gazebo_classic.bridge import GazeboBridge

    given = {'robot': robot, 'port': free_port(), 'timeout': 4.0}
    return GazeboBridge(parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])


def test_a_rover_drives_where_it_is_asked_to(world, tmp_path):  # noqa: F811
    try:
        installation.find()
    except MissingError as error:
        pytest.skip(str(error))
    bundle = following(load_profile('rover'), tmp_path / 'rover.onnx')
    made = world('rover', bundle, in_gazebo)
    made.until(
        lambda: made.body and made.body[-1].pose.pose.position.x > 0.2, lambda: made.ask(0.5, 0.0)
    )
    assert abs(made.body[-1].pose.pose.position.y) < 0.05
    made.until(lambda: made.body[-1].twist.twist.angular.z > 0.3, lambda: made.ask(0.2, 0.8))
    seen = made.observation()
    assert seen['base_position.x'] > 0.1 and seen['projected_gravity.z'] < -0.95
    # Nobody asks any more: the goal is taken back, and the rover stands still.
    made.until(lambda: abs(made.applied[-1].velocity[0]) < 1e-6)
    made.until(lambda: abs(made.body[-1].twist.twist.linear.x) < 0.02)
