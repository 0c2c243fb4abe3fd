"""Ships sealed clips to a receiver in the background, as long as it takes.

A clip is marked once the receiver has acknowledged its hash: a ``shipped.json`` beside its
manifest says so. Then, and only then, it may be deleted. What was cut off goes on where it was.
See :mod:`sim2real_capture.transports` for the ways there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from sim2real_capture.clip import PART, SHIPPED, discard, write_synced
from sim2real_capture.library import ClipInfo, clip_info, sealed_folders, verify
from sim2real_capture.transports import (
    NOBODY,
    Credentials,
    Outgoing,
    RefusedError,
    ShipError,
    SpoiledError,
    Transport,
    UnreachableError,
    load_credentials,
    open_transport,
    outgoing,
)
from sim2real_capture.watched import Mark
from sim2real_core.errors import InputError

STUCK = 3
"""Times in a row the receiver may put a file back before that is an error."""


@dataclass(frozen=True)
class Receipt:
    """The receiver's acknowledgement.

    Attributes:
        clip: id of the clip.
        sha256: hash of the manifest it has, which names the hashes of all files.
        receiver: its address.
        clock_offset: receiver's clock minus this machine's [s]; None when it has none.
        clock_offset_error: it is no further off than this [s].
        clock_source: how it was measured, see ``transports.Clock``.
    """

    clip: str
    sha256: str
    receiver: str
    clock_offset: float | None = None
    clock_offset_error: float | None = None
    clock_source: str = ''


class Preempted(Exception):  # noqa: N818 - not an error: a clip that matters more was sealed
    """Something more urgent is to be shipped first."""


class Throttle:
    """Keeps what is sent below a rate, on average.

    Args:
        rate: [B/s]; 0 does not.
        clock: gives the time [s].
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._free = -float('inf')

    def take(self, size: int) -> float:
        """How long to wait [s] before sending so many bytes."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        start = max(self._free, now)
        self._free = start + size / self._rate
        return start - now

    def fit(self, block: int) -> int:
        """A block's size that takes no longer than a second."""
        return block if self._rate <= 0 else max(1 << 10, min(block, int(self._rate)))


def backoff(
    first: float = 1.0, longest: float = 60.0, draw: Callable[[], float] = random.random
) -> Iterator[float]:
    """Waits between tries [s]: doubled each time, up to ``longest``, and less by up to a half.

    Args:
        first: [s].
        longest: [s].
        draw: random numbers in [0, 1): robots that were cut off together come back apart.
    """
    wait = first
    while True:
        yield wait * (1.0 - 0.5 * draw())
        wait = min(2.0 * wait, longest)


def urgency(info: ClipInfo, priority: Sequence[str]) -> tuple[int, str, str]:
    """What is shipped first: by trigger in the order of ``priority``, others last; older first."""
    known = [priority.index(name) for name in info.detectors if name in priority]
    return min(known, default=len(priority)), info.created, info.clip


def ship(
    folder: Path, url: str, deadline: float = 60.0, credentials: Credentials = NOBODY
) -> Receipt:
    """Ship one clip and mark it as shipped.

    Args:
        folder: the sealed clip.
        url: the receiver, e.g. ``http://127.0.0.1:8378``.
        deadline: for each answer of it [s].
        credentials: what this robot shows.

    Raises:
        RefusedError: the receiver will not have it.
        ShipError: it cannot be reached, is out of order, or did not answer in time.
    """

    async def once() -> Receipt:
        transport = open_transport(url, credentials, deadline)
        try:
            return await deliver(folder, transport)
        finally:
            await transport.close()

    receipt = asyncio.run(once())
    mark_shipped(folder, receipt)
    return receipt


