"""Ships sealed clips to a receiver in the background, as long as it takes.

A clip is never deleted here: once the receiver has acknowledged its hash, a ``shipped.json``
beside its manifest says so. See :mod:`sim2real_capture.receiver` for the exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import aiohttp

from sim2real_capture.clip import MANIFEST, SHIPPED, write_synced
from sim2real_capture.library import list_clips, parse_manifest, verify
from sim2real_core.errors import InputError, Sim2RealError

REFUSED = (400, 409, 413)
"""The receiver's answers that will not change: a bad manifest, a name that is taken, too large."""


class ShipError(Sim2RealError):
    """A clip was not acknowledged."""


class RefusedError(ShipError):
    """The receiver will never take this clip as it is; trying again is of no use."""


@dataclass(frozen=True)
class Receipt:
    """The receiver's acknowledgement.

    Attributes:
        clip: id of the clip.
        sha256: hash of the manifest it has, which names the hashes of all files.
        receiver: its address.
    """

    clip: str
    sha256: str
    receiver: str


def backoff(first: float = 1.0, longest: float = 60.0) -> Iterator[float]:
    """Waits between tries [s]: doubled each time, up to ``longest``."""
    wait = first
    while True:
        yield wait
        wait = min(2.0 * wait, longest)


def ship(folder: Path, url: str, deadline: float = 60.0) -> Receipt:
    """Ship one clip and mark it as shipped.

    Args:
        folder: the sealed clip.
        url: the receiver, e.g. ``http://127.0.0.1:8378``.
        deadline: for the whole exchange [s].

    Raises:
        RefusedError: the receiver will not have it.
        ShipError: it cannot be reached, is out of order, or did not answer in time.
    """
    return asyncio.run(_ship(folder, url, deadline))


async def _ship(folder: Path, url: str, deadline: float) -> Receipt:
    manifest = (folder / MANIFEST).read_bytes()
    wanted = hashlib.sha256(manifest).hexdigest()
    data = parse_manifest(manifest, str(folder / MANIFEST))
    clip, url = data['clip'], url.rstrip('/')
    by_hash = {entry['sha256']: name for name, entry in data['files'].items()}
    timeout = aiohttp.ClientTimeout(total=deadline)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            # Once to ask what is missing, once to name what was sent.
            for _ in range(2):
                status, answer = await _put(session, f'{url}/clips/{clip}', manifest)
                if status in (200, 201):
                    if answer.get('sha256') != wanted:
                        raise ShipError(f'{clip}: acknowledged with another hash: {answer}')
                    break
                for sha256 in answer.get('missing', ()):
                    if sha256 not in by_hash:
                        raise ShipError(f'{clip}: the receiver asks for what is not part of it')
                    with (folder / by_hash[sha256]).open('rb') as stream:
                        status, answer = await _put(session, f'{url}/blobs/{sha256}', stream)
                    if status == 422:
                        verify(folder)  # else it was spoiled on the way
                        raise ShipError(f'{clip}: arrived with another hash: {answer}')
            else:
                raise ShipError(f'{clip}: sent, yet not acknowledged: {answer}')
    except FileNotFoundError as error:
        raise RefusedError(f'{clip}: a file of it is gone: {error}') from error
    except InputError as error:
        raise RefusedError(f'{clip}: damaged here: {error}') from error
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        reason = str(error) or f'no answer within {deadline:g} s'
        raise ShipError(f'{clip}: {url}: {reason}') from error
    receipt = Receipt(clip, wanted, url)
    at = datetime.now(timezone.utc).isoformat(timespec='seconds')
    write_synced(
        folder / SHIPPED, json.dumps({'receiver': url, 'sha256': wanted, 'at': at}, indent=2)
    )
    return receipt


async def _put(
    session: aiohttp.ClientSession, address: str, body: object
) -> tuple[int, dict[str, Any]]:
    async with session.put(address, data=body) as response:
        try:
            answer = await response.json()
        except (aiohttp.ContentTypeError, ValueError):
            answer = {'error': (await response.text())[:200]}
        if response.status in REFUSED:
            raise RefusedError(f'{address}: {response.status} {answer}')
        if response.status >= 400 and response.status != 422:
            raise ShipError(f'{address}: {response.status} {answer}')
        return response.status, answer


class Uplink:
    """Ships whatever a spool holds that was not shipped yet, from a thread of its own.

    Args:
        spool: folder of sealed clips.
        url: the receiver.
        on_shipped: called from the thread with each receipt.
        on_trouble: called from the thread with what to tell people; once per clip when it is
            refused, at each failed try otherwise.
        deadline: for one clip [s].
        first_wait: before the second try [s]; doubled each time.
        longest_wait: [s].
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
    ) -> None:
        self._spool = spool
        self._url = url
        self._on_shipped = on_shipped
        self._on_trouble = on_trouble
        self._deadline = deadline
        self._waits = (first_wait, longest_wait)
        self.shipped = 0
        self.refused: set[str] = set()
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

    def close(self, timeout: float = 2.0) -> bool:
        """Stop, also in the middle of a clip (it is shipped next time); False when late [s]."""
        self._stopping = True

        def cancel() -> None:
            if self._main is not None:
                self._main.cancel()

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(cancel)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._main = self._loop.create_task(self._ship_all())
            if not self._stopping:
                with contextlib.suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(self._main)
        finally:
            self._loop.close()

    async def _ship_all(self) -> None:
        waits = backoff(*self._waits)
        tries: Counter[str] = Counter()
        while True:
            self._wake.clear()
            wait: float | None = None  # nothing left to do: until woken
            # One that keeps failing must not stand before the others.
            for info in sorted(list_clips(self._spool), key=lambda info: tries[info.clip]):
                if info.shipped or info.end == 'damaged' or info.clip in self.refused:
                    continue
                tries[info.clip] += 1
                try:
                    receipt = await _ship(info.path, self._url, self._deadline)
                except RefusedError as error:
                    self.refused.add(info.clip)
                    self._on_trouble(f'refused for good: {error}')
                except ShipError as error:
                    wait = next(waits)
                    self._on_trouble(f'{error}; trying again in {wait:g} s')
                    break
                else:
                    self.shipped += 1
                    waits = backoff(*self._waits)
                    self._on_shipped(receipt)
            if wait is None:
                await self._wake.wait()
            else:
                await asyncio.sleep(wait)
