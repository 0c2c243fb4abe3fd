"""The world over gazebo_ros's services, against the bridge and a real gzserver."""

import threading
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from sim2real_core.errors import MissingError
from sim2real_core.messages import draw_from_message, draw_to_message
from sim2real_core.qos import RELIABLE
from sim2real_core.records import Draw
from sim2real_sim.gazebo_classic import installation
from sim2real_sim.gazebo_classic.services_ros import ClassicServices
from sim2real_sim.world import Pose, WorldError
from sim2real_sim.world_node import WorldNode

srv = pytest.importorskip('gazebo_msgs.srv')

BOX = """<sdf version='1.7'><model name='box'><link name='body'>
  <inertial><mass>2.0</mass><inertia><ixx>0.02</ixx><ixy>0</ixy><ixz>0</ixz><iyy>0.02</iyy>
  <iyz>0</iyz><izz>0.02</izz></inertia></inertial>
  <collision name='shape'><geometry><box><size>0.2 0.2 0.2</size></box></geometry></collision>
</link></model></sdf>"""
SPACE = 'classic'
ABOVE = Pose((2.0, 0.0, 500.0))


@pytest.fixture(scope='module')
def world():
    """Services of a bridge beside a gzserver of its own."""
    try:
        installation.find()
    except MissingError as error:
        pytest.skip(str(error))
    from sim2real_sim.gazebo_classic.bridge import GazeboBridge
    from test.gazebo import free_port

    rclpy.init()
    port = Parameter('port', value=free_port())
    bridge = GazeboBridge(namespace=SPACE, parameter_overrides=[port])
    stop = threading.Event()
    thread = threading.Thread(target=bridge.spin, args=(stop,))
    thread.start()
    services = ClassicServices(SPACE, timeout=10.0)
    deadline = time.monotonic() + 40.0
    while 'arm6' not in robot(services):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield services
    services.close()
    stop.set()
    thread.join(20.0)
    bridge.close()
    bridge.destroy_node()
    rclpy.shutdown()


def robot(services):
    try:
        return services.models()
    except WorldError:
        return ()


def pushed(world):
    """Change of speed [m/s] that 2 N*s give the falling box along x."""
    world.pause(True)
    world.set_pose('box', ABOVE)
    before = world.state('box').links['body'].linear[0]
    world.push('box', 'body', (2000.0, 0.0, 0.0))
    world.pause(False)
    deadline = time.monotonic() + 10.0
    while abs(change := world.state('box').links['body'].linear[0] - before) < 0.01:
        assert time.monotonic() < deadline
    return change


def test_a_model_comes_moves_and_goes(world):
    world.spawn('box', BOX, ABOVE)
    assert {'arm6', 'box'} <= set(world.models())
    world.pause(True)
    world.set_pose('box', Pose((3.0, 1.0, 2.0)))
    assert world.state('box').pose.position == pytest.approx((3.0, 1.0, 2.0), abs=1e-6)
    world.pause(False)
    assert set(world.state('arm6').joints) >= {'base', 'elbow'}
    world.delete('box')
    assert 'box' not in world.models()
    with pytest.raises(WorldError, match='delete_entity.*box'):
        world.delete('box')


@pytest.mark.parametrize('route, outcome', [('', 'verified'), ('services', 'applied')])
def test_a_mass_is_believed_by_what_it_does(world, route, outcome):
    """An echo of set_link_properties is no proof, so it is applied, not verified."""
    world.spawn('box', BOX, ABOVE)
    assert pushed(world) == pytest.approx(1.0, rel=0.01)
    assert world.apply('box', {'link.body.mass': 4.0}, route) == {'link.body.mass': outcome}
    assert pushed(world) == pytest.approx(0.5, rel=0.01)
    assert world.apply('box', {}) == {}
    assert pushed(world) == pytest.approx(1.0, rel=0.01)
    world.delete('box')


def test_what_no_service_can_change_is_said(world):
    world.spawn('box', BOX, ABOVE)
    assert world.apply('box', {'world.gravity.z': -3.0}) == {'world.gravity.z': 'unsupported'}
    with pytest.raises(WorldError, match='step'):
        world.step(1)
    world.delete('box')


def test_draws_reach_a_gazebo_that_others_joined_to_ros(world):
    """Also after the robot was deleted by hand."""
    node = WorldNode(parameter_overrides=[Parameter('services', value=SPACE)])
    watcher = rclpy.create_node('watcher')
    answers = []
    watcher.create_subscription(
        DiagnosticArray, 'simulator/draw_applied', lambda m: answers.append(m), RELIABLE
    )
    draws = watcher.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
    executor = SingleThreadedExecutor()
    executor.add_node(watcher)
    stop = threading.Event()
    thread = threading.Thread(target=node.spin, args=(stop,))
    thread.start()

    def until(condition):
        deadline = time.monotonic() + 40.0
        while not condition():
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.1)

    try:
        until(lambda: draws.get_subscription_count() and not node._trouble)
        heavy = {'link.gripper.mass': 3.0, 'world.gravity.z': -3.0}
        draws.publish(draw_to_message(Draw(5, 0, values=heavy)))
        until(lambda: answers)
        said = draw_from_message(answers.pop())
        assert said.outcomes == {
            'link.gripper.mass': 'verified',
            'world.gravity.z': 'unsupported',
        }
        assert said.values['link.gripper.mass'] == 3.0
        world.delete('arm6')
        until(lambda: answers)
        again = draw_from_message(answers.pop())
        assert (again.episode, again.outcomes) == (5, said.outcomes)
        assert world._link('arm6', 'gripper').mass == 3.0
    finally:
        stop.set()
        thread.join(20.0)
        node.close()
        node.destroy_node()
        watcher.destroy_node()


def trouble(call):
    """What a call raises, once the service is found: on a busy machine that may take seconds."""
    end = time.monotonic() + 20.0
    while True:
        with pytest.raises(WorldError) as caught:
            call()
        if 'nobody serves' not in str(caught.value) or time.monotonic() > end:
            return str(caught.value)


def test_a_service_that_refuses_never_answers_or_is_not_there():
    """Each with its name and the deadline; nothing hangs."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('gazebo', namespace='broken', context=context)

    def refuse(_, response):
        response.success, response.status_message = False, 'not today'
        return response

    def sleep(_, response):
        time.sleep(1.5)
        return response

    node.create_service(srv.DeleteEntity, 'delete_entity', refuse)
    node.create_service(srv.GetModelList, 'get_model_list', sleep)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    world = ClassicServices('broken', timeout=1.0)
    try:
        assert '/broken/delete_entity refuses: not today' in trouble(lambda: world.delete('box'))
        assert '/broken/get_model_list does not answer within 1 s' in trouble(world.models)
        with pytest.raises(WorldError, match='nobody serves /broken/pause_physics within 1 s'):
            world.pause(True)
    finally:
        world.close()
        executor.shutdown()
        thread.join(10.0)
        node.destroy_node()
        rclpy.try_shutdown(context=context)
