"""Models come and go through ROS services, with deadlines and reasons."""

import threading
from contextlib import contextmanager, suppress

import pytest
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from sim2real_sim.world import Pose, WorldError

pytest.importorskip('ros_gz_interfaces.srv', reason='no ros_gz_interfaces: run `make env`')
pytest.importorskip('simulation_interfaces.srv', reason='no simulation_interfaces')
from ros_gz_interfaces import srv as gz
from simulation_interfaces import srv as simulation
from simulation_interfaces.msg import Result

from sim2real_sim.gz.spawning_ros import GazeboSpawner, SimulationSpawner

if not hasattr(simulation, 'SpawnEntity'):
    pytest.skip(
        'simulation_interfaces without SpawnEntity: run `make env`', allow_module_level=True
    )
POSE = Pose((1.0, 2.0, 3.0), (0.0, 0.0, 0.6, 0.8))


@contextmanager
def spun(name, context):
    node = rclpy.create_node(name, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ended = threading.Event()

    def spin():
        with suppress(ExternalShutdownException):
            while not ended.is_set():
                executor.spin_once(0.05)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield node
    ended.set()
    thread.join(5.0)
    executor.shutdown()
    node.destroy_node()


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    with spun('spawning', context) as node:
        yield node
    context.shutdown()


def served(node, kind, name, answer):
    """Serve with what fills the response; gives the requests that came."""
    came = []

    def serve(request, response):
        came.append(request)
        answer(response)
        return response

    node.create_service(kind, name, serve)
    return came


def test_through_ros_gz(node):
    outcome = {'success': True}
    answer = lambda response: setattr(response, 'success', outcome['success'])  # noqa: E731
    created = served(node, gz.SpawnEntity, '/world/lab/create', answer)
    removed = served(node, gz.DeleteEntity, '/world/lab/remove', answer)
    spawner = GazeboSpawner(node, 'lab', timeout=10.0)
    spawner.spawn('box', '<sdf/>', POSE)
    spawner.remove('box')
    factory = created[0].entity_factory
    assert (factory.name, factory.sdf, factory.allow_renaming) == ('box', '<sdf/>', False)
    assert (factory.pose.position.z, factory.pose.orientation.w) == (3.0, 0.8)
    assert (removed[0].entity.name, removed[0].entity.type) == ('box', 2)
    outcome['success'] = False
    with pytest.raises(WorldError, match='/world/lab/create refused'):
        spawner.spawn('box', '<sdf/>', POSE)
    with pytest.raises(WorldError, match='/world/lab/remove refused'):
        spawner.remove('box')


def test_through_simulation_interfaces(node):
    outcome = Result(result=Result.RESULT_OK)
    answer = lambda response: setattr(response, 'result', outcome)  # noqa: E731
    created = served(node, simulation.SpawnEntity, '/sim/spawn_entity', answer)
    removed = served(node, simulation.DeleteEntity, '/sim/delete_entity', answer)
    spawner = SimulationSpawner(node, '/sim/', timeout=10.0)
    spawner.spawn('box', '<sdf/>', POSE)
    spawner.remove('box')
    assert (created[0].name, created[0].entity_resource.resource_string) == ('box', '<sdf/>')
    assert created[0].initial_pose.pose.position.x == 1.0
    assert removed[0].entity == 'box'
    outcome.result, outcome.error_message = Result.RESULT_OPERATION_FAILED, 'no such mesh'
    with pytest.raises(WorldError, match='no such mesh'):
        spawner.spawn('box', '<sdf/>', POSE)


def test_nobody_there_and_nobody_answering(node):
    with pytest.raises(WorldError, match='nobody serves /world/lab/create within 0.2 s'):
        GazeboSpawner(node, 'lab', timeout=0.2).spawn('box', '<sdf/>', POSE)
    release = threading.Event()
    with spun('slow', node.context) as other:
        served(other, simulation.SpawnEntity, '/spawn_entity', lambda _: release.wait(30.0))
        spawner = SimulationSpawner(node, '/', timeout=1.0)
        with pytest.raises(WorldError, match='no answer from /spawn_entity within 1 s'):
            spawner.spawn('box', '<sdf/>', POSE)
        release.set()
