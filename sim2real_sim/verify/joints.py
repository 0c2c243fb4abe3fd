"""Probes of a wheel on an axle: friction, rotor inertia, spring, load, actuator and sensors."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from sim2real_sim.verify.models import JOINT, SPINNER, WHEEL
from sim2real_sim.verify.probes import MODEL, TIMESTEP, Probe, Senses, Stage

EFFORT = 5.0  # N*m: ten radians per second squared
TIME = 0.2  # s
SAMPLES = 20000
CREEP = 5e-4  # rad/s


def _speed(stage: Stage, _: float) -> float:
    """Drive with a torque from rest: ``v = T t / I``, as far as T arrives and I is all."""
    stage.drive(EFFORT)
    stage.step(TIME)
    return stage.joint[1]


def _coast(stage: Stage) -> tuple[float, float]:
    """Velocities before and after coasting for some time."""
    stage.drive(10.0 * EFFORT)
    stage.step(0.1)
    stage.drive(0.0)
    stage.step(0.01)
    before = stage.joint[1]
    stage.step(TIME)
    return before, stage.joint[1]


def _decayed(stage: Stage, _: float) -> float:
    """Viscous friction b alone: ``v = v0 exp(-b t / I)``, gives b."""
    before, after = _coast(stage)
    return WHEEL / TIME * math.log(before / after) if after > 0.0 else math.inf


def _dragged(stage: Stage, _: float) -> float:
    """Dry friction F alone: ``v = v0 - F t / I``, gives F."""
    before, after = _coast(stage)
    return WHEEL / TIME * (before - after)


def _loosened(stage: Stage, value: float) -> float:
    """Raise the torque slowly: where the wheel begins to turn."""
    effort = 0.95 * value
    while effort < 1.05 * value:
        stage.drive(effort)
        stage.step(0.03)
        if stage.joint[1] > CREEP:
            break
        effort += 0.002 * value
    return effort


STATIC, COULOMB = 3.0, 1.0


def _fell(stage: Stage, value: float) -> float:
    """Where friction falls from static to Coulomb: ``F = Fc + (Fs - Fc) exp(-(v / vs)^2)``.

    Coasting, ``F = -I dv/dt``; solved for vs at the velocity in the middle.
    """
    stage.drive(10.0 * EFFORT)
    while stage.joint[1] < value:
        stage.step(TIMESTEP)
    stage.drive(0.0)
    stage.step(TIMESTEP)
    before = stage.joint[1]
    stage.step(0.004)
    after = stage.joint[1]
    friction = WHEEL * (before - after) / 0.004
    share = (friction - COULOMB) / (STATIC - COULOMB)
    return 0.5 * (before + after) / math.sqrt(-math.log(share)) if 0.0 < share < 1.0 else math.inf


def _swung(stage: Stage, _: float) -> float:
    """A torque T on a wheel with a spring k: ``q = T / k (1 - cos(t sqrt(k / I)))``."""
    stage.drive(EFFORT)
    stage.step(TIME)
    return stage.joint[0]


def _swing(stiffness: float) -> float:
    return EFFORT / stiffness * (1.0 - math.cos(TIME * math.sqrt(stiffness / WHEEL)))


def _gain(torque: float) -> float:
    return torque * TIME / WHEEL


def _lag(constant: float) -> float:
    """Through a first-order lag: ``v = T / I (t - c (1 - exp(-t / c)))``."""
    return EFFORT / WHEEL * (TIME - constant * (1.0 - math.exp(-TIME / constant)))


def _reading(stage: Stage, column: int) -> float:
    return stage.world.measured(MODEL)[JOINT][column]  # type: ignore[attr-defined]


def _apart(column: int, stage: Stage, _: float) -> float:
    """A wheel at rest: measured minus true."""
    stage.step(0.01)
    return _reading(stage, column) - stage.joint[column]


def _behind(column: int, stage: Stage, _: float) -> float:
    """A wheel that turns: how long ago it was where it is measured to be."""
    stage.drive(EFFORT)
    stage.step(TIME)
    stage.drive(0.0)
    stage.step(1.0)
    position, velocity = stage.joint
    return (position - _reading(stage, 0)) / velocity


def _played(stage: Stage, _: float) -> float:
    """A wheel that turns: what is measured behind the play trails by half of it."""
    stage.drive(EFFORT)
    stage.step(TIME)
    return 2.0 * (stage.joint[0] - _reading(stage, 0))


def _readings(stage: Stage, column: int, samples: int = SAMPLES) -> list[float]:
    readings = []
    for _ in range(samples):
        stage.step(TIMESTEP)
        readings.append(_reading(stage, column))
    return readings


def _scattered(column: int, stage: Stage, _: float) -> float:
    """A wheel at rest: standard deviation of what is measured."""
    return float(np.std(_readings(stage, column)))


def _rounded(stage: Stage, _: float) -> float:
    """A wheel that turns slowly: the smallest step of what is measured."""
    stage.drive(EFFORT)
    stage.step(0.01)
    stage.drive(0.0)
    readings = np.unique(_readings(stage, 0, 2000))
    return float(np.diff(readings).min()) if len(readings) > 1 else math.inf


def _repeated(stage: Stage, _: float) -> float:
    """A wheel that turns: share of samples that repeat the one before."""
    stage.drive(EFFORT)
    stage.step(0.01)
    stage.drive(0.0)
    return float((np.diff(_readings(stage, 0)) == 0.0).mean())


def _same(value: float) -> float:
    return value


_joint = partial(Probe, sdf=SPINNER, height=None)
_actuator = partial(_joint, kind='actuator', measure=_speed)
_sensor = partial(_joint, kind='sensor', predict=_same, needs=Senses)
AXLE = f'joint.{JOINT}'
DRIVE = f'actuator.{JOINT}'
ENCODER = f'sensor.{JOINT}_position'
PROBES = (
    _joint(
        kind='viscous_friction',
        address=f'{AXLE}.viscous_friction',
        values=(0.5, 1.5),
        measure=_decayed,
        predict=_same,
    ),
    _joint(
        kind='coulomb_friction',
        address=f'{AXLE}.coulomb_friction',
        values=(2.0, 8.0),
        measure=_dragged,
        predict=_same,
    ),
    _joint(
        kind='static_friction',
        address=f'{AXLE}.static_friction',
        values=(2.0, 8.0),
        measure=_loosened,
        predict=_same,
    ),
    _joint(
        kind='stribeck_velocity',
        address=f'{AXLE}.stribeck_velocity',
        values=(0.5, 2.0),
        measure=_fell,
        predict=_same,
        others={f'{AXLE}.static_friction': STATIC, f'{AXLE}.coulomb_friction': COULOMB},
    ),
    _joint(
        kind='armature',
        address=f'{AXLE}.armature',
        values=(0.25, 1.0),
        measure=_speed,
        predict=lambda armature: EFFORT * TIME / (WHEEL + armature),
    ),
    _joint(
        kind='joint_stiffness',
        address=f'{AXLE}.stiffness',
        values=(10.0, 40.0),
        measure=_swung,
        predict=_swing,
    ),
    _joint(
        kind='effort_offset',
        address=f'{AXLE}.effort_offset',
        values=(-2.0, 2.0),
        measure=_speed,
        predict=lambda load: _gain(EFFORT - load),
    ),
    _joint(
        kind='position_offset',
        address=f'{AXLE}.position_offset',
        values=(-0.1, 0.2),
        measure=partial(_apart, 0),
        predict=_same,
        needs=Senses,
    ),
    _actuator(
        address=f'{DRIVE}.gain', values=(0.5, 1.5), predict=lambda gain: _gain(gain * EFFORT)
    ),
    _actuator(
        address=f'{DRIVE}.torque_constant',
        values=(0.5, 1.5),
        predict=lambda constant: _gain(constant * EFFORT),
    ),
    _actuator(address=f'{DRIVE}.time_constant', values=(0.02, 0.1), predict=_lag),
    _actuator(
        address=f'{DRIVE}.delay',
        values=(0.02, 0.1),
        predict=lambda delay: EFFORT / WHEEL * (TIME - delay),
    ),
    _actuator(address=f'{DRIVE}.saturation', values=(1.0, 3.0), predict=_gain),
    _joint(
        kind='backlash',
        address=f'{DRIVE}.backlash',
        values=(0.01, 0.04),
        measure=_played,
        predict=_same,
        needs=Senses,
    ),
    _sensor(address=f'{ENCODER}.noise', values=(0.01, 0.1), measure=partial(_scattered, 0)),
    _sensor(address=f'{ENCODER}.bias', values=(-0.1, 0.2), measure=partial(_apart, 0)),
    _sensor(address=f'{ENCODER}.delay', values=(0.01, 0.05), measure=partial(_behind, 0)),
    _sensor(address=f'{ENCODER}.quantization', values=(0.01, 0.05), measure=_rounded),
    _sensor(address=f'{ENCODER}.dropout', values=(0.5, 0.8), measure=_repeated),
)
