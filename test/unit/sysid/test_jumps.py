"""Jumps of sampled signals, told from smooth motion and from noise."""

import numpy as np
import pytest

from sim2real_sysid.jumps import Jumps


def shares(*signals):
    """Of equally long signals."""
    jumps = Jumps(len(signals))
    for values in np.array_split(np.array(signals).T, 999):
        jumps.push(values)
    return jumps.share


def test_steps_are_seen_in_noise_that_smooth_motion_and_noise_alone_do_not_make():
    rng = np.random.default_rng(0)
    n = 100_000
    smooth = np.sin(0.02 * np.arange(n))
    steps = np.repeat(rng.normal(size=n // 5), 5)  # a new level every fifth sample
    noise = 0.3 * rng.normal(size=n)
    of_smooth, of_steps, of_both = shares(smooth, steps, smooth + noise + steps)
    assert of_smooth < 0.01
    # The levels differ by sqrt(2), once in five samples.
    assert of_steps == pytest.approx(np.sqrt(2 / 5), rel=0.02)
    whole = np.std(smooth + noise + steps)
    assert of_both == pytest.approx(np.sqrt(2 / 5) / whole, rel=0.05)


def test_a_gap_or_a_missing_value_is_no_jump():
    jumps = Jumps(1)
    for k in range(4000):
        if k == 2000:
            jumps.restart()
        level = 0.0 if k < 2000 else 100.0
        jumps.push(np.array([[np.nan if k % 100 == 0 else level + np.sin(0.01 * k)]]))
    assert jumps.share[0] < 0.01


def test_nothing_is_known_at_first():
    assert Jumps(2).share.tolist() == [0.0, 0.0]
