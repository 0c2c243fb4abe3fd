import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.kinematics import Kinematics


@pytest.mark.parametrize('q', [(0.0, 0.0), (0.3, -0.7), (-1.2, 9.0)])
def test_planar_arm_closed_form(planar, q):
    """Two links of 0.3 m and 0.2 m in the x-z plane; the elbow is continuous."""
    first, second = q[0], q[0] + q[1]
    expected = [
        0.3 * np.sin(first) + 0.2 * np.sin(second),
        0.0,
        0.3 * np.cos(first) + 0.2 * np.cos(second),
    ]
    np.testing.assert_allclose(Kinematics(planar).position(np.array(q)), expected, atol=1e-12)


def test_pose_turns_with_the_joints(planar):
    _, rotation = Kinematics(planar).pose(np.array([0.3, 0.4]))
    np.testing.assert_allclose(rotation @ [0, 0, 1], [np.sin(0.7), 0, np.cos(0.7)], atol=1e-12)


def test_mimic_joint_follows(planar):
    """grip = 0.5 * elbow slides the finger out along the tool axis."""
    reach = [
        np.linalg.norm(
            Kinematics(planar).position(np.array([0.0, q]), 'finger')
            - Kinematics(planar).position(np.array([0.0, q]), 'forearm')
        )
        for q in (0.0, 0.1)
    ]
    assert reach[1] - reach[0] == pytest.approx(0.05)


def test_positions_count_from_the_base_link(planar, write_robot):
    from sim2real_core.profile import load_profile

    other = load_profile(write_robot('planar', base_link='pedestal'))
    q = np.array([0.3, 0.4])
    difference = Kinematics(planar).position(q) - Kinematics(other).position(q)
    np.testing.assert_allclose(difference, [0.0, 0.0, -0.5], atol=1e-12)


def test_unknown_link_is_named(planar):
    with pytest.raises(InputError, match='no such link'):
        Kinematics(planar).position(np.zeros(2), 'nope')
