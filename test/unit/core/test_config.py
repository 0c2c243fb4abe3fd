from dataclasses import dataclass

import pytest

from sim2real_core.config import Config, parameter
from sim2real_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Example(Config):
    rate: float = parameter(5.0, 'A rate.', unit='Hz', low=1.0, high=10.0)
    count: int = parameter(3, 'A count.', low=0)
    mode: str = parameter('a', 'A mode.', choices=('a', 'b'))
    on: bool = parameter(False, 'A switch.')
    names: tuple = parameter((), 'Names.')
    gains: tuple = parameter((1.0,), 'Gains.', low=0.0)

    def check(self, faults):
        if self.mode == 'b' and not self.on:
            faults.add('mode', self.mode, 'b needs on')


def test_defaults_are_valid_and_integers_serve_as_floats():
    example = Example(rate=2, gains=[1, 2.5])
    assert example.rate == 2.0 and isinstance(example.rate, float)
    assert example.gains == (1.0, 2.5)


@pytest.mark.parametrize(
    'given',
    [
        {'rate': 11.0},
        {'rate': float('nan')},
        {'rate': '5'},
        {'rate': True},
        {'count': -1},
        {'count': 1.5},
        {'count': True},
        {'mode': 'c'},
        {'mode': 'b'},
        {'on': 1},
        {'names': 'abc'},
        {'names': (1,)},
        {'gains': (-1.0,)},
    ],
)
def test_refuses(given):
    with pytest.raises(InputError, match=next(iter(given))):
        Example(**given)


def test_mapping_names_all_faults_at_once_with_lines():
    lines = {('s', 'rate'): 7, ('s', 'typo'): 9}
    with pytest.raises(InputError) as caught:
        Example.from_mapping(
            {'rate': 99.0, 'typo': 1, 'mode': 'z'}, file='f.yaml', lines=lines, path=('s',)
        )
    assert {(f.field, f.line) for f in caught.value.faults} == {
        ('s.rate', 7),
        ('s.typo', 9),
        ('s.mode', None),
    }


def test_table_describes_every_field():
    rows = {row.name: row for row in Example.table()}
    assert list(rows) == ['rate', 'count', 'mode', 'on', 'names', 'gains']
    assert (rows['rate'].type, rows['rate'].unit) == ('float', 'Hz')
    assert rows['names'].type == 'str[]'


def test_rules_that_tie_fields_together_may_rely_on_their_types():
    @dataclass(frozen=True, kw_only=True)
    class Pair(Config):
        low: float = parameter(0.0, 'Low.')
        high: float = parameter(1.0, 'High.')

        def check(self, faults):
            if self.high - self.low <= 0:
                faults.add('high', self.high, 'must be above low')

    with pytest.raises(InputError, match='low = .*float'):
        Pair(low='soon')
    with pytest.raises(InputError, match='above low'):
        Pair(low=2.0)
