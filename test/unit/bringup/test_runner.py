"""The runner, with small stand-ins for nodes."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip('honcho')

from sim2real_bringup.runner import Runner
from sim2real_bringup.stacks import Process

ROOT = Path(__file__).resolve().parents[3]
BEFORE: set = set()
PROGRAMS = {
    'waits': 'import time\nprint("up", flush=True)\nwhile True:\n    time.sleep(0.1)\n',
    'crashes': 'def leg():\n    raise ValueError("my leg hurts")\nleg()\n',
    'refuses': 'import sys\nprint("bad input: no such robot")\nsys.exit(2)\n',
    'finishes': 'print("done")\n',
    'parent': (
        'import subprocess, sys, time\n'
        'child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])\n'
        'print("child", child.pid, flush=True)\ntime.sleep(60)\n'
    ),
    'stubborn': (
        'import signal, time\n'
        'for number in (signal.SIGINT, signal.SIGTERM):\n'
        '    signal.signal(number, signal.SIG_IGN)\n'
        'print("up", flush=True)\nwhile True:\n    time.sleep(0.1)\n'
    ),
    'closes badly': (
        'import signal, sys, time\n'
        'signal.signal(signal.SIGTERM, lambda *_: sys.exit("cannot close"))\n'
        'print("up", flush=True)\nwhile True:\n    time.sleep(0.1)\n'
    ),
}


@pytest.fixture
def nodes(tmp_path):
    """Makes processes of stand-ins, by the names of PROGRAMS."""
    for name, program in PROGRAMS.items():
        (tmp_path / f'node_{name.replace(" ", "_")}.py').write_text(program)

    def make(*names, **options):
        return [
            Process(name=name, module=f'node_{name.replace(" ", "_")}', **options)
            for name in names
        ]

    make.environment = {'PYTHONPATH': str(tmp_path)}
    return make


class Watched(io.StringIO):
    """Output; calls back once when a text has appeared."""

    def __init__(self, text='', then=lambda output: None):
        super().__init__()
        self._text, self._then = text, then

    def write(self, text):
        written = super().write(text)
        if self._text and self._text in self.getvalue():
            self._text = ''
            self._then(self.getvalue())
        return written


def run(nodes, processes, output, duration=None, grace=0.3):
    runner = Runner(processes, output=output, environment=nodes.environment, grace=grace)
    return runner.run(duration)


def alive(pid):
    """Whether a process runs; one that only waits for its parent to notice does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def survivors(pids, timeout=5.0):
    """Those that still run after a moment: what is killed takes one to be gone."""
    deadline = time.monotonic() + timeout
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [pid for pid in pids if alive(pid)]


@pytest.fixture(autouse=True)
def before():
    """Children that this process had before a test; other tests may leave helpers."""
    BEFORE.clear()
    BEFORE.update(process.pid for process in psutil.Process().children(recursive=True))


def left():
    """Processes that the runner left behind."""
    return [p for p in psutil.Process().children(recursive=True) if p.pid not in BEFORE]


def test_a_crash_is_reported_by_name_with_its_traceback(nodes):
    output = io.StringIO()
    assert run(nodes, nodes('waits', 'crashes'), output) == 1
    report = output.getvalue()[output.getvalue().index('its last words') :]
    assert 'crashes ended with status 1' in output.getvalue()
    assert 'Traceback' in report and 'in leg' in report and 'my leg hurts' in report
    assert left() == []


def test_the_others_get_a_moment(nodes):
    output = io.StringIO()
    begun = time.monotonic()
    run(nodes, nodes('waits', 'crashes'), output, grace=1.0)
    assert time.monotonic() - begun > 1.0


def test_a_killed_node_is_reported_with_its_signal(nodes):
    def kill(text):
        victim = next(p for p in left() if 'node_waits' in ' '.join(p.cmdline()))
        victim.kill()

    output = Watched('waits    | up', kill)
    assert run(nodes, nodes('waits', 'parent'), output) == 1
    assert 'waits was killed by SIGKILL' in output.getvalue()
    assert left() == []


