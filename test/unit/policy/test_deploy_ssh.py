"""Deploying over ssh, to a real sshd of this machine on a port of its own."""

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim2real_bringup import cli
from sim2real_core.errors import Sim2RealError
from sim2real_policy.deploy import Ssh

ROOT = Path(__file__).resolve().parents[3]
SSHD = shutil.which('sshd') or shutil.which('sshd', path='/usr/sbin:/usr/local/sbin')
CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
"""


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """Port and options of ssh, for a server that lets us in."""
    if SSHD is None or shutil.which('ssh-keygen') is None:
        pytest.skip('sshd is not installed (apt install openssh-server)')
    folder = tmp_path_factory.mktemp('ssh')
    for name in ('host', 'key'):
        command = ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', folder / name]
        subprocess.run(command, check=True)
    if os.geteuid() == 0:  # what the service does before it starts sshd
        Path('/run/sshd').mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]
    (folder / 'config').write_text(CONFIG.format(port=port, folder=folder))
    command = [SSHD, '-D', '-e', '-f', str(folder / 'config')]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    options = (
        f'-p {port} -i {folder}/key -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR '
        f'-o UserKnownHostsFile={folder}/known -o IdentitiesOnly=yes -F none'
    )
    try:
        until = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < until:
            with socket.socket() as tried:
                if tried.connect_ex(('127.0.0.1', port)) == 0:
                    break
            time.sleep(0.05)
        if process.poll() is not None:
            pytest.skip(f'sshd does not run here: {process.stderr.read().strip()}')
        yield f'{getpass.getuser()}@127.0.0.1', options
    finally:
        process.terminate()
        process.wait(5)


def test_a_policy_is_deployed_through_its_stages_and_rolled_back(server, tmp_path, capsys):
    host, options = server
    folder = tmp_path / 'on the robot'
    environment = {
        'PYTHONPATH': str(ROOT),
        'XDG_CACHE_HOME': str(tmp_path),
        'AMENT_PREFIX_PATH': os.environ.get('AMENT_PREFIX_PATH', ''),
    }
    settings = ' '.join(f'{name}={shlex.quote(value)}' for name, value in environment.items())
    suite = f'env {settings} {shlex.quote(sys.executable)} -m sim2real_bringup.cli'
    way = ['--to', host, '--ssh', options, '--folder', str(folder)]
    report = tmp_path / 'deploy.json'
    command = ['policy', 'deploy', 'arm6', '--robot', 'arm6', *way, '--command', suite]
    command += ['--precision', 'none', '--json', str(report)]
    assert cli.main(command) == 0, capsys.readouterr().err
    shadow = json.loads(report.read_text())
    assert shadow['copied'] and shadow['check']['ok'] and shadow['stage'] == 'shadow'
    assert (folder / 'current' / 'policy.onnx').is_file()

    limited = [*command, '--stage', 'limited']
    assert cli.main(limited) == 2 and '--workspace' in capsys.readouterr().err
    limited += ['--workspace', '0.2', '-0.4', '0.1', '0.7', '0.4', '0.8']
    assert cli.main(limited) == 2
    assert 'pass shadow first' in capsys.readouterr().err
    trial = {'ok': True, 'stage': 'shadow', 'content_hash': shadow['check']['content_hash']}
    (folder / 'current' / 'trial.json').write_text(json.dumps(trial))
    assert cli.main(limited) == 0, capsys.readouterr().err
    second = json.loads(report.read_text())
    assert not second['copied'] and second['before'] == shadow['release']

    assert cli.main(['policy', 'rollback', *way]) == 0
    assert os.readlink(folder / 'current') == f'releases/{shadow["release"]}'


STAND_IN = """#!/bin/sh
# Stands for the suite's command: says where it is, and is slow where it is told so.
here=$(dirname "$0")
touch "$here/in_$2"
[ ! -f "$here/slow_$2" ] || sleep 20
[ "$2" = build ] || { while [ "$1" != --json ]; do shift; done; echo '{"ok": true}' > "$2"; }
"""


def test_a_deployment_that_is_killed_leaves_the_old_one_in_force(server, tmp_path):
    """At its longest step; at every other in test_deploy.py."""
    (host, options), verb = server, 'build'
    command, folder = tmp_path / 'suite', tmp_path / 'there'
    command.write_text(STAND_IN)
    command.chmod(0o755)
    arguments = ['policy', 'deploy', 'arm6', '--robot', 'arm6', '--to', host, '--ssh', options]
    arguments += ['--folder', str(folder), '--command', str(command)]
    assert cli.main(arguments) == 0
    first = os.readlink(folder / 'current')
    for name in ('in_build', 'in_check'):
        (tmp_path / name).unlink()
    (tmp_path / f'slow_{verb}').touch()
    killed = subprocess.Popen(
        [sys.executable, '-m', 'sim2real_bringup.cli', *arguments, '--runtime', 'auto'],
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (tmp_path / f'in_{verb}').exists() and time.monotonic() < until:
            assert killed.poll() is None
            time.sleep(0.02)
    finally:
        killed.kill()
        killed.wait(5)
    assert (tmp_path / f'in_{verb}').exists() and os.readlink(folder / 'current') == first
    (tmp_path / f'slow_{verb}').unlink()
    assert cli.main([*arguments, '--runtime', 'auto']) == 0  # it is taken up again
    assert os.readlink(folder / 'current') != first
    assert os.readlink(folder / 'current' / 'before') == f'../{first.partition("/")[2]}'


def test_status_output_and_input_come_through(server):
    host, options = server
    remote = Ssh(host, tuple(shlex.split(options)))
    answer = remote.run("cat; echo 'it'\\''s' >&2; exit 3", b'\0binary')
    assert (answer.status, answer.out, answer.err) == (3, '\0binary', "it's\n")
    with pytest.raises(Sim2RealError, match='within 0.5 s'):
        remote.run('sleep 5', within=0.5)


def test_nobody_there_is_an_error_within_the_deadline(server):
    _, options = server
    port = options.split()[1]
    nobody = Ssh('127.0.0.1', tuple(shlex.split(options.replace(port, '1', 1))))
    with pytest.raises(Sim2RealError, match=r'cannot be reached: .*refused'):
        nobody.run('true')
