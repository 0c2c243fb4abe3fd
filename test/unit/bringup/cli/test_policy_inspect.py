import json

import pytest

from sim2real_bringup.cli import main
from sim2real_core.errors import InputError
from sim2real_core.files import find


def test_shows_the_shipped_bundle_and_that_its_robot_can_run_it(tmp_path, capsys):
    out = tmp_path / 'a.json'
    assert main(['policy', 'inspect', 'arm6', '--robot', 'arm6', '--json', str(out)]) == 0
    told = json.loads(out.read_text())
    assert told['robot_check']['fits'] and told['schema'] == 2
    shown = capsys.readouterr().out
    assert told['content_hash'] in shown and 'arm6 can run it' in shown


def test_another_robot_is_not_taken_for_another_version_of_it(capsys):
    assert main(['policy', 'inspect', 'arm6', '--robot', 'slider']) == 1
    assert 'another version' not in capsys.readouterr().err


def test_exit_status_1_when_a_robot_cannot_run_it(tmp_path, capsys):
    out = tmp_path / 'a.json'
    assert main(['policy', 'inspect', 'arm6', '--robot', 'slider', '--json', str(out)]) == 1
    fields = {fault['field'] for fault in json.loads(out.read_text())['robot_check']['faults']}
    assert {'bundle.robot', 'bundle.joints'} <= fields
    assert 'slider has no such joint' in capsys.readouterr().out


@pytest.mark.parametrize('cut', [0, 100, -1])
def test_a_damaged_file_is_bad_input(tmp_path, cut, capsys):
    path = tmp_path / 'cut.onnx'
    path.write_bytes(find('policies', 'arm6', '.onnx').read_bytes()[:cut])
    assert main(['policy', 'inspect', str(path)]) == InputError.exit_code
    assert 'sim2real.content_hash' in capsys.readouterr().err
