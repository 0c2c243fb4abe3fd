"""What the simulator node publishes: time, joint states, IMU, transforms, pictures."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Collection
from typing import Any, Protocol

import mujoco
import numpy as np
import numpy.typing as npt
from nav_msgs.msg import Odometry
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu, JointState
from std_msgs.msg import String

from sim2real_core.graph_ros import NAMED_WITHIN, lacking
from sim2real_core.profile import RobotProfile
from sim2real_core.qos import COMMAND, LATCHED, SENSOR, sensor_qos
from sim2real_sim import conversions
from sim2real_sim.frames import relative
from sim2real_sim.mujoco_model import CAMERA
from sim2real_sim.mujoco_simulator import MujocoSimulator
from sim2real_sim.rendering import Camera, find_backend
from sim2real_sim.simulator import BodyReading, ImuReading, JointReading
from sim2real_sim.stepping import Lockstep

Array = npt.NDArray[np.float64]
SETTLE = 0.3  # s; a consumer that is seen here may not yet have seen us


def await_consumers(
    node: Node,
    executor: Executor,
    consumers: Collection[str],
    topic: str,
    commands: Subscription,
    timeout: float,
    stop: threading.Event,
) -> list[str]:
    """Spin until everyone who is waited for hears samples, and all commands are heard here.

    Args:
        node: the producer.
        executor: spins it.
        consumers: names of the nodes; they acknowledge on ``pace``.
        topic: of the samples.
        commands: everyone who publishes there must be connected.
        timeout: longest wait [s].
        stop: gives up when set.

    Returns:
        Those that did not appear.
    """
    wanted, settled = set(consumers), time.monotonic()
    named, deadline = settled + NAMED_WITHIN, settled + timeout
    # Who is connected is known from rclpy 4 on; before, who is seen and the settling must do.
    connections = getattr(commands, 'get_publisher_count', None)
    while wanted and not stop.is_set() and time.monotonic() < settled + SETTLE:
        ends = (
            node.get_publishers_info_by_topic('pace'),
            node.get_subscriptions_info_by_topic(topic),
        )
        guess = time.monotonic() > named
        lack = set().union(*(lacking(wanted, those, guess) for those in ends))
        seen = node.count_publishers(commands.topic_name)
        if lack or (connections is not None and connections() < seen):
            settled = time.monotonic()
            if settled > deadline:
                return sorted(lack)
        executor.spin_once(timeout_sec=0.05)
    return []


class Robot(Protocol):
    """What is published of a robot; of several, the first."""

    @property
    def profile(self) -> RobotProfile:
        """The robot's profile."""
        ...

    def read(self) -> JointReading:
        """What its joints' sensors say."""
        ...

    def read_imu(self) -> ImuReading:
        """What its IMU says."""
        ...

    def read_body(self) -> BodyReading:
        """Where the body of a mobile robot is, and how it moves."""
        ...

    def link_pose(self, link: str) -> tuple[Array, Array]:
        """Position (n, 3) [m] and orientation (n, 4) (w, x, y, z), all links in one frame."""
        ...


class Instants(Protocol):
    """Says when what is due."""

    @property
    def time(self) -> int:
        """Simulated time [ns]."""
        ...

    def due(self, name: str) -> bool:
        """Whether ``clock``, ``tf``, ``camera`` or ``joint_states`` is due; true once."""
        ...


class View(Protocol):
    """Knows where a camera stands."""

    def pose(self) -> tuple[Array, Array]:
        """Position (1, 3) [m] and orientation (1, 4) (w, x, y, z) in the robot's root frame."""
        ...


