"""The world over gazebo_ros's services, against the bridge and a real gzserver."""

import threading
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from sim2real_core.errors import MissingError
from sim2real_sim.gazebo_classic import installation
from sim2real_sim.gazebo_classic.services_ros import ClassicServices
from sim2real_sim.world import Pose, WorldError

srv = pytest.importorskip('gazebo_msgs.srv')

BOX = """<sdf version='1.7'><model name='box'><link name='body'>
  <inertial><mass>2.0</mass><inertia><ixx>0.02</ixx><ixy>0</ixy><ixz>0</ixz><iyy>0.02</iyy>
  <iyz>0</iyz><izz>0.02</izz></inertia></inertial>
  <collision name='shape'><geometry><box><size>0.2 0.2 0.2</size></box></geometry></collision>
</link></model></sdf>"""
ABOVE = Pose((2.0, 0.0, 500.0))


@pytest.fixture(scope='module')
def world():
    """Services of a bridge beside a gzserver of its own."""
    try:
        installation.find()
    except MissingError as error:
        pytest.skip(str(error))
    from sim2real_sim.gazebo_classic.bridge import GazeboBridge
    from test.node.test_gazebo_bridge import free_port

    rclpy.init()
    bridge = GazeboBridge(parameter_overrides=[Parameter('port', value=free_port())])
    stop = threading.Event()
    thread = threading.Thread(target=bridge.spin, args=(stop,))
    thread.start()
    services = ClassicServices(timeout=10.0)
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
        with pytest.raises(WorldError, match='/broken/delete_entity refuses: not today'):
            world.delete('box')
        with pytest.raises(WorldError, match='/broken/get_model_list does not answer within 1 s'):
            world.models()
        with pytest.raises(WorldError, match='nobody serves /broken/pause_physics within 1 s'):
            world.pause(True)
    finally:
        world.close()
        executor.shutdown()
        thread.join(10.0)
        node.destroy_node()
        rclpy.try_shutdown(context=context)
