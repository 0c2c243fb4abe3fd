"""Bodies in batch: what can be told of them, and only what can exist."""

import dataclasses
import json
from collections import defaultdict

import numpy as np
import pytest
from lxml import etree

from sim2real_core.records import Estimate
from sim2real_core.urdf import parse_urdf
from sim2real_sysid.batch.base import independent
from sim2real_sysid.batch.bodies import QUANTITIES, SIZE, Bodies, Link, possible
from sim2real_sysid.batch.config import FitConfig
from sim2real_sysid.batch.data import RawRecording
from sim2real_sysid.batch.fit import fit
from sim2real_sysid.batch.report import page, si
from sim2real_sysid.batch.scores import Scores
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.export import to_urdf

NONE = Scores(np.nan, {}, {}, {}, 'effort')
TOOL = np.array([1.6, 0.05, -0.03, 0.12, 0.03, 0.02, 0.025, 0.002, -0.003, 0.001])
"""A payload that is nothing like the URDF's, in the order of QUANTITIES."""
CONFIG = FitConfig(method='least_squares', heldout=0.0, threads=1)


@pytest.fixture(scope='module', name='arm')
def fixture_arm(tmp_path_factory):
    """Three joints whose axes point three ways: everything of the tool but little else shows."""
    from test.unit.sysid.conftest import PENDULUM, write_profile

    urdf = PENDULUM.replace('TYPE', 'revolute')
    urdf = urdf.replace('type="fixed"', 'type="revolute"').replace(
        '<origin xyz="0 0 0.3"/>',
        '<origin xyz="0 0 0.3" rpy="0.4 0 0"/><axis xyz="1 0 0"/>'
        '<limit lower="-3" upper="3" velocity="4" effort="10"/>'
        '<dynamics damping="0.1" friction="0.1"/>',
    )
    urdf = urdf.replace('<axis xyz="0 1 0"/>', '<axis xyz="0 0 1"/>', 1)
    urdf = urdf.replace('<parent link="base"/>', '<parent link="base"/><origin rpy="0.7 0.2 0"/>')
    folder = tmp_path_factory.mktemp('arm3')
    return write_profile(folder, urdf, ('hip', 'knee', 'flange'), payload_link='tool')


@pytest.fixture(name='unscored', autouse=True)
def fixture_unscored(monkeypatch):
    """Fits are not scored by simulation, which takes most of the time."""
    monkeypatch.setattr('sim2real_sysid.batch.fit.score', lambda *args, **kwargs: NONE)


def moved(profile, change, seconds=25.0, late=0.0, seed=0):
    """A log (profile's friction, no rotors) of bodies that a change (10 nb,) is added to."""
    rng = np.random.default_rng(seed)
    stamp, nj = np.arange(0.0, seconds, 0.005), len(profile.joints)
    speed = rng.uniform(0.8, 4.0, (5, nj))
    angle = stamp[:, None, None] * speed + rng.uniform(0, 6, (5, nj))
    size = rng.uniform(0.15, 0.4, (5, nj))
    q = (size * np.sin(angle)).sum(axis=1)
    v = (size * speed * np.cos(angle)).sum(axis=1)
    a = -(size * speed**2 * np.sin(angle)).sum(axis=1)
    bodies = Bodies(profile)
    columns = bodies.columns(np.stack([q, v, a], axis=1), (bodies.nominal + change)[:, None])
    effort = columns[:, :, 0] + profile.array('viscous_friction') * v
    effort += profile.array('coulomb_friction') * np.sign(v)
    if late:
        effort = np.stack([np.interp(stamp - late, stamp, e) for e in effort.T], axis=1)
    effort += 0.02 * rng.normal(size=q.shape)
    q = q + 2e-5 * rng.normal(size=q.shape)
    return RawRecording('log', stamp, q, effort, np.zeros(0), np.zeros((0, nj)))


def with_tool(profile, values, **keys):
    """A log of the robot with another tool."""
    link, bodies = Link(profile, 'tool'), Bodies(profile)
    change = bodies.payload @ (link.dynamic(values) - link.dynamic(link.nominal))
    return moved(profile, change, **keys)


@pytest.fixture(scope='module', name='loaded')
def fixture_loaded(arm):
    """What is found of the arm with the tool, and of all its bodies."""
    patch = pytest.MonkeyPatch()
    patch.setattr('sim2real_sysid.batch.fit.score', lambda *args, **kwargs: NONE)
    config = dataclasses.replace(CONFIG, bodies='all')
    found = fit(arm, [with_tool(arm, TOOL)], config, model='symmetric')
    patch.undo()
    return found