class Publishers:
    """Everything that the simulator node says about its robot.

    Args:
        node: publishes.
        robot: the robot.
        instants: says what is due.
        tf: whether to publish transforms.
        lockstep: told of every sample, all of which arrive when it waits for anyone.
        camera: takes pictures.
        view: a camera that takes them by itself, for the transforms.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        instants: Instants,
        tf: bool,
        lockstep: Lockstep | None = None,
        camera: CameraPublisher | None = None,
        view: View | None = None,
    ) -> None:
        self._robot, self._instants, self._lockstep = robot, instants, lockstep
        self._profile = profile = robot.profile
        sensors = sensor_qos(lockstep is not None and bool(lockstep.keeper.consumers))
        self._clock = node.create_publisher(Clock, 'clock', COMMAND)
        self._joints = node.create_publisher(JointState, profile.topics.joint_states, sensors)
        self._imu: Any = None
        if profile.imu_link:
            self._imu = node.create_publisher(Imu, profile.topics.imu, sensors)
        self._odometry: Any = None
        if profile.body_link and hasattr(robot, 'read_body'):
            self._odometry = node.create_publisher(Odometry, profile.topics.odometry, sensors)
        self._transforms: Transforms | None = None
        if tf and Transforms.available():
            self._transforms = Transforms(node, robot, camera or view)
        elif tf:
            node.get_logger().warning('tf2_msgs is not installed: no tf is published')
        self._camera = camera
        self._description = node.create_publisher(String, 'robot_description', LATCHED)
        self._description.publish(String(data=profile.urdf.text))

    def publish(self) -> None:
        """Publish what is due; joint states last: a policy acts on them and must know the rest."""
        instants, stamp = self._instants, conversions.to_stamp(self._instants.time)
        if instants.due('clock'):
            self._clock.publish(Clock(clock=stamp))
        if self._transforms is not None and instants.due('tf'):
            self._transforms.publish(instants.time)
        if self._camera is not None and instants.due('camera'):
            self._camera.take(instants.time)
        if not instants.due('joint_states'):
            return
        if self._imu is not None:
            imu = self._robot.read_imu()
            self._imu.publish(conversions.imu(self._profile.imu_link, imu, stamp))
        if self._odometry is not None:
            frames = self._profile.urdf.root, self._profile.body_link
            body = self._robot.read_body()
            self._odometry.publish(conversions.odometry(frames, body, stamp))
        joints = self._robot.read()
        if self._lockstep is not None:
            self._lockstep.sent(instants.time, time.monotonic())
        self._joints.publish(conversions.joint_state(self._profile.joint_names, joints, stamp))

    def close(self) -> None:
        """Stop rendering."""
        if self._camera is not None:
            self._camera.close()


class Transforms:
    """``tf`` and ``tf_static`` of the robot's links, and of a camera that stands in the world.

    Args:
        node: publishes.
        robot: the robot.
        camera: the camera, if there is one.
    """

    def __init__(self, node: Node, robot: Robot, camera: View | None) -> None:
        from tf2_msgs.msg import TFMessage

        self._camera = camera
        self._message = TFMessage
        self._robot = robot
        moving: list[tuple[str, str]] = []
        fixed: list[tuple[str, str]] = []
        for joint in robot.profile.urdf.joints.values():
            moves = robot.profile.moves(joint)
            (moving if moves else fixed).append((joint.parent, joint.child))
        self._moving = moving
        self._publisher = node.create_publisher(TFMessage, 'tf', COMMAND)
        self._static = node.create_publisher(TFMessage, 'tf_static', LATCHED)
        if fixed:
            self._static.publish(TFMessage(transforms=self._transforms(fixed, 0)))

    @staticmethod
    def available() -> bool:
        """Whether tf2_msgs is installed."""
        return importlib.util.find_spec('tf2_msgs') is not None

    def _transforms(self, frames: list[tuple[str, str]], time: int) -> list[Any]:
        parents, children = ([self._robot.link_pose(pair[k]) for pair in frames] for k in (0, 1))
        position, orientation = relative(_stacked(parents), _stacked(children))
        return conversions.transforms(frames, position, orientation, conversions.to_stamp(time))

    def publish(self, time: int) -> None:
        """Publish where the moving links are at this simulated time [ns]."""
        transforms = self._transforms(self._moving, time) if self._moving else []
        if self._camera is not None:  # a draw may move it
            frames = [(self._robot.profile.urdf.root, CAMERA)]
            stamp = conversions.to_stamp(time)
            transforms += conversions.transforms(frames, *self._camera.pose(), stamp)
        if transforms:
            self._publisher.publish(self._message(transforms=transforms))


def _stacked(poses: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    return np.concatenate([p for p, _ in poses]), np.concatenate([q for _, q in poses])


class CameraPublisher:
    """``camera/image_raw`` and ``camera/camera_info``.

    Pictures are rendered in a thread of their own, so that joint states do not wait for them; a
    picture that is asked for while one is being rendered is left out. A paced simulation waits.

    Args:
        node: publishes.
        simulator: the robot; its first simulation.
        size: (width, height) [pixel].
        waits: render before :meth:`take` returns.

    Raises:
        MissingError: this machine cannot render.
    """

    def __init__(
        self, node: Node, simulator: MujocoSimulator, size: tuple[int, int], waits: bool
    ) -> None:
        self._simulator = simulator
        self._size = size
        self._waits = waits
        self._backend = find_backend()
        self._model, self._data = simulator.model(0), simulator.data(0)
        self._time = 0
        self._wanted, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._closing = False
        self._error: BaseException | None = None
        self._images = node.create_publisher(Image, 'camera/image_raw', sensor_qos(waits))
        self._infos = node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
        self._thread = threading.Thread(target=self._render, daemon=True)
        self._thread.start()

    def pose(self) -> tuple[Array, Array]:
        """Position (1, 3) [m] and orientation (1, 4) (w, x, y, z) in the robot's root frame."""
        return self._simulator.camera_pose()

    def take(self, time: int) -> None:
        """Take a picture of the present state at simulated time ``time`` [ns]."""
        if self._error is not None:
            raise self._error
        if not self._idle.is_set():
            return
        self._simulator.model(0, self._model)
        self._simulator.data(0, self._data)
        self._time = time
        self._idle.clear()
        self._wanted.set()
        if self._waits:
            self._idle.wait(timeout=10.0)

    def _render(self) -> None:
        try:
            # A graphics context belongs to the thread that made it.
            camera = Camera(self._model, CAMERA, *self._size, self._backend)
            frame = CAMERA
            while self._wanted.wait() and not self._closing:
                self._wanted.clear()
                mujoco.mj_forward(self._model, self._data)
                stamp = conversions.to_stamp(self._time)
                self._images.publish(conversions.image(frame, camera.picture(self._data), stamp))
                info = conversions.camera_info(frame, self._size, camera.intrinsics(), stamp)
                self._infos.publish(info)
                self._idle.set()
            camera.close()
        except Exception as error:  # raised in the node's thread, by the next take()
            self._error = error
            self._idle.set()

    def close(self) -> None:
        """Stop rendering."""
        self._closing = True
        self._wanted.set()
        self._thread.join(timeout=5.0)
