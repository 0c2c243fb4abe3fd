"""The three records that travel between rooms: Draw, Estimate and Event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

OUTCOMES = ('verified', 'applied', 'unsupported', 'failed')
STATUSES = ('identified', 'not_identified', 'stale')


@dataclass(frozen=True)
class Draw:
    """One randomized world.

    Attributes:
        episode: number of the episode it was drawn for.
        seed: seed of the space.
        environment: index of the environment.
        values: address to absolute value [SI].
        outcomes: address to one of ``verified`` (read back equal), ``applied`` (set, cannot be
            read back), ``unsupported``, ``failed``; empty before it was applied.
        space: content hash of the space it came from.
        profile: content hash of the robot profile.
        step: number of the update within the episode; 0 is its beginning.
        tolerance: relative difference up to which a value that was read back is the drawn one,
            as whoever applied it says: engines keep some values in single precision.
    """

    episode: int
    seed: int
    environment: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)
    space: str = ''
    profile: str = ''
    step: int = 0
    tolerance: float = 1e-6


@dataclass(frozen=True)
class ParameterEstimate:
    """What is known of one parameter.

    Attributes:
        mean: best value [unit]; the nominal one where nothing is known.
        std: its standard deviation [unit]; infinite where nothing is known.
        status: ``identified``, ``not_identified`` or ``stale``.
        unit: SI unit.
        confounded: addresses of what this one cannot be told apart from; empty where it can.
    """

    mean: float
    std: float
    status: str
    unit: str = ''
    confounded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A parameter is no longer what it was: wear, another payload, a fault.

    Attributes:
        stamp: when it was noticed [s].
        address: of the parameter that explains it best.
        before: its value until then.
        after: what the first motion since says [the same unit].
        score: how far that stands out, in standard deviations of the usual.
    """

    stamp: float
    address: str
    before: float
    after: float
    score: float

    @property
    def said(self) -> str:
        """For people: ``joint.elbow.viscous_friction changed from 1.2 to 2.1 at 12.50 s``."""
        values = f'from {self.before:.3g} to {self.after:.3g}'
        return f'{self.address} changed {values} at {self.stamp:.2f} s'


@dataclass(frozen=True)
class Estimate:
    """What the identification knows at one instant.

    Attributes:
        stamp: time of the newest sample used [s].
        parameters: address to its estimate.
        order: addresses of the rows and columns of ``covariance`` (the identified ones).
        covariance: (n, n) covariance of the identified parameters.
        changes: the latest ones, oldest first.
    """

    stamp: float
    parameters: Mapping[str, ParameterEstimate]
    order: tuple[str, ...] = ()
    covariance: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    changes: tuple[Change, ...] = ()

    @property
    def identified(self) -> dict[str, ParameterEstimate]:
        """The parameters whose status is ``identified``."""
        return {a: p for a, p in self.parameters.items() if p.status == 'identified'}

    def as_json(self) -> dict[str, dict[str, Any]]:
        """``{address: {mean, std, status}}``; an infinite std becomes None (JSON has none).

        ``confounded`` is a list of addresses, there only when there are any.
        """
        return {
            a: {
                'mean': p.mean,
                'std': p.std if math.isfinite(p.std) else None,
                'status': p.status,
                **({'confounded': list(p.confounded)} if p.confounded else {}),
            }
            for a, p in self.parameters.items()
        }


@dataclass(frozen=True)
class Event:
    """Something that went wrong.

    Attributes:
        stamp: when it was detected [s].
        detector: which detector.
        score: what it saw, in the detector's unit.
        threshold: what it was compared with.
        clip: id of the clip that was written, ``''`` before it was sealed.
        detail: for people, e.g. the joint.
    """

    stamp: float
    detector: str
    score: float
    threshold: float
    clip: str = ''
    detail: str = ''
