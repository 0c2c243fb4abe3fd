"""Runs a stack where ``launch`` does not exist: one process per node, through honcho.

A node that ends on its own is reported by name, with its status or signal and the end of what
it said. The others then get a moment, so that they notice, bring the robot to rest and say so;
after that the stack ends with a non-zero status. No process outlives the runner, however it
ends: on Linux the kernel ends a node when the process that started it dies.
"""

from __future__ import annotations

import ctypes
import functools
import math
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen
from honcho.process import Process as Supervisor

from sim2real_bringup.stacks import Process

GRACE = 2.5
"""Time the others have after a node ended on its own [s]."""
STOP = 2.0
"""Time a node has to close after SIGTERM, before SIGKILL [s]."""
TAIL = 60
"""Lines remembered of each node."""
SHOWN = 12
"""Of these, shown of a node that ended without a traceback."""
NAME = 'sim2real'
TRACEBACK = 'Traceback (most recent call last)'
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it dies (on Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prepare_node(supervisor: int) -> None:
    """Runs in the forked child, just before the node's program takes its place."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()
    if os.getppid() != supervisor:  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)


class _Supervisor(Supervisor):
    """The process that starts one node and passes on what it says."""

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it ends when its node has ended
        die_with_parent()
        runner = multiprocessing.parent_process()
        if runner is None or not runner.is_alive():
            return
        prepare = functools.partial(_prepare_node, os.getpid())
        self._child_ctor = functools.partial(
            Popen, shell=False, stdin=subprocess.DEVNULL, preexec_fn=prepare
        )
        super().run(events, ignore_signals)


class Runner(Manager):
    """Runs processes together until one ends, the time is over or a signal comes.

    Args:
        processes: what to run.
        output: where their lines go, prefixed with time and name; standard output by default.
        environment: variables to add to this process's own.
        grace: time the others have after one ended on its own [s].
    """

    def __init__(
        self,
        processes: Iterable[Process],
        *,
        output: TextIO | None = None,
        environment: Mapping[str, str] | None = None,
        grace: float = GRACE,
    ) -> None:
        super().__init__(Printer(output or sys.stdout))
        self._printer.width = len(NAME)
        self._grace = grace
        self._asked = 0  # signals received
        self._specs = {process.name: process for process in processes}
        self._tails: dict[str, deque[str]] = {}
        self._ended: dict[str, int] = {}
        self._told: set[str] = set()
        self._killed: set[str] = set()
        self._reports: list[str] = []
        root = str(Path(__file__).resolve().parent.parent)
        paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
        env = {
            **os.environ,
            'PYTHONUNBUFFERED': '1',
            'PYTHONPATH': os.pathsep.join(paths),
            **(environment or {}),
        }
        self._process_ctor = _Supervisor
        for spec in self._specs.values():
            self.add_process(spec.name, spec.command(), env=env)
            self._tails[spec.name] = deque(maxlen=TAIL)

    def run(self, duration: float | None = None) -> int:
        """Run; returns the exit status.

        0 when the duration was over, a signal came or a process that is meant to finish did;
        otherwise 1, or 2 or 3 when that is what the first node to fail ended with.

        Args:
            duration: end after this long [s].
        """
        before = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._start()
            return self._until_all_ended(duration)
        finally:
            self._kill_everything()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        self._asked += 1

    def _until_all_ended(self, duration: float | None) -> int:
        end = time.monotonic() + (math.inf if duration is None else duration)
        kill_at = math.inf
        status = 0
        while self._running():
            for name in self._step():
                finished = self._specs[name].finishes and self._ended[name] == 0
                end = min(end, time.monotonic() + (0.0 if finished else self._grace))
                status = status or self._judge(name, stopping=kill_at < math.inf)
            now = time.monotonic()
            if kill_at == math.inf and (self._asked or now >= end):
                kill_at = now + STOP
                if not self._ended:
                    self.say('stopping' if self._asked else f'{duration:g} s are over')
            if kill_at < math.inf:
                self._stop(force=now >= kill_at or self._asked > 1)
        for report in self._reports:
            self.say(report)
        return status

    def _stop(self, *, force: bool) -> None:
        """Ask every node that was not asked yet to end; with ``force`` make it."""
        for name in self._running():
            if force and name not in self._killed and self._signal(name, signal.SIGKILL):
                self._killed.add(name)
                self.say(f'{name} did not stop in time and is killed')
            elif name not in self._told and self._signal(name, signal.SIGTERM):
                self._told.add(name)

    def _step(self) -> list[str]:
        """Take one event, at most 50 ms later; returns the processes that ended."""
        ended = []
        try:
            event = self.events.get(timeout=0.05)
        except queue.Empty:
            # Without its supervisor a node is dead too, and nobody says so.
            for name in self._running():
                supervisor = self._processes[name]['process']
                if not supervisor.is_alive() and self.events.empty():
                    self._ended[name] = supervisor.exitcode or 1
                    ended.append(name)
        else:
            if event.type == 'line':
                text = event.data.decode('utf-8', 'replace').rstrip('\r\n')
                self._tails[event.name].append(text)
                self._printer.write(event._replace(data=text or ' '))
            elif event.type == 'start':
                self._processes[event.name]['pid'] = event.data['pid']
            else:
                self._ended[event.name] = event.data['returncode']
                ended.append(event.name)
        return ended

    def _judge(self, name: str, *, stopping: bool) -> int:
        """Report a process that ended, unless it did as asked; its share of the exit status."""
        code = self._ended[name]
        if stopping and (code in (0, -signal.SIGTERM) or name in self._killed):
            return 0
        if code == 0 and self._specs[name].finishes:
            return 0
        how = f'{name} ended with status {code}'
        if code < 0:
            how = f'{name} was killed by {signal.Signals(-code).name}'
        self.say(how)
        tail = list(self._tails[name])
        starts = [i for i, line in enumerate(tail) if TRACEBACK in line]
        shown = tail[starts[-1] :] if starts and code >= 0 else tail[-SHOWN:]
        if shown:
            self._reports.append('\n  '.join([f'{how}, its last words:', *shown]))
        return code if code in (2, 3) else 1

    def say(self, text: str) -> None:
        """Print a line of the runner's own."""
        self._printer.write(Message('line', text, self._clock.now(), NAME, None))

    def _running(self) -> list[str]:
        return [name for name in self._specs if name not in self._ended]

    def _signal(self, name: str, number: int) -> bool:
        """Send a signal to a node and all it started; False when it does not run (yet)."""
        pid = self._processes[name].get('pid')
        if pid is None:
            return False
        try:
            os.killpg(pid, number)  # a node leads a process group of its own
        except ProcessLookupError:
            return False
        return True

    def _kill_everything(self) -> None:
        """Leave nothing behind: nodes, what they started, and their supervisors."""
        for name, entry in self._processes.items():
            self._signal(name, signal.SIGKILL)
            supervisor = entry.get('process')
            if supervisor is not None and supervisor.pid is not None:
                supervisor.kill()
                supervisor.join()
        self.events.close()
        self.events.cancel_join_thread()
