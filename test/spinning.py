"""Serves nodes in threads of the test's process."""

from rclpy.executors import SingleThreadedExecutor


def spin(node, stop):
    """Serve a node in this thread until the event is set."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.05)
    executor.remove_node(node)
