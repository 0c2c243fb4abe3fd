"""Poses and motion between Gazebo's messages and ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from sim2real_sim.world import LinkState, ModelState, Pose, Quaternion, Vector

CLOSE = 1e-6  # [m, and quaternion components]


def put(message: Any, vector: Vector) -> None:
    """Fill a Vector3d."""
    message.x, message.y, message.z = vector


def put_pose(message: Any, pose: Pose) -> None:
    """Fill a Pose."""
    put(message.position, pose.position)
    q = message.orientation
    q.x, q.y, q.z, q.w = pose.orientation


def close(a: Pose, b: Pose) -> bool:
    """Whether two poses are the same but for rounding; q and -q are one orientation."""
    turns = abs(float(np.dot(a.orientation, b.orientation)))
    scale = float(np.linalg.norm(a.orientation) * np.linalg.norm(b.orientation))
    moved = float(np.linalg.norm(np.subtract(a.position, b.position)))
    return moved < CLOSE and abs(turns / scale - 1.0) < CLOSE


def relative(frame: Pose, pose: Pose) -> Pose:
    """A pose seen from a frame."""
    back = Rotation.from_quat(frame.orientation).inv()
    orientation = back * Rotation.from_quat(pose.orientation)
    position = back.apply(np.subtract(pose.position, frame.position))
    return Pose(_vector(position), _quaternion(orientation.as_quat()))


def into(frame: Quaternion, vector: Vector) -> Vector:
    """A vector of the world seen from a frame of this orientation."""
    return _vector(Rotation.from_quat(frame).inv().apply(vector))


def live_state(model: Any, stamp: float, before: ModelState | None, speed: float) -> ModelState:
    """State of a model that was put where it is.

    Args:
        model: its Model message.
        stamp: simulated time [s].
        before: its state when it last moved, whose velocities it kept.
        speed: every component of its velocities without that.
    """
    pose, still = read_pose(model.pose), (speed, speed, speed)
    links, joints = {}, {}
    for link in model.link:
        name = link.name.rpartition('::')[2]
        moving = before.links[name] if before and name in before.links else None
        linear, angular = (moving.linear, moving.angular) if moving else (still, still)
        links[name] = LinkState(_compose(pose, read_pose(link.pose)), linear, angular)
    for joint in model.joint:
        name = joint.name.rpartition('::')[2]
        if joint.angle and joint.type != joint.FIXED:
            known = before is not None and name in before.joints
            rate = before.joints[name][1] if before is not None and known else speed
            joints[name] = (float(joint.angle[0]), rate)
    return ModelState(stamp, pose, links, joints)


def scaled(vector: Vector, factor: float) -> Vector:
    """A vector times a number."""
    x, y, z = vector
    return (factor * x, factor * y, factor * z)


def impulse(link: LinkState, inertial: Any) -> tuple[Vector, Vector]:
    """What sets a free body at rest moving as a link does.

    Args:
        link: its motion; what is not known of it (NaN) counts as none.
        inertial: its Inertial message.

    Returns:
        Impulse on its centre of mass [N*s] and angular impulse about it [N*m*s], world frame.
    """
    turn = Rotation.from_quat(link.pose.orientation)
    offset = inertial.pose.position
    arm = turn.apply([offset.x, offset.y, offset.z])
    q = inertial.pose.orientation
    axes = (turn * Rotation.from_quat([q.x, q.y, q.z, q.w])).as_matrix()
    i = inertial
    tensor = np.array([[i.ixx, i.ixy, i.ixz], [i.ixy, i.iyy, i.iyz], [i.ixz, i.iyz, i.izz]])
    linear, angular = np.nan_to_num(link.linear), np.nan_to_num(link.angular)
    speed = linear + np.cross(angular, arm)
    return _vector(i.mass * speed), _vector(axes @ tensor @ axes.T @ angular)


def read_pose(message: Any) -> Pose:
    """A pose from a Pose."""
    p, q = message.position, message.orientation
    return Pose((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def _compose(frame: Pose, pose: Pose) -> Pose:
    """Pose in the world of what has a pose in a frame."""
    turn = Rotation.from_quat(frame.orientation)
    position = np.add(frame.position, turn.apply(pose.position))
    orientation = turn * Rotation.from_quat(pose.orientation)
    return Pose(_vector(position), _quaternion(orientation.as_quat()))


def _vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def _quaternion(values: Any) -> Quaternion:
    x, y, z, w = (float(value) for value in values)
    return (x, y, z, w)
