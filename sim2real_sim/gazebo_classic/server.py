"""A gzserver process of our own: started with what it needs around it, stopped for certain."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from sim2real_core.errors import Fault, InputError, MissingError, Sim2RealError
from sim2real_sim.gazebo_classic import preload
from sim2real_sim.gazebo_classic.installation import Installation, find
from sim2real_sim.processes import ServerProcess, end

PORT = 11345
"""Gazebo's own default."""
STARTS_WITHIN = 30.0  # [s]; half a second is usual


def partition(port: int) -> str:
    """Name that keeps the joint commands of servers on one machine apart."""
    return os.environ.get('IGN_PARTITION') or f'gazebo_{port}'


class Server(ServerProcess):
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
        super().__init__(log)
        self.port = port
        self._installation = find()
        self._environment = self._installation.environment()
        self._world = self._find_world(str(world))
        self._arguments = list(arguments)
        self._cameras = cameras
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
        self.process = self._launch(command, environment)
        deadline = time.monotonic() + STARTS_WITHIN
        while not _answers(self.port):
            if self.process.poll() is not None:
                self.stop()
                raise Sim2RealError(f'gzserver ended at once{self._said()}')
            if time.monotonic() > deadline:
                self.stop()
                raise Sim2RealError(
                    f'gzserver does not answer on port {self.port} '
                    f'after {STARTS_WITHIN:.0f} s{self._said()}'
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, and the X server that was started for it."""
        super().stop()
        if self._display is not None:
            end(self._display)
        self._display = None

    def _said(self) -> str:
        """Its last words, to be added to a message."""
        return f'\n{self.tail()}' if self.tail() else ''

    def _start_display(self) -> str:
        """Start an X server without a screen; gives its display."""
        installation = self._installation
        command = [str(xvfb(installation)), '-displayfd', '1', '-nolisten', 'tcp']
        command += ['-screen', '0', '1280x1024x24']
        if installation.private:
            command += ['-xkbdir', str(installation.root / 'usr/share/X11/xkb')]
        self._display = self._launch(
            command, self._environment, installation.root, out=subprocess.PIPE
        )
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


def _answers(port: int) -> bool:
    """Whether a server listens.

    It is not tried out: Gazebo's master numbers its clients by how many there are, so that one
    that comes and goes at once has it take a later one for another.
    """
    return any(
        found.status == psutil.CONN_LISTEN and found.laddr.port == port
        for found in psutil.net_connections('tcp')
    )
