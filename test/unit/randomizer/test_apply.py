"""A draw reaches the simulator, and its outcomes are what the engine has."""

from dataclasses import replace

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.records import Draw
from sim2real_randomizer.apply import apply_draw, checked, failed
from sim2real_randomizer.distributions import Constant
from sim2real_randomizer.episodes import settled
from sim2real_randomizer.space import Space, Variation, load_space

ARM6 = load_profile('arm6')
MASS, GAIN = 'link.gripper.mass', 'actuator.elbow.gain'


class Echo:
    """Claims that everything is verified, and keeps some values to itself."""

    def __init__(self, **engine):
        self.engine = engine
        self.said = {}

    def apply(self, values, ids=None):
        self.said = dict(values)
        return dict.fromkeys(values, 'verified')

    def get(self, address):
        return np.broadcast_to(self.engine.get(address, self.said[address]), (3,))


def test_an_echo_is_not_a_verification():
    draw = Draw(0, 0, values={MASS: 2.0, GAIN: 1.1})
    outcomes = apply_draw(Echo(**{MASS: 0.8}), draw).outcomes
    assert outcomes == {MASS: 'failed', GAIN: 'verified'}


def test_each_chosen_simulation_is_read_back():
    draw = Draw(0, 0, values={MASS: 2.0})
    echo = Echo(**{MASS: [2.0, 0.8, 2.0]})
    assert apply_draw(echo, draw).outcomes == {MASS: 'failed'}
    assert apply_draw(echo, draw, [0, 2]).outcomes == {MASS: 'verified'}
    assert apply_draw(echo, draw, np.array([True, False, True])).outcomes == {MASS: 'verified'}


def test_outcomes_are_kept_and_missing_ones_are_failures():
    draw = Draw(0, 0, values={MASS: 2.0, GAIN: 1.1, 'world.timestep': 0.001})
    said = {MASS: 'unsupported', GAIN: 'applied'}
    outcomes = checked(draw, said, {}).outcomes
    assert outcomes == {MASS: 'unsupported', GAIN: 'applied', 'world.timestep': 'failed'}
    assert failed(checked(draw, said, {})) == (MASS, 'world.timestep')


@pytest.mark.parametrize('read', [np.nan, 2.0001, None])
def test_verified_needs_the_value(read):
    draw = Draw(0, 0, values={MASS: 2.0})
    values = {} if read is None else {MASS: read}
    assert checked(draw, {MASS: 'verified'}, values).outcomes == {MASS: 'failed'}


def test_a_simulator_says_how_exactly_it_reads_back():
    draw = Draw(0, 0, values={MASS: 2.0})
    answer = Draw(0, 0, values={MASS: 2.00001}, outcomes={MASS: 'verified'})
    assert settled(draw, answer).outcomes == {MASS: 'failed'}
    six_digits = replace(answer, tolerance=1e-5)
    assert settled(draw, six_digits).outcomes == {MASS: 'verified'}


@pytest.fixture
def simulator():
    return pytest.importorskip('sim2real_sim.mujoco_simulator').MujocoSimulator(ARM6, nsim=2)


def world(simulator, seed=0):
    """What a world does: 60 steps under a command, in bits."""
    simulator.reset(seed=seed)
    seen = []
    for k in range(6):
        simulator.command(ARM6.array('default_position') + 0.05 * np.sin(k + np.arange(6)))
        simulator.step(10)
        seen.append(np.stack(simulator.read()[1:]))
    return np.array(seen).tobytes()


@pytest.mark.parametrize('name', ['arm6', 'arm6_surrogate'])
def test_shipped_spaces_are_verified(simulator, name):
    space = load_space(name, ARM6)
    draw = apply_draw(simulator, space.draw(1, 2, nominal=simulator.nominal))
    assert set(draw.outcomes) == set(space.addresses)
    assert set(draw.outcomes.values()) == {'verified'}
    for address, value in draw.values.items():
        np.testing.assert_allclose(simulator.get(address), value, rtol=1e-9, atol=1e-12)


def test_no_width_changes_nothing_to_the_bit(simulator):
    untouched = world(simulator)
    prior = load_space('arm6', ARM6)
    still = Space(
        ARM6,
        {
            address: Variation(Constant(1.0), 'scale', variation.of)
            for address, variation in prior.variations.items()
        },
    )
    draw = apply_draw(simulator, still.draw(5, 6, nominal=simulator.nominal))
    assert len(draw.values) > 60
    assert failed(draw) == ()
    assert world(simulator) == untouched
    apply_draw(simulator, load_space('none', ARM6).draw(5, 6))
    assert world(simulator) == untouched
    apply_draw(simulator, prior.draw(5, 6))
    assert world(simulator) != untouched


def test_ten_resets_with_one_key_give_one_world(simulator):
    space = load_space('arm6', ARM6)
    random = np.random.default_rng(0)
    worlds = set()
    for k in range(10):
        apply_draw(simulator, space.draw(3, 4))
        worlds.add(world(simulator))
        # Anything may happen in between: other draws, motion of any length, poses.
        apply_draw(simulator, space.draw(3, int(random.integers(1000)), k))
        simulator.step(int(random.integers(1, 50)))
        simulator.reset(position=random.uniform(-0.5, 0.5, 6), seed=k)
    assert len(worlds) == 1


def test_an_impossible_value_applies_nothing(simulator):
    before = simulator.get(GAIN)
    with pytest.raises(InputError, match='mass'):
        apply_draw(simulator, Draw(0, 0, values={GAIN: 1.5, MASS: 0.0}))
    np.testing.assert_array_equal(simulator.get(GAIN), before)


def test_unsupported_is_said(simulator):
    draw = apply_draw(simulator, Draw(0, 0, values={'visual.gripper.texture': 1.0}))
    assert draw.outcomes == {'visual.gripper.texture': 'unsupported'}
    assert failed(draw) == ('visual.gripper.texture',)
