"""Requests to modern Gazebo, through a process of their own (:mod:`sim2real_sim.gz.requester`)."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim2real_core.errors import MissingError, Sim2RealError
from sim2real_sim.world import WorldError

Json = Mapping[str, Any]
START_TIMEOUT = 20.0
"""[s] for an interpreter to start and load Gazebo's packages."""
GRACE = 2.0
"""[s] beyond a request's own deadline before its process counts as stuck."""
MISSING = (
    "no modern Gazebo to talk to ({}): install the Python packages of Gazebo's transport and "
    'messages (python3-gz-transport13 and python3-gz-msgs10 for Harmonic), give an interpreter '
    'that has them, or source their setup'
)


class Requests:
    """Sends requests and waits for their answers, never longer than their deadline.

    Args:
        python: interpreter that has Gazebo's packages; this one when empty.
        environment: variables for it beside those of this process (``GZ_PARTITION``, ...).

    Raises:
        MissingError: it has none.
    """

    def __init__(self, python: str = '', environment: Mapping[str, str] | None = None) -> None:
        self._command = [python or sys.executable, str(Path(__file__).with_name('requester.py'))]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._left = b''
        self.about = self._start()

    def call(self, operation: str, timeout: float, **arguments: Any) -> Any:
        """Do one of the requester's operations.

        Args:
            operation: its name.
            timeout: deadline [s].
            arguments: its arguments.

        Raises:
            WorldError: Gazebo refused or did not answer in time.
        """
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        line = json.dumps({'op': operation, **arguments, 'timeout': timeout}) + '\n'
        try:
            process.stdin.write(line.encode())
            process.stdin.flush()
            answer = self._answer(timeout + GRACE)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            what = arguments.get('service') or arguments.get('topic') or operation
            raise WorldError(f'{what}: no answer within {timeout:g} s ({error})') from error
        if 'refused' in answer:
            raise WorldError(answer['refused'])
        if 'error' in answer:
            raise Sim2RealError(f'{operation}: {answer["error"]}')
        return answer['result']

    def request(
        self, service: str, kind: str, message: Json, timeout: float, reply: str = 'Boolean'
    ) -> Any:
        """Call a service.

        Args:
            service: its name.
            kind: message type of the request, of ``gz.msgs``.
            message: its content.
            timeout: deadline [s].
            reply: message type of the answer.

        Returns:
            Content of the answer.

        Raises:
            WorldError: it did not answer, or answered false.
        """
        answer = self.call(
            'request', timeout, service=service, kind=kind, message=message, reply=reply
        )
        if reply == 'Boolean' and not answer.get('data'):
            raise WorldError(f'{service} refused')
        return answer

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> Json:
        self._left = b''
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
            answer = self._answer(START_TIMEOUT)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise MissingError(MISSING.format(error)) from error
        if 'missing' in answer:
            self.close()
            raise MissingError(MISSING.format(answer['missing']))
        about: Json = answer['result']
        return about

    def _answer(self, timeout: float) -> Any:
        """The next line."""
        assert self._process is not None and self._process.stdout is not None
        stream, end = self._process.stdout.fileno(), time.monotonic() + timeout
        while b'\n' not in self._left:
            ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError('deadline')
            data = os.read(stream, 1 << 20)
            if not data:
                raise EOFError('the process ended')
            self._left += data
        line, _, self._left = self._left.partition(b'\n')
        return json.loads(line)
