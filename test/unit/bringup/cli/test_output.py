"""Where the verbs write their results: files, pipes and terminals, each as it should be."""

import argparse
import contextlib
import json
import os
import pty
import socket
import tty

import pytest

from sim2real_bringup.cli import _common, main
from sim2real_core.errors import InputError
from sim2real_core.files import write_json


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    return tmp_path / 'pipe'


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == InputError.exit_code
    return capsys.readouterr().err


def test_a_result_goes_into_a_pipe(pipe):
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(['policy', 'inspect', 'arm6', '--json', str(pipe)]) == 0
        assert pipe.is_fifo() and json.loads(os.read(reader, 1 << 16))['robot'] == 'arm6'
    finally:
        os.close(reader)


def test_a_result_goes_to_what_a_link_of_the_system_calls_a_pipe():
    reader, writer = os.pipe()
    try:
        assert main(['policy', 'inspect', 'arm6', '--json', f'/dev/fd/{writer}']) == 0
        assert json.loads(os.read(reader, 1 << 16))['robot'] == 'arm6'
    finally:
        os.close(reader)
        os.close(writer)


def test_a_result_goes_to_a_terminal():
    main_end, terminal = pty.openpty()
    try:
        name = os.ttyname(terminal)
        tty.setraw(terminal)
        assert str(_common.output(name)) == name
        write_json(name, {'a': 1})
        assert json.loads(os.read(main_end, 100)) == {'a': 1}
        with pytest.raises(argparse.ArgumentTypeError, match='must be a file'):
            _common.output_file(name)
    finally:
        os.close(main_end)
        os.close(terminal)


def test_a_bundle_is_not_written_over_what_is_no_file(pipe, capsys):
    said = refused(['policy', 'export', 'a.pt', '--robot', 'arm6', '--out', str(pipe)], capsys)
    assert 'must be a file' in said and pipe.is_fifo()


@pytest.mark.parametrize('name', ['loop', 'loop/a.json', 'other', '.', 'socket'])
def test_a_result_is_not_written_where_no_file_can_be(tmp_path, monkeypatch, capsys, name):
    (tmp_path / 'loop').symlink_to(tmp_path / 'other')
    (tmp_path / 'other').symlink_to(tmp_path / 'loop')
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as end:
        monkeypatch.chdir(tmp_path)
        end.bind('socket')  # an absolute name may be too long
        said = refused(['policy', 'inspect', 'arm6', '--json', str(tmp_path / name)], capsys)
    assert 'must be a file' in said
    assert (tmp_path / 'loop').is_symlink() and (tmp_path / 'other').is_symlink()


def test_a_result_is_written_where_a_link_leads(tmp_path):
    link, file = tmp_path / 'link.json', tmp_path / 'far' / 'file.json'
    file.parent.mkdir()
    link.symlink_to(file)
    assert main(['policy', 'inspect', 'arm6', '--json', str(link)]) == 0
    assert link.is_symlink() and json.loads(file.read_text())['robot'] == 'arm6'
