"""gazebo_draws is told to end while it waits for Gazebo; there need not be any."""

import gc
import threading
import time

import pytest
import rclpy
from rclpy.client import Client
from rclpy.parameter import Parameter

from sim2real_sim.world_node import WorldNode

pytest.importorskip('gazebo_msgs.srv')


def test_closing_ends_the_wait_for_a_service(monkeypatch, capfd):
    """The thread that waits uses nothing that is destroyed, and holds nobody up."""
    waits = threading.Event()
    wait = Client.wait_for_service

    def wait_for_service(client, timeout_sec=None):
        waits.set()
        return wait(client, timeout_sec)

    monkeypatch.setattr(Client, 'wait_for_service', wait_for_service)
    rclpy.init()
    nobody, deadline = Parameter('services', value='nobody'), Parameter('timeout', value=4.0)
    node = WorldNode(parameter_overrides=[nobody, deadline])
    stop = threading.Event()
    thread = threading.Thread(target=node.spin, args=(stop,))
    thread.start()
    assert waits.wait(20.0)
    begin = time.monotonic()
    stop.set()
    thread.join(20.0)
    node.close()
    node.destroy_node()
    assert time.monotonic() - begin < 2.0
    time.sleep(1.0)  # what would still wait meets what is destroyed
    gc.collect()  # rclpy prints what was raised in callbacks when it forgets them
    rclpy.shutdown()
    assert 'exception' not in capfd.readouterr().err
