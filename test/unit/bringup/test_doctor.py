"""What the machine can do: each row ok, missing or broken, whatever happens."""

import subprocess

import pytest

from sim2real_bringup import doctor
from sim2real_core.errors import MissingError, Sim2RealError


def raises(error):
    def check():
        raise error

    return check


@pytest.mark.parametrize(
    'check, status, detail',
    [
        (lambda: '1.2', 'ok', '1.2'),
        (raises(MissingError('apt install it')), 'missing', 'apt install it'),
        (raises(ModuleNotFoundError(name='mujoco.egl')), 'missing', 'sim2real[sim]'),
        (raises(ModuleNotFoundError(name='unheard_of')), 'missing', 'unheard_of'),
        (raises(ImportError('libfoo.so not found')), 'broken', 'libfoo.so'),
        (raises(Sim2RealError('signal 11')), 'broken', 'signal 11'),
        (raises(ZeroDivisionError()), 'broken', 'ZeroDivisionError'),
    ],
)
def test_a_row(monkeypatch, check, status, detail):
    monkeypatch.setattr(doctor, 'CHECKS', {'thing': check})
    (row,) = doctor.examine()
    assert (row.name, row.status) == ('thing', status)
    assert detail in row.detail
    assert doctor.as_json([row])['rows'][0]['status'] == status


@pytest.mark.parametrize(
    'program, message',
    [
        ('import os; os.abort()', 'signal 6'),
        ('raise ValueError("no display")', 'no display'),
        ('import time; time.sleep(60)', 'no answer'),
    ],
)
def test_a_probe_survives_what_it_asks(monkeypatch, program, message):
    monkeypatch.setattr(doctor, 'DEADLINE', 5.0 if 'sleep' not in program else 0.5)
    with pytest.raises(Sim2RealError, match=message):
        doctor._probe(program)


def test_tensorrt_is_not_touched_without_a_gpu(monkeypatch):
    monkeypatch.setattr(doctor, '_need', lambda module: None)
    monkeypatch.setattr(doctor.importlib.util, 'find_spec', lambda name: object())
    monkeypatch.setattr(doctor, '_gpu', raises(MissingError('none')))
    monkeypatch.setattr(doctor, '_probe', lambda *_: pytest.fail('touched'))
    with pytest.raises(MissingError, match='not touched'):
        doctor._tensorrt()


def test_a_driver_that_does_not_answer_is_broken(monkeypatch):
    answer = subprocess.CompletedProcess([], 9, stdout='', stderr='Failed to talk to the driver')
    monkeypatch.setattr(doctor, '_tool', lambda *names: ('nvidia-smi', '/usr/bin/nvidia-smi'))
    monkeypatch.setattr(doctor.subprocess, 'run', lambda *_, **__: answer)
    with pytest.raises(Sim2RealError, match='Failed to talk'):
        doctor._gpu()


def test_it_looks_at_what_matters():
    assert set(doctor.CHECKS) >= {
        'ROS', 'rmw', 'interfaces', 'launch', 'rosbag2', 'pinocchio', 'ONNX Runtime', 'GPU',
        'TensorRT', 'MuJoCo', 'rendering', 'PyTorch', 'Gazebo', 'disk', 'CPU', 'memory',
    }  # fmt: skip


def test_quick_rows_of_this_machine(monkeypatch):
    quick = {name: doctor.CHECKS[name] for name in ('Python', 'disk', 'CPU', 'memory')}
    monkeypatch.setattr(doctor, 'CHECKS', quick)
    assert all(row.detail for row in doctor.examine())
