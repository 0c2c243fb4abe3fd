"""``sim2real init``: files from a URDF."""

import argparse
import json

import pytest

from sim2real_bringup.cli import init
from sim2real_core.errors import InputError
from sim2real_core.files import share
from sim2real_core.profile import load_profile
from sim2real_randomizer.space import load_space


def run(*arguments):
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    return init.run(parser.parse_args([str(a) for a in arguments]))


def test_writes_a_profile_and_a_space(tmp_path, capsys):
    urdf, file = share() / 'description' / 'arm6' / 'arm6.urdf', tmp_path / 'paths.json'
    assert run('--urdf', urdf, '--out', tmp_path / 'mine', '--name', 'mine', '--json', file) == 0
    paths = json.loads(file.read_text())
    profile = load_profile(paths['profile'])
    assert profile.joint_names == load_profile('arm6').joint_names
    assert load_space(paths['space'], profile).addresses
    assert paths['profile'] in capsys.readouterr().out


def test_a_missing_urdf_is_bad_input(tmp_path):
    with pytest.raises(InputError, match='existing URDF') as error:
        run('--urdf', tmp_path / 'none.urdf', '--out', tmp_path)
    assert error.value.exit_code == 2
