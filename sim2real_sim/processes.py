"""Servers that run beside us: started in a session of their own, stopped for certain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
ENDS_WITHIN = 10.0  # [s] after a signal, before it is killed
S = TypeVar('S', bound='ServerProcess')


class ServerProcess(ABC):
    """A server; use it in a ``with`` statement, or :meth:`start` and :meth:`stop` it.

    Attributes:
        process: that runs it, once it was started.

    Args:
        log: file that takes its output; the terminal's when None.
    """

    def __init__(self, log: Path | None) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log

    @abstractmethod
    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """Stop it and what it started."""
        if self.process is not None:
            end(self.process)

    def tail(self) -> str:
        """The last lines of its log."""
        if self._log is None or not self._log.exists():
            return ''
        lines = self._log.read_text(errors='replace').splitlines()[-15:]
        return '\n'.join('  ' + re.sub(r'\x1b\[[\d;]*m', '', line) for line in lines)

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path | None = None,
        out: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C reaches it once, from us."""
        log: IO[bytes] | None = self._log.open('ab') if self._log else None
        try:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log if out is None else out,
                stderr=log if out is None else subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        finally:
            if log:
                log.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a program that was launched, and what it started, to end; kill what does not."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGINT)
            process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    finally:  # an impatient user's second Ctrl-C ends the waiting, not the ending
        if process.poll() is None:
            _signal(process, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it ends, however it does."""
    with contextlib.suppress(OSError, AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
