import json

import pytest

from sim2real_bringup.cli import main
from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_policy.bundle import load_bundle

pytest.importorskip('onnx')


def test_a_checkpoint_of_this_suite_needs_no_description(tmp_path, capsys):
    out, told = tmp_path / 'a.onnx', tmp_path / 'a.json'
    source = str(find('policies', 'arm6', '.pt'))
    arguments = ['policy', 'export', source, '--robot', 'arm6', '--space', 'arm6']
    assert main([*arguments, '--out', str(out), '--json', str(told)]) == 0
    report, bundle = json.loads(told.read_text()), load_bundle(out)
    assert report['parity'] < 1e-5 and report['content_hash'] == bundle.content_hash
    assert len(bundle.meta.space) == 64
    assert 'wrote' in capsys.readouterr().out


def test_the_template_is_printed(capsys):
    assert main(['policy', 'export', '--template']) == 0
    assert capsys.readouterr().out == find('policies', 'template').read_text()


def test_what_is_not_given_is_asked_for_at_once(capsys):
    assert main(['policy', 'export']) == InputError.exit_code
    said = capsys.readouterr().err
    assert all(word in said for word in ('source', '--out', '--robot'))


@pytest.mark.parametrize('source', ['none.onnx', 'none.yaml', 'none.pt', 'none.py:build'])
def test_a_source_that_is_not_there_is_bad_input(tmp_path, capsys, source):
    arguments = ['policy', 'export', str(tmp_path / source), '--robot', 'arm6']
    assert main([*arguments, '--out', str(tmp_path / 'a.onnx')]) == InputError.exit_code
    assert 'source' in capsys.readouterr().err
