"""Finding the introspection of a gzserver among others, and before it is ready."""

from types import SimpleNamespace

import pytest

from sim2real_sim.gazebo_classic.introspection import Introspection
from sim2real_sim.world import WorldError

CLOCK = 'data://world/lab?p=time/sim_time'


class Neighbours:
    """Services of some gzservers in one partition; what they answer to, one after the other."""

    def __init__(self, **answers):
        self.answers = {f'@/here@/introspection/{name}/': said for name, said in answers.items()}
        self.asked = []

    def services(self):
        return ['@/there@/introspection/x/items', *(f'{prefix}items' for prefix in self.answers)]

    def wait(self, condition, what, timeout=None):
        if not condition():
            raise WorldError(f'no {what}')
        return condition()

    def request(self, service, message, reply):
        prefix, _, what = service.rpartition('/')
        if what != 'items':
            return SimpleNamespace(data='number')
        self.asked.append(prefix)
        said = self.answers[f'{prefix}/']
        names = said.pop(0) if len(said) > 1 else said[0]
        if names is None:
            raise WorldError('no reply')
        param = [SimpleNamespace(value=SimpleNamespace(string_value=name)) for name in names]
        return SimpleNamespace(param=param)

    def subscribe(self, topic, callback):
        pass  # nothing is told


class Message:
    """Takes whatever is put into it."""

    def __init__(self):
        self.param = self

    def add(self, name):
        return SimpleNamespace(value=SimpleNamespace(STRING=0))


def find(neighbours, timeout=5.0):
    messages = SimpleNamespace(type=lambda name: Message)
    return Introspection(neighbours, messages, ('here',), 'lab', timeout)


def test_one_that_is_not_ready_is_asked_again_and_one_that_ended_is_not():
    neighbours = Neighbours(
        slow=[[], [], ['data://world/lab?p=time/real_time', CLOCK]],
        other=[['data://world/other?p=time/sim_time']],
        dead=[None],
    )
    found = find(neighbours)
    assert found.partition == 'here'
    assert neighbours.asked.count('@/here@/introspection/slow') == 3
    assert neighbours.asked.count('@/here@/introspection/dead') == 1


def test_another_world_is_not_taken_for_ours():
    neighbours = Neighbours(other=[['data://world/other?p=time/sim_time']])
    with pytest.raises(WorldError, match='here has data://world/lab within'):
        find(neighbours, 0.1)
