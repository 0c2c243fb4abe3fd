"""Short windows of a log: motion and mean effort of each, twice, from alternate samples.

Position is fitted by a parabola in every window, from the even and from the odd samples. Both
show the same motion with independent noise, so that the product of one's value with the other's
has no noise bias (see :mod:`sim2real_sysid.filters`).

Example: 250 samples at 250 Hz of 6 joints are 10 windows of 24 samples; ``velocity`` is
(2, 10, 6).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LENGTH = 0.1  # [s]
FEWEST, MOST = 8, 200  # samples
NOISE_FLOOR = 5.0  # standard deviations of the velocity's noise
MEMORY = 0.9  # what a block leaves of those before it


class Windows(NamedTuple):
    """Windows of a log, m of them.

    Attributes:
        stamp: (m,) middle [s].
        length: (m,) [s].
        position: (2, m, nj) in the middle.
        velocity: (2, m, nj).
        acceleration: (2, m, nj).
        effort: (2, m, nj) mean.
    """

    stamp: Array
    length: Array
    position: Array
    velocity: Array
    acceleration: Array
    effort: Array


def samples_per_window(period: float) -> int:
    """Even number of samples for a sample period [s]."""
    return int(np.clip(2 * round(0.5 * LENGTH / period), FEWEST, MOST))


def cut(stamp: Array, position: Array, effort: Array, period: float) -> Windows | None:
    """Windows of a piece of a log, without those that time does not run through evenly.

    Args:
        stamp: (n,) increasing [s].
        position: (n, nj), without wraps.
        effort: (n, nj).
        period: usual time between samples [s].

    Returns:
        None where there is not even one. What is not finite in any sample is not finite there.
    """
    w = samples_per_window(period)
    m, nj = len(stamp) // w, position.shape[1]
    if m == 0:
        return None
    time = stamp[: m * w].reshape(m, w)
    even = np.diff(time, axis=1).max(axis=1) < 5.0 * period
    if not even.any():
        return None
    time = time[even]
    q = position[: m * w].reshape(m, w, nj)[even]
    e = effort[: m * w].reshape(m, w, nj)[even]
    middle = 0.5 * (time[:, 0] + time[:, -1])
    half = 0.5 * (time[:, -1] - time[:, 0])
    s = (time - middle[:, None]) / half[:, None]
    base = q[:, :1]  # parabolas about the first sample lose no digits
    parts, efforts = [], []
    for twin in (slice(0, None, 2), slice(1, None, 2)):
        x = s[:, twin]
        powers = np.stack([np.ones_like(x), x, x * x], axis=1)  # (m, 3, w / 2)
        right = powers @ (q - base)[:, twin]
        parts.append(np.linalg.solve(powers @ powers.transpose(0, 2, 1), right))
        efforts.append(e[:, twin].mean(axis=1))
    level, slope, curve = np.moveaxis(np.stack(parts), 2, 0)
    span = half[None, :, None]
    return Windows(
        middle, 2.0 * half, level + base[:, 0], slope / span, 2.0 * curve / span**2,
        np.stack(efforts),
    )  # fmt: skip


def directions(windows: Windows, noise: Array) -> Array:
    """Sign of the velocity (m, nj), 0 where a joint may rest or turn within the window.

    Args:
        windows: the windows.
        noise: (nj,) standard deviation of the velocity's noise.
    """
    v = windows.velocity.mean(axis=0)
    turn = 0.5 * windows.length[:, None] * np.abs(windows.acceleration.mean(axis=0))
    moves = np.abs(v) > np.maximum(NOISE_FLOOR * noise, turn)
    return np.where(moves, np.sign(v), 0.0)


class Block(NamedTuple):
    """A piece of a log; each begins with the last sample of the one before.

    Attributes:
        stamp: (n,) increasing [s].
        position: (n, nj), without wraps; not finite where there is none.
        effort: (n, nj); likewise.
        command: (n, nj) in force; likewise.
    """

    stamp: Array
    position: Array
    effort: Array
    command: Array

    @property
    def span(self) -> tuple[float, float]:
        """Its first and last stamp [s]."""
        return float(self.stamp[0]), float(self.stamp[-1])


class Motion(NamedTuple):
    """What windows say of the motion and of the efforts it takes.

    Attributes:
        windows: the windows, m of them.
        direction: (m, nj) sign of the velocity, 0 where a joint may rest or turn.
        bodies: (2, 2, m, nj) efforts of the rigid bodies, and what a kilogram of payload adds:
            twins, which, windows, joints; zeros where there is no model.
    """

    windows: Windows
    direction: Array
    bodies: Array

    @property
    def rigid(self) -> Array:
        """Effort (m, nj) that the bodies ask for."""
        return np.asarray(self.bodies[:, 0].mean(axis=0))

    @property
    def net(self) -> Array:
        """Effort (m, nj) beyond what the bodies ask for: friction, load, faults."""
        return np.asarray(self.windows.effort.mean(axis=0) - self.rigid)


class Shares:
    """How often something happens, joint by joint, with a memory of some blocks.

    Attributes:
        hits: (nj,) times it happened.
        share: (nj,) of all times.
    """

    def __init__(self, joints: int) -> None:
        self.hits = np.zeros(joints)
        self._total = 0.0

    def add(self, flags: Flags) -> None:
        """A block's (n, nj)."""
        self.hits = MEMORY * self.hits + flags.sum(axis=0)
        self._total = MEMORY * self._total + len(flags)

    @property
    def share(self) -> Array:
        return np.asarray(self.hits / max(self._total, 1.0))

    def beyond(self, share: float, least: int) -> Flags:
        """(nj,) where it happens more often than that, and at least so many times."""
        return np.asarray((self.share > share) & (self.hits >= least))
