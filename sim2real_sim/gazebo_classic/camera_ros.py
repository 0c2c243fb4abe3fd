"""A camera that looks at the robot, as the embedded simulator's does, on the topics of one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from sim2real_core.qos import SENSOR
from sim2real_sim import conversions
from sim2real_sim.config import GazeboConfig
from sim2real_sim.gazebo_classic.keeper import Keeper
from sim2real_sim.gazebo_classic.world import ClassicWorld
from sim2real_sim.world import Pose

MODEL = 'sim2real_camera'
VIEW = math.radians(45.0)  # vertical
BACK = np.array([1.0, -1.4, 0.6]) / np.linalg.norm([1.0, -1.4, 0.6])  # from what it looks at
LENS = Rotation.from_matrix([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
SDF = """<sdf version='1.7'><model name='{model}'><static>true</static><link name='link'>
<sensor name='camera' type='camera'><always_on>true</always_on><update_rate>{rate}</update_rate>
<camera><horizontal_fov>{view}</horizontal_fov>
<image><width>{width}</width><height>{height}</height><format>R8G8B8</format></image>
<clip><near>0.02</near><far>100</far></clip></camera></sensor></link></model></sdf>"""


class GazeboCamera:
    """``camera/image_raw`` and ``camera/camera_info`` of a camera that is put into the world.

    Args:
        node: publishes.
        size: (width, height) [pixel].
        rate: pictures a simulated second.
        points: (n, 3) of the robot in its root's frame that it looks at [m].
        root: pose of that frame in the world.
    """

    def __init__(
        self,
        node: Node,
        size: tuple[int, int],
        rate: float,
        points: npt.NDArray[np.float64],
        root: Pose,
    ) -> None:
        width, height = size
        self._size = size
        self._focal = 0.5 * height / math.tan(0.5 * VIEW)
        view = 2.0 * math.atan(0.5 * width / self._focal)
        self._sdf = SDF.format(model=MODEL, rate=rate, view=view, width=width, height=height)
        position, turn = _looking_at(points)
        # Cameras of ROS look along z, those of Gazebo along x.
        x, y, z, w = (turn * LENS).as_quat()
        self._in_root = position[None], np.array([[w, x, y, z]])
        self._pose = _placed(root, position, turn)
        self._images = node.create_publisher(Image, 'camera/image_raw', SENSOR)
        self._infos = node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)

    @classmethod
    def beside(cls, node: Node, config: GazeboConfig, keeper: Keeper) -> GazeboCamera:
        """One beside a robot, put there whenever the robot is."""
        size = config.camera_width, config.camera_height
        points = keeper.reader.points(Pose())
        camera = cls(node, size, config.camera_rate, points, keeper.place.pose)
        keeper.beside = camera.join
        return camera

    def pose(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Position (1, 3) [m] and orientation (1, 4) (w, x, y, z) in the robot's root frame."""
        return self._in_root

    def join(self, world: ClassicWorld) -> None:
        """Be in a world, and publish what is seen there."""
        if MODEL not in world.models():
            world.spawn(MODEL, self._sdf, self._pose)
        topic = f'~/{MODEL}/link/camera/image'
        world.hear(topic, 'gazebo.msgs.ImageStamped', self._on_image)

    def _on_image(self, message: Any) -> None:
        stamp = conversions.to_stamp(message.time.sec * 10**9 + message.time.nsec)
        width, height = self._size
        pixels = np.frombuffer(message.image.data, np.uint8).reshape(height, width, 3)
        self._images.publish(conversions.image('camera', pixels, stamp))
        intrinsics = (self._focal, 0.5 * width, 0.5 * height)
        self._infos.publish(conversions.camera_info('camera', self._size, intrinsics, stamp))


def _looking_at(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], Rotation]:
    """Position and rotation of a camera, looking along its x axis, with all points in sight."""
    low, high = points.min(axis=0) - 0.1, points.max(axis=0) + 0.1
    position = 0.5 * (low + high) + 1.6 * np.linalg.norm(high - low) * BACK
    left = np.cross([0.0, 0.0, 1.0], -BACK)
    left /= np.linalg.norm(left)
    return position, Rotation.from_matrix(np.stack([-BACK, left, np.cross(-BACK, left)], axis=1))


def _placed(frame: Pose, position: npt.NDArray[np.float64], turn: Rotation) -> Pose:
    """Pose in the world of what has a position and rotation in a frame."""
    outer = Rotation.from_quat(frame.orientation)
    x, y, z = map(float, frame.position + outer.apply(position))
    qx, qy, qz, qw = map(float, (outer * turn).as_quat())
    return Pose((x, y, z), (qx, qy, qz, qw))
