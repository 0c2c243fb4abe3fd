"""The way to the start pose."""

import numpy as np
import pytest

from sim2real_policy.ramp import SHORTEST, UNLIMITED, Ramp

SPEED = np.array([2.0, np.inf, 0.5])


def test_ends_where_it_shall_at_rest_and_never_faster_than_allowed():
    start, way = np.array([0.1, -0.2, 0.3]), np.array([1.0, -0.3, 0.02])
    ramp = Ramp(start, way, SPEED, 0.1)
    times = np.linspace(0.0, ramp.lasts + 0.5, 2001)
    points = [ramp.at(time) for time in times]
    position, velocity, acceleration = (np.array(part) for part in zip(*points))
    np.testing.assert_allclose(position[[0, -1]], [start, start + way], atol=1e-12)
    np.testing.assert_allclose(velocity[[0, -1]], 0.0, atol=1e-12)
    limit = 0.1 * np.array([2.0, UNLIMITED, 0.5])
    fastest = np.abs(velocity).max(axis=0)
    assert (fastest <= limit + 1e-9).all()
    assert (fastest / limit).max() == pytest.approx(1.0, abs=1e-3), 'no slower than it must be'
    # Velocity and acceleration are the position's derivatives.
    moving = times < ramp.lasts
    np.testing.assert_allclose(
        np.gradient(position, times, axis=0)[moving], velocity[moving], atol=1e-3
    )
    np.testing.assert_allclose(
        np.gradient(velocity, times, axis=0)[moving][2:-2], acceleration[moving][2:-2], atol=1e-2
    )


def test_no_way_takes_its_shortest_time():
    ramp = Ramp(np.ones(2), np.zeros(2), np.ones(2), 0.5)
    assert ramp.lasts == SHORTEST
    np.testing.assert_array_equal(ramp.at(0.1).position, [1.0, 1.0])
