"""Efforts that come in steps, of which samples do not tell when between them.

A drive answers each command with a step of its effort. Filters take efforts as straight between
samples, as if each step came in the middle of two. One that comes at another share of the sample
period T is taken ``c T`` too early or too late, ``|c| <= 1/2``, and each one alike where commands
and samples keep step. All steps together are the command's slope times the stiffness K, which is
``d(effort)/dt + K v + D a`` with the damping D of the drive: so the error looks exactly like
lateness ``c T``, viscous friction ``c T K`` and rotor inertia ``c T D``, and no residual shows it.

Nothing but the instant of the steps tells c; here it is taken as uniform. A lag of the drive
smooths the steps: of their first harmonic beyond the samples it passes
``1 / sqrt(1 + (2 pi lag / T)^2)``. No more is left open than the jumps that are seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def step_timing(share: Array, lags: Array, period: float) -> Array:
    """Standard deviation of when the steps of each joint's effort seem to come, (nj,) [s].

    Args:
        share: (nj,) of the effort that comes in jumps.
        lags: (nj,) of the drives, at the least [s]; 0 where they are not known.
        period: between samples [s].
    """
    passed = 1.0 / np.hypot(1.0, 2.0 * np.pi * lags / period)
    return np.asarray(np.minimum(np.minimum(share, 1.0), passed) * period / np.sqrt(12.0))
