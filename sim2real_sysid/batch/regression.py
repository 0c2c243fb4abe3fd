"""Rows of a regression: filtered signals of all segments, as any model's columns.

Each joint's effort is that of the nominal bodies, of what the payload adds, and of the columns of
the joint's own parameters. A row counts where signals can be believed: away from turns, stops and
saturated efforts.

Example: 60 s of six joints are 1490 rows and 60 blocks; the model ``symmetric`` with payload has
25 parameters, and a joint's row depends on 5 of them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.bodies import Link
from sim2real_sysid.batch.models import Layout, columns
from sim2real_sysid.batch.signals import Motion, plateaus

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 1.0  # [s]


class Shared(Protocol):
    """Parameters that all joints share: see :class:`sim2real_sysid.batch.bodies.Link`."""

    nominal: Array

    def dynamic(self, values: Array) -> Array:
        """What the columns of the regression are multiplied with."""

    def derivative(self, values: Array) -> Array:
        """Of that."""

    def spread(self, values: Array, reach: float) -> Array:
        """Standard deviations before any motion."""


class Regression:
    """Rows of all segments, for any model.

    Args:
        profile: the robot.
        motions: filtered signals.
        measured: (nj,) joints whose effort was measured.
        reach: of the payload [m]; 0 where the motion of this robot does not tell it.
    """

    def __init__(
        self,
        profile: RobotProfile,
        motions: Sequence[Motion],
        measured: Flags,
        reach: float = 0.0,
    ) -> None:
        self.profile = profile
        self.reach = reach
        self.link: Shared = Link(profile, profile.payload_link)
        self.motions = list(motions)
        rows: list[tuple[npt.NDArray[Any], ...]] = []
        block = 0
        for motion in self.motions:
            segment = motion.segment
            effort = np.nan_to_num(segment.effort)
            decimated = [motion.decimated(s) for s in (effort, motion.rigid, motion.payload)]
            n = len(decimated[0])
            per_block = max(2, round(BLOCK / (motion.decimation * segment.period)))
            blocks = block + np.arange(n) // per_block
            block = int(blocks[-1]) + 1 if n else block
            weight = motion.believed() & measured & _free(motion, profile)
            time, velocity = motion.sampled(segment.stamp), motion.sampled(motion.velocity)
            rows.append((*decimated, weight, blocks, velocity, time))
        stacked = [np.concatenate(part) for part in zip(*rows)]
        self.effort, self.rigid, self.added = stacked[:3]
        self.weight, self.block, self.velocity = stacked[3].astype(bool), stacked[4], stacked[5]
        self.time = stacked[6]
        self.blocks = block
        self.measured = measured

    @property
    def fastest(self) -> Array:
        """(nj,) highest speeds [rad/s or m/s]."""
        return np.asarray(np.max([np.abs(m.velocity).max(axis=0) for m in self.motions], axis=0))

    def about(self, link: Shared, added: Array, rigid: Array) -> Regression:
        """The same rows with other parameters that the joints share.

        Args:
            link: what they mean.
            added: (rows, nj, k) their columns.
            rigid: (rows, nj) effort at their nominal values.
        """
        other = copy.copy(self)
        other.link, other.added, other.rigid = link, added, rigid
        return other

    def design(self, layout: Layout, values: Array) -> Array:
        """(rows, nj, k) columns, the payload's last."""
        parts = [
            motion.decimated(
                columns(layout, motion.velocity, motion.acceleration, motion.rate, values)
            )
            for motion in self.motions
        ]
        design = np.concatenate(parts)
        if layout.payload:
            slope = self.link.derivative(values[layout.link])
            design = np.concatenate([design, self.added @ slope], axis=2)
        return design

    def bodies(self, layout: Layout, values: Array) -> Array:
        """(rows, nj) efforts that the bodies ask for."""
        if not layout.payload:
            return self.rigid
        extra = self.link.dynamic(values[layout.link]) - self.link.dynamic(self.link.nominal)
        return np.asarray(self.rigid + self.added @ extra)

    def predicted(self, layout: Layout, values: Array) -> Array:
        """(rows, nj) efforts that parameters mean."""
        design = self.design(layout, values)[:, :, : layout.local]
        theta = values[: layout.link.start].reshape(layout.joints, layout.local).copy()
        theta[:, [quantity == 'stribeck_velocity' for quantity in layout.quantities]] = 0.0
        return np.asarray(self.bodies(layout, values) + np.einsum('njk,jk->nj', design, theta))

    def index(self, layout: Layout) -> npt.NDArray[np.intp]:
        """(nj, k) place in the vector of each column of a joint."""
        own = np.arange(layout.local * layout.joints).reshape(layout.joints, layout.local)
        shared = np.tile(np.arange(layout.payload) + own.size, (layout.joints, 1))
        return np.concatenate([own, shared], axis=1)


def _free(motion: Motion, profile: RobotProfile) -> Flags:
    """(rows, nj) rows away from stops and from saturated efforts."""
    lower, upper = profile.array('lower'), profile.array('upper')
    margin = np.where(np.isfinite(upper - lower), 0.002 * (upper - lower), 0.0)
    position = motion.segment.position
    free = (position > lower + margin) & (position < upper - margin)
    effort = motion.segment.effort
    full = np.abs(effort) >= profile.array('effort') * (1.0 - 1e-6)
    free &= ~(full | plateaus(effort))
    return motion.within(free, 1)
