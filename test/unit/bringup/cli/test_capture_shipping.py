"""``sim2real capture receive``, ``token`` and ``ship``: one robot, one workstation."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

import sim2real_bringup
from sim2real_bringup.cli import main
from sim2real_capture.clip import Context, Journal
from sim2real_capture.clip_sealing import seal
from sim2real_capture.library import list_clips
from sim2real_capture.ring import Record
from sim2real_capture.uplink import Uplink


def add_clip(folder, name):
    journal = Journal(folder, name, Context('arm6', 'f' * 64), datetime.now(timezone.utc))
    journal.message(Record('/goal', 'std_msgs/msg/String', 10**9, b'\0\1\0\0\3\0\0\0up\0'))
    journal.close('complete')
    journal.release()
    seal(journal.folder)


@pytest.fixture
def spool(tmp_path):
    """Two sealed clips."""
    folder = tmp_path / 'spool'
    folder.mkdir()
    for name in ('clip-1', 'clip-2'):
        add_clip(folder, name)
    return folder


@contextlib.contextmanager
def receiving(*given):
    """The verb in a process of its own; gives its address, and ends it as a person would."""
    root = str(Path(sim2real_bringup.__file__).parents[1])
    command = [sys.executable, '-m', 'sim2real_bringup.cli', 'capture', 'receive', '--port', '0']
    with subprocess.Popen(
        [*command, *map(str, given)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, 'PYTHONPATH': root},
    ) as process:  # fmt: skip
        try:
            yield process.stdout.readline().split()[0]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_one_robot_with_a_token(spool, tmp_path, capsys):
    keys, library, told = tmp_path / 'keys.yaml', tmp_path / 'library', tmp_path / 'told.json'
    assert main(['capture', 'token', 'arm7', '--credentials', str(keys)]) == 0
    robot = tmp_path / 'robot.yaml'
    robot.write_text(f'token: {capsys.readouterr().out}')
    counts = tmp_path / 'counts.json'
    with receiving('--folder', library, '--credentials', keys, '--json', counts) as url:
        command = ['capture', 'ship', str(spool), '--to', url, '--json', str(told)]
        assert main([*command, '--for', '0.5']) == 1  # without the token
        assert json.loads(told.read_text())['missing'] == ['clip-1', 'clip-2']
        assert main([*command, '--credentials', str(robot), '--delete']) == 0
    assert [info.clip for info in list_clips(library)] == ['clip-1', 'clip-2']
    assert list_clips(spool) == []
    said = json.loads(told.read_text())
    assert said['missing'] == [] and abs(said['shipped'][0]['clock_offset']) < 1.0
    assert json.loads(counts.read_text())['received'] == 2


@contextlib.contextmanager
def following(*given):
    """The verb ``ship`` in a process of its own; gives it, and ends it as a person would."""
    root = str(Path(sim2real_bringup.__file__).parents[1])
    command = [sys.executable, '-m', 'sim2real_bringup.cli', 'capture', 'ship', '--follow']
    with subprocess.Popen(
        [*command, *map(str, given)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': root},
    ) as process:  # fmt: skip
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_an_uplink_of_its_own_ships_what_comes_later(spool, tmp_path):
    later = tmp_path / 'clip-2'
    (spool / 'clip-2').rename(later)
    library = tmp_path / 'library'
    with (
        receiving('--folder', library) as url,
        following(spool, '--to', url, '--delete') as process,
    ):
        assert 'clip-1' in process.stdout.readline()
        later.rename(spool / 'clip-2')
        assert 'clip-2' in process.stdout.readline()
    assert [info.clip for info in list_clips(library)] == ['clip-1', 'clip-2']
    assert list_clips(spool) == []


def test_clips_sealed_meanwhile_neither_fail_it_nor_outnumber_the_rest(
    spool, tmp_path, monkeypatch, capsys
):
    begin, close, told = Uplink.__init__, Uplink.close, tmp_path / 'told.json'

    def begun(self, *given, **more):
        add_clip(spool, 'clip-3')
        begin(self, *given, **more)

    def closed(self, *given):
        close(self, *given)
        add_clip(spool, 'clip-4')

    monkeypatch.setattr(Uplink, '__init__', begun)
    monkeypatch.setattr(Uplink, 'close', closed)
    with receiving('--folder', tmp_path / 'library') as url:
        assert main(['capture', 'ship', str(spool), '--to', url, '--json', str(told)]) == 0
    said = json.loads(told.read_text())
    assert len(said['shipped']) == 3 and said['missing'] == []
    counts = re.findall(r'(\d+) of (\d+)', capsys.readouterr().out)
    assert len(counts) == 3 and all(int(done) <= int(total) for done, total in counts)


def test_a_token_is_taken_back(tmp_path, capsys):
    keys = str(tmp_path / 'keys.yaml')
    assert main(['capture', 'token', 'arm7', '--credentials', keys]) == 0
    assert main(['capture', 'token', 'arm7', '--revoke', '--credentials', keys]) == 0
    assert main(['capture', 'token', 'arm7', '--revoke', '--credentials', keys]) == 1
    assert 'is let in no longer' in capsys.readouterr().out
    assert 'revoked:\n- arm7' in Path(keys).read_text()


@pytest.mark.parametrize(
    ('given', 'status'),
    [
        (['receive', '--host', '0.0.0.0', '--port', '0'], 2),
        (['receive', '--certificate', 'x.pem'], 2),
        (['receive', '--port', '70000'], 2),
        (['token', '../arm7', '--credentials', 'keys.yaml'], 2),
        (['ship', 'nowhere', '--to', 'http://127.0.0.1:9'], 2),
        (['ship', '.', '--to', 'ftp://host'], 2),
    ],
)
def test_bad_input(given, status, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert main(['capture', *given]) == status
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before):
            signal.signal(number, handler)
    assert 'sim2real capture' in capsys.readouterr().err
