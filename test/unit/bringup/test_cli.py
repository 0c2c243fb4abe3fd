"""The command: its map, its errors and its exit status."""

import argparse
import errno
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim2real_bringup import cli
from sim2real_bringup.cli import _common
from sim2real_core.errors import InputError, MissingError
from sim2real_learning.config import ReachTask


class Verb:
    """A verb that does what it is told."""

    HELP = 'does it'
    EXAMPLE = 'sim2real verb'

    def __init__(self, does):
        self._does = does

    def add_arguments(self, parser):
        parser.add_argument('--twice', action='store_true')

    def run(self, args):
        return self._does()


def fail(error):
    def does():
        raise error

    return does


@pytest.fixture
def verb(monkeypatch):
    """Puts a verb of one's own in place of all."""

    def put(does):
        monkeypatch.setattr(cli, 'verbs', lambda: {'verb': 'verb'})
        monkeypatch.setattr(cli, 'load', lambda name: Verb(does))

    return put


@pytest.mark.parametrize(
    'does, status, said',
    [
        (lambda: 0, 0, ''),
        (lambda: 1, 1, ''),
        (fail(InputError()), 2, 'sim2real verb:'),
        (fail(MissingError('get it there')), 3, 'get it there'),
        (fail(ModuleNotFoundError(name='mujoco')), 3, "pip install 'sim2real[sim]'"),
        (fail(ModuleNotFoundError(name='std_msgs.msg')), 3, 'setup.bash'),
        (fail(KeyboardInterrupt()), 130, ''),
        (lambda: Path('/none/such').read_text(), 2, '/none/such: No such file'),
        (fail(OSError(errno.ENOSPC, 'No space left')), 2, 'while writing: No space left'),
    ],
)
def test_exit_status(verb, capsys, does, status, said):
    verb(does)
    assert cli.main(['verb']) == status
    assert said in capsys.readouterr().err


def test_a_fault_of_our_own_is_not_hidden(verb):
    verb(fail(ModuleNotFoundError(name='sim2real_bringup.typo')))
    with pytest.raises(ModuleNotFoundError):
        cli.main(['verb'])


@pytest.mark.parametrize('error', [OSError(errno.EBADF, 'Bad file'), TimeoutError(), OSError('x')])
def test_a_fault_of_the_system_that_is_no_disk_keeps_its_trace(verb, error):
    verb(fail(error))
    with pytest.raises(type(error)):
        cli.main(['verb'])


def test_wrong_arguments_are_bad_input(verb, capsys):
    verb(lambda: 0)
    with pytest.raises(SystemExit) as ended:
        cli.main(['verb', '--thrice'])
    assert ended.value.code == 2
    assert '--thrice' in capsys.readouterr().err


def test_the_map_names_every_verb(capsys):
    assert cli.main(['--help']) == 0
    shown = capsys.readouterr().out
    for name, module in cli.verbs().items():
        assert f'  {name} ' in shown
        assert cli.load(module).HELP in shown
    assert 'More:' not in shown  # each has its place


def test_part_of_the_map(capsys):
    assert cli.main(['bag']) == 0
    shown = capsys.readouterr().out
    assert 'bag import' in shown and 'doctor' not in shown


def test_a_slip_is_met_with_what_was_meant(capsys):
    assert cli.main(['repaly']) == 2
    assert 'did you mean: sim2real replay?' in capsys.readouterr().err
    assert cli.main(['bag', 'improt']) == 2
    assert 'did you mean: sim2real bag import?' in capsys.readouterr().err


@pytest.mark.parametrize('verb', cli.verbs())
def test_every_help_has_an_example_of_its_verb(capsys, verb):
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.split(), '--help'])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f'sim2real {verb}' in shown.split('example:')[1]


