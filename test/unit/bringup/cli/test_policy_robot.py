"""Every verb of a bundle takes the robot it is for, and refuses another."""

import json

import pytest

from sim2real_bringup.cli import main
from sim2real_core.errors import InputError, MissingError
from sim2real_policy import gpu


@pytest.mark.parametrize('verb', ['build', 'check', 'bench'])
def test_a_bundle_for_another_robot_is_refused_by_name(verb, capsys):
    assert main(['policy', verb, 'arm6', '--robot', 'slider']) == InputError.exit_code
    assert 'bundle.robot' in capsys.readouterr().err


def test_a_runtime_to_time_needs_the_robot_whose_cycles_it_is_in(capsys):
    assert main(['policy', 'bench', 'arm6', '--runtime', 'tensorrt']) == InputError.exit_code
    assert '--robot' in capsys.readouterr().err


def test_build_without_a_gpu_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(gpu, 'DRIVER', 'libcuda-that-is-not-there.so.1')
    assert main(['policy', 'build', 'arm6', '--robot', 'arm6']) == MissingError.exit_code
    assert 'no NVIDIA driver' in capsys.readouterr().err


def test_check_writes_its_report(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, 'DRIVER', 'libcuda-that-is-not-there.so.1')
    file = tmp_path / 'check.json'
    status = main(['policy', 'check', 'arm6', '--robot', 'arm6', '--json', str(file)])
    report = json.loads(file.read_text())
    assert status == (0 if report['ok'] else 1)
    assert {'suite', 'system', 'processor', 'python', 'packages', 'gpu'} <= set(report['machine'])
    rows = {row['name']: row for row in report['runtimes']}
    assert set(rows['onnxruntime']['latency']) == {'p50', 'p99', 'max'}
    assert rows['onnxruntime']['parity']['ok'] and rows['tensorrt-fp16']['absent']


LIMITED = ('--stage', 'limited', '--workspace')


@pytest.mark.parametrize(
    'given, said',
    [
        (('--ssh', "-p 'open"), 'No closing quotation'),
        (('--to', 'robot@'), 'give [user@]host'),
        ((*LIMITED, *'000111', '--speed', '2'), 'speed_factor = 2.0'),
        ((*LIMITED, *'111000'), 'workspace_low = 1.0: x must be less'),
        ((*LIMITED, 'nan', *'00111'), 'workspace_low'),
        (('--speed', '0'), '0: must be a positive number'),
        (('--stage', 'full', '--speed', '0.2'), '--speed = 0.2: is of the stage limited'),
        (('--workspace', *'000111'), '--workspace = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]: is of'),
    ],
)
def test_what_cannot_be_deployed_is_named_before_the_robot_is_asked(given, said, capsys):
    try:
        status = main(
            ['policy', 'deploy', 'arm6', '--robot', 'arm6', '--to', 'no.invalid', *given]
        )
    except SystemExit as end:  # argparse
        status = end.code
    assert status == InputError.exit_code
    assert said in capsys.readouterr().err
