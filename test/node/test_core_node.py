"""What every node has: an end on request, and health that does not blame others."""

import os
import signal
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from sim2real_core import node as core


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_being_made_ends_when_asked(number):
    finished = []

    def make_node():
        os.kill(os.getpid(), number)
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            time.sleep(0.01)
        finished.append(True)
        raise AssertionError('not interrupted')

    before = signal.getsignal(number)
    assert core.main(make_node, args=[]) == 0
    assert not finished
    assert signal.getsignal(number) is before
    assert not rclpy.ok()


def test_a_node_that_is_there_closes_when_asked():
    closed = []

    class Node(rclpy.node.Node):
        def close(self):
            closed.append(True)

    def spin(node, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10.0)

    assert core.main(lambda: Node('here'), args=[], spin=spin) == 0
    assert closed


def test_a_busy_node_does_not_take_its_peers_for_dead(monkeypatch):
    now = 100.0
    monkeypatch.setattr(core.time, 'monotonic', lambda: now)
    rclpy.init()
    try:
        node = rclpy.create_node('busy')
        health = core.Health(node)

        def hear():
            status = DiagnosticStatus(name='/peer: health', message='running')
            health._on_peer(DiagnosticArray(status=[status]))

        hear()
        health._tick()
        now += 5.0  # nobody was listening
        health._tick()
        assert not health.silent
        for _ in range(3):
            now += core.HEALTH_PERIOD
            health._tick()
        assert health.silent == {'/peer'}
        hear()
        assert not health.silent
        node.destroy_node()
    finally:
        rclpy.shutdown()
