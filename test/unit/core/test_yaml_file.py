from pathlib import Path

import pytest

from sim2real_core.errors import InputError
from sim2real_core.yaml_file import parse_yaml, read_yaml


def test_knows_the_line_of_every_key():
    file = parse_yaml('a: 1\nb:\n  c: 2\n  d:\n    - 3\n    - 4\n', Path('f.yaml'))
    assert file.data == {'a': 1, 'b': {'c': 2, 'd': [3, 4]}}
    assert file.lines == {
        ('a',): 1,
        ('b',): 2,
        ('b', 'c'): 3,
        ('b', 'd'): 4,
        ('b', 'd', 0): 5,
        ('b', 'd', 1): 6,
    }


@pytest.mark.parametrize(
    ('text', 'place'),
    [('a: 1\na: 2\n', 'f.yaml:2'), ('a: [1\n', 'f.yaml'), ('- a\n', 'f.yaml:1'), ('', 'mapping')],
)
def test_refuses(text, place):
    with pytest.raises(InputError, match=place):
        parse_yaml(text, Path('f.yaml'))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match='nothing.yaml'):
        read_yaml(tmp_path / 'nothing.yaml')


def test_a_whole_file_is_not_shown_in_a_message():
    with pytest.raises(InputError) as caught:
        parse_yaml(f'<robot {"x" * 5000}>', Path('a.urdf'))
    assert len(str(caught.value)) < 500 and 'the top level must be a mapping' in str(caught.value)
