"""A gzserver process of our own: started with what it needs around it, stopped for certain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from sim2real_core.errors import Fault, InputError, MissingError, Sim2RealError
from sim2real_sim.gazebo_classic import preload
from sim2real_sim.gazebo_classic.installation import Installation, find

PORT = 11345
"""Gazebo's own default."""
STARTS_WITHIN = 30.0  # [s]; half a second is usual
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
ENDS_WITHIN = 10.0  # [s] after a signal, before it is killed


def partition(port: int) -> str:
    """Name that keeps the joint commands of servers on one machine apart."""
    return os.environ.get('IGN_PARTITION') or f'gazebo_{port}'


class Server:
    """One gzserver; use it in a ``with`` statement, or :meth:`start` and :meth:`stop` it.

    Args:
        world: world file, or the name of one that Gazebo finds (``worlds/empty.world``).
        port: of its master.
        arguments: further ones for gzserver (``--lockstep``, ``-e bullet``, ...).
        cameras: give it an X server when there is none; cameras do not work without.
        log: file that takes its output; the terminal's when None.
    """

    def __init__(
        self,
        world: str | Path,
        *,
        port: int = PORT,
        arguments: Sequence[str] = (),
        cameras: bool = False,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._installation = find()
        self._environment = self._installation.environment()
        self._world = self._find_world(str(world))
        self._arguments = list(arguments)
        self._cameras = cameras
        self._log = log
        self._display: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when its master answers.

        Raises:
            InputError: another server has the port.
            Sim2RealError: it ended at once or does not answer.
        """
        if _answers(self.port):
            raise InputError(Fault('port', self.port, 'another server has it; take another one'))
        environment = {
            **self._environment,
            'GAZEBO_MASTER_URI': f'http://127.0.0.1:{self.port}',
            'IGN_PARTITION': partition(self.port),
        }
        preloaded = preload.library()
        if preloaded:
            parts = [str(preloaded), environment.get('LD_PRELOAD', '')]
            environment['LD_PRELOAD'] = ' '.join(filter(None, parts))
        environment.setdefault('GAZEBO_IP', '127.0.0.1')
        environment.setdefault('IGN_IP', '127.0.0.1')
        if self._cameras and not environment.get('DISPLAY'):
            environment['DISPLAY'] = self._start_display()
        program = str(self._installation.program('gzserver'))
        command = [program, '--verbose', *self._arguments, self._world]
        self.process = self._start(command, environment)
        deadline = time.monotonic() + STARTS_WITHIN
        while not _answers(self.port):
            if self.process.poll() is not None:
                self.stop()
                raise Sim2RealError(f'gzserver ended at once{self._tail()}')
            if time.monotonic() > deadline:
                self.stop()
                raise Sim2RealError(
                    f'gzserver does not answer on port {self.port} '
                    f'after {STARTS_WITHIN:.0f} s{self._tail()}'
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, and the X server that was started for it."""
        for process in (self.process, self._display):
            if process is not None:
                _end(process)
        self._display = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(
        self, command: list[str], environment: dict[str, str], out: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C reaches it once, from us."""
        log: IO[bytes] | None = self._log.open('ab') if self._log else None
        try:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=self._installation.root if out is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log if out is None else out,
                stderr=log if out is None else subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        finally:
            if log:
                log.close()

    def _start_display(self) -> str:
        """Start an X server without a screen; gives its display."""
        installation = self._installation
        command = [str(xvfb(installation)), '-displayfd', '1', '-nolisten', 'tcp']
        command += ['-screen', '0', '1280x1024x24']
        if installation.private:
            command += ['-xkbdir', str(installation.root / 'usr/share/X11/xkb')]
        self._display = self._start(command, self._environment, out=subprocess.PIPE)
        assert self._display.stdout is not None
        number = (
            self._display.stdout.readline().strip().decode()
        )  # it closes this end when it dies
        if not number:
            self.stop()
            raise Sim2RealError('the X server for cameras (Xvfb) does not start')
        return f':{number}'

    def _find_world(self, world: str) -> str:
        folders = self._environment.get('GAZEBO_RESOURCE_PATH', '').split(os.pathsep)
        for folder in ['', *folders]:
            if (Path(folder) / world).is_file():
                return str((Path(folder) / world).resolve())
        if self._installation.private or os.sep not in world:
            raise InputError(Fault('world', world, 'give an existing world file'))
        return world  # one that the system's Gazebo may know

    def _tail(self) -> str:
        """Its last errors, as lines to be added to a message."""
        if self._log is None:
            return ''
        lines = self._log.read_text(errors='replace').splitlines()[-15:]
        return '\n' + '\n'.join('  ' + re.sub(r'\x1b\[[\d;]*m', '', line) for line in lines)


def xvfb(installation: Installation) -> Path:
    """The X server that needs no screen.

    That of a private installation looks for its keyboard compiler in ``/usr/bin``; a copy is made
    that looks in an equally long path below the folder in which it runs.
    """
    try:
        original = installation.program('Xvfb')
    except MissingError as error:
        raise MissingError('cameras need an X server: install xvfb, or set DISPLAY') from error
    if not installation.private:
        return original
    compiler, copy = installation.root / 'xkbbin', original.with_name('Xvfb.private')
    compiler.mkdir(exist_ok=True)
    if not (compiler / 'xkbcomp').exists():
        (compiler / 'xkbcomp').symlink_to(original.with_name('xkbcomp'))
    if not copy.exists():
        part = copy.with_suffix(f'.{os.getpid()}')
        part.write_bytes(original.read_bytes().replace(b'/usr/bin\0', b'./xkbbin\0'))
        part.chmod(0o755)
        part.replace(copy)
    return copy


def _die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it ends, however it does."""
    with contextlib.suppress(OSError, AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(('127.0.0.1', port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; kill it when it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
    finally:  # an impatient user's second Ctrl-C ends the waiting, not the ending
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
