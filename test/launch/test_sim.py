"""Two simulators side by side under the real ``launch``; skipped where it is not installed."""

import time
import unittest

import pytest

pytest.importorskip('launch_testing')

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import rclpy
from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from sensor_msgs.msg import JointState

from sim2real_core.files import share
from sim2real_core.qos import SENSOR

if 'sim2real' not in get_packages_with_prefixes():
    pytest.skip('sim2real is not installed as a ROS package', allow_module_level=True)

LONG = 60.0  # s; far beyond what anything here needs


@pytest.mark.launch_test
@launch_testing.markers.keep_alive
def generate_test_description():
    """The launch file twice, in two namespaces."""
    source = PythonLaunchDescriptionSource(str(share() / 'launch' / 'sim.launch.py'))
    stacks = [
        IncludeLaunchDescription(
            source, launch_arguments={'robot': 'slider', 'namespace': space}.items()
        )
        for space in ('left', 'right')
    ]
    return LaunchDescription([*stacks, launch_testing.actions.ReadyToTest()])


class TestRunning(unittest.TestCase):
    """While they run."""

    def test_both_publish_in_their_namespaces(self):
        rclpy.init()
        node = rclpy.create_node('watcher')
        heard = set()
        for space in ('left', 'right'):
            node.create_subscription(
                JointState, f'/{space}/joint_states', lambda _, s=space: heard.add(s), SENSOR
            )
        deadline = time.monotonic() + LONG
        while heard != {'left', 'right'} and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
        node.destroy_node()
        rclpy.shutdown()
        self.assertEqual(heard, {'left', 'right'})


@launch_testing.post_shutdown_test()
class TestStopped(unittest.TestCase):
    """When they were stopped."""

    def test_all_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
