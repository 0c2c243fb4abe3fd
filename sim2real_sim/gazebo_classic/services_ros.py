"""A world in Gazebo Classic over the services of gazebo_ros.

For whoever has a Gazebo with gazebo_ros running. Needs its init, factory and force systems and,
in the world file, its state and properties plugins. See :class:`sim2real_sim.world.World`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Empty

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Fault, InputError, MissingError
from sim2real_core.qos import SENSOR
from sim2real_sim import sdf
from sim2real_sim.respawn import RESPAWN, Draws
from sim2real_sim.world import LinkState, ModelState, Pose, Vector, WorldError

SERVICES = 'services'
"""Name of the route over setting services."""
ORIGIN = Pose()
INERTIA = ('xx', 'xy', 'xz', 'yy', 'yz', 'zz')
FOREVER = -1  # [s]
TURN = 0.1  # [s] between looks whether a service is still to be waited for


class ClassicServices:
    """A world behind gazebo_ros.

    Its link properties route is offered, but taken only when it is asked for, and never read
    back: gazebo_ros stores a mass that the engine does not use, and echoes it.

    Attributes:
        version: of what is behind the services; they do not tell.

    Args:
        namespace: of the services.
        timeout: deadline of every wait [s].
        timestep: of the world, which the services do not tell [s].
        stop: once it is set, services that nobody serves are not waited for.

    Raises:
        MissingError: gazebo_msgs is not installed.
    """

    version = 'gazebo classic (gazebo_ros)'
    tolerance = 1e-5  # it reads six digits when it spawns

    def __init__(
        self,
        namespace: str = '',
        timeout: float = 5.0,
        timestep: float = 0.001,
        stop: threading.Event | None = None,
    ) -> None:
        try:
            from gazebo_msgs import msg, srv
        except ImportError as error:
            raise MissingError(
                'gazebo_msgs is needed to speak to gazebo_ros: '
                'apt install ros-$ROS_DISTRO-gazebo-msgs'
            ) from error
        self._srv, self._msg = srv, msg
        self._timeout = timeout
        self._timestep = timestep
        self._stop = stop or threading.Event()
        self._draws = Draws(self)
        self._texts: dict[str, str] = {}
        self._echoes: dict[str, set[str]] = {}  # by model: what the getters only echo
        self._lights: dict[str, Any] = {}  # as they were
        self._paused = False
        self._now: float | None = None
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(
            'gazebo_services', namespace=namespace, context=self._context
        )
        self._node.create_subscription(Clock, '/clock', self._on_clock, SENSOR)
        self._callers: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    @property
    def respawned(self) -> str:
        """Why the last draw had a model spawned anew, or ``''``."""
        return self._draws.respawned

    @property
    def troubles(self) -> list[str]:
        """Why addresses of the last draw failed, one line each."""
        return self._draws.troubles

    def time(self) -> float:
        """See :class:`~sim2real_sim.world.World`: of the clock, NaN before it was heard."""
        return math.nan if self._now is None else self._now

    def pause(self, paused: bool) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._call(Empty, 'pause_physics' if paused else 'unpause_physics')
        self._paused = paused

    def step(self, steps: int) -> None:
        """See :class:`~sim2real_sim.world.World`.

        Raises:
            WorldError: always; gazebo_ros cannot do it.
        """
        raise WorldError('gazebo_ros cannot take single steps')

    def reset(self) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._call(Empty, 'reset_simulation')

    def models(self) -> tuple[str, ...]:
        """See :class:`~sim2real_sim.world.World`."""
        return tuple(sorted(self._call(self._srv.GetModelList, 'get_model_list').model_names))

    def sdf(self, model: str) -> str:
        """See :class:`~sim2real_sim.world.World`: of what was spawned from here alone."""
        if model not in self._texts:
            raise WorldError(f'gazebo_ros does not tell the SDF of model {model!r}: spawn it')
        return self._texts[model]

    def spawn(self, model: str, sdf: str, pose: Pose = ORIGIN) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self.replace(model, sdf, pose)
        self._texts[model] = sdf
        self._draws.forget(model)

    def replace(self, model: str, sdf: str, pose: Pose) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        if model in self.models():
            self.delete(model)
        request = self._srv.SpawnEntity.Request(name=model, xml=sdf)
        _fill_pose(request.initial_pose, pose)
        self._call(self._srv.SpawnEntity, 'spawn_entity', request)
        self._echoes.pop(model, None)
        if model not in self.models():
            raise WorldError(f'spawn_entity succeeded, but there is no model {model!r}')

    def delete(self, model: str) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        request = self._srv.DeleteEntity.Request(name=model)
        self._call(self._srv.DeleteEntity, 'delete_entity', request)
        if model in self.models():
            raise WorldError(f'delete_entity succeeded, but model {model!r} is still there')

    def state(self, model: str) -> ModelState:
        """See :class:`~sim2real_sim.world.World`."""
        request = self._srv.GetModelProperties.Request(model_name=model)
        found = self._call(self._srv.GetModelProperties, 'get_model_properties', request)
        whole, stamp = self._entity(model)
        links = {name: self._entity(f'{model}::{name}')[0] for name in found.body_names}
        joints = {}
        for name in found.joint_names:
            asked = self._srv.GetJointProperties.Request(joint_name=f'{model}::{name}')
            joint = self._call(self._srv.GetJointProperties, 'get_joint_properties', asked)
            if joint.position and joint.rate:
                joints[name] = (float(joint.position[0]), float(joint.rate[0]))
        return ModelState(stamp, whole.pose, links, joints)

    def set_pose(self, model: str, pose: Pose) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._put(model, LinkState(pose, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))

    def set_effort(self, model: str, efforts: Mapping[str, float]) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        for joint, effort in efforts.items():
            name = f'{model}::{joint}'
            clear = self._srv.JointRequest.Request(joint_name=name)
            self._call(self._srv.JointRequest, 'clear_joint_efforts', clear)
            request = self._srv.ApplyJointEffort.Request(joint_name=name, effort=float(effort))
            request.duration.sec = FOREVER
            self._call(self._srv.ApplyJointEffort, 'apply_joint_effort', request)

    def push(self, model: str, link: str, force: Vector, torque: Vector = (0.0, 0.0, 0.0)) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        request = self._srv.ApplyLinkWrench.Request(link_name=f'{model}::{link}')
        _fill(request.wrench.force, force)
        _fill(request.wrench.torque, torque)
        request.duration.nanosec = round(self._timestep * 1e9)
        self._call(self._srv.ApplyLinkWrench, 'apply_link_wrench', request)

    def routes(self, address: str) -> tuple[str, ...]:
        """See :class:`~sim2real_sim.world.World`."""
        parsed = parse_address(address)
        if parsed.kind == 'light':
            return (SERVICES,) if parsed.quantity.startswith('color') else ()
        if parsed.kind == 'world' or not sdf.editable(address):
            return ()
        damping = (parsed.kind, parsed.quantity) == ('joint', 'viscous_friction')
        return (RESPAWN, SERVICES) if parsed.kind == 'link' or damping else (RESPAWN,)

    def nominal(self, model: str, address: str) -> float:
        """See :class:`~sim2real_sim.world.World`. NaN where the SDF does not say it."""
        parsed = parse_address(address)
        if parsed.kind == 'light':
            if parsed.name not in self._lights:
                self._lights[parsed.name] = self._light(parsed.name)
            return float(getattr(self._lights[parsed.name].diffuse, parsed.quantity[-1]))
        value = sdf.read(self.sdf(model), address)
        return math.nan if value is None else value

    def get(self, model: str, address: str) -> float | None:
        """See :class:`~sim2real_sim.world.World`."""
        parsed = parse_address(address)
        if address in self._echoes.get(model, ()):
            return None
        if parsed.kind == 'link' and not parsed.quantity.startswith('inertia'):
            found = self._link(model, parsed.name)
            if parsed.quantity == 'mass':
                return float(found.mass)
            return float(getattr(found.com.position, parsed.quantity[-1]))
        if (parsed.kind, parsed.quantity) == ('joint', 'viscous_friction'):
            request = self._srv.GetJointProperties.Request(joint_name=f'{model}::{parsed.name}')
            joint = self._call(self._srv.GetJointProperties, 'get_joint_properties', request)
            return float(joint.damping[0]) if joint.damping else None
        return None

    def apply(self, model: str, values: Mapping[str, float], route: str = '') -> dict[str, str]:
        """See :class:`~sim2real_sim.world.World`."""
        was = self._paused
        if not was:
            self.pause(True)
        try:
            return self._draws.apply(model, values, route)
        finally:
            if not was:
                self.pause(False)

    def close(self) -> None:
        """See :class:`~sim2real_sim.world.World`."""
        self._executor.shutdown()
        self._thread.join(self._timeout)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    # What sim2real_sim.respawn.Draws calls.

    def write(self, model: str, values: Mapping[str, float], route: str, edited: str) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        addresses = [parse_address(address) for address in values]
        for link in sorted({a.name for a in addresses if a.kind == 'link'}):
            self._write_link(model, link, edited)
        for light in sorted({a.name for a in addresses if a.kind == 'light'}):
            self._write_light(light, values)
        for address in addresses:
            if address.kind == 'joint':
                request = self._srv.SetJointProperties.Request(
                    joint_name=f'{model}::{address.name}'
                )
                request.ode_joint_config.damping = [float(values[str(address)])]
                self._call(self._srv.SetJointProperties, 'set_joint_properties', request)
        self._echoes.setdefault(model, set()).update(values)

    def restore(self, model: str, state: ModelState) -> None:
        """See :class:`sim2real_sim.respawn.Backend`."""
        self.set_pose(model, state.pose)
        for name, link in state.links.items():
            self._put(f'{model}::{name}', link)

    def _write_link(self, model: str, link: str, edited: str) -> None:
        request = self._srv.SetLinkProperties.Request(
            link_name=f'{model}::{link}', gravity_mode=True
        )
        present = self._link(model, link)
        request.com.orientation = present.com.orientation

        def value(quantity: str) -> float:
            found = sdf.read(edited, f'link.{link}.{quantity}')
            if found is None:
                raise InputError(Fault(f'link.{link}.{quantity}', None, 'the SDF must say it'))
            return found

        request.mass = value('mass')
        for axis in 'xyz':
            setattr(request.com.position, axis, value(f'com.{axis}'))
        for axes in INERTIA:
            setattr(request, f'i{axes}', value(f'inertia.{axes}'))
        self._call(self._srv.SetLinkProperties, 'set_link_properties', request)

    def _write_light(self, name: str, values: Mapping[str, float]) -> None:
        present = self._light(name)
        request = self._srv.SetLightProperties.Request(light_name=name, diffuse=present.diffuse)
        for part in ('constant', 'linear', 'quadratic'):
            key = f'attenuation_{part}'
            setattr(request, key, getattr(present, key))
        for channel in 'rgb':
            address = f'light.{name}.color.{channel}'
            if address in values:
                setattr(request.diffuse, channel, values[address])
        self._call(self._srv.SetLightProperties, 'set_light_properties', request)

    def _light(self, name: str) -> Any:
        request = self._srv.GetLightProperties.Request(light_name=name)
        return self._call(self._srv.GetLightProperties, 'get_light_properties', request)

    def _link(self, model: str, link: str) -> Any:
        request = self._srv.GetLinkProperties.Request(link_name=f'{model}::{link}')
        return self._call(self._srv.GetLinkProperties, 'get_link_properties', request)

    def _entity(self, name: str) -> tuple[LinkState, float]:
        """State of a model or link, and its time [s]."""
        request = self._srv.GetEntityState.Request(name=name, reference_frame='world')
        answer = self._call(self._srv.GetEntityState, 'get_entity_state', request)
        pose, twist, stamp = answer.state.pose, answer.state.twist, answer.header.stamp
        q = pose.orientation
        state = LinkState(
            Pose(_vector(pose.position), (q.x, q.y, q.z, q.w)),
            _vector(twist.linear),
            _vector(twist.angular),
        )
        return state, stamp.sec + stamp.nanosec * 1e-9

    def _put(self, name: str, state: LinkState) -> None:
        wanted = self._msg.EntityState(name=name, reference_frame='world')
        _fill_pose(wanted.pose, state.pose)
        _fill(wanted.twist.linear, state.linear)
        _fill(wanted.twist.angular, state.angular)
        request = self._srv.SetEntityState.Request(state=wanted)
        self._call(self._srv.SetEntityState, 'set_entity_state', request)

    def _call(self, kind: Any, name: str, request: Any = None) -> Any:
        """Call a service.

        Raises:
            WorldError: nobody serves it or answers by the deadline, or it was refused.
        """
        if name not in self._callers:
            self._callers[name] = self._node.create_client(kind, name)
        client, full = self._callers[name], self._node.resolve_service_name(name)
        if not self._served(client):
            raise WorldError(f'nobody serves {full} within {self._timeout:g} s')
        done = threading.Event()
        future = client.call_async(request or kind.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(self._timeout):
            client.remove_pending_request(future)
            raise WorldError(f'{full} does not answer within {self._timeout:g} s')
        answer = future.result()
        if not getattr(answer, 'success', True):
            said = getattr(answer, 'status_message', '') or 'no reason given'
            raise WorldError(f'{full} refuses: {said}')
        return answer

    def _served(self, client: Any) -> bool:
        """Whether a service comes by the deadline, or is there when waiting shall stop."""
        end = time.monotonic() + self._timeout
        while not client.wait_for_service(TURN):
            if self._stop.is_set() or time.monotonic() > end:
                return False
        return True

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return  # closed

    def _on_clock(self, message: Clock) -> None:
        self._now = message.clock.sec + message.clock.nanosec * 1e-9


def _vector(message: Any) -> Vector:
    return (message.x, message.y, message.z)


def _fill(message: Any, values: Vector) -> None:
    message.x, message.y, message.z = values


def _fill_pose(message: Any, pose: Pose) -> None:
    _fill(message.position, pose.position)
    q = message.orientation
    q.x, q.y, q.z, q.w = pose.orientation
