"""Probes of what touches: friction, restitution, stiffness, damping, and how it is solved."""

from __future__ import annotations

import math

from sim2real_sim.verify.models import BALL, HEIGHT, LINK, MASS, RADIUS, SLAB
from sim2real_sim.verify.probes import GRAVITY, TIMESTEP, Probe, Stage
from sim2real_sim.world import WorldError

SETTLE = 0.3  # s
PUSH = 2.0  # m/s^2, by which the slab is pushed more than friction takes
TIME = 0.05  # s
DROP = 0.3  # m
LANDING = math.sqrt(2.0 * DROP / GRAVITY)
STIFFNESS = 5000.0  # N/m, where the damping is tried


def _slid(stage: Stage, value: float) -> float:
    """Push a slab across the floor with a force: impulse along the floor per impulse onto it.

    ``mu = (F t - m dv) / (m g t + m dw)``; dw is what it gains upward.
    """
    return _pushed(stage, value, 1.0, 0.0)


def _slid_aslant(stage: Stage, _: float) -> float:
    """The same between the axes of the contact."""
    return _pushed(stage, ASLANT, math.sqrt(0.5), math.sqrt(0.5))


def _pushed(stage: Stage, friction: float, x: float, y: float) -> float:
    push = PUSH + friction * GRAVITY
    force = (MASS * push * x, MASS * push * y, 0.0)
    stage.step(SETTLE)
    stage.push(force, 0.05)
    before = stage.link.linear
    stage.push(force, TIME)
    after = stage.link.linear
    along, _, upward = (b - a for a, b in zip(before, after))
    along = along * x + (after[1] - before[1]) * y
    return (push * TIME - along) / (GRAVITY * TIME + upward)


def _bounced(stage: Stage, _: float) -> float:
    """A ball falls on the floor: its highest speed after that per its speed before."""
    stage.step(LANDING - 0.005)
    lowest = highest = 0.0
    for _step in range(200):
        stage.step(TIMESTEP)
        speed = stage.link.linear[2]
        lowest, highest = min(lowest, speed), max(highest, speed)
        if 0.0 < speed < highest:
            break
    if lowest == 0.0:
        raise WorldError('the ball does not fall')
    return -highest / lowest


def _sunk(stage: Stage, _: float) -> float:
    """How deep a ball that falls on the floor goes into it."""
    stage.step(LANDING - 0.005)
    deepest = 0.0
    for _step in range(200):
        stage.step(TIMESTEP)
        depth = RADIUS - stage.link.pose.position[2]
        if 0.0 < deepest > depth:
            break
        deepest = max(deepest, depth)
    return deepest


def _depth(stiffness: float) -> float:
    """Energy: ``k x^2 / 2 = m g (h + x)``."""
    rest = MASS * GRAVITY / stiffness
    return rest + math.sqrt(rest**2 + 2.0 * rest * DROP)


def _rebound(damping: float) -> float:
    """``m x'' = -m g - k x - d x'`` as long as the floor pushes, in steps of 1 us."""
    depth, speed, step = 0.0, -math.sqrt(2.0 * GRAVITY * DROP), 1e-6
    impact = speed
    while True:
        force = -STIFFNESS * depth - damping * speed
        if speed > 0.0 and force <= MASS * GRAVITY:  # from here on it slows down
            return -speed / impact
        speed += step * (force / MASS - GRAVITY)
        depth += step * speed


ASLANT = 0.4  # friction of the slab where it slides aslant
FRICTION = f'surface.{LINK}.friction'
PROBES = (
    Probe(
        kind='friction',
        address=FRICTION,
        values=(0.2, 0.5),
        sdf=SLAB,
        measure=_slid,
        predict=lambda mu: mu,
        height=0.5 * HEIGHT,
    ),
    Probe(
        kind='restitution',
        address=f'surface.{LINK}.restitution',
        values=(0.5, 0.8),
        sdf=BALL,
        measure=_bounced,
        predict=lambda bounce: bounce,
        height=RADIUS + DROP,
        bar=0.05,
    ),
    Probe(
        kind='contact_stiffness',
        address=f'surface.{LINK}.stiffness',
        values=(4000.0, 16000.0),
        sdf=BALL,
        measure=_sunk,
        predict=_depth,
        others={f'surface.{LINK}.damping': 0.0},
        height=RADIUS + DROP,
    ),
    Probe(
        kind='contact_damping',
        address=f'surface.{LINK}.damping',
        values=(10.0, 25.0),
        sdf=BALL,
        measure=_bounced,
        predict=_rebound,
        others={f'surface.{LINK}.stiffness': STIFFNESS},
        height=RADIUS + DROP,
    ),
    # A pyramid of friction lets go along its diagonals at 1/sqrt(2) of what it holds on its axes.
    Probe(
        kind='friction_cone',
        address='world.friction_cone',
        values=(0.0, 1.0),
        sdf=SLAB,
        measure=_slid_aslant,
        predict=lambda cone: ASLANT * (1.0 if cone else math.sqrt(0.5)),
        others={FRICTION: ASLANT},
        height=0.5 * HEIGHT,
    ),
    # What a solver that stops early gets is nowhere written; that it is something else is.
    Probe(
        kind='solver_iterations',
        address='world.solver_iterations',
        values=(1.0, 200.0),
        sdf=SLAB,
        measure=_slid_aslant,
        predict=lambda iterations: ASLANT if iterations > 1 else math.nan,
        others={FRICTION: ASLANT},
        height=0.5 * HEIGHT,
    ),
    Probe(
        kind='solver_tolerance',
        address='world.solver_tolerance',
        values=(1.0, 1e-10),
        sdf=SLAB,
        measure=_slid_aslant,
        predict=lambda tolerance: ASLANT if tolerance < 1 else math.nan,
        others={FRICTION: ASLANT},
        height=0.5 * HEIGHT,
    ),
)
