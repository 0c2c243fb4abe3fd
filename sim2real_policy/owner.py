"""One thread that owns something, and does for others what only it may do."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sim2real_core.errors import Sim2RealError

Result = TypeVar('Result')

_Job = tuple[Callable[..., Any], tuple[Any, ...]]


class Owner:
    """A thread that runs what it is given, one at a time.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._one = threading.Lock()
        self._lost = False  # a job outlasted its deadline: its result may come at any time
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., Result], *args: Any, within: float = 10.0) -> Result:
        """Its result of ``function(*args)``, or what it raised.

        Args:
            function: to run there.
            args: of the function.
            within: longest wait [s].

        Raises:
            Sim2RealError: no result in time, now or before.
        """
        with self._one:
            if self._lost:
                raise Sim2RealError(f'{self._name} did not come back from an earlier call')
            self._jobs.put((function, args))
            try:
                result, error = self._results.get(timeout=within)
            except queue.Empty:
                self._lost = True
                raise Sim2RealError(f'{self._name} gave no result within {within:g} s') from None
        if error is not None:
            raise error
        return result

    def close(self, within: float = 5.0) -> None:
        """End the thread; one that hangs is left to the process."""
        self._jobs.put(None)
        self._thread.join(within)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, args = job
            try:
                answer: tuple[Any, BaseException | None] = (function(*args), None)
            except BaseException as error:  # handed to whoever asked
                answer = (None, error)
            self._results.put(answer)
            del job, function, args, answer  # what a job held is freed with it, in this thread
