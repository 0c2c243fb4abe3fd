"""Distributions by their inverse distribution functions."""

import math

import numpy as np
import pytest
from scipy import stats

from sim2real_core.errors import InputError
from sim2real_randomizer.distributions import (
    Beta,
    Categorical,
    Constant,
    Empirical,
    LogUniform,
    Normal,
    Uniform,
    from_mapping,
)

U = (np.arange(20000) + 0.5) / 20000
TAILS = np.array([2.0**-53, 0.5, 1 - 2.0**-53])


@pytest.mark.parametrize(
    ('distribution', 'law'),
    [
        (Uniform(-2.0, 3.0), stats.uniform(-2, 5)),
        (LogUniform(0.5, 8.0), stats.loguniform(0.5, 8)),
        (Normal(1.0, 0.2), stats.norm(1, 0.2)),
        (Normal(1.0, 0.5, 0.8, 2.0), stats.truncnorm(-0.4, 2, 1, 0.5)),
        (Normal(0.0, 1.0, 0.0), stats.halfnorm()),
    ],
)
def test_quantiles(distribution, law):
    np.testing.assert_allclose(distribution.sample(U), law.ppf(U), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    'distribution',
    [
        Uniform(0.1, 0.7),
        LogUniform(1e-9, 1e9),
        Normal(0.3, 5.0, 0.29, 0.31),
        Normal(0.0, 1e-9, 0.0, 1.0),
        Beta(0.5, 0.5, -1.0, 3.0),
        Beta(1e4, 0.1),
        Categorical((3.0, 1.0), (0.1, 0.2)),
        Empirical((3.0, 1.0, 2.0)),
        Constant(4.0),
    ],
)
def test_within_the_support_to_the_last_uniform(distribution):
    low, high = distribution.support
    drawn = distribution.sample(TAILS)
    assert drawn.shape == (3,)
    assert (low <= drawn).all()
    assert (drawn <= high).all()


@pytest.mark.parametrize('value', [0.1, 1 / 3, 1e-300, 12345.678])
def test_no_width_is_exact(value):
    for distribution in (
        Constant(value),
        Uniform(value, value),
        LogUniform(value, value),
        Normal(value, 0.0),
        Normal(value, 1.0, value, value),
        Beta(2.0, 3.0, value, value),
        Categorical((value,)),
        Empirical((value,)),
    ):
        assert (distribution.sample(U) == value).all(), distribution
        assert distribution.support == (value, value) or isinstance(distribution, Normal)


@pytest.mark.parametrize(
    ('a', 'b'), [(2.0, 5.0), (0.5, 0.5), (1.0, 1.0), (0.1, 30.0), (1e4, 1e4), (5e3, 2.0)]
)
def test_beta_quantiles(a, b):
    u = np.concatenate([TAILS, [1e-9, 1e-4, 1 - 1e-4], U])
    np.testing.assert_allclose(Beta(a, b).sample(u), stats.beta.ppf(u, a, b), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        Beta(a, b, -2.0, 4.0).sample(u), stats.beta.ppf(u, a, b, -2.0, 6.0), rtol=0, atol=1e-8
    )


def test_zero_and_one_give_the_ends():
    for distribution in (
        Uniform(-2.0, 3.0), LogUniform(0.5, 8.0), Normal(1.0, 0.5, 0.8, 2.0), Beta(2, 5, 0.1, 0.7)
    ):  # fmt: skip
        ends = distribution.sample(np.array([0.0, 1.0]))
        assert tuple(ends) == pytest.approx(distribution.support, rel=1e-15)


def test_samples_are_as_likely():
    drawn = Empirical((1.0, 2.0, 2.0, 7.0)).sample(U)
    assert [float((drawn == v).mean()) for v in (1, 2, 7)] == pytest.approx([0.25, 0.5, 0.25])


def test_std_is_not_the_variance():
    assert Normal(0.0, 4.0).sample(U).std() == pytest.approx(4.0, rel=1e-2)