async def deliver(
    folder: Path,
    transport: Transport,
    throttle: Throttle | None = None,
    preempted: Callable[[], bool] = lambda: False,
) -> Receipt:
    """Send what is missing of a clip, until it is acknowledged.

    Args:
        folder: the sealed clip.
        transport: the way.
        throttle: a cap of the bandwidth.
        preempted: asked between blocks whether to leave it for now.

    Raises:
        Preempted: it was left for now.
        ShipError: see :func:`ship`.
    """
    clip = outgoing(folder)
    offsets = await transport.begin(clip)
    try:
        for name in clip.sizes:
            await _send(clip, name, offsets[name], transport, throttle or Throttle(0), preempted)
        clock = await transport.finish(clip)
    except FileNotFoundError as error:
        raise RefusedError(f'{clip.clip}: a file of it is gone: {error}') from error
    except SpoiledError:
        try:
            verify(folder)
        except InputError as error:
            raise RefusedError(f'{clip.clip}: damaged here: {error}') from error
        raise
    receipt = Receipt(clip.clip, clip.sha256, transport.address)
    return replace(receipt, **clock.note()) if clock else receipt


async def _send(
    clip: Outgoing,
    name: str,
    offset: int,
    transport: Transport,
    throttle: Throttle,
    preempted: Callable[[], bool],
) -> None:
    """Send a file from an offset to its end."""
    stuck = 0
    with (clip.folder / name).open('rb') as stream:
        while offset < clip.sizes[name]:
            if preempted():
                raise Preempted(clip.clip)
            stream.seek(offset)
            most = max(throttle.fit(transport.block), transport.least)
            block = stream.read(min(most, clip.sizes[name] - offset))
            if not block:
                raise RefusedError(f'{clip.clip}: damaged here: {name} is cut short')
            await asyncio.sleep(throttle.take(len(block)))
            reached = await transport.append(clip, name, offset, block)
            stuck = 0 if reached > offset else stuck + 1
            if stuck > STUCK:
                raise ShipError(f'{clip.clip}: {transport.address} does not get beyond {offset} B')
            offset = max(0, reached)


def mark_shipped(folder: Path, receipt: Receipt) -> None:
    """Note beside a clip that it was acknowledged."""
    at = datetime.now(timezone.utc).isoformat(timespec='seconds')
    note = {**asdict(receipt), 'at': at}
    part = folder / f'{SHIPPED}.{os.getpid()}{PART}'
    write_synced(part, json.dumps(note, indent=2))
    part.replace(folder / SHIPPED)


