"""What a method found: parameters, how sure they are, and what may be told of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.profile import RobotProfile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.batch.models import Layout

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CONFOUNDED = 0.9  # correlation


@dataclass(frozen=True)
class Fitted:
    """Parameters that some method found.

    Attributes:
        layout: of the model.
        mean: (p,).
        covariance: (p, p).
        matters: (p,) smallest value that makes a difference.
        excited: (p,) whether the motion could tell the parameter at all.
        method: that found it.
    """

    layout: Layout
    mean: Array
    covariance: Array
    matters: Array
    excited: Flags
    method: str = 'least_squares'

    @property
    def std(self) -> Array:
        """(p,) standard deviations."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def values(self) -> dict[str, float]:
        """Mean by address."""
        return dict(zip(self.layout.addresses, self.mean.tolist()))

    def certain(self, relative_std: float) -> Flags:
        """(p,) what the motion told well enough; of an inertia all of it or nothing."""
        size = np.maximum(np.abs(self.mean), self.matters)
        flags = self.excited & (self.std <= relative_std * size)
        inertia = np.array(['.inertia.' in address for address in self.layout.addresses])
        flags[inertia] = flags[inertia].all()
        return np.asarray(flags)

    def estimates(
        self, profile: RobotProfile, relative_std: float
    ) -> dict[str, ParameterEstimate]:
        """Estimates by address, within what each address admits."""
        std = self.std
        scale = np.where(std > 0, std, 1.0)
        finite = np.where(np.isfinite(std), scale, 1.0)
        correlation = np.abs(self.covariance / np.outer(finite, finite))
        correlation[:, ~np.isfinite(std)] = correlation[~np.isfinite(std)] = 0.0
        certain, found = self.certain(relative_std), {}
        for k, address in enumerate(self.layout.addresses):
            if address.startswith('sensor.'):  # lateness: see models
                continue
            limits = quantity(address, profile)
            value = float(np.clip(self.mean[k], limits.low, limits.high))
            # A value far outside what is possible says that the model is not of this robot.
            possible = abs(value - self.mean[k]) <= 2.0 * std[k]
            status = 'identified'
            confounded: tuple[str, ...] = ()
            if not (certain[k] and possible):
                status = 'not_identified'
                others = np.flatnonzero(correlation[k] > CONFOUNDED)
                confounded = tuple(self.layout.addresses[i] for i in others if i != k)
            found[address] = ParameterEstimate(
                value, float(std[k]), status, limits.unit, confounded
            )
        return found
