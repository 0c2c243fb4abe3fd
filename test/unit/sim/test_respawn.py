"""Draws on worlds of their own process: from the nominal, live or by respawn."""

import pytest

from sim2real_core.errors import InputError
from sim2real_sim import sdf
from sim2real_sim.respawn import Draws
from sim2real_sim.world import LinkState, ModelState, Pose, WorldError

MODEL = """<sdf version='1.7'><model name='m'><link name='a'/><link name='b'/>
<joint name='j' type='revolute'><parent>a</parent><child>b</child><axis><xyz>0 0 1</xyz></axis>
</joint></model></sdf>"""
WAYS = {'mass': ('live', 'respawn'), 'z': ('live',), 'viscous_friction': ('respawn',)}
WAYS['armature'] = ()


class Fake:
    """A world that keeps what it is told, in memory."""

    tolerance = 1e-6

    def __init__(self):
        self.there = {'m': MODEL}
        self.live = {}
        self.calls = []
        self.refuse = 0
        self.moved = Pose((1.0, 2.0, 3.0))

    def models(self):
        return tuple(self.there)

    def sdf(self, model):
        return MODEL

    def routes(self, address):
        return WAYS[address.rpartition('.')[2]]

    def nominal(self, model, address):
        return -9.8 if address == 'world.gravity.z' else sdf.read(MODEL, address)

    def get(self, model, address):
        if address == 'world.gravity.z':
            return self.live.get(address, -9.8)
        return self.live.get(address, sdf.read(self.there[model], address))

    def write(self, model, values, route, edited):
        self.calls.append(('write', dict(values)))
        if self.refuse:
            raise WorldError('no answer within 1 s')
        self.live.update(values)

    def state(self, model):
        return ModelState(0.0, self.moved, {'a': LinkState(self.moved, (0,) * 3, (0,) * 3)}, {})

    def replace(self, model, sdf, pose):
        self.calls.append(('spawn', pose))
        if self.refuse:
            self.refuse -= 1
            raise WorldError('no answer within 1 s')
        self.there[model] = sdf
        self.live = {a: v for a, v in self.live.items() if a.startswith('world')}

    def restore(self, model, state):
        self.calls.append(('restore', state.pose))


def made():
    world = Fake()
    return world, Draws(world)


def test_the_nominal_draw_touches_nothing():
    world, draws = made()
    nominal = {a: world.nominal('m', a) for a in ('link.a.mass', 'world.gravity.z')}
    outcomes = draws.apply('m', {**nominal, 'joint.j.viscous_friction': 0.0})
    assert set(outcomes.values()) == {'verified'} and world.calls == []
    assert draws.apply('m', {}) == {} and world.calls == []


def test_each_address_takes_its_way_and_the_model_keeps_its_place():
    world, draws = made()
    assert draws.apply('m', {'link.a.mass': 2.0}) == {'link.a.mass': 'verified'}
    assert [name for name, _ in world.calls] == ['write']
    assert sdf.read(world.there['m'], 'link.a.mass') == 1.0
    world.calls.clear()
    values = {'link.a.mass': 3.0, 'joint.j.viscous_friction': 0.5, 'joint.j.armature': 1.0}
    assert draws.apply('m', {**values, 'world.gravity.z': -5.0}) == {
        'link.a.mass': 'verified',
        'joint.j.viscous_friction': 'verified',
        'joint.j.armature': 'unsupported',
        'world.gravity.z': 'verified',
    }
    # Live values come after the spawn, which would undo them; what can goes along with it.
    assert [name for name, _ in world.calls] == ['spawn', 'restore', 'write']
    assert world.calls[0][1] == world.moved
    assert sdf.read(world.there['m'], 'link.a.mass') == 3.0


def test_draws_do_not_add_up():
    world, draws = made()
    draws.apply('m', {'link.a.mass': 2.0, 'world.gravity.z': -1.0})
    draws.apply('m', {'joint.j.viscous_friction': 0.5})
    assert world.get('m', 'link.a.mass') == 1.0 and world.get('m', 'world.gravity.z') == -9.8
    draws.apply('m', {'link.a.mass': 3.0})
    assert world.get('m', 'joint.j.viscous_friction') == 0.0
    assert world.get('m', 'link.a.mass') == 3.0
    draws.apply('m', {})
    assert world.get('m', 'link.a.mass') == 1.0
    assert world.get('m', 'joint.j.viscous_friction') == 0.0
    draws.apply('m', {'link.a.mass': 2.0})
    world.calls.clear()
    draws.apply('m', {})
    assert world.calls == [('write', {'link.a.mass': 1.0})]
    draws.apply('m', {})
    assert len(world.calls) == 1


