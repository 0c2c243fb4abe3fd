"""A modern Gazebo server of our own: in a partition of its own, stopped for certain."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from sim2real_core.errors import Fault, InputError, MissingError

ENDS_WITHIN = 5.0  # [s] after a signal, before it is killed
MISSING = (
    'no gz command: install modern Gazebo (apt install gz-harmonic, or ros-$ROS_DISTRO-ros-gz) '
    'or source its setup'
)
_numbers = itertools.count()


class Server:
    """One ``gz sim -s``; use it in a ``with`` statement, or :meth:`start` and :meth:`stop` it.

    Attributes:
        environment: variables that lead to it and to no other (``GZ_PARTITION``, ``GZ_IP``);
            :class:`sim2real_sim.gz.world.GzWorld` takes them.

    Args:
        world: world file.
        log: file that takes its output; the terminal's when None.

    Raises:
        MissingError: there is no ``gz`` command.
        InputError: no such world.
    """

    def __init__(self, world: str | Path, *, log: Path | None = None) -> None:
        self._world, self._log = Path(world), log
        if not self._world.is_file():
            raise InputError(Fault('world', str(world), 'give an existing world file'))
        gz = shutil.which('gz')
        if gz is None:
            raise MissingError(MISSING)
        self._gz = gz
        self.environment = {
            'GZ_PARTITION': f'sim2real_{os.getpid()}_{next(_numbers)}',
            'GZ_IP': os.environ.get('GZ_IP', '127.0.0.1'),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers when a world does (:class:`~sim2real_sim.gz.world.GzWorld`)."""
        log = self._log.open('ab') if self._log else None
        try:
            self.process = subprocess.Popen(
                [self._gz, 'sim', '-s', str(self._world.resolve())],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # gz starts programs of its own
            )
        finally:
            if log:
                log.close()

    def stop(self) -> None:
        """Stop it and what it started."""
        process, self.process = self.process, None
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(ENDS_WITHIN)
                break
            except ProcessLookupError:
                process.wait()
                break
            except subprocess.TimeoutExpired:
                continue

    def tail(self) -> str:
        """The last lines of its log."""
        if self._log is None or not self._log.exists():
            return ''
        lines = self._log.read_text(errors='replace').splitlines()[-15:]
        return '\n'.join(re.sub(r'\x1b\[[\d;]*m', '', line) for line in lines)

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
