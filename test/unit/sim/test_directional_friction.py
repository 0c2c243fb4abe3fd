"""Friction that differs between the directions, in the embedded simulator."""

import dataclasses

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.profile_sections import Command
from sim2real_sim.mujoco_simulator import MujocoSimulator

FRICTION = {
    'joint.slider.viscous_friction.positive': 160.0,
    'joint.slider.viscous_friction.negative': 240.0,
    'joint.slider.coulomb_friction.positive': 18.0,
    'joint.slider.coulomb_friction.negative': 25.0,
}


@pytest.fixture(name='slider')
def fixture_slider():
    """Two sliders that take forces, with ends far away."""
    profile = load_profile('slider')
    joints = (dataclasses.replace(profile.joints[0], lower=-100.0, upper=100.0),)
    profile = dataclasses.replace(profile, joints=joints, command=Command(interface='effort'))
    return MujocoSimulator(profile, nsim=2, contacts=False)


def test_final_speed_is_that_of_each_direction(slider):
    assert set(slider.apply(FRICTION).values()) == {'verified'}
    slider.reset()
    slider.command([[40.0], [-40.0]])
    slider.step(5000)  # ten time constants of mass over damping
    forward, backward = slider.state()[1][:, 0]
    assert forward == pytest.approx((40.0 - 18.0) / 160.0, rel=1e-3)
    assert backward == pytest.approx(-(40.0 - 25.0) / 240.0, rel=1e-3)


@pytest.mark.parametrize(('force', 'moves'), [(17.5, False), (18.5, True), (-24.5, False),
                                              (-25.5, True)])  # fmt: skip
def test_breaks_away_at_the_friction_of_the_direction(slider, force, moves):
    slider.apply(FRICTION)
    slider.reset()
    slider.command([[force], [force]])
    slider.step(2000)
    assert (np.abs(slider.state()[1]) > 5e-4).all() == moves


def test_another_draw_makes_both_directions_alike_again(slider):
    slider.apply(FRICTION)
    assert slider.get('joint.slider.viscous_friction').tolist() == [200.0, 200.0]
    slider.apply({'joint.slider.viscous_friction': 170.0})
    for way in ('positive', 'negative'):
        assert slider.get(f'joint.slider.viscous_friction.{way}').tolist() == [170.0, 170.0]
        assert slider.get(f'joint.slider.coulomb_friction.{way}').tolist() == [20.0, 20.0]


def test_one_value_and_one_of_a_direction_are_refused(slider):
    with pytest.raises(InputError, match='both directions'):
        slider.apply(
            {'joint.slider.viscous_friction': 1.0, 'joint.slider.viscous_friction.positive': 2.0}
        )
