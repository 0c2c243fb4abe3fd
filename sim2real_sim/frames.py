"""Poses relative to others. Quaternions are (w, x, y, z)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
NEXT, LAST = np.array([1, 2, 0]), np.array([2, 0, 1])  # axes after each, and before


def multiply(a: Array, b: Array) -> Array:
    """Products (n, 4) of quaternions (n, 4): first ``b``, then ``a``."""
    w, v = a[:, :1], a[:, 1:]
    s, u = b[:, :1], b[:, 1:]
    scalar = w * s - (v * u).sum(axis=1, keepdims=True)
    return np.concatenate([scalar, w * u + s * v + cross(v, u)], axis=1)


def conjugate(quat: Array) -> Array:
    """Inverse rotations (n, 4)."""
    return quat * np.array([1.0, -1.0, -1.0, -1.0])


def rotate(quat: Array, vector: Array) -> Array:
    """Vectors (n, 3) turned by quaternions (n, 4)."""
    axis = quat[:, 1:]
    across = 2.0 * cross(axis, vector)
    return vector + quat[:, :1] * across + cross(axis, across)


def cross(a: Array, b: Array) -> Array:
    """Cross products (n, 3) of vectors (n, 3); NumPy's takes ten times as long for a few."""
    return a.take(NEXT, 1) * b.take(LAST, 1) - a.take(LAST, 1) * b.take(NEXT, 1)


def relative(frame: tuple[Array, Array], pose: tuple[Array, Array]) -> tuple[Array, Array]:
    """Poses seen from frames.

    Args:
        frame: positions (n, 3) and orientations (n, 4) of the frames.
        pose: of what is seen.

    Returns:
        Positions (n, 3) and orientations (n, 4) in the frames.
    """
    back = conjugate(frame[1])
    return rotate(back, pose[0] - frame[0]), multiply(back, pose[1])