def test_columns_are_the_efforts_of_the_urdf(arm):
    """With the payload's mass changed in the text, against the other way to them."""
    bodies, body = Bodies(arm), RigidBody(arm)
    states = np.random.default_rng(0).normal(size=(8, 3, 3))
    added = np.zeros(SIZE)
    link = Link(arm, 'tool')
    heavier = link.nominal[:4] * [2.0, 1.0, 1.0, 1.0]  # twice the mass, inertia in proportion
    added = link.dynamic(heavier) - link.dynamic(link.nominal)
    ours = bodies.columns(states, np.column_stack([bodies.nominal, bodies.payload @ added]))
    for k, state in enumerate(states):
        nominal, per_kilogram = body.efforts(*state)
        assert ours[k, :, 0] == pytest.approx(nominal, abs=1e-9)
        assert ours[k, :, 1] == pytest.approx(link.nominal[0] * per_kilogram, abs=1e-9)


@pytest.mark.parametrize('size', [4, SIZE])
def test_derivative_of_the_dynamic_parameters(arm, size):
    link = Link(arm, 'tool')
    slope = link.derivative(TOOL[:size])
    for k in range(size):
        step = np.zeros(size)
        step[k] = 1e-5
        change = link.dynamic(TOOL[:size] + step) - link.dynamic(TOOL[:size] - step)
        assert slope[:, k] == pytest.approx(change / 2e-5, abs=1e-8)


def test_values_come_back_from_dynamic_parameters(arm):
    link = Link(arm, 'tool')
    assert link.values(link.dynamic(TOOL)) == pytest.approx(TOOL, abs=1e-12)
    assert possible(link.dynamic(TOOL))
    assert possible(link.dynamic(link.nominal))


@pytest.mark.parametrize(
    'inertia',
    [
        [0.03, 0.02, -0.001, 0.0, 0.0, 0.0],  # not positive
        [0.03, 0.01, 0.01, 0.0, 0.0, 0.0],  # no triangle
        [0.03, 0.02, 0.025, 0.03, 0.0, 0.0],  # not definite
    ],
)
def test_what_cannot_exist_becomes_the_nearest_body_that_can(arm, inertia):
    link = Link(arm, 'tool')
    wrong = np.concatenate([TOOL[:4], inertia])
    covariance = np.diag(np.concatenate([[1e-4], np.full(3, 1e-6), np.full(6, 1e-5)]))
    found = link.nearest(wrong, covariance)
    assert not possible(link.dynamic(wrong))
    assert possible(link.dynamic(found))
    moments = np.linalg.eigvalsh(tensor_of(found))
    assert moments[0] > 0 and moments[2] < moments[0] + moments[1]
    assert found[:4] == pytest.approx(wrong[:4], abs=0.05)
    assert link.nearest(TOOL, covariance) == pytest.approx(TOOL)


def tensor_of(values):
    xx, yy, zz, xy, xz, yz = values[4:]
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def test_the_whole_payload_is_found_within_its_intervals(loaded):
    """Of the free inertia, which the motion tells: nothing like the nominal one."""
    misses = 0
    for name, truth in zip(QUANTITIES, TOOL):
        found = loaded.parameters[f'link.tool.{name}']
        assert abs(found.mean - truth) <= 4 * found.std, name
        misses += abs(found.mean - truth) > 2 * found.std
    assert misses <= 2
    for axis in 'xyz':
        found = loaded.parameters[f'link.tool.com.{axis}']
        assert found.status == 'identified' and found.std < 0.005


def test_an_inertia_is_identified_as_a_whole_or_not_at_all(loaded):
    states = {p.status for a, p in loaded.parameters.items() if '.inertia.' in a}
    assert len(states) == 1
    found = loaded.best.found
    sharp = dataclasses.replace(found, covariance=found.covariance * 1e-12)
    place = found.layout.addresses.index('link.tool.inertia.xy')
    assert sharp.certain(0.1)[place]
    vague = sharp.covariance.copy()
    vague[place, place] = 1.0
    flags = dataclasses.replace(sharp, covariance=vague).certain(0.1)
    assert not flags[found.layout.link][4:].any() and flags[found.layout.link][:4].all()


def test_inertia_that_makes_no_difference_follows_the_mass(arm):
    link = Link(arm, 'tool')
    heavier = link.whole(np.array([0.9, *link.nominal[1:4]]))
    found = fit(arm, [with_tool(arm, heavier, seconds=12.0)], CONFIG, model='symmetric')
    assert found.parameters['link.tool.mass'].mean == pytest.approx(0.9, rel=0.02)
    assert not any('.inertia.' in address for address in found.parameters)


def test_what_was_found_of_the_payload_is_written(arm, loaded):
    made = to_urdf(arm, Estimate(stamp=0.0, parameters=loaded.parameters))
    after = parse_urdf(made.text, arm.urdf.path).links['tool']
    assert after.mass == pytest.approx(TOOL[0], rel=0.03)
    assert after.com == pytest.approx(TOOL[1:4], abs=0.005)
    origin = etree.fromstring(made.text.encode()).find('link[@name="tool"]/inertial/origin')
    assert origin.get('rpy') == '0.3 0.2 0.1'


