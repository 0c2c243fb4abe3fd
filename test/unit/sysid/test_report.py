"""What would have to be known to know a parameter."""

import numpy as np
import pytest

from sim2real_sysid.report import MOST_TIED, ties


def covariance(*deviations, pairs=()):
    """Of independent parameters, but for pairs (i, j, correlation)."""
    matrix = np.diag(np.square(deviations)).astype(float)
    for i, j, share in pairs:
        matrix[i, j] = matrix[j, i] = share * deviations[i] * deviations[j]
    return matrix


@pytest.mark.parametrize(
    ('matrix', 'enough', 'expected'),
    [
        (covariance(1.0, 1.0, pairs=[(0, 1, 0.99)]), 0.1, [1]),
        (covariance(1.0, 1.0, pairs=[(0, 1, 0.9)]), 0.1, []),  # even that would not do
        (covariance(1.0, 1.0, pairs=[(0, 1, 0.99)]), 2.0, []),  # it is known
        (covariance(1.0, 5.0, 1.0, pairs=[(0, 1, 0.7), (0, 2, 0.71)]), 0.1, [2, 1]),
        (covariance(1.0, 1.0, 0.1), 0.5, []),  # nobody moved it
    ],
)
def test_names_what_takes_the_variance_away(matrix, enough, expected):
    assert ties(matrix, 0, enough) == expected


def test_names_a_few_at_most():
    one = np.ones(8)
    matrix = np.outer(one, one) + np.diag(np.r_[0.0, np.full(7, 3.0)])
    assert len(ties(matrix, 0, 1.0 / 8.0 * 2.0)) <= MOST_TIED