class Uplink:
    """Ships whatever a spool holds that was not shipped yet, from a thread of its own.

    Args:
        spool: folder of sealed clips.
        url: the receiver.
        on_shipped: called from the thread with each receipt.
        on_trouble: called from the thread with what to tell people; once per clip when it is
            refused, at each failed try otherwise.
        deadline: for each answer of the receiver [s].
        first_wait: before the second try [s]; doubled each time.
        longest_wait: [s].
        credentials: what this robot shows; read again when a try failed and a file of them was
            changed. One that will not do is told, and the old ones hold.
        rate: the most to send [B/s]; 0 is no cap.
        priority: detectors whose clips go first, in this order.
        keep: False deletes clips here once they are acknowledged.
        once: end when nothing is left to do, instead of waiting for more.

    Raises:
        InputError, MissingError: as :func:`~sim2real_capture.transports.open_transport`.
    """

    def __init__(
        self,
        spool: Path,
        url: str,
        *,
        on_shipped: Callable[[Receipt], None] = lambda receipt: None,
        on_trouble: Callable[[str], None] = lambda reason: None,
        deadline: float = 60.0,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
        credentials: Credentials = NOBODY,
        rate: float = 0.0,
        priority: Sequence[str] = (),
        keep: bool = True,
        once: bool = False,
    ) -> None:
        self._spool = spool
        self._url, self._deadline = url, deadline
        self._credentials = credentials
        self._shown: Mark | None = None  # they may have been changed since they were read
        self._transport = open_transport(url, credentials, deadline)
        self._on_shipped = on_shipped
        self._on_trouble = on_trouble
        self._waits = (first_wait, longest_wait)
        self._throttle = Throttle(rate)
        self._priority = tuple(priority)
        self._keep = keep
        self._once = once
        self.shipped = 0
        self.deleted = 0
        self.refused: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._known: dict[str, ClipInfo] = {}  # left to ship, when last looked
        self._settled: set[str] = set()  # shipped, refused or damaged: not looked at again
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name='uplink', daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """A new clip was sealed."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._wake.set)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait [s] for the thread to end by itself; False when it did not."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self, timeout: float = 2.0) -> bool:
        """Stop, also in the middle of a clip (it goes on next time); False when late [s]."""
        self._stopping = True

        def cancel() -> None:
            if self._main is not None:
                self._main.cancel()

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(cancel)
        return self.wait(timeout)

    def _run(self) -> None:
        try:
            self._main = self._loop.create_task(self._ship_all())
            if not self._stopping:
                with contextlib.suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(self._main)
            self._loop.run_until_complete(self._transport.close())
        finally:
            self._loop.close()

    async def _ship_all(self) -> None:
        waits = backoff(*self._waits)
        while not self._stopping:  # a broken connection may swallow the cancellation
            self._wake.clear()
            info = self._next()
            wait = 0.0
            if info is not None:
                try:
                    await self._ship(info)
                except UnreachableError as error:  # nothing gets through: the order stays
                    wait = next(waits)
                    self._on_trouble(f'{error}; trying again in {wait:.2g} s')
                    await self._renew()
                except (
                    ShipError,
                    OSError,
                ) as error:  # one that keeps failing must not stand before others
                    self._tries[info.clip] += 1
                    wait = next(waits)
                    self._on_trouble(f'{error}; trying again in {wait:.2g} s')
                else:
                    waits = backoff(*self._waits)
                await asyncio.sleep(wait)
            elif self._once:
                return
            else:
                await self._wake.wait()

    async def _renew(self) -> None:
        """Show what the files of the credentials say now."""
        changed = self._credentials.mark()  # before they are read: a change meanwhile is seen
        if changed == self._shown or not self._credentials.source:
            return
        self._shown = changed
        try:
            credentials = load_credentials(self._credentials.source)
            transport = open_transport(self._url, credentials, self._deadline)
        except InputError as error:
            self._on_trouble(f'{error}; the old credentials hold')
            return
        await self._transport.close()
        self._credentials, self._transport = credentials, transport

    def _next(self) -> ClipInfo | None:
        """The most urgent clip left."""
        left = []
        for folder in sealed_folders(self._spool):
            if folder.name in self._settled:
                continue
            info = self._known.get(folder.name) or clip_info(folder)
            if info.end == 'damaged':
                self._settled.add(folder.name)
            elif info.shipped:
                self._settle(folder)
            else:
                self._known[folder.name] = info
                left.append(info)
        return min(left, key=self._rank, default=None)

    def _settle(self, folder: Path) -> None:
        """An acknowledged clip stays as it is, or goes."""
        self._settled.add(folder.name)
        self._known.pop(folder.name, None)
        if not self._keep:
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                discard(folder)
                self.deleted += 1

    def _rank(self, info: ClipInfo) -> tuple[int, tuple[int, str, str]]:
        return self._tries[info.clip], urgency(info, self._priority)

    async def _ship(self, info: ClipInfo) -> None:
        def preempted() -> bool:
            if not self._wake.is_set():
                return False
            self._wake.clear()
            best = self._next()
            return best is not None and best.clip != info.clip

        try:
            receipt = await deliver(info.path, self._transport, self._throttle, preempted)
        except Preempted:
            return
        except RefusedError as error:
            self._settled.add(info.path.name)
            if info.path.exists():  # else another process has shipped and deleted it
                self.refused.add(info.clip)
                self._on_trouble(f'refused for good: {error}')
        else:
            if self._keep:
                mark_shipped(info.path, receipt)
            self._settle(info.path)
            self.shipped += 1
            self._on_shipped(receipt)
