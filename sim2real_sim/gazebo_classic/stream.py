"""Chosen physics steps, from the thread that hears them to the one that publishes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from sim2real_sim.gazebo_classic.introspection import Step

Pair = tuple[Step | None, Step]
"""The step before one that was chosen, and that one."""


class StepStream:
    """A queue that never grows long: what comes while too many wait is left out, and counted.

    Attributes:
        left_out: how many were, so far.

    Args:
        wants: whether the step that ended at a time [ns] is chosen.
        most: steps that may wait.
    """

    def __init__(self, wants: Callable[[int], bool], most: int) -> None:
        self.left_out = 0
        self._wants, self._most = wants, most
        self._before: Step | None = None
        self._waiting: deque[Pair] = deque()
        self._changed = threading.Condition()
        self._busy = self._closed = False

    def offer(self, step: Step) -> None:
        """Take every step, in their order."""
        before, self._before = self._before, step
        if not self._wants(step.time):
            return
        with self._changed:
            if len(self._waiting) < self._most:
                self._waiting.append((before, step))
                self._changed.notify_all()
            else:
                self.left_out += 1

    def __iter__(self) -> Iterator[Pair]:
        """Those that were chosen, as they come, until the stream is closed."""
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                pair = self._waiting.popleft()
                self._busy = True
            yield pair

    def drain(self, timeout: float) -> bool:
        """Wait until all that came so far was published; whether it was, within a time [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), timeout)

    def close(self) -> None:
        """End it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
