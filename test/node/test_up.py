"""Stacks of the real nodes: side by side, killed and stopped."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from domain_coordinator import domain_id
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from sim2real_bringup.catalog import NODES
from sim2real_core.qos import RELIABLE, SENSOR
from test.bundles import random_slider
from test.ports import reserved_port

ROOT = Path(__file__).resolve().parents[2]
LONG = 60.0  # s; far beyond what anything here needs
SHARED = {'/rosout', '/parameter_events', '/diagnostics'}


class Up:
    """``sim2real up`` in a process of its own; its lines as they come."""

    def __init__(self, *arguments):
        self.lines = []
        path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'sim2real_bringup.cli', 'up', *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, 'PYTHONPATH': path},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self):
        return ''.join(self.lines)

    def node(self, name):
        """The process of a node."""
        module = NODES[name].module
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if module in process.cmdline():
                return process
        raise AssertionError(f'{name} does not run:\n{self.text}')

    def family(self):
        """Everything it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait(self):
        """The exit status, once it ended by itself and everything it said was read."""
        status = self.process.wait(timeout=LONG)
        self._reader.join(timeout=LONG)
        return status

    def end(self, number=signal.SIGINT):
        """Send a signal; returns the exit status, and how long it took [s]."""
        begun = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=LONG)
        took = time.monotonic() - begun
        return self.wait(), took


class Watcher:
    """A node that hears health, and other topics on request."""

    def __init__(self):
        self.node = rclpy.create_node('watcher')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.healthy = set()
        self.peers = {}  # node -> those it has heard
        self.hear(DiagnosticArray, '/diagnostics', RELIABLE, self._on_health)

    def hear(self, kind, topic, qos, take):
        self.node.create_subscription(kind, topic, take, qos)

    def _on_health(self, message):
        for status in message.status:
            name, _, what = status.name.partition(': ')
            if what == 'health':
                self.healthy.add(name)
                told = {pair.key: pair.value for pair in status.values}
                self.peers[name] = set(told.get('peers', '').split())

    def until(self, done, what):
        deadline = time.monotonic() + LONG
        while not done():
            assert time.monotonic() < deadline, f'waited in vain for {what}'
            self.executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def watcher():
    rclpy.init()
    made = Watcher()
    yield made
    made.executor.remove_node(made.node)
    made.node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def up(tmp_path):
    """Starts stacks; afterwards nothing of them runs."""
    started, ports = [], contextlib.ExitStack()

    def start(*arguments):
        arguments = (*arguments, '--param', f'capture.folder={tmp_path}/spool')
        arguments = (*arguments, '--param', f'receiver.folder={tmp_path}/clips')
        port = ports.enter_context(reserved_port())
        started.append(Up(*arguments, '--param', f'receiver.port={port}'))
        return started[-1]

    yield start
    for one in started:
        family = one.family() if one.process.poll() is None else []
        one.end()
        psutil.wait_procs(family, timeout=10.0)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    ports.close()


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return random_slider(tmp_path_factory.mktemp('bundle') / 'random.onnx')


ALL = ('simulator', 'policy', 'sysid', 'capture', 'receiver', 'visualizer')


def everything(bundle):
    return ('all', '--robot', 'slider', '--bundle', bundle, '--nodes', ','.join(ALL))


def healthy(watcher, *names):
    watcher.until(lambda: set(names) <= watcher.healthy, names)


@pytest.fixture
def alone(monkeypatch):
    """A domain in which nothing else has ever run."""
    with domain_id() as free:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(free))
        yield


def test_two_stacks_side_by_side(alone, up, watcher, bundle):
    left = up(*everything(bundle), '--namespace', 'left')
    right = up('sim', '--robot', 'slider', '--namespace', 'right')
    seen = {}

    def hear(kind, topic, qos):
        watcher.hear(kind, topic, qos, lambda message: seen.setdefault(topic, message))

    for space in ('left', 'right'):
        hear(JointState, f'/{space}/joint_states', SENSOR)
        hear(Clock, f'/{space}/clock', SENSOR)
    hear(JointState, '/left/policy/action_applied', RELIABLE)
    watcher.until(lambda: len(seen) == 5, 'samples, clocks and commands of both')
    healthy(watcher, *(f'/left/{n}' for n in ALL), '/right/simulator', '/right/visualizer')
    # All but the simulator follow it, and we hear it.
    watcher.until(lambda: watcher.node.count_subscribers('/left/clock') == len(ALL), 'one clock')

    topics = {name for name, _ in watcher.node.get_topic_names_and_types()}
    assert not {t for t in topics - SHARED if not t.startswith(('/left/', '/right/'))}

    assert left.end(signal.SIGINT)[0] == 0, left.text
    assert right.end(signal.SIGTERM)[0] == 0, right.text


@pytest.mark.parametrize('victims', [('policy', 'sysid'), ('simulator', 'capture')])
def test_killed_nodes_are_noticed_and_end_the_stack(up, watcher, bundle, victims):
    stack = up(*everything(bundle), '--grace', '20')
    names = {f'/{name}' for name in ALL}
    healthy(watcher, *names)
    # Each must have heard the others before it can miss one.
    watcher.until(lambda: all(watcher.peers.get(n, set()) >= names - {n} for n in names), 'peers')
    left = set(ALL)
    for victim, node in [(name, stack.node(name)) for name in victims]:
        left -= {victim}
        node.kill()

        def noticed(victim=victim, left=frozenset(left)):
            said = rf'^\S+ (\w+) +\| .*/{victim} has not been heard'
            return set(re.findall(said, stack.text, re.MULTILINE)) >= left

        watcher.until(noticed, f'words of all the others:\n{stack.text}')
    status, _ = stack.end()  # before the grace is over
    assert status == 1
    assert f'{victims[0]} was killed by SIGKILL' in stack.text


def test_ctrl_c_ends_everything_in_time(up, watcher, bundle):
    stack = up(*everything(bundle))
    healthy(watcher, *(f'/{name}' for name in ALL))
    family = stack.family()
    status, took = stack.end()
    assert status == 0, stack.text
    assert took < 3.5  # SIGTERM, 2 s, SIGKILL
    psutil.wait_procs(family, timeout=5.0)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert 'Traceback' not in stack.text


def test_duration_and_a_node_that_refuses(up):
    stack = up('sim', '--robot', 'slider', '--duration', '2')
    assert stack.wait() == 0, stack.text
    stack = up('sim', '--robot', 'slider', '--param', 'simulator.parameters_file=none.json')
    assert stack.wait() == 2, stack.text
    assert 'none.json' in stack.text.split('its last words')[1]
