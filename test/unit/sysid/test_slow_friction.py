"""Friction of a joint that is always slow is not told from static friction."""

import numpy as np
import pytest

from sim2real_core.nominal import STRIBECK_VELOCITY
from sim2real_core.profile import load_profile
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording
from sim2real_sysid.batch.fit import fit
from sim2real_sysid.estimator import OnlineIdentifier

MASS, VISCOUS, COULOMB, STATIC = 80.0, 260.0, 20.0, 30.0


def moved(size):
    """60 s of a carriage with a Stribeck effect, (n, 1) positions and efforts, and its times."""
    stamps = 0.004 * np.arange(15000)
    w = np.array([0.7, 1.9, 3.1])
    phase = w * stamps[:, None]
    position = 0.13 + (size / w * np.sin(phase)).sum(axis=1)
    velocity = (size * np.cos(phase)).sum(axis=1)
    acceleration = -(size * w * np.sin(phase)).sum(axis=1)
    slow = np.exp(-((velocity / STRIBECK_VELOCITY) ** 2))
    friction = (COULOMB + (STATIC - COULOMB) * slow) * np.sign(velocity)
    effort = MASS * acceleration + VISCOUS * velocity + friction
    rng = np.random.default_rng(0)
    position += 1e-6 * rng.normal(size=len(stamps))
    effort += 0.5 * rng.normal(size=len(stamps))
    return stamps, position[:, None], effort[:, None]


def online(stamps, positions, efforts):
    identifier = OnlineIdentifier(load_profile('slider'))
    for sample in zip(stamps, positions, efforts):
        identifier.update(*sample)
    return identifier.estimate().parameters


def batch(stamps, positions, efforts):
    raw = RawRecording('log', stamps, positions, efforts, np.zeros(0), np.zeros((0, 1)))
    return fit(load_profile('slider'), [raw], FitConfig(method='least_squares')).parameters


@pytest.mark.parametrize('identify', [online, batch])
def test_coulomb_friction_is_open_without_speed(identify):
    found = identify(*moved(0.006))['joint.slider.coulomb_friction']
    assert found.mean > 1.2 * COULOMB  # most of what is seen is static friction
    assert found.status == 'not_identified'
    assert abs(found.mean - COULOMB) < 1.645 * found.std


@pytest.mark.parametrize('size', [0.012, 0.03])
@pytest.mark.parametrize('identify', [online, batch])
def test_friction_that_falls_all_the_way_does_not_pass_for_viscous_friction(identify, size):
    found = identify(*moved(size))['joint.slider.viscous_friction']
    assert abs(found.mean - VISCOUS) < 2.0 * found.std


@pytest.mark.parametrize('identify', [online, batch])
def test_coulomb_friction_is_known_with_speed(identify):
    found = identify(*moved(0.08))['joint.slider.coulomb_friction']
    assert found.status == 'identified'
    assert found.mean == pytest.approx(COULOMB, rel=0.1)


@pytest.mark.parametrize('size', [0.03, 0.06])
def test_static_friction_of_a_slow_joint_does_not_pass_for_coulomb_friction(size):
    # As fast as one to four Stribeck velocities, of a tenth of the speed limit.
    found = online(*moved(size))
    for what, truth in (('coulomb_friction', COULOMB), ('viscous_friction', VISCOUS)):
        told = found[f'joint.slider.{what}']
        assert told.status == 'identified'
        assert told.mean == pytest.approx(truth, rel=0.05)
        assert abs(told.mean - truth) < 3.0 * told.std
