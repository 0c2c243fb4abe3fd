"""What every node has: an end on request, and health that does not blame others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import Header

from sim2real_core import node as core
from sim2real_core.messages import to_seconds, to_time
from sim2real_core.qos import ANSWERS

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_second_signal_while_the_process_ends_changes_nothing():
    program = (
        'import atexit, os, signal, sys\n'
        'from rclpy.node import Node\n'
        'from sim2real_core.node import main\n'
        'signals = (signal.SIGINT, signal.SIGTERM)\n'
        'again = lambda *_: [os.kill(os.getpid(), number) for number in signals]\n'
        'atexit.register(again)\n'
        "status = main(lambda: Node('here'), spin=again)\n"
        'again()\n'
        'sys.exit(status)\n'
    )
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, '-c', program],
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')


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


def test_only_what_was_not_said_before_is_acknowledged():
    rclpy.init()
    try:
        node = rclpy.create_node('policy')
        said = []
        pace = core.Pace(node, paced=True)
        node.create_subscription(Header, 'pace', said.append, ANSWERS)
        pace.done(to_time(1.0), 1, free=1.02)
        for stamp in (1.004, 1.016):
            pace.done(to_time(stamp), free=1.02)
        pace.done(to_time(1.018), 1, free=1.02)  # it did answer
        pace.done(to_time(1.02), free=1.04)
        pace.done(to_time(0.0))  # time jumped back
        pace.done(to_time(0.004))
        deadline = time.monotonic() + 10.0
        while len(said) < 5 and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
        heard = [(round(to_seconds(m.stamp), 3), m.frame_id) for m in said]
    finally:
        rclpy.shutdown()
    assert heard == [
        (1.0, 'policy#1#1019999000'),
        (1.018, 'policy#1#1019999000'),
        (1.02, 'policy#0#1039999000'),
        (0.0, 'policy#0'),
        (0.004, 'policy#0'),
    ]
