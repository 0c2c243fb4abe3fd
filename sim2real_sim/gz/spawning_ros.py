"""Models come and go through ROS, where a simulator serves that and nothing else is at hand.

Two interfaces: ``ros_gz_interfaces``, as ros_gz's bridge serves Gazebo's own services
(``/world/<world>/create`` and ``remove``), and ``simulation_interfaces``, as ros_gz_sim, Isaac
Sim and O3DE serve it. Either is a :class:`~sim2real_sim.gz.world.Spawner`.
"""

from __future__ import annotations

import threading
from typing import Any

from rclpy.node import Node

from sim2real_core.errors import MissingError
from sim2real_sim.world import Pose, WorldError


class _Services:
    """Two services of a node that another thread spins, called with a deadline."""

    def __init__(self, node: Node, timeout: float) -> None:
        self._node = node
        self._timeout = timeout

    def _client(self, kind: Any, name: str) -> Any:
        return self._node.create_client(kind, name)

    def _call(self, client: Any, request: Any, what: str) -> Any:
        """The answer.

        Raises:
            WorldError: nobody serves it, or nobody answered in time.
        """
        name = client.srv_name
        if not client.wait_for_service(self._timeout):
            raise WorldError(f'{what}: nobody serves {name} within {self._timeout:g} s')
        answered, future = threading.Event(), client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(self._timeout):
            client.remove_pending_request(future)
            raise WorldError(f'{what}: no answer from {name} within {self._timeout:g} s')
        return future.result()


class GazeboSpawner(_Services):
    """Spawns through ros_gz_interfaces.

    Args:
        node: spun by another thread than the one that calls.
        world: its name.
        timeout: deadline of each call [s].

    Raises:
        MissingError: ros_gz_interfaces is not installed.
    """

    def __init__(self, node: Node, world: str, timeout: float = 5.0) -> None:
        super().__init__(node, timeout)
        try:
            from ros_gz_interfaces.msg import Entity
            from ros_gz_interfaces.srv import DeleteEntity, SpawnEntity
        except ImportError as error:
            raise MissingError(_missing('ros-gz-interfaces')) from error
        self._entity, self._delete, self._spawn = Entity, DeleteEntity, SpawnEntity
        self._creating = self._client(SpawnEntity, f'/world/{world}/create')
        self._removing = self._client(DeleteEntity, f'/world/{world}/remove')

    def spawn(self, model: str, sdf: str, pose: Pose) -> None:
        """Put a model into the world.

        Raises:
            WorldError: refused, or not answered in time.
        """
        request = self._spawn.Request()
        request.entity_factory.name, request.entity_factory.sdf = model, sdf
        _put(request.entity_factory.pose, pose)
        if not self._call(self._creating, request, f'spawn {model!r}').success:
            raise WorldError(f'spawn {model!r}: {self._creating.srv_name} refused')

    def remove(self, model: str) -> None:
        """Take a model out of the world; errors as :meth:`spawn`."""
        request = self._delete.Request()
        request.entity.name, request.entity.type = model, self._entity.MODEL
        if not self._call(self._removing, request, f'delete {model!r}').success:
            raise WorldError(f'delete {model!r}: {self._removing.srv_name} refused')


class SimulationSpawner(_Services):
    """Spawns through simulation_interfaces (1 or 2).

    Args:
        node: spun by another thread than the one that calls.
        prefix: of the services' names (``/gzserver/``, ``/isaac/``, ...).
        timeout: deadline of each call [s].

    Raises:
        MissingError: simulation_interfaces is not installed.
    """

    def __init__(self, node: Node, prefix: str = '', timeout: float = 5.0) -> None:
        super().__init__(node, timeout)
        try:
            from simulation_interfaces.msg import Result
            from simulation_interfaces.srv import DeleteEntity, SpawnEntity
        except ImportError as error:
            raise MissingError(_missing('simulation-interfaces')) from error
        self._ok, self._delete, self._spawn = Result.RESULT_OK, DeleteEntity, SpawnEntity
        self._creating = self._client(SpawnEntity, f'{prefix}spawn_entity')
        self._removing = self._client(DeleteEntity, f'{prefix}delete_entity')

    def spawn(self, model: str, sdf: str, pose: Pose) -> None:
        """Put a model into the world.

        Raises:
            WorldError: refused, with the simulator's reason, or not answered in time.
        """
        request = self._spawn.Request()
        request.name, request.allow_renaming = model, False
        # In the interface's first version the resource's fields are the request's own.
        getattr(request, 'entity_resource', request).resource_string = sdf
        _put(request.initial_pose.pose, pose)
        self._checked(self._call(self._creating, request, f'spawn {model!r}'), f'spawn {model!r}')

    def remove(self, model: str) -> None:
        """Take a model out of the world; errors as :meth:`spawn`."""
        request = self._delete.Request()
        request.entity = model
        answer = self._call(self._removing, request, f'delete {model!r}')
        self._checked(answer, f'delete {model!r}')

    def _checked(self, answer: Any, what: str) -> None:
        result = answer.result
        if result.result != self._ok:
            raise WorldError(f'{what}: {result.error_message or f"result {result.result}"}')


def _put(message: Any, pose: Pose) -> None:
    """Fill a geometry_msgs/Pose."""
    place, turn = message.position, message.orientation
    place.x, place.y, place.z = map(float, pose.position)
    turn.x, turn.y, turn.z, turn.w = map(float, pose.orientation)


def _missing(package: str) -> str:
    return f'{package} is needed to spawn through ROS: apt install ros-$ROS_DISTRO-{package}'
