"""When a clip starts, what it holds and when it ends. No files, no threads, no clock.

With 5 s before and 3 s after, triggers at 10 s and 12 s make one clip from 5 s to 15 s; a third
at 16 s makes another from 11 s to 19 s: the ring never stops, so it has its full pre-roll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sim2real_capture.ring import Record, Ring
from sim2real_core.records import Event


class Sink(Protocol):
    """Where a clip goes."""

    def start(self, clip: str, event: Event, records: Sequence[Record]) -> None:
        """Begin a clip with its pre-roll."""
        ...

    def write(self, record: Record) -> None:
        """Add a record."""
        ...

    def event(self, event: Event) -> None:
        """Add an event that was merged into the clip."""
        ...

    def finish(self, reason: str) -> None:
        """End the clip: ``complete``, or why it is shorter than asked."""
        ...


class Recorder:
    """Turns records and events into clips.

    Args:
        ring: holds the pre-roll; its span should be ``before``.
        sink: takes the clips.
        before: recorded before a trigger [ns].
        after: recorded after the last trigger of a clip [ns].
        longest: a clip is not extended beyond this by further triggers [ns].
        clip_bytes: a clip ends when its messages have grown to this; the ring should be smaller.
        name_clip: gives a clip its id.
    """

    def __init__(
        self,
        ring: Ring,
        sink: Sink,
        *,
        before: int,
        after: int,
        longest: int,
        clip_bytes: int,
        name_clip: Callable[[Event], str],
    ) -> None:
        self.ring = ring
        self._sink = sink
        self._before = before
        self._after = after
        self._longest = longest
        self._clip_bytes = clip_bytes
        self._name_clip = name_clip
        self.clip = ''  # id of the open clip
        self._start = self._end = self._bytes = 0

    def push(self, record: Record) -> None:
        """Take a record: into the ring, and into the open clip while its window lasts."""
        self.advance(record.stamp)
        self.ring.push(record)
        if self.clip and record.stamp >= self._start:
            self._sink.write(record)
            self._bytes += len(record.data)
            if self._bytes >= self._clip_bytes:
                self.finish('clip_bytes reached')

    def trigger(self, event: Event, stamp: int) -> str:
        """Start a clip, or extend the open one.

        Args:
            event: what happened.
            stamp: when, on the records' time line [ns].

        Returns:
            The clip's id.
        """
        self.advance(stamp)
        if self.clip:
            self._end = max(self._end, min(stamp + self._after, self._start + self._longest))
            self._sink.event(event)
            return self.clip
        self._start = max(0, stamp - self._before)
        self._end = stamp + self._after
        self.clip = self._name_clip(event)
        records = self.ring.window(self._start, self._end)
        self._bytes = sum(len(record.data) for record in records)
        self._sink.start(self.clip, event, records)
        return self.clip

    def advance(self, now: int) -> None:
        """Time passes [ns]: the open clip ends when its window does."""
        if self.clip and now > self._end:
            self.finish('complete')

    def finish(self, reason: str) -> None:
        """End the open clip, if there is one."""
        if self.clip:
            self.clip = ''
            self._sink.finish(reason)

    def clock_went_back(self) -> None:
        """The time line starts anew: what is open ends, the ring forgets."""
        self.finish('clock went back')
        self.ring.clear()
