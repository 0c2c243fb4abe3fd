"""Each node says, hears and serves what the catalog says, asked of the node itself."""

import importlib

import pytest
import rclpy
from rclpy.node import Node

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
from sim2real_bringup.stacks import build
from sim2real_capture.conversions import message_class
from sim2real_core.profile import load_profile
from sim2real_core.qos import RELIABLE
from test.bundles import random_slider
from test.ports import reserved_port

SPACE = '/left'
SLIDER = load_profile('slider')
ALL = ('simulator', 'policy', 'sysid', 'capture', 'receiver', 'visualizer')
OWN = {'/rosout', '/parameter_events', '/diagnostics'}
# A camera, an IMU, a mobile robot, shadow mode, a paced run.
OPTIONAL = {IMAGE, CAMERA_INFO, IMU, ODOMETRY, ACTION_SHADOW, PACE}


def names(topics):
    """Full names in the namespace of the stack."""
    found = {topic_name(topic, SLIDER) for topic in topics}
    return {t if t.startswith('/') else f'{SPACE}/{t}' for t in found} - OWN


@pytest.fixture
def make(tmp_path):
    """Makes nodes as their processes of a whole stack in a namespace would."""
    bundle = random_slider(tmp_path / 'random.onnx')
    folders = {n: {'folder': str(tmp_path / n)} for n in ('capture', 'receiver')}
    rclpy.init(args=[])
    made = []

    def start(name):
        process = next(process for process in stack.processes if process.name == name)
        module = importlib.import_module(process.module)
        (kind,) = (
            found
            for found in vars(module).values()
            if isinstance(found, type)
            and issubclass(found, Node)
            and found.__module__ == module.__name__
        )
        made.append(kind(cli_args=process.ros_arguments()))
        return made[-1]

    with reserved_port() as port:
        folders['receiver']['port'] = port
        stack = build(
            'all', namespace='left', nodes=ALL, robot='slider', bundle=bundle, settings=folders
        )
        yield start
    for node in made:
        if hasattr(node, 'close'):
            node.close()
        node.destroy_node()
    rclpy.shutdown()


def said(node):
    return {publisher.topic_name for publisher in node.publishers} - OWN


def heard(node):
    return {subscription.topic_name for subscription in node.subscriptions} - OWN


@pytest.mark.parametrize('name', ALL)
def test_a_node_is_what_the_catalog_says(make, name):
    node, kind = make(name), NODES[name]
    assert node.get_fully_qualified_name() == f'{SPACE}/{name}'
    must = names(t for t in kind.publishes if t not in OPTIONAL)
    if name == 'visualizer':
        must = {f'{SPACE}/sim2real/markers'}  # the rest where nobody else does
    lifecycle = {f'{SPACE}/{name}/transition_event'}
    assert must <= said(node) - lifecycle <= names(kind.publishes)

    # Its time is that of its own namespace.
    clock = set() if kind.makes_time else {f'{SPACE}/clock'}
    assert heard(node) & {f'{SPACE}/clock', '/clock'} == clock
    must = names(t for t in kind.subscribes if t not in OPTIONAL)
    if name == 'policy':
        must = names(t for t in kind.subscribes if '{joint_states}' in t.name)
    elif name == 'capture':  # the rest once somebody publishes it
        must = {f'{SPACE}/{SLIDER.command.topic}'}
    assert must <= heard(node) - clock <= names(kind.subscribes)

    served = {s.service_name: s.srv_type for s in node.services}
    for service, type_ in kind.services:
        found = served[f'{SPACE}/{service}']
        assert f'{found.__module__.partition(".")[0]}/srv/{found.__name__}' == type_


def test_capture_hears_all_that_the_catalog_says_once_it_is_published(make):
    node, kind = make('capture'), NODES['capture']
    wanted = [t for t in kind.subscribes if t != DIAGNOSTICS]
    wanted = [t for t in wanted if message_class(t.type) is not None]
    robot = rclpy.create_node('robot')
    for topic in wanted:
        kind_of = SLIDER.command.type if '{command}' in topic.name else topic.type
        (full,) = names([topic])
        robot.create_publisher(message_class(kind_of), full, RELIABLE)
    try:
        node._topics.discover()  # one participant knows its own at once
        assert heard(node) >= names(wanted)
    finally:
        robot.destroy_node()