@pytest.mark.parametrize('verb', cli.verbs())
def test_every_example_is_one_that_the_verb_takes(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in cli.load(cli.verbs()[verb]).EXAMPLE.strip().replace('\\\n', ' ').splitlines():
        words = shlex.split(line.partition(' > ')[0], comments=True)[1:]
        name = next(v for v in cli.verbs() if words[: len(v.split())] == v.split())
        parser = argparse.ArgumentParser(exit_on_error=False)
        cli.load(cli.verbs()[name]).add_arguments(parser)
        assert parser.parse_args(words[len(name.split()) :])


def test_the_map_needs_nothing_heavy_and_little_time():
    heavy = ('numpy', 'rclpy', 'torch', 'mujoco', 'pinocchio', 'scipy', 'rich', 'matplotlib')
    program = (
        'import sys\nfrom sim2real_bringup.cli import main\nmain(["--help"])\n'
        f'sys.exit(", ".join(m for m in {heavy} if m in sys.modules) or 0)'
    )
    times = []
    for _ in range(3):
        begun = time.monotonic()
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
        times.append(time.monotonic() - begun)
        assert (done.returncode, done.stderr) == (0, '')
    assert min(times) < 1.0


def test_bag_verbs(tmp_path, capsys):
    (tmp_path / 'log.csv').write_text('q\n[m]\n0\n1\n')
    (tmp_path / 'map.yaml').write_text('time: {rate: 10}\njoints: {a: {position: q}}\n')
    mapping, out, result = (str(tmp_path / name) for name in ('map.yaml', 'bag', 'r.json'))
    command = ['bag', 'import', str(tmp_path / 'log.csv'), '--mapping', mapping, '--out', out]
    assert cli.main([*command, '--json', result]) == 0
    assert json.loads((tmp_path / 'r.json').read_text())['messages'] == 2
    assert cli.main(['bag', 'info', out, '--json', result]) == 0
    shown = capsys.readouterr().out
    assert '/joint_states' in shown and 'log.csv: line 2 was taken for units: [m]' in shown
    assert cli.main(command) == 2
    assert 'exists' in capsys.readouterr().err
    assert cli.main(['bag', 'import', 'none.csv', '--mapping', mapping, '--out', out]) == 2


@pytest.mark.parametrize(
    'command, said',
    [
        (['up', 'nonsense'], 'must be one of sim'),
        (['up', 'sim', '--robot', 'nobody'], "robots = 'nobody'"),
        (['up', 'sim', '--param', 'simulator.seeed=1'], 'simulator has: '),
        (['replay', 'none', '--robot', 'slider', '--nodes', 'sysid'], 'no such file'),
        (['replay', 'none', '--robot', 'slider', '--nodes', 'sim'], 'must be of sysid'),
        (['replay', 'none', '--robot', 'slider', '--nodes', 'sysid', '--expect', 'x'], 'readable'),
        (['bag', 'info', 'none'], 'no such file'),
        (['capture', 'ls', 'none'], 'existing folder'),
        (['capture', 'show', 'none'], 'clip folder'),
        (['policy', 'inspect', 'none'], "policies = 'none'"),
    ],
)
def test_bad_input_is_named(capsys, command, said):
    assert cli.main(command) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    'command, said',
    [
        (['evaluate', '--bundle', 'arm6', '--robot', 'arm6', '--seed', '-1'], 'not be negative'),
        (['evaluate', '--bundle', 'arm6', '--robot', 'arm6', '--json', '/'], 'must be a file'),
        (['doctor', '--json', '/dev/null/x.json'], '/dev/null is not'),
        (['randomize', 'show', '--robot', 'arm6', '--plot', '/'], 'must be a file'),
        (['demo', '--json', '/'], 'must be a file'),
    ],
)
def test_arguments_are_checked_before_the_work(capsys, command, said):
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_plot_is_a_png_whatever_it_is_called(tmp_path, capsys):
    plot = tmp_path / 'new' / 'space.picture'
    assert cli.main(['randomize', 'show', '--robot', 'slider', '--plot', str(plot)]) == 0
    assert plot.read_bytes().startswith(b'\x89PNG')


def test_options_of_a_configuration():
    parser = argparse.ArgumentParser()
    _common.add_config(parser, ReachTask)
    assert _common.given(parser.parse_args([]), ReachTask) == {}
    args = parser.parse_args(['--clearance', '-0.5', '--reach', '0.4'])
    assert _common.given(args, ReachTask) == {'clearance': -0.5, 'reach': 0.4}


def test_progress_without_a_terminal_is_lines(capsys, monkeypatch):
    now = iter([0.0, 1.0, 16.0, 17.0])
    monkeypatch.setattr(_common.time, 'monotonic', lambda: next(now))
    with _common.progress({'a': 'first', 'b': 'second'}) as tell:
        tell('a', 0.0)
        tell('a', 0.1)  # a second later: nothing to say yet
        tell('a', 0.5, 'so far')
        tell('b', 0.0)
    assert capsys.readouterr().err == 'first\nfirst: 50% so far\nsecond\n'


def test_a_pipe_gets_whole_lines():
    program = 'from sim2real_bringup.cli._common import show_table\nshow_table("a", [["x" * 300]])'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert 'x' * 300 in done.stdout
