"""What a seed means never changes: recorded worlds."""

import json
from pathlib import Path

import pytest

from sim2real_bringup.cli import main

GOLDEN = Path(__file__).parents[2] / 'golden' / 'randomizer'


@pytest.mark.parametrize('space', ['arm6', 'arm6_surrogate', 'slider'])
def test_shipped_spaces_draw_what_they_drew(space, tmp_path):
    file = tmp_path / 'draw.json'
    robot = space.partition('_')[0]
    key = '--seed 4 --episode 5 --env 6'.split()
    draw = ['randomize', 'draw', '--space', space, '--robot', robot, *key, '--json', str(file)]
    assert main(draw) == 0
    drawn = json.loads(file.read_text())['values']
    recorded = json.loads((GOLDEN / f'{space}.json').read_text())
    # To the bit here; NumPy's exponential may round otherwise on another processor.
    assert drawn == pytest.approx({a: float.fromhex(v) for a, v in recorded.items()}, rel=5e-16)
