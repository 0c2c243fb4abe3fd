"""The services of gazebo_ros, served over Gazebo's own transports.

Those of its init, factory and force systems and of its state and properties plugins, all
relative to the node's namespace. They do what their answers say: properties of links reach the
engine, which those of gazebo_ros do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_srvs.srv import Empty

from sim2real_core.addresses import parse_address
from sim2real_core.errors import Sim2RealError
from sim2real_sim.conversions import to_stamp
from sim2real_sim.gazebo_classic.keeper import Keeper
from sim2real_sim.gazebo_classic.poses import scaled
from sim2real_sim.respawn import OF_THE_WORLD
from sim2real_sim.world import LinkState, Pose, Vector, WorldError

INERTIA = ('ixx', 'ixy', 'ixz', 'iyy', 'iyz', 'izz')
SHORT = 0.01  # [s] a wrench for no longer than this is an impulse
NONE: Vector = (0.0, 0.0, 0.0)
Handler = Callable[[Any, Any], None]


class GazeboServices:
    """Serves gazebo_msgs.

    Args:
        node: serves.
        keeper: keeps the robot; other models are served alike.
        group: of the callbacks.

    Raises:
        ImportError: gazebo_msgs is not installed.
    """

    def __init__(self, node: Node, keeper: Keeper, group: CallbackGroup) -> None:
        from gazebo_msgs import srv

        self._keeper = keeper
        self._node = node
        self._set: dict[str, dict[str, float]] = {}  # by model: what was set through services
        for kind, name, handler in (
            (Empty, 'pause_physics', self._pause),
            (Empty, 'unpause_physics', self._unpause),
            (Empty, 'reset_simulation', self._reset),
            (Empty, 'reset_world', self._reset),
            (srv.GetModelList, 'get_model_list', self._list),
            (srv.GetModelProperties, 'get_model_properties', self._model),
            (srv.SpawnEntity, 'spawn_entity', self._spawn),
            (srv.DeleteEntity, 'delete_entity', self._delete),
            (srv.GetEntityState, 'get_entity_state', self._get_state),
            (srv.SetEntityState, 'set_entity_state', self._set_state),
            (srv.GetLinkProperties, 'get_link_properties', self._get_link),
            (srv.SetLinkProperties, 'set_link_properties', self._set_link),
            (srv.GetJointProperties, 'get_joint_properties', self._get_joint),
            (srv.SetJointProperties, 'set_joint_properties', self._set_joint),
            (srv.GetLightProperties, 'get_light_properties', self._get_light),
            (srv.SetLightProperties, 'set_light_properties', self._set_light),
            (srv.ApplyLinkWrench, 'apply_link_wrench', self._push),
            (srv.LinkRequest, 'clear_link_wrenches', self._let_go),
            (srv.ApplyJointEffort, 'apply_joint_effort', self._effort),
            (srv.JointRequest, 'clear_joint_efforts', self._release),
        ):
            node.create_service(kind, name, self._answering(name, handler), callback_group=group)

    def _answering(self, name: str, handler: Handler) -> Callable[[Any, Any], Any]:
        def answer(request: Any, response: Any) -> Any:
            said = ''
            try:
                handler(request, response)
            except Sim2RealError as error:
                said = str(error)
                self._node.get_logger().error(f'{name}: {said}')
            if hasattr(response, 'success'):
                response.success = not said
            if hasattr(response, 'status_message'):
                response.status_message = said or 'done'
            return response

        return answer

    def _pause(self, _: Any, __: Any) -> None:
        self._keeper.pause(True)

    def _unpause(self, _: Any, __: Any) -> None:
        self._keeper.pause(False)

    def _reset(self, _: Any, __: Any) -> None:
        self._keeper.reset()

    def _list(self, _: Any, response: Any) -> None:
        response.model_names = list(self._keeper.world.models())

    def _model(self, request: Any, response: Any) -> None:
        state = self._keeper.world.state(request.model_name)
        response.body_names, response.joint_names = list(state.links), list(state.joints)
        response.canonical_body_name = response.body_names[0] if response.body_names else ''
        text = self._keeper.world.sdf(request.model_name)
        response.is_static = '<static>true' in text or '<static>1' in text

    def _spawn(self, request: Any, _: Any) -> None:
        self._world_frame(request.reference_frame)
        if request.name in self._keeper.world.models():
            raise WorldError(f'entity {request.name} exists already')
        self._set.pop(request.name, None)
        self._keeper.spawn(request.name, request.xml, _pose(request.initial_pose))

    def _delete(self, request: Any, _: Any) -> None:
        self._set.pop(request.name, None)
        self._keeper.delete(request.name)

    def _get_state(self, request: Any, response: Any) -> None:
        self._world_frame(request.reference_frame)
        model, _, link = request.name.partition('::')
        state = self._keeper.world.state(model)
        first = next(iter(state.links.values()), LinkState(state.pose, NONE, NONE))
        seen = self._link(state.links, link) if link else first._replace(pose=state.pose)
        response.header.stamp = to_stamp(round(state.time * 1e9))
        response.header.frame_id = 'world'
        response.state.name = request.name
        _fill_pose(response.state.pose, seen.pose)
        _fill(response.state.twist.linear, seen.linear)
        _fill(response.state.twist.angular, seen.angular)

    def _set_state(self, request: Any, _: Any) -> None:
        wanted = request.state
        self._world_frame(wanted.reference_frame)
        model, _, link = wanted.name.partition('::')
        world, pose = self._keeper.world, _pose(wanted.pose)
        linear, angular = _vector(wanted.twist.linear), _vector(wanted.twist.angular)
        if not link and any((*linear, *angular)):
            raise WorldError('velocities of a model cannot be set; set those of its links')
        with self._keeper.still():
            if not link:
                world.set_pose(model, pose)
                return
            present = world.state(model)
            self._link(present.links, link)
            only = {link: LinkState(pose, linear, angular)}
            world.restore(model, present._replace(links=only))

    def _get_link(self, request: Any, response: Any) -> None:
        model, link = self._scoped(request.link_name)
        get = self._keeper.world.get
        for axis in 'xyz':
            value = get(model, f'link.{link}.com.{axis}')
            setattr(response.com.position, axis, self._found(value, request.link_name))
        response.com.orientation.w = 1.0
        response.gravity_mode = True
        response.mass = self._found(get(model, f'link.{link}.mass'), request.link_name)
        for name in INERTIA:
            value = get(model, f'link.{link}.inertia.{name[1:]}')
            setattr(response, name, self._found(value, request.link_name))

    def _set_link(self, request: Any, _: Any) -> None:
        model, link = self._scoped(request.link_name)
        if not request.gravity_mode:
            raise WorldError('gravity_mode cannot be switched off here')
        values = {f'link.{link}.mass': request.mass}
        values.update((f'link.{link}.com.{a}', getattr(request.com.position, a)) for a in 'xyz')
        values.update((f'link.{link}.inertia.{n[1:]}', getattr(request, n)) for n in INERTIA)
        self._apply(model, values)

    def _get_joint(self, request: Any, response: Any) -> None:
        model, joint = self._joint(request.joint_name)
        world = self._keeper.world
        position, velocity = world.state(model).joints[joint]
        response.position, response.rate = [position], [velocity]
        damping = world.get(model, f'joint.{joint}.viscous_friction')
        response.damping = [] if damping is None else [damping]

    def _set_joint(self, request: Any, _: Any) -> None:
        model, joint = self._joint(request.joint_name)
        wanted = request.ode_joint_config
        if len(wanted.damping) != 1:
            raise WorldError('damping must have one value; nothing else can be set')
        self._apply(model, {f'joint.{joint}.viscous_friction': wanted.damping[0]})

    def _get_light(self, request: Any, response: Any) -> None:
        light = self._keeper.world.light(request.light_name)
        for channel in 'rgba':
            setattr(response.diffuse, channel, getattr(light.diffuse, channel))
        for name in ('constant', 'linear', 'quadratic'):
            setattr(response, f'attenuation_{name}', getattr(light, f'attenuation_{name}'))

    def _set_light(self, request: Any, _: Any) -> None:
        values = {
            f'light.{request.light_name}.color.{c}': getattr(request.diffuse, c) for c in 'rgb'
        }
        self._apply(self._keeper.name, values)

    def _push(self, request: Any, _: Any) -> None:
        self._world_frame(request.reference_frame)
        model, link = self._scoped(request.link_name)
        duration = request.duration.sec + request.duration.nanosec * 1e-9
        if not 0.0 < duration <= SHORT:
            raise WorldError(f'a duration of {duration:g} s: more than 0, at most {SHORT:g} s')
        world = self._keeper.world
        step = world.get(model, 'world.timestep')
        scale = duration / step if step else 1.0
        force, torque = _vector(request.wrench.force), _vector(request.wrench.torque)
        world.push(model, link, scaled(force, scale), scaled(torque, scale))

    def _let_go(self, request: Any, _: Any) -> None:
        self._scoped(request.link_name)  # wrenches are impulses here: none is left to be cleared

    def _effort(self, request: Any, _: Any) -> None:
        model, joint = self._joint(request.joint_name)
        if request.duration.sec >= 0:
            raise WorldError('a negative duration, until it is cleared, is the only one')
        self._keeper.world.set_effort(model, {joint: request.effort})

    def _release(self, request: Any, _: Any) -> None:
        model, joint = self._joint(request.joint_name)
        self._keeper.world.set_effort(model, {joint: 0.0})

    def _apply(self, model: str, values: Mapping[str, float]) -> None:
        """Change some addresses; the others stay as they were drawn or set."""
        wanted = self._set.setdefault(model, {})
        keeper = self._keeper
        if model == keeper.name:
            outcomes = keeper.apply({**keeper.values, **values})
        else:
            drawn = keeper.values.items()
            shared = {a: v for a, v in drawn if parse_address(a).kind in OF_THE_WORLD}
            with keeper.still() as world:
                outcomes = world.apply(model, {**shared, **wanted, **values})
        wanted.update(values)
        wrong = [a for a in values if outcomes[a] not in ('verified', 'applied')]
        if wrong:
            said = '; '.join(keeper.troubles())
            raise WorldError(f'{", ".join(wrong)} {outcomes[wrong[0]]} {said}'.strip())

    def _scoped(self, name: str) -> tuple[str, str]:
        """Model and link of a scoped name."""
        model, separator, link = name.partition('::')
        if not separator:
            raise WorldError(f'{name}: name it model::link')
        self._link(self._keeper.world.state(model).links, link)
        return model, link

    def _joint(self, name: str) -> tuple[str, str]:
        """Model and joint of a joint's name, scoped or the only one of its kind."""
        world = self._keeper.world
        model, _, joint = name.rpartition('::')
        models = [model] if model else world.models()
        for model in models:
            if model in world.models() and joint in world.state(model).joints:
                return model, joint
        raise WorldError(f'no joint {name}')

    @staticmethod
    def _link(links: Mapping[str, LinkState], name: str) -> LinkState:
        if name not in links:
            raise WorldError(f'no link {name}; has: {", ".join(links)}')
        return links[name]

    @staticmethod
    def _found(value: float | None, name: str) -> float:
        if value is None:
            raise WorldError(f'Gazebo does not tell of {name}')
        return value

    @staticmethod
    def _world_frame(frame: str) -> None:
        if frame not in ('', 'world', 'map'):
            raise WorldError(f'frame {frame}: only the world frame is served')


def _vector(message: Any) -> Vector:
    return (message.x, message.y, message.z)


def _pose(message: Any) -> Pose:
    q = message.orientation
    turned = any((q.x, q.y, q.z, q.w))  # an empty message means none
    return Pose(_vector(message.position), (q.x, q.y, q.z, q.w if turned else 1.0))


def _fill(message: Any, values: Vector) -> None:
    message.x, message.y, message.z = values


def _fill_pose(message: Any, pose: Pose) -> None:
    _fill(message.position, pose.position)
    q = message.orientation
    q.x, q.y, q.z, q.w = pose.orientation
