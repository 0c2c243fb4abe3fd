"""Narrowing a space by an estimate."""

import dataclasses
import json
import math

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_core.records import Estimate, ParameterEstimate
from sim2real_randomizer.expressions import parse
from sim2real_randomizer.narrow import narrow, narrow_with_report, read_estimate
from sim2real_randomizer.space import load_space

ARM6 = load_profile('arm6')
MASS, VISCOUS = 'link.gripper.mass', 'joint.elbow.viscous_friction'
COULOMB, STATIC = 'joint.elbow.coulomb_friction', 'joint.elbow.static_friction'


@pytest.fixture
def prior():
    return load_space('arm6', ARM6)


def estimate(**of):
    """Estimates by a short name: (mean, std, status)."""
    addresses = dict(mass=MASS, viscous=VISCOUS, coulomb=COULOMB, com='link.gripper.com.x')
    return Estimate(0.0, {addresses[k]: ParameterEstimate(*v) for k, v in of.items()})


def test_identified_becomes_normal_around_the_mean(prior):
    space = narrow(prior, estimate(viscous=(6.0, 0.5, 'identified')), k_sigma=3, floor=0.02)
    drawn = space.draw_many(0, np.arange(4000))[VISCOUS]
    assert space.range(VISCOUS) == (4.5, 7.5)
    assert drawn.min() >= 4.5
    assert drawn.max() <= 7.5
    assert drawn.mean() == pytest.approx(6.0, abs=0.05)
    assert drawn.std() == pytest.approx(0.5, rel=0.05)


def test_uniform_on_request(prior):
    known = estimate(viscous=(6.0, 0.5, 'identified'))
    space = narrow(prior, known, k_sigma=2, shape='uniform')
    drawn = space.draw_many(0, np.arange(4000))[VISCOUS]
    assert space.range(VISCOUS) == (5.0, 7.0)
    assert drawn.std() == pytest.approx(2 / math.sqrt(12), rel=0.05)


def test_floor_on_the_width(prior):
    space = narrow(prior, estimate(viscous=(6.0, 1e-9, 'identified')), floor=0.1)
    assert space.range(VISCOUS) == pytest.approx((5.4, 6.6))
    assert space.draw_many(0, np.arange(4000))[VISCOUS].std() == pytest.approx(0.2, rel=0.05)
    exact = narrow(prior, estimate(viscous=(6.0, 0.0, 'identified')), floor=0)
    assert exact.draw(0, 0).values[VISCOUS] == 6.0


def test_cut_to_what_is_admissible(prior):
    space = narrow(prior, estimate(viscous=(0.1, 0.2, 'identified')), k_sigma=3)
    assert space.range(VISCOUS) == pytest.approx((0.0, 0.7))
    below = narrow(prior, estimate(viscous=(-0.1, 0.2, 'identified')), k_sigma=3)
    assert below.range(VISCOUS) == pytest.approx((0.0, 0.5))


@pytest.mark.parametrize('status', ['not_identified', 'stale'])
def test_the_rest_keeps_its_prior(prior, status):
    known = estimate(mass=(1.0, math.inf, status), viscous=(6.0, 0.5, 'identified'))
    space, changes = narrow_with_report(prior, known)
    reasons = {change.address: change.reason for change in changes}
    assert space.variations[MASS] == prior.variations[MASS]
    assert reasons[MASS] == status
    assert reasons[COULOMB] == 'not estimated'
    others = set(prior.addresses) - {VISCOUS}
    assert all(space.variations[a] == prior.variations[a] for a in others)
    before, after = prior.draw(1, 2), space.draw(1, 2)
    assert all(after.values[a] == before.values[a] for a in others)


def test_what_did_not_vary_is_added(prior):
    address = 'link.gripper.com.x'
    space, changes = narrow_with_report(prior, estimate(com=(0.01, 0.001, 'identified')))
    assert address not in prior.addresses
    assert space.range(address) == pytest.approx((0.007, 0.013))
    (change,) = (c for c in changes if c.address == address)
    assert (change.before, change.reason) == (None, 'added')
    unknown, changes = narrow_with_report(prior, estimate(com=(0.01, 0.001, 'stale')))
    assert address not in unknown.addresses
    (change,) = (c for c in changes if c.address == address)
    assert (change.after, change.reason) == (None, 'stale')


def test_what_starts_from_it_follows(prior):
    space = narrow(prior, estimate(coulomb=(7.0, 0.01, 'identified')), floor=0)
    values = space.draw_many(0, np.arange(200))
    assert (values[STATIC] >= values[COULOMB]).all()
    assert values[STATIC].max() <= 1.5 * 7.03 + 1e-9


def test_what_was_measured_is_believed_beyond_the_prior(prior):
    space = narrow(prior, estimate(viscous=(40.0, 1.0, 'identified')))
    assert space.range(VISCOUS) == (37.0, 43.0)


def test_an_impossible_estimate_is_left_aside(prior):
    space, changes = narrow_with_report(prior, estimate(mass=(-2.0, 0.1, 'identified')))
    assert space.variations[MASS] == prior.variations[MASS]
    assert 'not admissible' in {c.address: c.reason for c in changes}[MASS]


