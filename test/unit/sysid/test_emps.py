"""A real axis: EMPS (Janot, Gautier, Brunot 2019), 24 841 samples at 1 kHz."""

import time
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from sim2real_core.profile import load_profile
from sim2real_sysid.estimator import OnlineIdentifier

FILE = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'emps' / 'DATA_EMPS.mat'
# Published, and how close one pass must come.
PUBLISHED = {
    'joint.slider.armature': (95.1089, 0.01),
    'joint.slider.viscous_friction': (203.5034, 0.03),
    'joint.slider.coulomb_friction': (20.3935, 0.03),
    'joint.slider.effort_offset': (-3.1648, 0.05),
}

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason='the EMPS files (DATA_EMPS.mat) are not beside the repository'
)


@pytest.fixture(scope='module', name='passed')
def fixture_passed():
    """Estimates at 2 s and at the end, and how long all of it took [s]."""
    data = loadmat(FILE)
    identifier = OnlineIdentifier(load_profile('slider'))
    early, begin = None, time.perf_counter()
    position, force = data['qm'], float(data['gtau'].squeeze()) * data['vir']
    for stamp, q, f in zip(data['t'].ravel(), position, force):
        identifier.update(float(stamp), q, f)
        if early is None and stamp >= 2.0:
            early = identifier.estimate()
    return early, identifier.estimate(), time.perf_counter() - begin


@pytest.mark.parametrize('address', PUBLISHED)
def test_one_pass_comes_close_to_what_was_published(passed, address):
    value, share = PUBLISHED[address]
    found = passed[1].parameters[address]
    assert found.status == 'identified'
    assert found.mean == pytest.approx(value, rel=share)
    assert abs(found.mean - value) < 1.96 * found.std


@pytest.mark.parametrize('what', ['coulomb_friction', 'effort_offset'])
def test_friction_and_offset_are_one_before_the_axis_turns(passed, what):
    found = passed[0].parameters[f'joint.slider.{what}']
    assert found.status == 'not_identified'
    assert found.std > 10.0
    other = {'coulomb_friction': 'effort_offset', 'effort_offset': 'coulomb_friction'}[what]
    assert found.confounded == (f'joint.slider.{other}',)


def test_the_carriage_is_not_told_from_the_armature(passed):
    found = passed[1].parameters
    ((address, mass),) = ((a, p) for a, p in found.items() if a.startswith('link.'))
    assert address.endswith('.mass')
    assert mass.status == 'not_identified'
    assert set(mass.confounded) == {a for a in found if a.endswith('.armature')}


# Least squares over the whole file, both directions apart.
DIRECTIONS = {
    'viscous_friction.positive': 166.7,
    'viscous_friction.negative': 240.4,
    'coulomb_friction.positive': 20.1,
    'coulomb_friction.negative': 20.6,
}


@pytest.mark.parametrize('what', DIRECTIONS)
def test_friction_differs_between_the_directions(passed, what):
    found = passed[1].parameters[f'joint.slider.{what}']
    assert found.status == 'identified'
    assert found.mean == pytest.approx(DIRECTIONS[what], rel=0.04)
    assert abs(found.mean - DIRECTIONS[what]) < 3.0 * found.std


def test_friction_at_low_speed_adds_nothing(passed):
    for what in ('static_friction', 'stribeck_velocity'):
        assert passed[1].parameters[f'joint.slider.{what}'].status == 'not_identified'


def test_nothing_changed(passed):
    assert not passed[1].changes


def test_all_samples_pass_in_a_fraction_of_the_time_they_took(passed):
    assert passed[2] < 10.0


def test_samples_are_as_expected():
    assert np.allclose(np.diff(loadmat(FILE)['t'].ravel()), 0.001, atol=1e-6)
