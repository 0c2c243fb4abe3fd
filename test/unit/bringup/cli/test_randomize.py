"""``sim2real randomize``: draws by key, and what a space means."""

import argparse
import json

import pytest

from sim2real_bringup.cli import randomize
from sim2real_core.errors import InputError
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space

SPACE = load_space('arm6', load_profile('arm6'))


def run(*arguments):
    parser = argparse.ArgumentParser()
    randomize.add_arguments(parser)
    return randomize.run(parser.parse_args([str(a) for a in arguments]))


def test_draw(tmp_path, capsys):
    file = tmp_path / 'draw.json'
    key = ('--seed', 4, '--episode', 5, '--env', 6)
    assert run('draw', '--robot', 'arm6', '--space', 'arm6', *key, '--json', file) == 0
    assert json.loads(file.read_text()) == {'values': SPACE.draw(4, 5, 6).values}
    assert 'link.gripper.mass' in capsys.readouterr().out


def test_the_default_space_is_the_robots(tmp_path):
    file = tmp_path / 'draw.json'
    assert run('draw', '--robot', 'slider', '--json', file) == 0
    slider = load_profile('slider')
    assert json.loads(file.read_text())['values'] == load_space('slider', slider).draw(0, 0).values


def test_show(tmp_path, capsys):
    file, plot = tmp_path / 'show.json', tmp_path / 'plots' / 'show.png'
    assert run('show', '--space', 'arm6', '--json', file, '--plot', plot) == 0
    shown = json.loads(file.read_text())
    assert shown['content_hash'] == SPACE.content_hash
    assert set(shown['addresses']) == set(SPACE.addresses)
    mass = shown['addresses']['link.gripper.mass']
    assert (mass['nominal'], mass['unit']) == (0.8, 'kg')
    assert tuple(mass['range']) == SPACE.range('link.gripper.mass')
    assert mass['range'][0] < mass['median'] < mass['range'][1]
    assert plot.read_bytes().startswith(b'\x89PNG')
    assert 'link.gripper.mass' in capsys.readouterr().out


def test_an_empty_space_is_shown_too(tmp_path):
    assert run('show', '--space', 'none', '--plot', tmp_path / 'none.png') == 0
    assert (tmp_path / 'none.png').stat().st_size > 0


def test_what_only_a_simulator_knows_is_shown_without_a_nominal(tmp_path):
    path, file = tmp_path / 'space.yaml', tmp_path / 'show.json'
    path.write_text(
        'parameters:\n  light.sun.intensity:'
        ' {distribution: uniform, low: 0.5, high: 1.5, combine: absolute}\n'
    )
    assert run('show', '--space', path, '--json', file) == 0
    assert json.loads(file.read_text())['addresses']['light.sun.intensity']['nominal'] is None


def test_a_wrong_space_is_bad_input(tmp_path):
    path = tmp_path / 'space.yaml'
    path.write_text('parameters:\n  link.griper.mass: {distribution: constant, value: 1}\n')
    with pytest.raises(InputError) as error:
        run('draw', '--space', path)
    assert error.value.exit_code == 2
    assert f'{path}:2: ' in str(error.value)
