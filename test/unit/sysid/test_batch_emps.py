"""A real axis in batch: EMPS (Janot, Gautier, Brunot 2019), one file held against the other."""

from pathlib import Path

import pytest
from scipy.io import loadmat

from sim2real_core.profile import load_profile
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording
from sim2real_sysid.batch.fit import fit

FOLDER = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'emps'
PUBLISHED = {
    'joint.slider.armature': 95.1089,
    'joint.slider.viscous_friction': 203.5034,
    'joint.slider.coulomb_friction': 20.3935,
    'joint.slider.effort_offset': -3.1648,
}

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason='the EMPS files (DATA_EMPS.mat) are not beside the repository'
)


def recording(name):
    """A file as a bag of it would be read."""
    data = loadmat(FOLDER / f'{name}.mat')
    force = float(data['gtau'].squeeze()) * data['vir']
    stamp = data['t'].ravel()
    return RawRecording(name, stamp, data['qm'], force, stamp, data['qg'])


@pytest.fixture(scope='module', name='fitted')
def fixture_fitted():
    """Least squares on one file, scored on the other."""
    config = FitConfig(method='least_squares', threads=1)
    heldout = [recording('DATA_EMPS_PULSES')]
    return fit(load_profile('slider'), [recording('DATA_EMPS')], config, heldout=heldout)


def scores(fitted, model):
    return next(one for one in fitted.scored if one.found.layout.model == model)


@pytest.mark.parametrize('address', PUBLISHED)
def test_published_parameters(fitted, address):
    found = scores(fitted, 'symmetric').found.values()[address]
    assert found == pytest.approx(PUBLISHED[address], rel=0.003)


@pytest.mark.parametrize(
    ('model', 'train', 'heldout'), [('symmetric', 0.0412, 0.060), ('directional', 0.032, 0.054)]
)
def test_error_of_the_force(fitted, model, train, heldout):
    one = scores(fitted, model)
    assert one.train.effort_error <= train
    assert one.heldout.effort_error <= heldout


def test_training_data_choose_friction_by_direction_and_see_no_stribeck_effect(fitted):
    assert fitted.model == 'directional_late'
    models = {'symmetric', 'directional', 'symmetric_late', 'directional_late'}
    assert set(fitted.choice) == models
    assert fitted.notes == ()


@pytest.mark.soak
def test_output_error_follows_the_motion_with_the_model_that_training_chooses():
    found = fit(
        load_profile('slider'),
        [recording('DATA_EMPS')],
        FitConfig(method='output_error', threads=2),
        heldout=[recording('DATA_EMPS_PULSES')],
    )
    assert found.best.found.method == 'output_error'
    assert found.best.heldout.rmse['open_loop'] <= 0.00475
    assert found.best.heldout.rmse['1s'] <= 0.0013
