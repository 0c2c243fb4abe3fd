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
