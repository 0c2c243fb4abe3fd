"""What sampling does to least squares: noise of fast encoders, steps between samples."""

import dataclasses

import numpy as np
import pytest

from sim2real_core.profile import load_profile
from sim2real_sysid.batch.bandwidth import quiet_bandwidth
from sim2real_sysid.batch.bodies import SIZE, Link, possible
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording, Recording, Segment
from sim2real_sysid.batch.fit import fit
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.least_squares import _possible
from sim2real_sysid.batch.models import layout
from sim2real_sysid.batch.steps import timing_of

MASS, VISCOUS, COULOMB = 80.0, 260.0, 26.0
ARMATURE = 'joint.slider.armature'
FRICTION = 'joint.slider.viscous_friction'


def segment(position, period):
    nothing = np.zeros((0, position.shape[1]))
    return Segment(0.0, period, position, np.zeros_like(position), np.zeros(0), nothing)


def recorded(position, period):
    return [Recording('log', (segment(position, period),))]


@pytest.mark.parametrize('resting', [0, 3])
def test_bandwidth_is_as_wide_as_the_noise_lets_it(resting):
    stamps = 1e-3 * np.arange(20000)
    moved = 0.3 * np.sin(3.0 * stamps)[:, None] + 0.2 * np.sin(7.0 * stamps)[:, None]
    still = np.zeros((len(stamps), resting))
    noise = np.random.default_rng(0).normal(size=(len(stamps), 1 + resting))
    clean = np.concatenate([moved, still], axis=1)
    found = [quiet_bandwidth(recorded(clean + s * noise, 1e-3)) for s in (0.0, 1e-5, 1e-4, 1e-3)]
    assert found[0] == 100.0
    assert sorted(found, reverse=True) == found
    assert 4.0 <= found[3] < found[1]


def test_noise_at_a_high_rate_takes_nothing_off_a_mass():
    stamps = 1e-3 * np.arange(40000)
    w = np.array([1.3, 3.1, 5.2])
    phase = w * stamps[:, None]
    position = (0.03 * np.sin(phase)).sum(axis=1) + 0.13
    velocity = (0.03 * w * np.cos(phase)).sum(axis=1)
    acceleration = -(0.03 * w**2 * np.sin(phase)).sum(axis=1)
    effort = MASS * acceleration + VISCOUS * velocity + COULOMB * np.sign(velocity)
    rng = np.random.default_rng(1)
    effort += rng.normal(size=len(stamps))
    position += 1e-4 * rng.normal(size=len(stamps))
    raw = RawRecording(
        'log', stamps, position[:, None], effort[:, None], np.zeros(0), np.zeros((0, 1))
    )
    narrow, wide = (
        fit(load_profile('slider'), [raw], FitConfig(method='least_squares', bandwidth=b))
        for b in (0.0, 100.0)
    )
    assert wide.parameters[ARMATURE].mean < 0.9 * MASS
    assert narrow.parameters[ARMATURE].mean == pytest.approx(MASS, rel=0.02)
    assert narrow.parameters[FRICTION].mean == pytest.approx(VISCOUS, rel=0.02)


def stepped(late, stiffness, damping, substep=1e-4):
    """60 s of a mass on a drive that hears commands at 50 Hz so much after samples at 250 Hz."""
    n = round(60.0 / substep)
    time = substep * np.arange(n)
    heard = 0.02 * np.floor((time - late) / 0.02 + 1e-9)
    command = 0.13 + 0.05 * np.sin(1.3 * heard) + 0.03 * np.sin(3.1 * heard + 1.0)
    q, v = command[0], 0.0
    rows = np.zeros((n, 2))
    for k in range(n):
        force = stiffness * (command[k] - q) - damping * v
        rows[k] = q, force
        friction = VISCOUS * v + COULOMB * np.tanh(v / 1e-4)
        v += substep * (force - friction) / MASS
        q += substep * v
    return time[::40], rows[::40]


def test_steps_between_samples_leave_viscous_friction_open():
    stiffness, damping = 4e5, 8e3
    profile = load_profile('slider')
    drive = dataclasses.replace(
        profile.joints[0], stiffness=stiffness, damping=damping, effort=1e4
    )
    profile = dataclasses.replace(profile, joints=(drive,))
    off, found = [], []
    for late in (2e-4, 3.8e-3):
        time, rows = stepped(late, stiffness, damping)
        raw = RawRecording('log', time, rows[:, :1], rows[:, 1:], np.zeros(0), np.zeros((0, 1)))
        config = FitConfig(method='least_squares', bodies='all')
        result = fit(profile, [raw], config, model='symmetric_late')
        found.append(result.parameters)
        (moving,) = result.whole.base  # carriage and rotor are one mass
        assert moving.std == pytest.approx(result.parameters[ARMATURE].std, rel=0.1)
        assert abs(moving.mean - MASS) < 2.0 * moving.std
        off.append(result.parameters[FRICTION].mean - VISCOUS)
    assert off[0] * off[1] < 0.0
    assert min(np.abs(off)) > 0.5 * VISCOUS  # however smooth the fit looks
    for parameters in found:
        for address, truth in ((FRICTION, VISCOUS), (ARMATURE, MASS)):
            assert abs(parameters[address].mean - truth) < 2.0 * parameters[address].std
        assert parameters[FRICTION].status == 'not_identified'
        assert parameters['joint.slider.coulomb_friction'].mean == pytest.approx(COULOMB, rel=0.1)


def test_smooth_efforts_leave_no_timing_open():
    stamps = 0.004 * np.arange(10000)
    effort = np.sin(3.0 * stamps)[:, None]
    part = dataclasses.replace(segment(effort, 0.004), effort=effort)
    timing = timing_of(load_profile('slider'), [Recording('log', (part,))], {})
    assert timing < 1e-5


def test_a_body_can_exist_though_another_parameter_is_unknown():
    profile = load_profile('arm6')
    shape = layout('symmetric', profile, SIZE)
    link = Link(profile, profile.payload_link)
    mean = np.zeros(len(shape.addresses))
    mean[shape.link] = link.nominal
    mean[shape.link][SIZE - 6] = -1e-3  # no body has less than no inertia
    covariance = np.diag(np.full(len(mean), 1e-4))
    covariance[0, 0] = np.inf
    found = Fitted(shape, mean, covariance, np.ones(len(mean)), np.ones(len(mean), dtype=bool))
    assert not possible(link.dynamic(mean[shape.link]))
    assert possible(link.dynamic(_possible(found, link).mean[shape.link]))