def test_weights():
    drawn = Categorical((1.0, 2.0, 5.0), (1.0, 0.0, 3.0)).sample(U)
    assert (drawn == 1.0).mean() == pytest.approx(0.25, abs=1e-3)
    assert (drawn == 5.0).mean() == pytest.approx(0.75, abs=1e-3)
    assert Categorical((1.0, 2.0)).sample(U).mean() == pytest.approx(1.5, abs=1e-3)


def test_shape_is_kept():
    u = np.full((3, 4), 0.5)
    for distribution in (Uniform(0, 1), Normal(0, 1), Categorical((1.0,)), Constant(1.0)):
        assert distribution.sample(u).shape == (3, 4)


def test_within():
    assert Normal(1.0, 1.0).within(0.0, 5.0) == Normal(1.0, 1.0, 0.0, 5.0)
    assert Normal(1.0, 1.0, 0.5).within(0.0, 5.0) == Normal(1.0, 1.0, 0.5, 5.0)
    assert Uniform(0.0, 1.0).within(0.2, 0.3) == Uniform(0.0, 1.0)


@pytest.mark.parametrize(
    ('mapping', 'field', 'mend'),
    [
        ({'distribution': 'uniform', 'low': 2, 'high': 1}, 'low', 'reversed'),
        ({'distribution': 'uniform', 'low': math.nan, 'high': 1}, 'low', 'number'),
        ({'distribution': 'uniform', 'low': '0', 'high': 1}, 'low', 'number'),
        ({'distribution': 'uniform', 'low': True, 'high': 1}, 'low', 'number'),
        ({'distribution': 'uniform', 'low': 0, 'high': math.inf}, 'high', 'finite'),
        ({'distribution': 'uniform', 'low': 0}, 'high', 'needs it'),
        ({'distribution': 'uniform', 'low': 0, 'high': 1, 'std': 1}, 'std', 'takes low, high'),
        ({'distribution': 'log_uniform', 'low': 0, 'high': 1}, 'low', 'positive'),
        ({'distribution': 'normal', 'mean': 0, 'std': -1}, 'std', 'negative'),
        ({'distribution': 'normal', 'mean': 2, 'std': 1, 'high': 1}, 'mean', 'within'),
        ({'distribution': 'categorical', 'values': []}, 'values', 'at least one'),
        ({'distribution': 'categorical', 'values': [1, 'b']}, 'values', 'number'),
        ({'distribution': 'categorical', 'values': [1], 'weights': [1, 2]}, 'weights', '1, one'),
        ({'distribution': 'categorical', 'values': [1], 'weights': [0]}, 'weights', 'zero'),
        ({'distribution': 'beta', 'a': 0, 'b': 2}, 'a', 'within'),
        ({'distribution': 'beta', 'a': 1, 'b': 2, 'low': 3, 'high': 2}, 'low', 'reversed'),
        ({'distribution': 'empirical', 'samples': []}, 'samples', 'at least one'),
        ({'distribution': 'constant', 'value': None}, 'value', 'number'),
        ({'distribution': 'gauss'}, 'distribution', 'uniform'),
        ({'low': 0, 'high': 1}, 'distribution', 'uniform'),
    ],
)
def test_faults(mapping, field, mend):
    with pytest.raises(InputError) as error:
        from_mapping(mapping)
    assert [fault.field for fault in error.value.faults] == [field]
    assert mend in error.value.faults[0].mend


def test_every_fault_at_once():
    with pytest.raises(InputError) as error:
        Normal(math.nan, math.inf, 'x')
    assert [fault.field for fault in error.value.faults] == ['mean', 'std', 'low']


def test_mapping_and_back():
    for distribution in (
        Uniform(0, 1),
        LogUniform(1, 2),
        Normal(0, 1),
        Normal(0, 1, -2, 3),
        Categorical((1, 2), (3, 4)),
        Categorical((1, 2)),
        Beta(2, 3),
        Beta(2, 3, -1, 1),
        Empirical((1, 5, 2)),
        Constant(3),
    ):
        assert from_mapping(distribution.as_mapping()) == distribution
