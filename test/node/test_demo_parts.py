"""Parts of the demo that a good run does not show."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import rclpy

from sim2real_bringup import demo
from sim2real_bringup.config import DemoConfig
from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_core.profile import load_profile
from sim2real_core.records import Event
from sim2real_learning.config import ReachTask

ARM6 = load_profile('arm6')
LONG = 60.0  # s; far beyond what anything here needs
FALSE = Event(20.0, 'tracking_error', 1.0, 0.5, detail='elbow')
REAL = Event(4.2, 'tracking_error', 1.0, 0.5, detail='shoulder')


class Drive:
    """A conductor whose last drive raises an alarm 0.2 s after the fault."""

    def __init__(self):
        # A false alarm of an earlier drive, which began at time 0 too, and its clip.
        self.events = [FALSE, replace(FALSE, clip='old')]
        self.applied = []
        self.request = lambda draw: None

    def run_goals(self, goals, duration, after):
        after[1](4.0)
        self.events += [REAL, replace(FALSE, clip='old too')]

    def wait(self, until, what, timeout):
        assert not until(), 'no clip of this alarm yet'
        self.events.append(replace(REAL, clip='right'))
        assert until()


def test_only_the_last_drive_counts(monkeypatch, tmp_path):
    conductor = Drive()
    goals = SimpleNamespace(position=np.zeros((5, 3)))
    fault, _, alarm = demo._break(conductor, ARM6, goals, ReachTask())
    assert alarm == REAL
    assert fault['false_alarms'] == 1 and fault['delay'] == pytest.approx(0.2)
    clips = [SimpleNamespace(clip=name) for name in ('old', 'old too', 'right')]
    monkeypatch.setattr(demo, 'list_clips', lambda folder: clips)
    assert demo._shipped(conductor, tmp_path, alarm).clip == 'right'


@pytest.mark.parametrize(
    'detector, detail, same',
    [
        ('tracking_error', 'base shoulder', True),
        ('tracking_error', 'elbow', False),
        ('operator', 'shoulder', False),
    ],
)
def test_only_the_same_alarm_is_a_replay(monkeypatch, tmp_path, detector, detail, same):
    events = [{'detector': detector, 'detail': detail}]
    monkeypatch.setattr(demo, 'replay', lambda *_, **__: {'events': events})
    clip = SimpleNamespace(path=tmp_path)
    assert demo._replays(clip, REAL, DemoConfig(), tmp_path) is same


def test_too_short_a_training_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match='iterations'):
        demo.run_demo(DemoConfig(iterations=5, out=str(tmp_path)))


def surrogate(folder):
    (folder / 'hidden.json').write_text('{}')
    bundle = find('policies', 'arm6', '.onnx')
    return demo._surrogate(DemoConfig(out=str(folder)), ARM6, bundle, folder)


def test_what_fails_leaves_nothing_behind(monkeypatch, tmp_path):
    def fail(profile):
        assert psutil.Process().children()
        raise ArithmeticError

    monkeypatch.setattr(demo, 'Conductor', fail)
    before, children = dict(os.environ), psutil.Process().children(recursive=True)
    with pytest.raises(ArithmeticError), surrogate(tmp_path):
        pass
    assert psutil.Process().children(recursive=True) == children
    assert dict(os.environ) == before
    assert not rclpy.ok()


def test_a_killed_demo_takes_its_stack_along(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])},
    )
    assert parent.stdout.readline() == b'up\n'
    deadline = time.monotonic() + LONG
    while len(family := psutil.Process(parent.pid).children(recursive=True)) < 6:
        assert time.monotonic() < deadline, family  # the runner and its nodes
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=LONG)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


if __name__ == '__main__':  # the demo that is killed
    with surrogate(Path(sys.argv[1])):
        print('up', flush=True)
        sys.stdin.read()
