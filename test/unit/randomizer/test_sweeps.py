"""Sweeps for evaluations."""

import numpy as np
import pytest
from scipy.stats import qmc

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_randomizer.distributions import LogUniform, Normal, Uniform
from sim2real_randomizer.expressions import parse
from sim2real_randomizer.joint import JointEmpirical, JointNormal, Member
from sim2real_randomizer.space import Space, Variation, load_space
from sim2real_randomizer.sweeps import grid, sweep

ARM6 = load_profile('arm6')
MASS, GAIN, COM = 'link.gripper.mass', 'actuator.elbow.gain', 'link.gripper.com.x'
STATIC, COULOMB = 'joint.elbow.static_friction', 'joint.elbow.coulomb_friction'
TWO = {
    MASS: Variation(Uniform(1.0, 2.0)),
    GAIN: Variation(LogUniform(0.5, 2.0), 'scale'),
}
SPACE = Space(ARM6, TWO)


def unit_square(worlds):
    return np.column_stack([worlds[MASS] - 1.0, np.log2(worlds[GAIN]) / 2 + 0.5])


@pytest.mark.parametrize('method', ['sobol', 'latin_hypercube'])
def test_a_sweep_is_more_even_than_draws(method):
    swept = qmc.discrepancy(unit_square(sweep(SPACE, method, 256)))
    drawn = qmc.discrepancy(unit_square(SPACE.draw_many(0, 0, np.arange(256))))
    assert swept < 0.2 * drawn


@pytest.mark.parametrize('method', ['sobol', 'latin_hypercube'])
def test_every_slice_is_hit(method):
    points = unit_square(sweep(SPACE, method, 64, seed=3))
    for column in points.T:
        counts, _ = np.histogram(column, 64, (0, 1))
        assert (counts == 1).all()


def test_a_sweep_is_a_function_of_its_arguments():
    whole = load_space('arm6', ARM6)
    once, again = (sweep(whole, 'sobol', 100, seed=4) for _ in range(2))
    other = sweep(Space(ARM6, dict(reversed(whole.variations.items()))), 'sobol', 100, seed=4)
    for address, values in once.items():
        assert values.shape == (100,)
        np.testing.assert_array_equal(values, again[address])
        np.testing.assert_array_equal(values, other[address])
        low, high = whole.range(address)
        assert low <= values.min()
        assert values.max() <= high
    assert (sweep(whole, 'sobol', 100, seed=5)[MASS] != once[MASS]).any()


def test_joint_distributions_and_constraints():
    normal = JointNormal('both', (STATIC, COULOMB), (6.0, 5.0), ((4.0, 1.0), (1.0, 4.0)))
    rows = JointEmpirical('rows', (MASS, COM), ((1.0, 0.1), (2.0, 0.2)))
    space = Space(
        ARM6,
        {a: Variation(Member(j, a)) for j in (normal, rows) for a in j.addresses},
        None,
        {'breaks': parse(f'{STATIC} > {COULOMB}')},
    )
    worlds = sweep(space, 'sobol', 512)
    assert (worlds[STATIC] > worlds[COULOMB]).all()
    np.testing.assert_array_equal(worlds[COM], worlds[MASS] / 10)
    assert (worlds[MASS] == 1.0).mean() == pytest.approx(0.5, abs=0.01)


def test_moments_of_a_normal_are_hit_closely():
    space = Space(ARM6, {MASS: Variation(Normal(2.0, 0.1))})
    values = sweep(space, 'sobol', 1024)[MASS]
    assert values.mean() == pytest.approx(2.0, abs=1e-4)
    assert values.std() == pytest.approx(0.1, rel=0.01)


def test_grid():
    worlds = grid({MASS: [1, 2], GAIN: [0.5, 1.0, 1.5]}, ARM6)
    assert worlds[MASS].tolist() == [1, 1, 1, 2, 2, 2]
    assert worlds[GAIN].tolist() == [0.5, 1.0, 1.5] * 2


def test_faults():
    with pytest.raises(InputError) as error:
        sweep(SPACE, 'halton', 0, seed=-1)
    assert [fault.field for fault in error.value.faults] == ['method', 'count', 'seed']
    with pytest.raises(InputError) as error:
        grid({MASS: [-1.0], GAIN: [], 'link.griper.mass': [1], COM: [np.nan]}, ARM6)
    assert [fault.field for fault in error.value.faults] == [MASS, GAIN, 'address', COM]


def test_nothing_varies():
    assert sweep(load_space('none', ARM6), 'sobol', 4) == {}