def test_the_prior_is_untouched_and_narrowing_does_not_add_up(prior):
    before = prior.content_hash
    first = narrow(prior, estimate(viscous=(6.0, 0.5, 'identified')))
    assert narrow(first, estimate(viscous=(6.0, 0.5, 'identified'))).variations == first.variations
    assert prior.content_hash == before != first.content_hash


def test_a_narrowed_space_is_a_readable_file(prior, tmp_path):
    space = narrow(prior, estimate(viscous=(6.0, 0.5, 'identified')))
    path = tmp_path / 'narrowed.yaml'
    path.write_text(space.to_yaml())
    assert load_space(path, ARM6).content_hash == space.content_hash
    assert f'{VISCOUS}: {{distribution: normal, mean: 6.0, std: 0.5, ' in path.read_text()


@pytest.mark.parametrize(
    ('arguments', 'field'),
    [({'k_sigma': 0}, 'k_sigma'), ({'floor': -1}, 'floor'), ({'shape': 'cauchy'}, 'shape')],
)
def test_bad_arguments(prior, arguments, field):
    with pytest.raises(InputError) as error:
        narrow(prior, estimate(), **arguments)
    assert [fault.field for fault in error.value.faults] == [field]


def test_an_estimate_of_another_robot(prior):
    stranger = Estimate(0.0, {'joint.j9.armature': ParameterEstimate(1.0, 0.1, 'identified')})
    with pytest.raises(InputError, match='j9'):
        narrow(prior, stranger)


def test_never_wider_than_the_prior_unless_told(prior):
    before = np.ptp(prior.range(VISCOUS))
    vague = estimate(viscous=(6.0, 100.0, 'identified'))
    low, high = narrow(prior, vague, floor=0).range(VISCOUS)
    assert (low, high) == pytest.approx((6.0 - before / 2, 6.0 + before / 2))
    low, high = narrow(prior, vague, floor=0, ceiling=0.5).range(VISCOUS)
    assert high - low == pytest.approx(before / 2)
    low, high = narrow(prior, vague, floor=0.9, ceiling=0.01).range(VISCOUS)
    assert high - low == pytest.approx(2 * 0.9 * 6.0)


def tied():
    known = estimate(viscous=(6.0, 0.5, 'identified'), coulomb=(4.0, 0.2, 'identified'))
    covariance = np.array([[0.25, -0.08], [-0.08, 0.04]])
    return Estimate(0.0, known.parameters, (VISCOUS, COULOMB), covariance)


def test_correlations_on_request(prior, tmp_path):
    space = narrow(prior, tied(), shape='joint', floor=0)
    drawn = space.draw_many(0, np.arange(20000))
    together = np.corrcoef(drawn[VISCOUS], drawn[COULOMB])[0, 1]
    assert together == pytest.approx(-0.8, abs=0.02)
    assert space.range(VISCOUS) == (4.5, 7.5)
    assert drawn[VISCOUS].min() >= 4.5
    path = tmp_path / 'narrowed.yaml'
    path.write_text(space.to_yaml())
    assert load_space(path, ARM6).draw(1, 2).values == space.draw(1, 2).values
    wider = narrow(prior, tied(), shape='joint', floor=0.5).draw_many(0, np.arange(20000))
    assert np.corrcoef(wider[VISCOUS], wider[COULOMB])[0, 1] == pytest.approx(-0.8, abs=0.02)
    assert wider[VISCOUS].std() == pytest.approx(1.0, rel=0.05)


def test_constraints_stay(prior):
    held = dataclasses.replace(prior, constraints={'a': parse(f'{STATIC} < 100')})
    assert narrow(held, tied()).constraints == held.constraints


def test_an_estimate_from_a_file(prior, tmp_path):
    path = tmp_path / 'estimate.json'
    known = estimate(viscous=(6.0, 0.5, 'identified'), mass=(1.0, math.inf, 'not_identified'))
    path.write_text(json.dumps(known.as_json()))
    back = read_estimate(path)
    assert narrow(prior, back).content_hash == narrow(prior, known).content_hash
    path.write_text(
        json.dumps(
            {
                **tied().as_json(),
                '__covariance__': {
                    'order': [VISCOUS, COULOMB], 'value': tied().covariance.tolist()
                },
            }
        )
    )  # fmt: skip
    assert (
        narrow(prior, read_estimate(path), shape='joint').content_hash
        == narrow(prior, tied(), shape='joint').content_hash
    )


@pytest.mark.parametrize(
    ('text', 'field'),
    [
        ('[1]', 'estimate'),
        ('{', 'estimate'),
        ('{"link.gripper.mass": 3}', MASS),
        ('{"link.gripper.mass": {"mean": 1, "std": -1}}', MASS),
        ('{"link.gripper.mass": {"mean": NaN, "std": 1}}', MASS),
        ('{"link.gripper.mass": {"mean": 1, "std": 1, "status": "sure"}}', MASS),
        ('{"gripper.mass": {"mean": 1, "std": 1}}', 'address'),
        ('{"__covariance__": {"order": ["a"], "value": []}}', '__covariance__'),
    ],
)
def test_faults_of_an_estimate_file(tmp_path, text, field):
    path = tmp_path / 'estimate.json'
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_estimate(path)
    assert [fault.field for fault in error.value.faults] == [field]
