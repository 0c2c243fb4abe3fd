"""Probes of free bodies: gravity, mass, centre of mass, inertia, wrench, pose, time."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from sim2real_sim.verify.models import BODY, INERTIA, LINK, MASS, ROUND, ROUNDED
from sim2real_sim.verify.probes import (
    GRAVITY,
    MODEL,
    TIMESTEP,
    Probe,
    Stage,
    turned,
    unit,
)
from sim2real_sim.world import Pose

AXES = 'xyz'
FALL = 0.2  # s
IMPULSE = 2.0  # N*s: a metre a second for the nominal mass
SPIN = 2.0  # N*m*s: five radians a second for the round body
PAIRS = {'xx': (0, 0), 'yy': (1, 1), 'zz': (2, 2), 'xy': (0, 1), 'xz': (0, 2), 'yz': (1, 2)}


def _speed(axis: int, stage: Stage, _: float) -> float:
    """Fall, and see how fast: ``v = g t``, gives g."""
    stage.step(FALL)
    return stage.link.linear[axis] / FALL


def _kicked(stage: Stage, _: float) -> float:
    """An impulse p across gravity: ``v = p / m``."""
    stage.kick(unit(0, IMPULSE))
    return stage.link.linear[0]


def _spun(row: int, column: int, stage: Stage, _: float) -> float:
    """An impulse of torque L at rest: ``w = I^-1 L``; the component along another axis."""
    stage.kick(turn=unit(column, SPIN))
    return stage.link.angular[row]


def _spin(key: str, value: float) -> float:
    tensor = np.empty((3, 3))
    for name, (i, j) in PAIRS.items():
        tensor[i, j] = tensor[j, i] = value if name == key else INERTIA[name]
    row, column = PAIRS[key]
    return float(np.linalg.inv(tensor)[row, column] * SPIN)


# A body that spins freely turns about its centre of mass c, so its origin moves by (1 - R) c.
# Axis of c -> axis to spin about, axis along which the origin moves, and its sign: across
# gravity, and by sin(angle) c.
_ASIDE = {0: (2, 1, -1.0), 1: (2, 0, 1.0), 2: (0, 1, 1.0)}


def _aside(axis: int, stage: Stage, _: float) -> float:
    """Where the origin of a spinning body goes: gives the centre of mass."""
    about, along, sign = _ASIDE[axis]
    before = stage.link.pose.position[along]
    stage.kick(turn=unit(about, SPIN))
    stage.step(FALL)
    link = stage.link
    return sign * (link.pose.position[along] - before) / math.sin(turned(link, about))


def _wrenched(what: str, axis: int, stage: Stage, _: float) -> float:
    """A steady force F or torque T: ``v = F t / m``, ``w = T t / I``."""
    stage.step(FALL)
    link = stage.link
    motion = link.linear if what == 'force' else link.angular
    # Gravity acts too.
    return motion[axis] + (GRAVITY * FALL if what == 'force' and axis == 2 else 0.0)


def _wrench(what: str, _: int, value: float) -> float:
    return value * FALL / (MASS if what == 'force' else ROUND)


def _placed(stage: Stage, value: float) -> float:
    """Put somewhere and let go: how far above the ground it is after a fall.

    ``z = z0 - g t (t + h) / 2`` in steps of length h that update the velocity first.
    """
    stage.world.set_pose(MODEL, Pose((0.0, 0.0, value)))
    stage.step(FALL)
    return stage.link.pose.position[2]


def _landed(value: float) -> float:
    return value - 0.5 * GRAVITY * FALL * (FALL + TIMESTEP)


def _paced(stage: Stage, _: float) -> float:
    """How fast a body falls after a hundred steps: gives their length."""
    stage.world.step(100)
    return -stage.link.linear[2] / GRAVITY / 100


def _beyond(stage: Stage, _: float) -> float:
    """How much further a body fell than ``g t^2 / 2``.

    Nothing in a method of second order or higher; ``g t h / 2`` in a semi-implicit one of first.
    """
    before = stage.link.pose.position[2]
    stage.step(FALL)
    return before - stage.link.pose.position[2] - 0.5 * GRAVITY * FALL**2


def _further(value: float) -> float:
    return 0.0 if value == 1.0 else 0.5 * GRAVITY * FALL * TIMESTEP


def _same(value: float) -> float:
    return value


def _inertia(key: str) -> Probe:
    row, column = PAIRS[key]
    values = (0.35, 0.7) if row == column else (-0.1, 0.1)
    return Probe(
        kind='inertia',
        address=f'link.{LINK}.inertia.{key}',
        values=values,
        sdf=BODY,
        measure=partial(_spun, row, column),
        predict=partial(_spin, key),
    )


PROBES = (
    *(
        Probe(
            kind='gravity',
            address=f'world.gravity.{name}',
            values=(-3.0, -12.0) if name == 'z' else (2.0, -4.0),
            sdf=BODY,
            measure=partial(_speed, axis),
            predict=_same,
        )
        for axis, name in enumerate(AXES)
    ),
    Probe(
        kind='mass',
        address=f'link.{LINK}.mass',
        values=(1.0, 4.0),
        sdf=BODY,
        measure=_kicked,
        predict=lambda mass: IMPULSE / mass,
    ),
    *(_inertia(key) for key in PAIRS),
    *(
        Probe(
            kind='com',
            address=f'link.{LINK}.com.{name}',
            values=(-0.05, 0.1),
            sdf=ROUNDED,
            measure=partial(_aside, axis),
            predict=_same,
        )
        for axis, name in enumerate(AXES)
    ),
    *(
        Probe(
            kind='wrench',
            address=f'disturbance.{LINK}.wrench.{what}.{name}',
            values=(-1.0, 4.0),
            sdf=ROUNDED,
            measure=partial(_wrenched, what, axis),
            predict=partial(_wrench, what, axis),
        )
        for what in ('force', 'torque')
        for axis, name in enumerate(AXES)
    ),
    Probe(
        kind='pose',
        address='',
        values=(2.0, 4.0),
        sdf=BODY,
        measure=_placed,
        predict=_landed,
    ),
    Probe(
        kind='timestep',
        address='world.timestep',
        values=(0.0005, 0.002),
        sdf=BODY,
        measure=_paced,
        predict=_same,
    ),
    Probe(
        kind='integrator',
        address='world.integrator',
        values=(0.0, 1.0),
        sdf=BODY,
        measure=_beyond,
        predict=_further,
    ),
)