def test_bad_input_of_a_node_is_bad_input_of_the_stack(nodes):
    output = io.StringIO()
    assert run(nodes, nodes('waits', 'refuses'), output) == 2
    assert 'no such robot' in output.getvalue().split('its last words')[1]


def test_a_node_that_just_ends_ends_the_stack_too(nodes):
    output = io.StringIO()
    assert run(nodes, nodes('waits', 'finishes'), output) == 1
    assert 'finishes ended with status 0' in output.getvalue()


def test_one_that_is_meant_to_finish_ends_the_stack_in_peace(nodes):
    output = io.StringIO()
    processes = nodes('waits') + nodes('finishes', finishes=True)
    assert run(nodes, processes, output, grace=60.0) == 0
    assert 'finishes | done' in output.getvalue()


def test_duration(nodes):
    output = io.StringIO()
    begun = time.monotonic()
    assert run(nodes, nodes('waits'), output, duration=0.5) == 0
    assert 0.5 <= time.monotonic() - begun < 10.0
    assert '0.5 s are over' in output.getvalue()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_and_is_no_failure(nodes, number):
    before = signal.getsignal(number)
    output = Watched('waits    | up', lambda text: os.kill(os.getpid(), number))
    assert run(nodes, nodes('waits'), output) == 0
    assert 'stopping' in output.getvalue()
    assert left() == []
    assert signal.getsignal(number) is before


def test_a_node_that_does_not_stop_is_killed_within_3_s(nodes):
    asked = []

    def ask(text):
        asked.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    output = Watched('stubborn | up', ask)
    assert run(nodes, nodes('stubborn'), output) == 0
    assert time.monotonic() - asked[0] < 3.0
    assert 'stubborn did not stop in time and is killed' in output.getvalue()
    assert left() == []


def test_a_second_signal_does_not_wait(nodes):
    asked = []

    def ask(text):
        asked.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    output = Watched('stubborn | up', ask)
    assert run(nodes, nodes('stubborn'), output) == 0
    assert time.monotonic() - asked[0] < 1.5


def test_a_crash_while_closing_is_a_failure(nodes):
    output = Watched('closes badly | up', lambda text: os.kill(os.getpid(), signal.SIGINT))
    assert run(nodes, nodes('closes badly'), output) == 1
    assert 'cannot close' in output.getvalue().split('its last words')[1]


def test_what_a_node_started_ends_with_it(nodes):
    children = []

    def end(text):
        children.append(int(text.split('child ')[1].split()[0]))
        os.kill(os.getpid(), signal.SIGINT)

    run(nodes, nodes('parent'), Watched('child ', end))
    assert survivors(children) == []


def test_one_that_cannot_start_is_reported(nodes):
    output = io.StringIO()
    assert run(nodes, [Process(name='ghost', module='no_such_module')], output) == 1
    assert 'No module named no_such_module' in output.getvalue()


@pytest.mark.skipif(sys.platform != 'linux', reason='the kernel of Linux ends orphans')
def test_no_orphans_even_when_the_runner_is_killed(nodes, tmp_path):
    program = (
        'from sim2real_bringup.runner import Runner\n'
        'from sim2real_bringup.stacks import Process\n'
        'Runner([Process(name=n, module=f"node_{n}") for n in ("waits", "stubborn")]).run()\n'
    )
    path = os.pathsep.join([str(ROOT), *nodes.environment.values()])
    with subprocess.Popen(
        [sys.executable, '-c', program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': path},
    ) as runner:
        up = set()
        while len(up) < 2:
            line = runner.stdout.readline()
            up |= {name for name in ('waits', 'stubborn') if f'{name} ' in line and 'up' in line}
        family = psutil.Process(runner.pid).children(recursive=True)
        assert len(family) == 4  # two nodes and who looks after them
        runner.kill()
        assert survivors([process.pid for process in family]) == []
