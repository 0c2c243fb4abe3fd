"""Stacks of the real nodes: side by side, killed and stopped."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from sim2real_bringup.catalog import (
    ACTION_SHADOW,
    CAMERA_INFO,
    DIAGNOSTICS,
    IMAGE,
    IMU,
    NODES,
    ODOMETRY,
    PACE,
    topic_name,
)
from sim2real_core.profile import load_profile
from sim2real_core.qos import RELIABLE, SENSOR

ROOT = Path(__file__).resolve().parents[2]
LONG = 60.0  # s; far beyond what anything here needs
OWN = {'/rosout', '/parameter_events'}


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
        self.hear(DiagnosticArray, '/diagnostics', RELIABLE, self._on_health)

    def hear(self, kind, topic, qos, take):
        self.node.create_subscription(kind, topic, take, qos)

    def _on_health(self, message):
        for status in message.status:
            name, _, what = status.name.partition(': ')
            if what == 'health':
                self.healthy.add(name)

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
    started = []

    def start(*arguments):
        arguments = (*arguments, '--param', f'capture.folder={tmp_path}/spool')
        arguments = (*arguments, '--param', f'receiver.folder={tmp_path}/clips')
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        started.append(Up(*arguments, '--param', f'receiver.port={port}'))
        return started[-1]

    yield start
    for one in started:
        family = one.family() if one.process.poll() is None else []
        one.end()
        psutil.wait_procs(family, timeout=10.0)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """A policy of random weights for the slider."""
    pytest.importorskip('onnx')
    import numpy as np

    from sim2real_policy.action import Action
    from sim2real_policy.bundle import BundleMetadata
    from sim2real_policy.observation import Term
    from sim2real_policy.random_policy import random_policy

    profile = load_profile('slider')
    terms = [Term(kind='joint_position'), Term(kind='joint_velocity')]
    action = Action(meaning='position', scale=(0.01,), offset=(0.0,), clip=1.0)
    meta = BundleMetadata.for_robot(profile, terms, action, control_period=0.02)
    path = tmp_path_factory.mktemp('bundle') / 'random.onnx'
    random_policy(meta, path, np.random.default_rng(0))
    return str(path)


ALL = ('simulator', 'policy', 'sysid', 'capture', 'receiver', 'visualizer')


def everything(bundle):
    return ('all', '--robot', 'slider', '--bundle', bundle, '--nodes', ','.join(ALL))


def healthy(watcher, *names):
    watcher.until(lambda: set(names) <= watcher.healthy, names)


def of_the_stacks(node, topic):
    """Whether a node of the two stacks has to do with a topic."""
    ends = [
        *node.get_publishers_info_by_topic(topic),
        *node.get_subscriptions_info_by_topic(topic),
    ]
    return any(end.node_namespace in ('/left', '/right') for end in ends)


def test_two_stacks_side_by_side(up, watcher, bundle):
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

    # Nothing is outside the namespaces, and every node says and hears what the catalog says.
    topics = {name for name, _ in watcher.node.get_topic_names_and_types()}
    outside = {
        t
        for t in topics
        if not t.startswith(('/left/', '/right/')) and of_the_stacks(watcher.node, t)
    }
    assert outside <= OWN | {'/diagnostics'}
    for node in ALL:
        # Its health was heard, but the graph may learn of it and its topics a moment later.
        watcher.until(
            lambda node=node: (node, '/left') in watcher.node.get_node_names_and_namespaces(), node
        )
        with contextlib.suppress(AssertionError):  # what lacks for good is said below
            watcher.until(lambda node=node: as_the_catalog_says(watcher.node, node), node)
        check_against_catalog(watcher.node, node, '/left')
    # Each node follows the clock of its own namespace.
    clocks = watcher.node.get_subscriptions_info_by_topic('/left/clock')
    assert {i.node_name for i in clocks} >= set(ALL) - {'simulator', 'receiver'}

    assert left.end(signal.SIGINT)[0] == 0, left.text
    assert right.end(signal.SIGTERM)[0] == 0, right.text


def as_the_catalog_says(watcher, name):
    try:
        check_against_catalog(watcher, name, '/left')
    except (AssertionError, KeyError):
        return False
    return True


def check_against_catalog(watcher, name, namespace):
    """The topics of a running node are those of the catalog."""
    profile = load_profile('slider')
    kind = NODES[name]
    # A camera, an IMU, a mobile robot, shadow mode, a paced run.
    optional = {IMAGE, CAMERA_INFO, IMU, ODOMETRY, ACTION_SHADOW, PACE}
    lifecycle = f'{namespace}/{name}/transition_event'

    def names(topics):
        found = {topic_name(topic, profile) for topic in topics}
        return {t if t.startswith('/') else f'{namespace}/{t}' for t in found}

    said = {t for t, _ in watcher.get_publisher_names_and_types_by_node(name, namespace)}
    said -= OWN | {lifecycle, '/diagnostics'}
    may, must = names(kind.publishes), names(t for t in kind.publishes if t not in optional)
    if name == 'visualizer':
        must = {f'{namespace}/sim2real/markers'}  # the rest where nobody else does
    assert must <= said <= may, f'{name} publishes'

    heard = {t for t, _ in watcher.get_subscriber_names_and_types_by_node(name, namespace)}
    heard -= OWN | {f'{namespace}/clock', '/diagnostics'}
    may = names(kind.subscribes) - {DIAGNOSTICS.name}
    assert heard <= may, f'{name} listens'
    # Capture listens to what is published only.
    must = names(t for t in kind.subscribes if t not in optional and t != DIAGNOSTICS)
    if name == 'capture':
        must = {f'{namespace}/joint_states', f'{namespace}/{profile.command.topic}'}
    if name != 'policy':  # what it listens to depends on its bundle
        assert must <= heard, f'{name} listens'

    served = dict(watcher.get_service_names_and_types_by_node(name, namespace))
    for service, type_ in kind.services:
        assert served[f'{namespace}/{service}'] == [type_]


@pytest.mark.parametrize('victims', [('policy', 'sysid'), ('simulator', 'capture')])
def test_killed_nodes_are_noticed_and_end_the_stack(up, watcher, bundle, victims):
    stack = up(*everything(bundle), '--grace', '20')
    healthy(watcher, *(f'/{name}' for name in ALL))
    # Each must have heard the others before it can miss one; discovery may take them longer.
    done = time.monotonic() + 4.0
    watcher.until(lambda: time.monotonic() > done, 'a moment')
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
