"""The probes on MuJoCo, and on engines that are wrong in known ways: they must be found out."""

import json
import math

import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space
from sim2real_sim import rendering
from sim2real_sim.mujoco_world import MujocoWorld
from sim2real_sim.verify.models import MASS
from sim2real_sim.verify.probes import judge
from sim2real_sim.verify.run import KINDS, PROBES, REQUIRED, verify
from sim2real_sim.verify.table import (
    Finding,
    load_table,
    missing,
    quantity_of,
    respawning,
    rows,
    unverified,
)
from sim2real_sim.world import WorldError

SLOW = ('noise', 'dropout')  # tens of thousands of samples


def probes(*kinds):
    return [probe for probe in PROBES if probe.kind in kinds]


def found(world, *kinds, routes=()):
    (row,) = rows(verify(world, probes(*kinds), routes))
    return row


class Echo(MujocoWorld):
    """Says that it has every value, and changes nothing."""

    def apply(self, model, values, route=''):
        super().apply(model, {}, route)
        self.told = dict(values)
        return dict.fromkeys(values, 'verified')

    def get(self, model, address):
        return self.told.get(address, super().get(model, address))

    def set_pose(self, model, pose):
        self.told = {'pose': pose}


class Biased(MujocoWorld):
    """Takes values by some percent wrong."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def apply(self, model, values, route=''):
        wrong = {a: v * self.factor for a, v in values.items()}
        return super().apply(model, wrong, route)


class Lost(MujocoWorld):
    def apply(self, model, values, route=''):
        raise WorldError('no answer within 5 s')


@pytest.mark.parametrize(
    'probe',
    [p for p in PROBES if p.kind not in ('light', 'color') and not p.address.endswith(SLOW)],
    ids=lambda probe: probe.address or probe.kind,
)
def test_mujoco_is_verified_and_an_echo_is_not(probe):
    (finding,) = verify(MujocoWorld(), [probe])
    assert (finding.status, finding.note) == ('verified', '')
    assert finding.error <= probe.bar
    (finding,) = verify(Echo(), [probe])
    assert finding.status == 'no_effect'


def test_pictures_are_verified_where_they_can_be_taken():
    try:
        rendering.find_backend()
    except rendering.MissingError:
        (row,) = rows(verify(MujocoWorld(), probes('light')))
        assert (row['status'], row['error']) == ('unsupported', None)
        assert 'apt install' in row['note']
        return
    assert found(MujocoWorld(), 'light')['status'] == 'verified'
    assert found(MujocoWorld(), 'color')['status'] == 'verified'
    assert found(Echo(), 'light')['status'] == 'no_effect'
    assert found(Echo(), 'color')['status'] == 'no_effect'


@pytest.mark.parametrize(
    'kind', ['gravity', 'mass', 'inertia', 'com', 'friction', 'viscous_friction', 'armature']
)
def test_three_percent_too_much_are_noticed(kind):
    row = found(Biased(1.03), kind)
    assert row['status'] == 'no_effect'
    assert row['error'] > 0.01
    assert 'not as predicted' in row['note']


def test_an_error_within_the_bar_is_not_held_against_an_engine():
    row = found(Biased(1.004), 'mass')
    assert row['status'] == 'verified'
    assert row['error'] == pytest.approx(0.004, rel=0.01)


def test_a_world_without_answer_is_reported_and_the_rest_tried():
    table = rows(verify(Lost(), probes('mass', 'pose')))
    assert [(row['kind'], row['status']) for row in table] == [
        ('mass', 'no_effect'),
        ('pose', 'verified'),
    ]
    assert 'no answer' in table[0]['note']


def test_only_the_wanted_routes_are_tried():
    assert not verify(MujocoWorld(), probes('mass'), ['respawn'])
    assert found(MujocoWorld(), 'mass', routes=['live'])['route'] == 'live'


def test_what_a_world_does_not_have_is_unsupported():
    class Poor(MujocoWorld):
        def routes(self, address):
            return () if address.startswith('surface') else super().routes(address)

    assert found(Poor(), 'friction') == {
        'kind': 'friction',
        'route': '',
        'status': 'unsupported',
        'error': None,
        'quantities': {'surface.friction': 'unsupported'},
        'note': 'no route',
    }


@pytest.mark.parametrize(
    'outcomes, status, error',
    [
        ((2.0, 0.5), 'verified', 0.0),
        ((2.0, 0.504), 'verified', 0.008),
        ((2.0, 0.5075), 'no_effect', 0.015),
        ((2.0, 2.0), 'no_effect', 3.0),
        ((1.0, 1.1), 'no_effect', 1.2),
        ((math.inf, 0.5), 'no_effect', math.inf),
        ((math.nan, 0.5), 'no_effect', math.nan),
    ],
)
def test_how_outcomes_are_judged(outcomes, status, error):
    (probe,) = probes('mass')  # 2 / 1 and 2 / 4 metres a second
    assert [probe.predict(v) for v in probe.values] == [2.0, 0.5]
    judged = judge(probe, outcomes)
    assert judged[0] == status
    np.testing.assert_allclose(judged[1], error)


def test_a_row_is_as_good_as_its_worst_quantity():
    one = Finding('com', 'link.com.x', 'live', 'verified', 0.001)
    other = Finding('com', 'link.com.y', 'live', 'no_effect', 0.3, 'link.com.y: not as predicted')
    table = {'rows': rows([one, other, one._replace(route='respawn', quantity='link.com.y')])}
    assert [row['status'] for row in table['rows']] == ['no_effect', 'verified']
    assert table['rows'][0]['error'] == 0.3
    assert missing(table, ['com', 'mass']) == ['mass']
    assert unverified(['link.hand.com.y', 'link.hand.com.z'], table) == ('link.hand.com.z',)


def test_every_required_kind_has_a_probe():
    for kinds in REQUIRED.values():
        assert set(kinds) <= set(KINDS)


def test_the_shipped_table_of_mujoco_covers_the_shipped_space():
    table = load_table('mujoco')
    assert not missing(table, REQUIRED['mujoco'])
    assert table['version'].startswith('mujoco ')
    asked = load_space('arm6', load_profile('arm6')).variations
    assert unverified(asked, table) == ()
    probed = {quantity_of(probe.address) for probe in PROBES if probe.address}
    assert {q for row in table['rows'] for q in row['quantities']} == probed


def test_addresses_that_no_probe_saw_obeyed_are_named():
    table = load_table('mujoco')
    asked = ['link.gripper.mass', 'camera.front.exposure', 'surface.hand.friction']
    assert unverified(asked, table) == ('camera.front.exposure',)
    with pytest.raises(InputError, match='link.gripper.weight'):
        unverified(['link.gripper.weight'], table)


def test_what_takes_a_respawn_is_known():
    table = load_table('gazebo_classic')
    asked = ['link.hand.mass', 'joint.elbow.viscous_friction', 'world.gravity.z']
    assert respawning(asked, table) == ('joint.elbow.viscous_friction',)
    assert respawning(asked, load_table('mujoco')) == ()


def test_a_table_of_ones_own(tmp_path):
    table = {'backend': 'x', 'version': '1', 'rows': rows(verify(MujocoWorld(), probes('mass')))}
    (tmp_path / 'own.json').write_text(json.dumps(table))
    assert load_table(tmp_path / 'own.json') == table
    for text in ('{', '[]', '{"rows": [1]}', '{"rows": [{}]}'):
        (tmp_path / 'own.json').write_text(text)
        with pytest.raises(InputError, match='sim verify'):
            load_table(tmp_path / 'own.json')
    with pytest.raises(InputError, match='sim verify'):
        load_table('unreal')


def test_the_mass_is_that_of_the_models():
    assert MASS == 2.0  # the figures of the test of judging