def test_within_an_episode_only_what_needs_a_respawn_takes_one():
    world, draws = made()
    values = {'link.a.mass': 2.0, 'joint.j.viscous_friction': 0.5, 'world.gravity.z': -9.0}
    draws.apply('m', values)
    assert draws.respawned == 'joint.j.viscous_friction'
    world.calls.clear()
    assert set(draws.apply('m', values).values()) == {'verified'}
    assert world.calls == [] and draws.respawned == ''
    # The mass went along with the respawn; now it changes by itself.
    for mass in (2.1, 2.2):
        assert draws.apply('m', {**values, 'link.a.mass': mass})['link.a.mass'] == 'verified'
    assert world.calls == [('write', {'link.a.mass': m}) for m in (2.1, 2.2)]
    world.calls.clear()
    draws.apply('m', {**values, 'joint.j.viscous_friction': 0.6})
    assert draws.respawned == 'joint.j.viscous_friction'
    assert world.calls == [('spawn', world.moved), ('restore', world.moved)]
    draws.apply('m', {'joint.j.viscous_friction': 0.6, 'world.gravity.z': -9.0})
    assert world.get('m', 'link.a.mass') == 1.0  # what went along is taken back, too
    assert world.calls[2:] == [('write', {'link.a.mass': 1.0})]


def test_what_others_changed_is_written_again():
    world, draws = made()
    draws.apply('m', {'link.a.mass': 2.0})
    world.live['link.a.mass'] = 7.0
    assert draws.apply('m', {'link.a.mass': 2.0}) == {'link.a.mass': 'verified'}
    assert world.get('m', 'link.a.mass') == 2.0


def test_what_a_reset_took_back_is_written_again_or_said():
    world, draws = made()
    draw = {'link.a.mass': 2.0, 'world.gravity.z': -3.0, 'joint.j.viscous_friction': 0.4}
    draws.apply('m', draw)
    world.live.clear()
    draws.again()
    assert world.get('m', 'world.gravity.z') == -3.0 and world.get('m', 'link.a.mass') == 2.0
    assert [kind for kind, _ in world.calls].count('spawn') == 1
    world.refuse = 1
    with pytest.raises(WorldError, match='world.gravity.z: no answer'):
        draws.again()
    draws.forget()
    world.live.clear()
    draws.again()
    assert world.live == {}


def test_nothing_is_applied_when_something_is_wrong():
    world, draws = made()
    values = {'link.a.mass': -1.0, 'link.x.mass': 1.0, 'world.gravity.z': float('nan')}
    with pytest.raises(InputError) as caught:
        draws.apply('m', {**values, 'joint.j.viscous_friction': 0.5})
    assert len(caught.value.faults) == 3 and world.calls == []
    with pytest.raises(InputError, match='positive'):
        draws.apply('m', {'link.a.mass': 0.0, 'joint.j.viscous_friction': 0.5})
    assert world.calls == []


def test_a_world_that_does_not_answer_is_reported_and_tried_again():
    world, draws = made()
    world.refuse = 1
    values = {'joint.j.viscous_friction': 0.5}
    assert draws.apply('m', values) == {'joint.j.viscous_friction': 'verified'}
    world.refuse = 9
    values = {'joint.j.viscous_friction': 0.7, 'link.a.mass': 2.0}
    assert set(draws.apply('m', values).values()) == {'failed'}
    assert len(draws.troubles) == 2 and 'within 1 s' in draws.troubles[0]
    world.refuse = 0
    assert set(draws.apply('m', values).values()) == {'verified'}
    # What may or may not have been written is taken back as well.
    world.refuse = 9
    draws.apply('m', {'link.a.mass': 4.0, 'joint.j.viscous_friction': 0.7})
    world.refuse = 0
    world.live['link.a.mass'] = 4.0
    draws.apply('m', {'joint.j.viscous_friction': 0.7})
    assert world.get('m', 'link.a.mass') == 1.0


def test_a_deleted_model_comes_back_where_it_was():
    world, draws = made()
    draws.apply('m', {'joint.j.viscous_friction': 0.5})
    del world.there['m']
    world.calls.clear()
    assert draws.apply('m', {'joint.j.viscous_friction': 0.5}) == {
        'joint.j.viscous_friction': 'verified'
    }
    assert ('spawn', world.moved) in world.calls and draws.respawned == 'm was gone'


def test_an_engine_that_has_another_value_is_not_believed():
    world, draws = made()
    world.write = lambda *args: None
    assert draws.apply('m', {'link.a.mass': 2.0}) == {'link.a.mass': 'failed'}
    assert 'the engine has 1.0' in draws.troubles[0]
    world.get = lambda *args: None
    assert draws.apply('m', {'link.a.mass': 2.0}) == {'link.a.mass': 'applied'}


def test_a_model_spawned_anew_by_hand_is_nominal():
    world, draws = made()
    draws.apply('m', {'joint.j.viscous_friction': 0.5})
    world.there['m'] = MODEL
    draws.forget('m')
    world.calls.clear()
    assert draws.apply('m', {'joint.j.viscous_friction': 0.0}) == {
        'joint.j.viscous_friction': 'verified'
    }
    assert world.calls == []
