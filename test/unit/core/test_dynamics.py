"""Inverse dynamics against what can be worked out by hand."""

import numpy as np
import pytest

from sim2real_core.dynamics import InverseDynamics, Loop
from sim2real_core.profile import load_profile


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


@pytest.mark.parametrize('interface', ['position', 'velocity', 'effort'])
def test_a_loop_told_so_gives_the_effort(write_robot, interface):
    path = write_robot('planar')
    path.write_text(path.read_text() + f'command: {{interface: {interface}}}\n')
    profile = load_profile(path)
    loop = Loop.of(profile)
    q, v, effort = np.array([[0.1, 0.2], [-0.5, 1.0], [3.0, -2.0]])
    command = loop.command(q, v, effort)
    if interface == 'effort':  # nothing but the motion is known
        np.testing.assert_array_equal(command, q)
        return
    stiffness, damping = profile.array('stiffness'), profile.array('damping')
    given = stiffness * (command - q) - damping * v
    if interface == 'velocity':
        given = damping * (command - v)
    np.testing.assert_allclose(given, effort)


def test_a_loop_without_gains_is_stiff(slider):
    command = Loop.of(slider).command(np.array([0.3]), np.array([1.0]), np.array([50.0]))
    np.testing.assert_array_equal(command, [0.3])
