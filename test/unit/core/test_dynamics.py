"""Inverse dynamics against what can be worked out by hand."""

import numpy as np
import pytest

from sim2real_core.dynamics import InverseDynamics


def test_standing_takes_what_gravity_asks_for(planar):
    """Three bodies of 1 kg; the finger moves with the elbow, so its weight counts there."""
    q = np.array([0.3, 0.4])
    efforts = InverseDynamics(planar).efforts(q, np.zeros(2), np.zeros(2))
    s, both, g = np.sin(0.3), np.sin(0.7), 9.81
    finger = 0.1 + 0.5 * 0.4  # along the forearm, where the mimic rule puts it
    elbow = -g * (0.1 * both + (finger + 0.1) * both) + g * 0.5 * np.cos(0.7)
    shoulder = -g * (0.1 * s + (0.3 * s + 0.1 * both) + (0.3 * s + (finger + 0.1) * both))
    np.testing.assert_allclose(efforts, [shoulder, elbow], rtol=1e-9)


def test_rotors_and_viscous_friction_are_in_it_and_dry_friction_is_not(planar, slider):
    joint = slider.joints[0]
    assert joint.armature == joint.viscous_friction == 0.0
    dynamics = InverseDynamics(slider)
    np.testing.assert_allclose(dynamics.efforts(*np.array([[0.2], [1.0], [3.0]])), [3.0])
    dynamics = InverseDynamics(planar)
    assert dynamics.efforts(np.zeros(2), np.array([1e-6, 0]), np.zeros(2))[0] == pytest.approx(
        0.1 * 1e-6, rel=1e-3
    )
