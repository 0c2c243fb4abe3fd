"""``sim2real sim verify``."""

import json

import pytest

from sim2real_bringup.cli import main
from sim2real_sim import mujoco_world


def test_the_table_is_printed_and_written(tmp_path, capsys):
    file = tmp_path / 'table.json'
    verb = ['sim', 'verify', '--backend', 'mujoco', '--kinds', 'mass,friction']
    assert main([*verb, '--json', str(file)]) == 0
    table = json.loads(file.read_text())
    assert (table['backend'], table['version'][:6]) == ('mujoco', 'mujoco')
    assert [set(row) for row in table['rows']] == [
        {'kind', 'route', 'status', 'error', 'quantities'}
    ] * 2
    assert {row['kind']: row['status'] for row in table['rows']} == {
        'mass': 'verified',
        'friction': 'verified',
    }
    shown = capsys.readouterr().out
    assert 'friction' in shown and 'verified' in shown


def test_what_is_required_and_not_verified_is_named(monkeypatch, capsys):
    monkeypatch.setattr(mujoco_world.MujocoWorld, 'set_pose', lambda *_: None)
    assert main(['sim', 'verify', '--kinds', 'pose,mass']) == 1
    assert 'required but not verified: pose' in capsys.readouterr().out


@pytest.mark.parametrize(
    'backend, how', [('gazebo_classic', 'sim2real gazebo fetch'), ('gz', 'install modern Gazebo')]
)
def test_a_machine_without_gazebo_says_how_to_get_one(monkeypatch, tmp_path, capsys, backend, how):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setenv('SIM2REAL_CACHE', str(tmp_path))
    assert main(['sim', 'verify', '--backend', backend]) == 3
    assert how in capsys.readouterr().err


def test_an_unknown_kind_is_refused(capsys):
    assert main(['sim', 'verify', '--kinds', 'weight']) == 2
    assert 'gravity, mass' in capsys.readouterr().err
