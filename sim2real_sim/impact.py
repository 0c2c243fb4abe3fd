"""A body that meets a spring with a damper: how fast it leaves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def restitution(ratio: npt.ArrayLike) -> Array:
    """Speed after an impact per speed before it, of a body that meets a damped spring.

    The spring pushes only: the body leaves when the force is zero, not when the spring is as long
    as before. ``exp(-2 z acos(z) / sqrt(1 - z^2))``, its continuation beyond z = 1 (T. Schwager
    and T. Poeschel, "Coefficient of restitution and linear-dashpot model revisited", 2007).

    Args:
        ratio: damping ratio z, 1 for critical damping.
    """
    z = np.asarray(ratio, dtype=float)
    z = np.where(np.abs(z - 1.0) < 1e-6, 1.0 - 1e-6, z)  # the limit there is regular
    away = np.sqrt(np.abs(1.0 - z**2))
    angle = np.where(z < 1.0, np.arccos(np.minimum(z, 1.0)), np.arccosh(np.maximum(z, 1.0)))
    return np.asarray(np.exp(-2.0 * z * angle / away))


def damping_ratio(bounce: npt.ArrayLike) -> Array:
    """The damping ratio that gives a restitution; what is below 1e-4 counts as that."""
    bounce = np.asarray(bounce, dtype=float)
    low, high = np.zeros_like(bounce), np.full_like(bounce, 50.0)
    for _ in range(60):  # bisection, to the last digit
        middle = 0.5 * (low + high)
        higher = restitution(middle) > bounce
        low, high = np.where(higher, middle, low), np.where(higher, high, middle)
    return 0.5 * (low + high)
