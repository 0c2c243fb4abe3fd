"""Keyed uniforms: a function of their key alone, and statistically sound."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from sim2real_randomizer.keyed import uniforms

ADDRESSES = [f'joint.j{i}.viscous_friction' for i in range(40)]
GRID = np.arange(256)[:, None], np.arange(256)


def test_shape_follows_the_indices():
    assert uniforms(0, 'a', 0, 0).shape == ()
    assert uniforms(0, 'a', np.arange(3), 0).shape == (3,)
    assert uniforms(0, 'a', np.arange(3)[:, None], np.arange(4)).shape == (3, 4)


def test_one_and_many_agree_to_the_bit():
    many = uniforms(7, 'link.gripper.mass', *GRID)
    assert uniforms(7, 'link.gripper.mass', 200, 3) == many[200, 3]
    order = np.random.default_rng(0).permutation(256)
    np.testing.assert_array_equal(uniforms(7, 'link.gripper.mass', order, 3), many[order, 3])


def test_another_process_draws_the_same():
    code = (
        'from sim2real_randomizer.keyed import uniforms;'
        "uniforms(1, 'other', 5, 5); print(float(uniforms(7, 'link.gripper.mass', 12, 34)).hex())"
    )
    said = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.strip() == float(uniforms(7, 'link.gripper.mass', 12, 34)).hex()


def test_values_never_change():
    """A change here makes every recorded seed mean another world."""
    assert float(uniforms(0, 'link.gripper.mass', 0, 0)) == 0.6227263293736439
    assert float(uniforms(-1, 'world.gravity.z', 2**40, 123456789)) == 0.16469107121377446


def test_open_interval():
    drawn = uniforms(1, 'a', np.arange(1_000_000), 0)
    assert 0 < drawn.min() < 1e-5
    assert 1 - 1e-5 < drawn.max() < 1


@pytest.mark.parametrize(
    'drawn',
    [
        uniforms(3, 'a', *GRID),
        uniforms(3, 'a', np.arange(65536), 0),
        uniforms(3, 'a', 0, np.arange(65536)),
        uniforms(3, 'a', np.arange(65536), np.arange(65536)),
        uniforms(3, 'a', np.arange(65536) * 2**40, 0),
        uniforms(3, 'a', 7, 5, np.arange(65536)),
        uniforms(3, 'a', *GRID, 1),
        uniforms(3, 'a', *GRID, GRID[0] + GRID[1]),
        np.stack([uniforms(seed, 'a', np.arange(64), 0) for seed in range(1024)]),
        np.stack([uniforms(0, f'joint.j{i}.armature', np.arange(64), 0) for i in range(1024)]),
    ],
    ids=[
        'grid',
        'environments',
        'episodes',
        'both',
        'far apart',
        'steps',
        'a step',
        'diagonal',
        'seeds',
        'addresses',
    ],
)
def test_uniform(drawn):
    counts, _ = np.histogram(drawn, bins=256, range=(0, 1))
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.kstest(drawn.ravel(), 'uniform').pvalue > 1e-3
    lowest = (drawn.ravel() * 2**52).astype(np.uint64) & np.uint64(255)
    assert stats.chisquare(np.bincount(lowest.astype(int), minlength=256)).pvalue > 1e-3


@pytest.mark.parametrize('axis', [0, 1])
def test_neighbours_are_independent(axis):
    """Pairs of neighbouring environments (and episodes) fill the square evenly."""
    drawn = uniforms(5, 'a', *GRID)
    left, right = np.split(drawn, 2, axis) if axis else (drawn[::2], drawn[1::2])
    counts, _, _ = np.histogram2d(left.ravel(), right.ravel(), bins=16, range=((0, 1), (0, 1)))
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_addresses_and_seeds_are_independent():
    drawn = np.stack([uniforms(0, a, np.arange(20000), 1) for a in ADDRESSES])
    drawn = np.concatenate([drawn, uniforms(1, ADDRESSES[0], np.arange(20000), 1)[None]])
    correlation = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(20000)
    assert np.std(correlation) == pytest.approx(1 / np.sqrt(20000), rel=0.1)


def test_every_key_gives_another_number():
    drawn = uniforms(0, 'a', *GRID)
    assert len(np.unique(drawn)) == drawn.size


def test_steps_share_nothing_with_one_another_nor_with_the_beginning():
    begun = uniforms(3, 'a', np.arange(65536), 4)
    steps = [uniforms(3, 'a', np.arange(65536), 4, step) for step in range(6)]
    correlation = np.corrcoef([begun, *steps])
    np.testing.assert_allclose(correlation, np.eye(7), atol=0.02)
    assert uniforms(3, 'a', 9, 4, 2) == steps[2][9]
