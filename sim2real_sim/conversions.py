"""Between messages and the simulator's arrays."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Point,
    Quaternion,
    TransformStamped,
    Vector3,
)
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, Imu, JointState

from sim2real_core import command_messages_ros
from sim2real_core.errors import Fault, InputError
from sim2real_core.mobile import SIDEWAYS
from sim2real_core.profile import RobotProfile
from sim2real_sim.simulator import BodyReading, ImuReading, JointReading

Array = npt.NDArray[np.float64]


def to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds as a message time."""
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def joint_state(names: Sequence[str], reading: JointReading, stamp: Time) -> JointState:
    """The first simulation's joints as a message."""
    message = JointState(name=list(names))
    message.header.stamp = stamp
    message.position = array.array('d', reading.position[0])
    message.velocity = array.array('d', reading.velocity[0])
    message.effort = array.array('d', reading.effort[0])
    return message


def imu(link: str, reading: ImuReading, stamp: Time) -> Imu:
    """The first simulation's IMU as a message; covariances unknown."""
    message = Imu(
        orientation=_quaternion(reading.orientation[0]),
        angular_velocity=_vector(reading.angular_velocity[0]),
        linear_acceleration=_vector(reading.linear_acceleration[0]),
    )
    message.header.stamp = stamp
    message.header.frame_id = link
    return message


def odometry(frames: tuple[str, str], reading: BodyReading, stamp: Time) -> Odometry:
    """The first simulation's body as a message; covariances unknown.

    Args:
        frames: the fixed frame, and the body's link.
        reading: where the body is.
        stamp: of the message.
    """
    message = Odometry(child_frame_id=frames[1])
    message.header.frame_id, message.header.stamp = frames[0], stamp
    x, y, z = (float(v) for v in reading.position[0])
    message.pose.pose.position = Point(x=x, y=y, z=z)
    message.pose.pose.orientation = _quaternion(reading.orientation[0])
    message.twist.twist.linear = _vector(reading.linear_velocity[0])
    message.twist.twist.angular = _vector(reading.angular_velocity[0])
    return message


def transforms(
    frames: Sequence[tuple[str, str]], position: Array, orientation: Array, stamp: Time
) -> list[TransformStamped]:
    """Transforms of (parent, child) frames.

    Args:
        frames: names.
        position: (n, 3) of the children in their parents [m].
        orientation: (n, 4) (w, x, y, z).
        stamp: of all.
    """
    messages = []
    for (parent, child), p, (w, x, y, z) in zip(frames, position, orientation, strict=True):
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id = parent
        message.header.stamp = stamp
        message.transform.translation = _vector(p)
        message.transform.rotation = _quaternion((x, y, z, w))
        messages.append(message)
    return messages


def image(frame: str, pixels: npt.NDArray[np.uint8], stamp: Time) -> Image:
    """An RGB picture (height, width, 3) as a message."""
    height, width = pixels.shape[:2]
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.stamp = stamp
    message.header.frame_id = frame
    message.data = array.array('B', pixels.tobytes())
    return message


def camera_info(
    frame: str, size: tuple[int, int], intrinsics: tuple[float, float, float], stamp: Time
) -> CameraInfo:
    """An ideal pinhole camera; ``size`` is (width, height), see ``Camera.intrinsics``."""
    focal, x, y = intrinsics
    message = CameraInfo(width=size[0], height=size[1], distortion_model='plumb_bob')
    message.header.stamp = stamp
    message.header.frame_id = frame
    message.d = [0.0] * 5
    message.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def _vector(values: Sequence[float] | Array) -> Vector3:
    x, y, z = (float(v) for v in values)
    return Vector3(x=x, y=y, z=z)


def _quaternion(values: Sequence[float] | Array) -> Quaternion:
    x, y, z, w = (float(v) for v in values)
    return Quaternion(x=x, y=y, z=z, w=w)


class CommandReader:
    """Reads commands of the profile's type into an array for the joints, in the profile's order.

    Args:
        profile: the robot.

    Attributes:
        type: message type.

    Raises:
        InputError: a robot that is told a twist has nothing here to obey it.
    """

    def __init__(self, profile: RobotProfile) -> None:
        self._reader = command_messages_ros.CommandReader(profile)
        self.type = self._reader.type
        self._twist = np.zeros(len(profile.twist))
        if profile.twist:
            if profile.wheels is None:
                mend = 'a simulator needs them to obey a twist: name joints, radius, separation'
                if 'linear.y' in profile.command_names:
                    mend = f'needed to obey a twist, and {SIDEWAYS}: simulate this base elsewhere'
                raise InputError(Fault('wheels', None, mend, str(profile.path)))
            self._speeds = profile.wheels.speeds(profile.joint_names, profile.command_names)

    def read(self, message: Any, present: Array) -> tuple[Array, str]:
        """The command that a message means.

        Args:
            message: as :class:`sim2real_core.command_messages_ros.CommandReader` takes it; a
                twist becomes wheel speeds.
            present: (nj,) the command in force, for joints that a trajectory does not name.

        Returns:
            The command (nj,) and what is wrong with the message, or ``''``.
        """
        if not len(self._twist):
            return self._reader.read(message, present)
        twist, fault = self._reader.read(message, self._twist)
        return (present, fault) if fault else (self._speeds @ twist, '')
