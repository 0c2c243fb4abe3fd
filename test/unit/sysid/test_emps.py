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
    'joint.slider.viscous_friction': (203.5034, 0.05),
    'joint.slider.coulomb_friction': (20.3935, 0.05),
    'joint.slider.effort_offset': (-3.1648, 0.10),
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
    assert abs(found.mean - value) < 2.5 * found.std


@pytest.mark.parametrize('what', ['coulomb_friction', 'effort_offset'])
def test_friction_and_offset_are_one_before_the_axis_turns(passed, what):
    found = passed[0].parameters[f'joint.slider.{what}']
    assert found.status == 'not_identified'
    assert found.std > 10.0


def test_the_carriage_is_not_told_from_the_armature(passed):
    assert set(passed[1].parameters) == set(PUBLISHED)


def test_all_samples_pass_in_a_fraction_of_the_time_they_took(passed):
    assert passed[2] < 10.0


def test_samples_are_as_expected():
    assert np.allclose(np.diff(loadmat(FILE)['t'].ravel()), 0.001, atol=1e-6)
