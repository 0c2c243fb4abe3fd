"""Writes clips in threads of its own, so that a slow disk never holds up the robot's messages.

One thread writes journals, another seals those that ended: making images smaller may take seconds,
in which the messages of a new clip go to its journal.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sim2real_capture.clip import PART, PRIVATE, Context, Journal, check_name, discard, make_folder
from sim2real_capture.clip_sealing import recover, seal
from sim2real_capture.library import list_clips
from sim2real_capture.ring import OVERHEAD, Record
from sim2real_core.errors import InputError
from sim2real_core.records import Event

SYNC_PERIOD = 1.0
"""Seconds between forced writes to disk while a clip is recorded."""
FORGET_PERIOD = 3600.0
"""Seconds between looks at how old private messages are, beside those before every clip."""
SEAL_WAIT = 30.0
"""How long a new clip without room waits for those being sealed, while none gets on [s]."""


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
        crash: the error of a bug: one that ended the writer, so that nothing will be written any
            more, or, with a clip, one that kept it from being sealed.
    """

    clip: str
    reason: str
    crash: BaseException | None = None


@dataclass(frozen=True)
class _Start:
    clip: str
    event: Event
    records: deque[Record]
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
        on_report: called for each clip sealed or failed, from either of two threads, maybe from
            both at once; must not raise.
        clip_bytes: the most one clip may take.
        spool_bytes: the spool's quota. Before a clip starts there must be ``clip_bytes`` left of
            it; to get there the oldest acknowledged clips are deleted, then, as ``lost``, those of
            lower priority than the new one; when that is not enough the new clip is refused.
        queue_bytes: memory the queue may take.
        private_days: how long private messages stay [days], where rules say nothing else.
        priority: detectors whose clips are worth the most, in this order; all others last.
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
        private_days: float = 30.0,
        priority: Sequence[str] = (),
    ) -> None:
        self._spool = spool
        self._context = context
        self._report = on_report
        self._clip_bytes = clip_bytes
        self._spool_bytes = spool_bytes
        self._queue_bytes = queue_bytes
        self._priority = tuple(priority)
        self._private_days = private_days
        self._looked = time.monotonic()
        self._queue: queue.SimpleQueue[_Start | Record | Event | _Finish | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()  # guards the two counters below
        self._waiting = 0
        self.dropped = 0
        self.deleted = 0  # acknowledged clips deleted to make room
        self.lost = 0  # others
        self._journal: Journal | None = None
        self._ended: queue.SimpleQueue[tuple[Journal, tuple[Event, ...]] | None] = (
            queue.SimpleQueue()
        )
        self._unsealed = 0  # in that queue or on its way out
        self._sealed = threading.Condition()  # guards it, tells when it falls
        self._events: list[Event] = []
        self._dropped_before = 0
        self._synced = 0.0
        make_folder(spool)
        self._threads = [
            threading.Thread(target=self._guarding, args=(run,), name=name, daemon=True)
            for name, run in (('clip writer', self._write), ('clip sealer', self._seal))
        ]
        for thread in self._threads:
            thread.start()

    def start(self, clip: str, event: Event, records: Sequence[Record]) -> None:
        """Begin a clip; one that the quota leaves no room for is reported as failed."""
        check_name(clip)
        now = datetime.now(timezone.utc)
        self._queue.put(_Start(clip, event, deque(records), self._context(), now, self.dropped))

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
        """Write what waits and end the threads.

        Args:
            timeout: how long to wait for them [s].

        Returns:
            False when they did not end in time; the next start recovers what was left.
        """
        self._queue.put(None)
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _guarding(self, run: Callable[[], None]) -> None:
        """A thread's whole life."""
        try:
            run()
        except BaseException as error:
            self._report(Failed('', 'the clip writer died', error))

    def _write(self) -> None:
        try:
            self._recover()
            while True:
                try:
                    item = self._queue.get(timeout=SYNC_PERIOD)
                except queue.Empty:
                    self._guarded(self._idle)
                    continue
                if item is None:
                    break
                self._guarded(self._take, item)
            self._guarded(self._end, _Finish('node stopped', self.dropped))
        finally:
            self._ended.put(None)

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
            if not self._make_room(item.event):
                self._report(Failed(item.clip, 'spool_bytes leaves no room for a clip'))
                return
            self._journal = Journal(self._spool, item.clip, item.context, item.created)
            self._dropped_before = item.dropped
            self._events = [item.event]
            self._journal.event(item.event)
            while item.records:  # each is let go once it is written: the ring goes on meanwhile
                self._journal.message(item.records.popleft())
            self._synced = 0.0  # what came before the trigger goes to the disk at once
        elif isinstance(item, _Finish):
            self._end(item)
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

    def _end(self, end: _Finish) -> None:
        if self._journal is None:
            return
        self._journal.close(end.reason, end.dropped - self._dropped_before)
        with self._sealed:
            self._unsealed += 1
        self._ended.put((self._journal, tuple(self._events)))
        self._journal = None

    def _seal(self) -> None:
        """Seal clips that ended, one after the other; none keeps the next from it."""
        while (ended := self._ended.get()) is not None:
            journal, events = ended
            try:
                self._report(Sealed(seal(journal.folder), events))
            except InputError as error:
                shutil.rmtree(journal.folder, ignore_errors=True)
                self._report(Failed(journal.clip, str(error)))
            except OSError as error:  # left as it is, to be recovered at the next start
                self._report(Failed(journal.clip, str(error)))
            except Exception as error:  # likewise; whoever waits for this thread goes on
                self._report(Failed(journal.clip, f'not sealed: {error!r}', error))
            finally:
                journal.release()
                with self._sealed:
                    self._unsealed -= 1
                    self._sealed.notify_all()

    def _recover(self) -> None:
        try:
            recovered, empty, failed = recover(self._spool)
        except OSError as error:
            self._report(Failed('', f'clips of an earlier run not recovered: {error}'))
            return
        self._forget_private()
        for folder in recovered:
            self._report(Sealed(folder, recovered=True))
        for folder in empty:
            clip = folder.name[: -len(PART)]
            self._report(Failed(clip, 'left without messages by an earlier run; removed'))
        for folder, reason in failed:
            clip = folder.name[: -len(PART)]
            self._report(Failed(clip, f'of an earlier run, not recovered: {reason}'))

    def _idle(self) -> None:
        self._flush()
        if time.monotonic() - self._looked > FORGET_PERIOD:
            self._forget_private()

    def _forget_private(self) -> None:
        """Delete private messages that have stayed as long as they may."""
        self._looked = time.monotonic()
        for path in self._spool.glob('*/private*.mcap'):
            found = PRIVATE.fullmatch(path.name)
            if found is None or path.parent.name.endswith(PART):
                continue
            days = float(found[1]) if found[1] else self._private_days
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if time.time() - path.stat().st_mtime > 86400.0 * days:
                    path.unlink()

    def _make_room(self, event: Event) -> bool:
        """Delete clips until a whole new one, of this event, fits.

        First what was acknowledged, the oldest first, then what is worth less than the new one,
        the least worthy and oldest first.
        """
        self._forget_private()
        if self._room() < 0:
            self._await_sealing()
        room = self._room()
        if room >= 0:
            return True
        clips, new = list_clips(self._spool), self._rank((event.detector,))
        shipped = [info for info in clips if info.shipped]
        lesser = [c for c in clips if not c.shipped and self._rank(c.detectors) > new]
        lesser.sort(key=lambda info: -self._rank(info.detectors))  # keeps the order of age
        sizes = {info.clip: _size(info.path) for info in (*shipped, *lesser)}
        if room + sum(sizes.values()) < 0:
            return False  # then nothing need be lost for it
        for info in (*shipped, *lesser):
            if room >= 0:
                break
            room += sizes[info.clip]
            try:
                discard(info.path)
            except FileNotFoundError:  # another process was faster
                continue
            if info.shipped:
                self.deleted += 1
            else:
                self.lost += 1
                self._report(
                    Failed(info.clip, f'deleted unshipped for a clip of {event.detector}')
                )
        return True

    def _await_sealing(self) -> None:
        """Wait, while sealing goes on, until there is room: what is sealed lies here twice."""
        before, room, done = None, self._room(), False
        while not done and room < 0 and room != before:
            with self._sealed:
                done = self._sealed.wait_for(lambda: not self._unsealed, SEAL_WAIT)
            before, room = room, self._room()
        if not done and room < 0:
            reason = f'stands still for {SEAL_WAIT:g} s; counted twice against spool_bytes'
            self._report(Failed('', f'sealing of a clip {reason}'))

    def _room(self) -> int:
        """Bytes that are left when another whole clip was written."""
        return self._spool_bytes - self._clip_bytes - _size(self._spool)

    def _rank(self, detectors: Sequence[str]) -> int:
        """Place of a clip's worthiest trigger; 0 is the first."""
        known = [self._priority.index(name) for name in detectors if name in self._priority]
        return min(known, default=len(self._priority))


def _size(folder: Path) -> int:
    """Bytes in a folder; files that vanish meanwhile count nothing."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(os.path.join(parent, name)).st_size
    return size
