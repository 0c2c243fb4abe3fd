"""Publishers of another type on topics that capture reads: named, and no harm."""

import time

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Imu
from std_msgs.msg import String

from sim2real_capture.node import CaptureNode
from sim2real_core.qos import RELIABLE

LONG = 20.0  # s
READ = ('joint_states', 'imu', 'joy', 'randomizer/draw', 'sysid/estimate')


def test_a_publisher_of_another_type_is_named_and_the_right_one_heard(tmp_path):
    (tmp_path / 'mine.yaml').write_text('detectors: {imu_shock: {time: 0.1}, button: {}}\n')
    given = {'folder': str(tmp_path / 'spool'), 'detectors': str(tmp_path / 'mine.yaml')}
    rclpy.init()
    elsewhere = Context()  # one context has one type for each name
    rclpy.init(context=elsewhere)
    other = rclpy.create_node('strangers', context=elsewhere)
    strangers = [other.create_publisher(String, topic, RELIABLE) for topic in READ]
    node, executor = rclpy.create_node('friend'), SingleThreadedExecutor()
    made = [Parameter(name, value=value) for name, value in given.items()]
    capture = CaptureNode(parameter_overrides=made)
    executor.add_node(node)
    executor.add_node(capture)

    def until(condition):
        end = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < end, capture._topics.unheard
            for stranger in strangers:
                stranger.publish(String(data='hello' * 50))
            executor.spin_once(timeout_sec=0.02)

    try:
        until(lambda: {f'/{topic}' for topic in READ} <= set(capture._topics.unheard))
        _, message, _ = capture._status()
        assert '/imu not recorded: std_msgs/msg/String instead of sensor_msgs/msg/Imu' in message
        assert capture.capture.trigger('by hand', capture._now())[1]  # what is in force is read
        imu = node.create_publisher(Imu, 'imu', RELIABLE)
        (shock,) = (d for d in capture.capture.detectors if d.name == 'imu_shock')

        def shaken():
            imu.publish(Imu())
            return shock.score.size > 0

        until(shaken)
        assert '/imu' not in capture._topics.unheard
    finally:
        capture.close()
        capture.destroy_node()
        node.destroy_node()
        other.destroy_node()
        rclpy.shutdown(context=elsewhere)
        rclpy.shutdown()
