"""``sim2real init``: files from a URDF."""

import json

from sim2real_bringup.cli import main
from sim2real_core.files import share
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space


def test_writes_a_profile_and_a_space(tmp_path, capsys):
    urdf, file = share() / 'description' / 'arm6' / 'arm6.urdf', tmp_path / 'paths.json'
    out = ['--out', str(tmp_path / 'mine'), '--name', 'mine', '--json', str(file)]
    assert main(['init', '--urdf', str(urdf), *out]) == 0
    paths = json.loads(file.read_text())
    profile = load_profile(paths['profile'])
    assert profile.joint_names == load_profile('arm6').joint_names
    assert load_space(paths['space'], profile).addresses
    assert paths['profile'] in capsys.readouterr().out


def test_a_missing_urdf_is_bad_input(tmp_path, capsys):
    none = str(tmp_path / 'none.urdf')
    assert main(['init', '--urdf', none, '--out', str(tmp_path)]) == 2
    assert 'give an existing URDF' in capsys.readouterr().err
