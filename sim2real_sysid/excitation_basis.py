"""Periodic motions of all joints as a linear function of free numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim2real_core.trajectory import DIGITS, Series
from sim2real_sysid.excitation_limits import Limits
from sim2real_sysid.torque_regressor import States

Array = npt.NDArray[np.float64]

INSTANTS = 8  # per period of the highest harmonic
FINE = 4  # times as many, where only poses and speeds matter


class Basis:
    """Fourier series that start where the robot stands, at rest and without acceleration.

    A harmonic counts as much as the limits let it be large. Velocity and acceleration at the
    start, sums over the harmonics, are kept zero by an orthogonal basis of what they leave free.

    Args:
        limits: of the joints.
        start: (nj,) where they stand.
        harmonics: number of them.
        frequency: of the first [Hz].

    Attributes:
        free: numbers m of a joint; all of a motion are x (nj, m).
        count: instants of a period.
        coarse: positions from the start, velocities and accelerations at these instants by the
            free numbers: (nj, count, m) each.
        fine: the same at ``FINE`` times as many.
    """

    def __init__(self, limits: Limits, start: Array, harmonics: int, frequency: float) -> None:
        self._limits, self._start = limits, start
        self._harmonics = np.arange(1, harmonics + 1)
        self._frequency = frequency
        w = 2.0 * math.pi * frequency * self._harmonics
        size = np.minimum(limits.half[:, None], limits.velocity[:, None] / w)
        size = np.minimum(size, limits.acceleration[:, None] / w**2) / math.sqrt(harmonics)
        self._to_sin = np.array([_free(row * self._harmonics) * row[:, None] for row in size])
        self._to_cos = np.array([_free(row * self._harmonics**2) * row[:, None] for row in size])
        self.free = 2 * (harmonics - 1)
        self.count = INSTANTS * harmonics
        self.coarse, self.fine = self._maps(self.count), self._maps(FINE * self.count)

    def _maps(self, count: int) -> list[Array]:
        w = 2.0 * math.pi * self._frequency * self._harmonics
        phase = np.outer(2.0 * math.pi * np.arange(count) / count, self._harmonics)
        cos, sin = np.cos(phase), np.sin(phase)
        return [
            np.concatenate([s @ self._to_sin, c @ self._to_cos], axis=2)
            for s, c in ((sin, cos - 1.0), (w * cos, -w * sin), (-(w**2) * sin, -(w**2) * cos))
        ]

    def states(self, x: Array, *, fine: bool = False) -> States:
        """Positions, velocities and accelerations (n, nj) each, at ``count`` instants or more."""
        maps = self.fine if fine else self.coarse
        q, v, a = (np.einsum('jnm,jm->nj', part, x) for part in maps)
        return States(q + self._start, v, a)

    def series(self, x: Array) -> Series:
        """The series, rounded as its file is; at time 0 it is still at the start."""
        m = self.free // 2
        sin = np.einsum('jhm,jm->jh', self._to_sin, x[:, :m])
        cos = np.einsum('jhm,jm->jh', self._to_cos, x[:, m:])
        sin, cos = np.round(sin, DIGITS), np.round(cos, DIGITS)
        return Series(np.round(self._start - cos.sum(axis=1), DIGITS), cos, sin)

    def rates(self, signal: Array, order: int) -> Array:
        """Derivative of a periodic signal (n, nj) with respect to time."""
        n = len(signal)
        rate = 2.0 * math.pi * self._frequency * np.fft.rfftfreq(n, 1.0 / n)
        spectrum = np.fft.rfft(signal, axis=0) * ((1j * rate) ** order)[:, None]
        if order % 2:
            spectrum[-1] = 0.0  # the highest frequency of an even count has no odd derivative
        return np.fft.irfft(spectrum, n, axis=0)

    def within(self, x: Array) -> Array:
        """Each joint shrunk to its own limits of position, velocity and acceleration."""
        limits, (q, v, a) = self._limits, self.states(x, fine=True)
        away = q - self._start
        share = np.maximum.reduce(
            [
                (away / (limits.upper - self._start)).max(axis=0),
                (away / (limits.lower - self._start)).max(axis=0),
                (np.abs(v) / limits.velocity).max(axis=0),
                (np.abs(a) / limits.acceleration).max(axis=0),
            ]
        )
        return np.asarray(x / np.maximum(share, 1.0)[:, None])


def _free(row: Array) -> Array:
    """Orthonormal basis (h, h - 1) of what a linear condition ``row @ x = 0`` leaves free."""
    _, _, axes = np.linalg.svd(row[None])
    return np.asarray(axes[1:].T)
