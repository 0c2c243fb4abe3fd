"""Writes clips in a thread of its own, so that a slow disk never holds up the robot's messages."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sim2real_capture.clip import PART, Context, Journal, check_name, make_folder, recover, seal
from sim2real_capture.library import list_clips
from sim2real_capture.ring import OVERHEAD, Record
from sim2real_core.errors import InputError
from sim2real_core.records import Event

SYNC_PERIOD = 1.0
"""Seconds between forced writes to disk while a clip is recorded."""


@dataclass(frozen=True)
class Sealed:
    """A clip was sealed.

    Attributes:
        folder: the clip's.
        events: what happened in it; empty for a clip recovered from an earlier run.
        recovered: left by a process that died.
    """

    folder: Path
    events: tuple[Event, ...] = ()
    recovered: bool = False


@dataclass(frozen=True)
class Failed:
    """Something could not be written, or was thrown away.

    Attributes:
        clip: its id, ``''`` when it is about no single clip.
        reason: for people.
        crash: set when the writer itself died; nothing will be written any more.
    """

    clip: str
    reason: str
    crash: BaseException | None = None


@dataclass(frozen=True)
class _Start:
    clip: str
    event: Event
    records: Sequence[Record]
    context: Context
    created: datetime
    dropped: int  # by the writer, before this clip


@dataclass(frozen=True)
class _Finish:
    reason: str
    dropped: int  # by the writer, up to the end of this clip


class ClipWriter:
    """A :class:`~sim2real_capture.recorder.Sink` that writes in the background.

    The caller's methods never block: records wait in a queue bounded in bytes, and what does not
    fit is dropped, counted in ``dropped`` and noted in the clip. What an earlier process left
    unfinished in the spool is sealed first.

    Args:
        spool: folder of the clips; made when it is not there.
        context: called at each start for what is in force.
        on_report: called, from the writer's thread, for each clip sealed or failed.
        clip_bytes: the most one clip may take.
        spool_bytes: the spool's quota. Before a clip starts there must be ``clip_bytes`` left of
            it; to get there the oldest acknowledged clips are deleted, and when that is not
            enough the new clip is refused.
        queue_bytes: memory the queue may take.
    """

    def __init__(
        self,
        spool: Path,
        context: Callable[[], Context],
        on_report: Callable[[Sealed | Failed], None],
        *,
        clip_bytes: int,
        spool_bytes: int,
        queue_bytes: int = 64 << 20,
    ) -> None:
        self._spool = spool
        self._context = context
        self._report = on_report
        self._clip_bytes = clip_bytes
        self._spool_bytes = spool_bytes
        self._queue_bytes = queue_bytes
        self._queue: queue.SimpleQueue[_Start | Record | Event | _Finish | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()  # guards the two counters below
        self._waiting = 0
        self.dropped = 0
        self.deleted = 0  # clips deleted to make room
        self._journal: Journal | None = None
        self._events: list[Event] = []
        self._dropped_before = 0
        self._synced = 0.0
        make_folder(spool)
        self._thread = threading.Thread(target=self._run, name='clip writer', daemon=True)
        self._thread.start()

    def start(self, clip: str, event: Event, records: Sequence[Record]) -> None:
        """Begin a clip; one that the quota leaves no room for is reported as failed."""
        check_name(clip)
        now = datetime.now(timezone.utc)
        self._queue.put(_Start(clip, event, records, self._context(), now, self.dropped))

    def write(self, record: Record) -> None:
        """Add a record, unless the queue is full."""
        size = len(record.data) + OVERHEAD
        with self._lock:
            if self._waiting + size > self._queue_bytes:
                self.dropped += 1
                return
            self._waiting += size
        self._queue.put(record)

    def event(self, event: Event) -> None:
        """Add an event that was merged into the clip."""
        self._queue.put(event)

    def finish(self, reason: str) -> None:
        """End the clip; it is sealed in the background and reported."""
        self._queue.put(_Finish(reason, self.dropped))

    def close(self, timeout: float) -> bool:
        """Write what waits and end the thread.

        Args:
            timeout: how long to wait for it [s].

        Returns:
            False when it did not end in time; the next start recovers what was left.
        """
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._recover()
            while True:
                try:
                    item = self._queue.get(timeout=SYNC_PERIOD)
                except queue.Empty:
                    self._guarded(self._flush)
                    continue
                if item is None:
                    break
                self._guarded(self._take, item)
            self._guarded(self._seal, _Finish('node stopped', self.dropped))
        except BaseException as error:
            self._report(Failed('', 'the clip writer died', error))

    def _guarded(self, step: Callable[..., None], *given: object) -> None:
        """Run a step; a disk that fails ends the clip, not the thread."""
        clip = self._journal.clip if self._journal else ''
        try:
            step(*given)
        except OSError as error:
            # What reached the disk stays there as a .part, to be recovered at the next start.
            clip = self._journal.clip if self._journal else clip
            if self._journal:
                self._journal.release()
            self._journal = None
            self._report(Failed(clip, str(error)))

    def _take(self, item: _Start | Record | Event | _Finish) -> None:
        if isinstance(item, _Start):
            if not self._make_room():
                self._report(Failed(item.clip, 'spool_bytes leaves no room for a clip'))
                return
            self._journal = Journal(self._spool, item.clip, item.context, item.created)
            self._dropped_before = item.dropped
            self._events = [item.event]
            self._journal.event(item.event)
            for record in item.records:
                self._journal.message(record)
            self._synced = 0.0  # what came before the trigger goes to the disk at once
        elif isinstance(item, _Finish):
            self._seal(item)
        elif isinstance(item, Event):
            if self._journal:
                self._events.append(item)
                self._journal.event(item)
        else:
            with self._lock:
                self._waiting -= len(item.data) + OVERHEAD
            if self._journal:
                self._journal.message(item)
        if self._queue.empty():
            self._flush()

    def _flush(self) -> None:
        """Hand what was written to the kernel, and now and then to the disk."""
        if self._journal:
            to_disk = time.monotonic() - self._synced > SYNC_PERIOD
            self._journal.flush(to_disk=to_disk)
            if to_disk:
                self._synced = time.monotonic()

    def _seal(self, end: _Finish) -> None:
        journal, self._journal = self._journal, None
        if journal is None:
            return
        try:
            journal.close(end.reason, end.dropped - self._dropped_before)
            self._report(Sealed(seal(journal.folder), tuple(self._events)))
        except InputError as error:
            shutil.rmtree(journal.folder)
            self._report(Failed(journal.clip, str(error)))
        finally:
            journal.release()

    def _recover(self) -> None:
        try:
            recovered, empty = recover(self._spool)
        except OSError as error:
            self._report(Failed('', f'clips of an earlier run not recovered: {error}'))
            return
        for folder in recovered:
            self._report(Sealed(folder, recovered=True))
        for folder in empty:
            clip = folder.name[: -len(PART)]
            self._report(Failed(clip, 'left without messages by an earlier run; removed'))

    def _make_room(self) -> bool:
        """Delete acknowledged clips, oldest first, until a whole new one fits."""
        room = self._spool_bytes - self._clip_bytes - _size(self._spool)
        if room >= 0:
            return True
        for info in list_clips(self._spool):
            if info.shipped:
                room += _size(info.path)
                shutil.rmtree(info.path)
                self.deleted += 1
                if room >= 0:
                    return True
        return False


def _size(folder: Path) -> int:
    """Bytes in a folder; files that vanish meanwhile count nothing."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(os.path.join(parent, name)).st_size
    return size
