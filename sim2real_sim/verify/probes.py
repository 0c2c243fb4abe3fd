"""What a probe is, the stage on which it acts, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Sim2RealError
from sim2real_sim.verify.models import JOINT, LINK
from sim2real_sim.world import LinkState, Pose, Vector, World

MODEL = 'probe'
GRAVITY = 9.81
TIMESTEP = 0.001
BAR = 0.01
"""Largest error against mechanics of a verified probe."""
SMALLEST_EFFECT = 0.1
"""Share of the predicted difference between two values below which there is no effect."""
SMALLEST_DIFFERENCE = 1e-4
"""The same, of the outcome, where mechanics does not predict a difference."""
NOWHERE = (0.0, 0.0, 0.0)


@runtime_checkable
class Sees(Protocol):
    """A world with a camera that looks at the probe."""

    def picture(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB picture of the present instant."""
        ...


@runtime_checkable
class Senses(Protocol):
    """A world that says what a model's sensors say."""

    def measured(self, model: str) -> Mapping[str, tuple[float, float, float]]:
        """Joint to measured position, velocity and effort."""
        ...


class RefusedError(Sim2RealError):
    """The world says that it cannot do what a probe needs."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An experiment on one address.

    Attributes:
        kind: row of the table that it belongs to.
        address: under test; ``''`` for what has none.
        values: two of them, as unlike as they can be.
        sdf: the model that is experimented with.
        measure: does the experiment with a value and gives what came out.
        predict: what mechanics says comes out; nan where it only says that it matters.
        others: further addresses and their values.
        height: of the model when the experiment begins [m].
        bar: largest relative error.
        ratio: mechanics says only how outcomes are to each other.
        needs: what the world must offer beside :class:`World`.
    """

    kind: str
    address: str
    values: tuple[float, float]
    sdf: str
    measure: Callable[[Stage, float], float]
    predict: Callable[[float], float]
    others: Mapping[str, float] = field(default_factory=dict)
    height: float | None = 5.0
    bar: float = BAR
    ratio: bool = False
    needs: type | None = None

    @property
    def pose(self) -> Pose:
        """Where the model is spawned."""
        return Pose() if self.height is None else Pose((0.0, 0.0, self.height))


class Stage:
    """A world with a probe's model in it, where and as it was spawned.

    Attributes:
        world: where.

    Args:
        world: paused.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._there: tuple[str, Pose] | None = None
        self._drawn = False

    def clear(self) -> None:
        """What is in the world is no longer known."""
        self._there, self._drawn = None, False

    def begin(self, probe: Probe, route: str = '') -> None:
        """Have a probe's model in its place and at rest; what was applied may still be so.

        Args:
            probe: what is tried from now on.
            route: by which values are applied.
        """
        self._probe, self._route = probe, route
        if self._there != (probe.sdf, probe.pose):
            self.clear()
            self.world.spawn(MODEL, probe.sdf, probe.pose)
            self._there = probe.sdf, probe.pose
            return
        if self._drawn and not probe.address:
            self.world.apply(MODEL, {})
            self._drawn = False
        self.world.reset()

    def apply(self, value: float) -> None:
        """Apply a value to the probe's address, and the probe's other values.

        Raises:
            RefusedError: the world cannot, by this route.
        """
        self._drawn = True
        values = {self._probe.address: value, **self._probe.others}
        outcomes = self.world.apply(MODEL, values, self._route)
        refused = [address for address, outcome in outcomes.items() if outcome == 'unsupported']
        if refused:
            raise RefusedError(f'{", ".join(refused)}: unsupported')

    def step(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.world.step(round(seconds / TIMESTEP))

    @property
    def link(self) -> LinkState:
        """Motion of the probe's link."""
        return self.world.state(MODEL).links[LINK]

    @property
    def joint(self) -> tuple[float, float]:
        """Position [rad] and velocity [rad/s] of the probe's joint."""
        return self.world.state(MODEL).joints[JOINT]

    def drive(self, effort: float) -> None:
        """Drive the probe's joint from now on [N*m]."""
        self.world.set_effort(MODEL, {JOINT: effort})

    def push(self, force: Vector, seconds: float) -> None:
        """Push the link at its centre of mass for some time [N]."""
        for _ in range(round(seconds / TIMESTEP)):
            self.world.push(MODEL, LINK, force)
            self.world.step(1)

    def kick(self, impulse: Vector = NOWHERE, turn: Vector = NOWHERE) -> None:
        """Take a step in which an impulse [N*s] acts at the centre of mass and one of torque."""
        force, torque = (tuple(v / TIMESTEP for v in vector) for vector in (impulse, turn))
        self.world.push(MODEL, LINK, force, torque)  # type: ignore[arg-type]
        self.world.step(1)


def judge(probe: Probe, outcomes: Sequence[float]) -> tuple[str, float]:
    """What the outcomes of a probe's two values say.

    Returns:
        ``verified``, or ``no_effect``: they do not differ, or not as mechanics says. And the
        largest error relative to the prediction (to the larger one where that is zero).
    """
    measured = np.asarray(outcomes, dtype=float)
    predicted = np.array([probe.predict(value) for value in probe.values])
    if probe.ratio:
        with np.errstate(all='ignore'):
            measured, predicted = measured / measured[0], predicted / predicted[0]
    known = np.isfinite(predicted)
    scale = np.where(predicted == 0.0, np.abs(predicted[known]).max(), np.abs(predicted))
    with np.errstate(invalid='ignore'):
        error = float((np.abs(measured - predicted) / scale)[known].max())
        difference = abs(measured[1] - measured[0])
    expected = abs(predicted[1] - predicted[0])
    least = SMALLEST_EFFECT * expected if known.all() else SMALLEST_DIFFERENCE * scale[known].max()
    moved = difference >= least
    return ('verified' if moved and error <= probe.bar else 'no_effect'), error


def unit(axis: int, length: float) -> Vector:
    """A vector along an axis."""
    vector = [0.0, 0.0, 0.0]
    vector[axis] = length
    return vector[0], vector[1], vector[2]


def turned(link: LinkState, axis: int) -> float:
    """By what angle a link has turned about an axis of the world that it turns about [rad]."""
    return 2.0 * math.atan2(link.pose.orientation[axis], link.pose.orientation[3])
