"""A receiver that serves from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError

from sim2real_capture.access import OPEN, Access, AccessFile
from sim2real_capture.config import ReceiverConfig
from sim2real_capture.receiver import CLIP_BYTES, LOOPBACK, Receiver
from sim2real_core.errors import Fault, Faults, InputError, MissingError

CLEANUP = 1.0  # [s] for requests that are being served when the server is closed
START = 600.0  # [s] to index a folder of clips and to listen
IDLE = 75.0  # [s] between requests; with aiohttp 3.14 and later before the first one, too


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is the receiver's own, not of somebody who speaks no HTTP (answered)."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


LOG = logging.getLogger(__name__)
LOG.addFilter(_is_ours)


@dataclass(frozen=True)
class Tls:
    """What a server shows, and what it wants of robots.

    Attributes:
        certificate: PEM file, with its chain.
        key: PEM file.
        authority: PEM file; robots may show certificates that it signed. ``''``: none.
    """

    certificate: str
    key: str
    authority: str = ''

    def context(self) -> ssl.SSLContext:
        """For the server's socket.

        Raises:
            InputError: a file is not what it should be.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        faults = Faults()
        try:
            context.load_cert_chain(
                Path(self.certificate).expanduser(), Path(self.key).expanduser()
            )
        except OSError as error:  # SSLError is one
            faults.add('certificate', self.certificate, f'give certificate and key ({error})')
        if self.authority:
            try:
                context.load_verify_locations(Path(self.authority).expanduser())
            except OSError as error:
                faults.add('authority', self.authority, f'give a PEM file ({error})')
            context.verify_mode = ssl.CERT_OPTIONAL  # people's browsers have none
        faults.check()
        return context


class ReceiverServer:
    """A receiver that serves from a thread of its own until closed.

    Args:
        folder: where clips are kept.
        host: address to listen on; the loopback unless given, and nothing else without
            credentials.
        port: 0 takes a free one.
        access: who may do what.
        tls: plain HTTP without.
        clip_bytes: the most one clip may take.
        store_bytes: the most all may take; 0 is no limit.

    Raises:
        MissingError: the address cannot be had, or the disk is too slow.
        InputError: another receiver has the folder, or it cannot be made; or anyone on the
            network could send and look.
    """

    def __init__(
        self,
        folder: Path,
        host: str = '127.0.0.1',
        port: int = 0,
        *,
        access: Access | AccessFile = OPEN,
        tls: Tls | None = None,
        clip_bytes: int = CLIP_BYTES,
        store_bytes: int = 0,
    ) -> None:
        if access.now().empty and host not in LOOPBACK:
            mend = 'give credentials first (sim2real capture token), or listen on 127.0.0.1'
            raise InputError(Fault('host', host, mend))
        self.receiver: Receiver
        self.url = ''
        self._given = folder, access, clip_bytes, store_bytes
        self._tls = tls.context() if tls else None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        started = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(
            target=self._run, args=(host, port, started), name='receiver', daemon=True
        )
        self._thread.start()
        if not started.wait(START):
            self.close(0.0)
            raise MissingError(f'{folder}: not indexed and listening within {START:g} s')
        if isinstance(self._failure, OSError):
            raise MissingError(
                f'cannot listen on {host}:{port} ({self._failure}); choose another port'
            ) from self._failure
        if self._failure is not None:
            raise self._failure

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def close(self, timeout: float = 2.0) -> bool:
        """Stop serving; False when it did not end in time [s]."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, host: str, port: int, started: threading.Event) -> None:
        async def serve() -> None:
            async with self._serving(host, port):
                started.set()
                await self._stop.wait()

        try:
            self._loop.run_until_complete(serve())
        except Exception as error:  # whoever waits for the start must not take it for alive
            if started.is_set():
                raise
            self._failure = error
        finally:
            self._loop.close()
            started.set()

    @contextlib.asynccontextmanager
    async def _serving(self, host: str, port: int) -> AsyncIterator[None]:
        self.receiver = Receiver(*self._given)
        # Nothing is unpacked: a few kilobytes could become gigabytes.
        runner = web.AppRunner(
            self.receiver.app(),
            access_log=None,
            auto_decompress=False,
            logger=LOG,
            keepalive_timeout=IDLE,
        )
        try:
            await runner.setup()
            site = web.TCPSite(runner, host, port, ssl_context=self._tls)
            await site.start()
            address = runner.addresses[0]
            shown = f'[{address[0]}]' if ':' in address[0] else address[0]
            self.url = f'{"https" if self._tls else "http"}://{shown}:{address[1]}'
            yield
        finally:
            # Where its shutdown_timeout is given depends on aiohttp's version.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(runner.cleanup(), CLEANUP)
            await _cancel_others()
            self.receiver.close()


def serve(config: ReceiverConfig) -> ReceiverServer:
    """Start the receiver that the settings describe.

    Raises:
        InputError, MissingError: as :class:`ReceiverServer`.
    """
    tls = None
    if config.certificate:
        tls = Tls(config.certificate, config.key, config.authority)
    certificates = bool(config.authority)
    access: Access | AccessFile = Access(certificates=certificates)
    if config.credentials:
        access = AccessFile(Path(config.credentials), certificates)
    return ReceiverServer(
        Path(config.folder).expanduser(),
        config.host,
        config.port,
        access=access,
        tls=tls,
        clip_bytes=config.clip_bytes,
        store_bytes=config.store_bytes,
    )


async def _cancel_others() -> None:
    """End what else runs in this loop: uploads that were not done in time."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
