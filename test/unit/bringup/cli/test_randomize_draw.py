"""``sim2real randomize draw``: the world of a key."""

import json

from sim2real_bringup.cli import main
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space

SPACE = load_space('arm6', load_profile('arm6'))


def test_draw(tmp_path, capsys):
    file = tmp_path / 'draw.json'
    key = '--seed 4 --episode 5 --env 6'.split()
    draw = ['randomize', 'draw', '--robot', 'arm6', '--space', 'arm6']
    assert main([*draw, *key, '--json', str(file)]) == 0
    assert json.loads(file.read_text()) == {'values': SPACE.draw(4, 5, 6).values}
    assert 'link.gripper.mass' in capsys.readouterr().out


def test_the_default_space_is_the_robots(tmp_path):
    file = tmp_path / 'draw.json'
    assert main(['randomize', 'draw', '--robot', 'slider', '--json', str(file)]) == 0
    slider = load_profile('slider')
    assert json.loads(file.read_text())['values'] == load_space('slider', slider).draw(0, 0).values


def test_a_wrong_space_is_bad_input(tmp_path, capsys):
    path = tmp_path / 'space.yaml'
    path.write_text('parameters:\n  link.griper.mass: {distribution: constant, value: 1}\n')
    assert main(['randomize', 'draw', '--robot', 'arm6', '--space', str(path)]) == 2
    assert f'{path}:2: ' in capsys.readouterr().err