def test_late_efforts_are_not_taken_for_friction(arm):
    """A loop through the gravity field would look like it."""
    link = Link(arm, 'tool')
    log = with_tool(arm, link.nominal, seconds=15.0, late=0.01)
    errors = {}
    for model in ('symmetric', 'symmetric_late'):
        found = fit(arm, [log], CONFIG, model=model).parameters
        truth = arm.array('viscous_friction')
        names = [f'joint.{joint}.viscous_friction' for joint in arm.joint_names]
        errors[model] = np.array([found[name].mean for name in names]) / truth - 1.0
        assert not any(address.startswith('sensor.') for address in found)
    assert np.abs(errors['symmetric']).max() > 0.1
    assert np.abs(errors['symmetric_late']).max() < 0.03


# Base parameters


def test_dependent_columns_are_sums_of_those_before():
    rng = np.random.default_rng(0)
    free = rng.normal(size=(50, 3)) * [1.0, 1e3, 1e-3]
    regressor = np.column_stack(
        [free[:, 0], free[:, 1], 2.0 * free[:, 0] - free[:, 1], np.zeros(50), free[:, 2]]
    )
    columns, sums = independent(regressor)
    assert columns.tolist() == [0, 1, 4]
    assert regressor[:, columns] @ sums == pytest.approx(regressor, abs=1e-9)
    assert sums[:, 2] == pytest.approx([2.0, -1.0, 0.0])
    assert not sums[:, 3].any()


def test_base_parameters_of_a_planar_arm_are_those_of_the_books(pendulum):
    """Two joints about parallel axes: the hip's rotor shows with its link's inertia alone."""
    log = moved(pendulum, np.zeros(2 * SIZE), seconds=12.0)
    config = dataclasses.replace(CONFIG, bodies='all')
    whole = fit(pendulum, [log], config, model='symmetric').whole
    assert len(whole.base) == 7  # the knee's rotor turns faster than its link and shows alone
    hip = [one.terms for one in whole.base if 'upper.inertia.yy' in one.terms]
    assert hip
    for terms in hip:
        assert terms['joint.hip.armature'] == pytest.approx(terms['upper.inertia.yy'])
    for one in whole.base:
        assert one.mean == pytest.approx(one.nominal, abs=max(4.0 * one.std, 1e-4))


def test_base_parameters_are_those_of_the_tool_that_is_there(arm, loaded):
    link, bodies = Link(arm, 'tool'), Bodies(arm)
    change = bodies.payload @ (link.dynamic(TOOL) - link.dynamic(link.nominal))
    truth = dict(zip(names_of(bodies), bodies.nominal + change))
    truth.update({f'joint.{j}.armature': 0.0 for j in arm.joint_names})
    missed, known = [], 0
    for one in loaded.whole.base:
        true = sum(factor * truth[name] for name, factor in one.terms.items())
        missed.append(abs(one.mean - true) > 2.5 * one.std)
        known += one.status == 'identified'
    assert np.mean(missed) <= 0.15
    assert known > 0.5 * len(loaded.whole.base)


def names_of(bodies):
    from sim2real_sysid.batch.base import TERMS

    return [f'{link}.{term}' for link in bodies.names for term in TERMS]


def test_bodies_can_exist_and_say_what_is_not_known_of_them(loaded):
    bodies = loaded.whole.bodies
    assert set(bodies) == {'upper', 'lower', 'tool'}
    for body in bodies.values():
        xx, xy, yy, xz, yz, zz = body.inertia
        moments = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert body.mass > 0 and moments[0] > 0 and moments[2] < moments[0] + moments[1]
    # Its mass shows in nothing: it hangs on the first axis.
    assert bodies['upper'].status['mass'] == 'not_identified'
    assert bodies['tool'].com == pytest.approx(TOOL[1:4], abs=0.02)
    assert json.loads(json.dumps(loaded.as_json()))['bodies']['tool']['mass'] > 0


def test_the_report_shows_bodies_and_sums(loaded):
    numbers = loaded.as_json() | {'models': []}  # nothing was simulated
    shown = page(numbers, defaultdict(str), {})
    assert '<h2>Bodies</h2>' in shown and '<h2>Base parameters</h2>' in shown
    for link, body in numbers['bodies'].items():
        assert f'<tr><td>{link}</td>' in shown
        assert f'{si(body["mass"])} ± {si(body["std"][0])}' in shown
        assert f'{si(body["inertia"][5])} ± {si(body["std"][9])}' in shown
    for one in numbers['base']:
        assert all(address in shown for address in one['terms'])
        assert f'<td class="n">{si(one["mean"])}</td>' in shown
    for name in ('base', 'bodies'):
        del numbers[name]
    assert 'Bodies' not in page(numbers, defaultdict(str), {})
